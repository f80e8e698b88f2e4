package header

import "strings"

// Headers of boards with Allwinner SoCs; that of the Banana Pi M2 Zero stands in
// gpio-line-names of its device tree in Linux.
const (
	bananaM2Zero = `
  1 3V3           |  2 5V
  3 PA12 I2C0 SDA |  4 5V
  5 PA11 I2C0 SCL |  6 GND
  7 PA6           |  8 PA13
  9 GND           | 10 PA14
 11 PA1           | 12 PA16
 13 PA0           | 14 GND
 15 PA3           | 16 PA15
 17 3V3           | 18 PC4
 19 PC0           | 20 GND
 21 PC1           | 22 PA2
 23 PC2           | 24 PC3
 25 GND           | 26 PC7
 27 PA19          | 28 PA18
 29 PA7           | 30 GND
 31 PA8           | 32 PL2
 33 PA9           | 34 GND
 35 PA10          | 36 PL4
 37 PA17          | 38 PA21
 39 GND           | 40 PA20
`
	orangePC = `
  1 3V3           |  2 5V
  3 PA12 I2C0 SDA |  4 5V
  5 PA11 I2C0 SCL |  6 GND
  7 PA6           |  8 PA13 UART3 TX
  9 GND           | 10 PA14 UART3 RX
 11 PA1           | 12 PD14
 13 PA0           | 14 GND
 15 PA3           | 16 PC4
 17 3V3           | 18 PC7
 19 PC0 SPI0 MOSI | 20 GND
 21 PC1 SPI0 MISO | 22 PA2
 23 PC2 SPI0 CLK  | 24 PC3 SPI0 CS
 25 GND           | 26 PA21
 27 PA19 I2C1 SDA | 28 PA18 I2C1 SCL
 29 PA7           | 30 GND
 31 PA8           | 32 PG8
 33 PA9           | 34 GND
 35 PA10          | 36 PG9
 37 PA20          | 38 PG6 UART1 TX
 39 GND           | 40 PG7 UART1 RX
`
	pineA64 = `
  1 3V3           |  2 5V
  3 PH3 I2C1 SDA  |  4 5V
  5 PH2 I2C1 SCL  |  6 GND
  7 PL10          |  8 PB0
  9 GND           | 10 PB1
 11 PC7           | 12 PC8
 13 PH9           | 14 GND
 15 PC12          | 16 PC13
 17 3V3           | 18 PC14
 19 PC0 SPI0 MOSI | 20 GND
 21 PC1 SPI0 MISO | 22 PC15
 23 PC2 SPI0 CLK  | 24 PC3 SPI0 CS
 25 GND           | 26 PH7
 27 PL9           | 28 PL8
 29 PH5           | 30 GND
 31 PH6           | 32 PC4
 33 PC5           | 34 GND
 35 PC9           | 36 PC6
 37 PC16          | 38 PC10
 39 GND           | 40 PC11
`
)

// allwinnerLine finds "PA12": port A, line 12. Ports A to I are one controller,
// L another, both with 32 lines a port (drivers/pinctrl/sunxi/pinctrl-sunxi.h). The
// labels are those of the H2+, H3, H5 and A64, whose controllers have the same
// addresses.
func allwinnerLine(name string) (string, int, bool) {
	digits, ok := strings.CutPrefix(name, "P")
	if !ok || len(digits) < 2 {
		return "", 0, false
	}
	port := digits[0]
	n, ok := number(digits[1:])
	switch {
	case !ok || n > 31:
		return "", 0, false
	case port >= 'A' && port <= 'I':
		return "1c20800.pinctrl", int(port-'A')*32 + n, true
	case port == 'L':
		return "1f02c00.pinctrl", n, true
	}
	return "", 0, false
}

func allwinner() []row {
	return []row{
		{"40-pin header (CON2)", []string{"sinovoip,bpi-m2-zero"}, bus{alias: "i2c0", node: "i2c@1c2ac00"},
			"https://wiki.banana-pi.org/Banana_Pi_BPI-M2_ZERO", allwinnerLine, bananaM2Zero},
		{"40-pin header", []string{
			"xunlong,orangepi-pc", "xunlong,orangepi-pc-plus", "xunlong,orangepi-one", "xunlong,orangepi-lite",
		}, bus{alias: "i2c0", node: "i2c@1c2ac00"},
			"https://linux-sunxi.org/Xunlong_Orange_Pi_PC", allwinnerLine, orangePC},
		{"40-pin header (Pi-2 bus)", []string{"pine64,pine64", "pine64,pine64-plus"}, bus{alias: "i2c1", node: "i2c@1c2b000"},
			"https://wiki.pine64.org/wiki/PINE_A64", allwinnerLine, pineA64},
	}
}
