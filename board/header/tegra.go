package header

import "strings"

// Headers of NVIDIA's developer kits, after the table that NVIDIA keeps for them.
// A line is called by its port, as the kernel does, with the pin's name besides.
// Pins whose pad belongs to another function need a change of the pinmux first:
// the line can be driven, and the pin does not move.
const jetsonSheet = "https://github.com/NVIDIA/jetson-gpio/blob/master/lib/python/Jetson/GPIO/gpio_pin_data.py"

const (
	nano = `
  1 3V3               |  2 5V
  3 I2C1_SDA I2C2 SDA |  4 5V
  5 I2C1_SCL I2C2 SCL |  6 GND
  7 PBB.00 GPIO09     |  8 UART1_TX
  9 GND               | 10 UART1_RX
 11 PG.02 UART1_RTS   | 12 PJ.07 I2S0_SCLK
 13 PB.06 SPI1_SCK    | 14 GND
 15 PY.02 GPIO12      | 16 PDD.00 SPI1_CS1
 17 3V3               | 18 PB.07 SPI1_CS0
 19 PC.00 SPI0_MOSI   | 20 GND
 21 PC.01 SPI0_MISO   | 22 PB.05 SPI1_MISO
 23 PC.02 SPI0_SCK    | 24 PC.03 SPI0_CS0
 25 GND               | 26 PC.04 SPI0_CS1
 27 I2C0_SDA          | 28 I2C0_SCL
 29 PS.05 GPIO01      | 30 GND
 31 PZ.00 GPIO11      | 32 PV.00 GPIO07
 33 PE.06 GPIO13      | 34 GND
 35 PJ.04 I2S0_FS     | 36 PG.03 UART1_CTS
 37 PB.04 SPI1_MOSI   | 38 PJ.05 I2S0_DIN
 39 GND               | 40 PJ.06 I2S0_DOUT
`
	xavierNX = `
  1 3V3             |  2 5V
  3 I2C1_SDA        |  4 5V
  5 I2C1_SCL        |  6 GND
  7 PS.04 GPIO09    |  8 UART1_TX
  9 GND             | 10 UART1_RX
 11 PR.04 UART1_RTS | 12 PT.05 I2S0_SCLK
 13 PY.00 SPI1_SCK  | 14 GND
 15 PCC.04 GPIO12   | 16 PY.04 SPI1_CS1
 17 3V3             | 18 PY.03 SPI1_CS0
 19 PZ.05 SPI0_MOSI | 20 GND
 21 PZ.04 SPI0_MISO | 22 PY.01 SPI1_MISO
 23 PZ.03 SPI0_SCK  | 24 PZ.06 SPI0_CS0
 25 GND             | 26 PZ.07 SPI0_CS1
 27 I2C0_SDA        | 28 I2C0_SCL
 29 PQ.05 GPIO01    | 30 GND
 31 PQ.06 GPIO11    | 32 PR.00 GPIO07
 33 PN.01 GPIO13    | 34 GND
 35 PU.00 I2S0_FS   | 36 PR.05 UART1_CTS
 37 PY.02 SPI1_MOSI | 38 PT.07 I2S0_DIN
 39 GND             | 40 PT.06 I2S0_DOUT
`
	orinNano = `
  1 3V3               |  2 5V
  3 I2C1_SDA I2C8 SDA |  4 5V
  5 I2C1_SCL I2C8 SCL |  6 GND
  7 PAC.06 GPIO09     |  8 UART1_TX
  9 GND               | 10 UART1_RX
 11 PR.04 UART1_RTS   | 12 PH.07 I2S0_SCLK
 13 PY.00 SPI1_SCK    | 14 GND
 15 PN.01 GPIO12      | 16 PY.04 SPI1_CS1
 17 3V3               | 18 PY.03 SPI1_CS0
 19 PZ.05 SPI0_MOSI   | 20 GND
 21 PZ.04 SPI0_MISO   | 22 PY.01 SPI1_MISO
 23 PZ.03 SPI0_SCK    | 24 PZ.06 SPI0_CS0
 25 GND               | 26 PZ.07 SPI0_CS1
 27 I2C0_SDA          | 28 I2C0_SCL
 29 PQ.05 GPIO01      | 30 GND
 31 PQ.06 GPIO11      | 32 PG.06 GPIO07
 33 PH.00 GPIO13      | 34 GND
 35 PI.02 I2S0_FS     | 36 PR.05 UART1_CTS
 37 PY.02 SPI1_MOSI   | 38 PI.01 I2S0_SDIN
 39 GND               | 40 PI.00 I2S0_SDOUT
`
	orinAGX = `
  1 3V3              |  2 5V
  3 I2C_SDA          |  4 5V
  5 I2C_SCL          |  6 GND
  7 PQ.06 MCLK05     |  8 UART1_TX
  9 GND              | 10 UART1_RX
 11 PR.04 UART1_RTS  | 12 PH.07 I2S2_CLK
 13 PR.00 PWM01      | 14 GND
 15 PN.01 GPIO27     | 16 PBB.01 GPIO08
 17 3V3              | 18 PH.00 GPIO35
 19 PZ.05 SPI1_MOSI  | 20 GND
 21 PZ.04 SPI1_MISO  | 22 PP.04 GPIO17
 23 PZ.03 SPI1_CLK   | 24 PZ.06 SPI1_CS0
 25 GND              | 26 PZ.07 SPI1_CS1
 27 I2C_SDA          | 28 I2C_SCL
 29 PAA.01 CAN0_DIN  | 30 GND
 31 PAA.00 CAN0_DOUT | 32 PBB.00 GPIO09
 33 PAA.02 CAN1_DOUT | 34 GND
 35 PI.02 I2S2_FS    | 36 PR.05 UART1_CTS
 37 PAA.03 CAN1_DIN  | 38 PI.01 I2S2_DIN
 39 GND              | 40 PI.00 I2S2_DOUT
`
)

// tegra210Line finds "PBB.00": ports A to Z, then AA to FF, of eight lines each, of
// the only controller (drivers/gpio/gpio-tegra.c).
func tegra210Line(name string) (string, int, bool) {
	port, digits, _ := strings.Cut(strings.TrimPrefix(name, "P"), ".")
	n, ok := number(digits)
	if !ok || n > 7 || port == "" || port[0] < 'A' || port[0] > 'Z' || strings.Trim(port, port[:1]) != "" {
		return "", 0, false
	}
	return "tegra-gpio", (int(port[0]-'A')+26*(len(port)-1))*8 + n, len(port) <= 2
}

// ports are the first lines of the ports on a header, of the main controller and
// of the one that is always on (drivers/gpio/gpio-tegra186.c).
type ports struct {
	chip         string
	main, always map[string]int
}

func (p ports) line(name string) (string, int, bool) {
	port, digits, _ := strings.Cut(name, ".")
	n, ok := number(digits)
	if first, found := p.main[port]; found && ok && n < 8 {
		return p.chip, first + n, true
	}
	if first, found := p.always[port]; found && ok && n < 8 {
		return p.chip + "-aon", first + n, true
	}
	return "", 0, false
}

func tegra() []row {
	t194 := ports{"tegra194-gpio",
		map[string]int{"PN": 83, "PQ": 100, "PR": 108, "PS": 114, "PT": 122, "PU": 130, "PY": 149, "PZ": 157},
		map[string]int{"PCC": 12}}
	t234 := ports{"tegra234-gpio",
		map[string]int{"PG": 35, "PH": 43, "PI": 51, "PN": 84, "PP": 92, "PQ": 100, "PR": 108, "PY": 122, "PZ": 130, "PAC": 138},
		map[string]int{"PAA": 0, "PBB": 8}}
	i2c8 := bus{name: "I2C8", node: "i2c@c250000"}
	return []row{
		{"40-pin header (J41)", []string{"nvidia,p3450-0000", "nvidia,p3450-0002", "nvidia,jetson-nano"},
			bus{name: "I2C2", node: "i2c@7000c400"}, jetsonSheet, tegra210Line, nano},
		{"40-pin header", []string{"nvidia,p3509-0000+p3668-0000", "nvidia,p3509-0000+p3668-0001"}, bus{}, jetsonSheet, t194.line, xavierNX},
		{"40-pin header (J12)", []string{
			"nvidia,p3768-0000+p3767-0000", "nvidia,p3768-0000+p3767-0001", "nvidia,p3768-0000+p3767-0003",
			"nvidia,p3768-0000+p3767-0004", "nvidia,p3768-0000+p3767-0005",
		}, i2c8, jetsonSheet, t234.line, orinNano},
		{"40-pin header (J30)", []string{
			"nvidia,p3737-0000+p3701-0000", "nvidia,p3737-0000+p3701-0004", "nvidia,p3737-0000+p3701-0005", "nvidia,p3737-0000+p3701-0008",
		}, bus{}, jetsonSheet, t234.line, orinAGX},
	}
}
