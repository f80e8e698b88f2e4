package header

// Headers of boards with Rockchip SoCs. Those of the Radxa Zero 3, ROCK Pi E,
// NanoPC-T6, CM3588 NAS Kit and Indiedroid Nova stand in gpio-line-names of Linux's
// arch/arm64/boot/dts/rockchip, and the tests compare; the others are their
// makers'. A hyphen marks what is not known to be a line.
const (
	zero3 = `
  1 3V3               |  2 5V
  3 GPIO1_A0 I2C3 SDA |  4 5V
  5 GPIO1_A1 I2C3 SCL |  6 GND
  7 GPIO3_C4          |  8 GPIO0_D1
  9 GND               | 10 GPIO0_D0
 11 GPIO3_A1          | 12 GPIO3_A3
 13 GPIO3_A2          | 14 GND
 15 GPIO3_B0          | 16 GPIO3_B1
 17 3V3               | 18 GPIO3_B2
 19 GPIO4_C3          | 20 GND
 21 GPIO4_C5          | 22 GPIO3_C1
 23 GPIO4_C2          | 24 GPIO4_C6
 25 GND               | 26 -
 27 GPIO4_B2          | 28 GPIO4_B3
 29 GPIO3_B3          | 30 GND
 31 GPIO3_B4          | 32 GPIO3_C2
 33 GPIO3_C3          | 34 GND
 35 GPIO3_A4          | 36 GPIO3_A7
 37 GPIO1_A4          | 38 GPIO3_A6
 39 GND               | 40 GPIO3_A5
`
	rockPiE = `
  1 3V3               |  2 5V
  3 GPIO3_A4          |  4 5V
  5 GPIO3_A6          |  6 GND
  7 GPIO1_D4          |  8 GPIO2_A0
  9 GND               | 10 GPIO2_A1
 11 GPIO2_A2          | 12 GPIO2_C2
 13 GPIO2_A3          | 14 GND
 15 GPIO0_D3          | 16 -
 17 3V3               | 18 -
 19 GPIO3_A1          | 20 GND
 21 GPIO3_A2          | 22 -
 23 GPIO3_A0          | 24 GPIO3_B0
 25 GND               | 26 GPIO2_B4
 27 GPIO2_A4 I2C1 SDA | 28 GPIO2_A5 I2C1 SCL
 29 GPIO2_C4          | 30 GND
 31 GPIO2_C5          | 32 GPIO2_C0
 33 GPIO2_A6          | 34 GND
 35 GPIO2_C1          | 36 GPIO2_B7
 37 GPIO2_C6          | 38 GPIO2_C3
 39 GND               | 40 GPIO2_C7
`
	nanoPCT6 = `
  1 3V3               |  2 5V
  3 GPIO1_D7 I2C8 SDA |  4 5V
  5 GPIO1_D6 I2C8 SCL |  6 GND
  7 GPIO3_B2          |  8 GPIO0_C5
  9 GND               | 10 GPIO0_C4
 11 GPIO3_C2          | 12 GPIO3_B7
 13 GPIO3_C3          | 14 GND
 15 GPIO1_A7          | 16 GPIO3_B3
 17 3V3               | 18 GPIO3_B4
 19 GPIO1_B2          | 20 GND
 21 GPIO1_B1          | 22 GPIO1_B5
 23 GPIO1_B3          | 24 GPIO1_B4
 25 GND               | 26 GPIO1_B0
 27 GPIO1_A0          | 28 GPIO1_A1
 29 GPIO3_B5          | 30 GND
 31 GPIO3_B6          | 32 GPIO0_C6
 33 GPIO3_B0          | 34 GND
 35 GPIO3_A0          | 36 GPIO3_A3
 37 GPIO3_A4          | 38 GPIO3_A1
 39 GND               | 40 GPIO3_A2
`
	nova = `
  1 3V3      |  2 5V
  3 GPIO1_D7 |  4 5V
  5 GPIO1_D6 |  6 GND
  7 GPIO1_A6 |  8 GPIO4_A3
  9 GND      | 10 GPIO4_A4
 11 GPIO1_B4 | 12 GPIO0_D0
 13 GPIO1_B5 | 14 GND
 15 GPIO3_C4 | 16 GPIO3_B0
 17 3V3      | 18 GPIO3_B1
 19 GPIO3_B7 | 20 GND
 21 GPIO3_C0 | 22 GPIO3_C5
 23 GPIO3_C1 | 24 GPIO0_D3
 25 GND      | 26 GPIO3_C3
 27 GPIO1_A0 | 28 GPIO1_C1
 29 GPIO1_A4 | 30 GND
 31 GPIO1_B1 | 32 GPIO4_A6
 33 GPIO1_B2 | 34 GND
 35 GPIO4_A7 | 36 GPIO4_B5
 37 GPIO4_A2 | 38 GPIO4_B4
 39 GND      | 40 GPIO4_B3
`
	rock4 = `
  1 3V3               |  2 5V
  3 GPIO2_A7 I2C7 SDA |  4 5V
  5 GPIO2_B0 I2C7 SCL |  6 GND
  7 GPIO2_B3          |  8 GPIO4_C4 UART2 TXD
  9 GND               | 10 GPIO4_C3 UART2 RXD
 11 GPIO4_C2          | 12 GPIO4_A3
 13 GPIO4_C6          | 14 GND
 15 GPIO4_C5          | 16 GPIO4_D2
 17 3V3               | 18 GPIO4_D4
 19 GPIO1_B0 SPI1 TXD | 20 GND
 21 GPIO1_A7 SPI1 RXD | 22 GPIO4_D5
 23 GPIO1_B1 SPI1 CLK | 24 GPIO1_B2 SPI1 CS
 25 GND               | 26 -
 27 GPIO2_A0 I2C2 SDA | 28 GPIO2_A1 I2C2 SCL
 29 GPIO2_B2          | 30 GND
 31 GPIO2_B1          | 32 GPIO3_C0
 33 GPIO2_B4          | 34 GND
 35 GPIO4_A5          | 36 GPIO4_A4
 37 GPIO4_D6          | 38 GPIO4_A6
 39 GND               | 40 GPIO4_A7
`
	rock5B = `
  1 3V3                |  2 5V
  3 GPIO4_B3 I2C7 SDA  |  4 5V
  5 GPIO4_B2 I2C7 SCL  |  6 GND
  7 GPIO3_C3           |  8 GPIO0_B5 UART2 TX
  9 GND                | 10 GPIO0_B6 UART2 RX
 11 GPIO3_C1           | 12 GPIO3_B5
 13 GPIO3_B7           | 14 GND
 15 GPIO3_C0           | 16 GPIO3_A4
 17 3V3                | 18 GPIO4_C4
 19 GPIO1_B2 SPI0 MOSI | 20 GND
 21 GPIO1_B1 SPI0 MISO | 22 -
 23 GPIO1_B3 SPI0 CLK  | 24 GPIO1_B4 SPI0 CS0
 25 GND                | 26 GPIO1_B5 SPI0 CS1
 27 GPIO4_C6           | 28 GPIO4_C5
 29 GPIO1_D7           | 30 GND
 31 GPIO1_B7           | 32 GPIO3_C2
 33 GPIO3_A7           | 34 GND
 35 GPIO3_B6           | 36 GPIO3_B1
 37 -                  | 38 GPIO3_B2
 39 GND                | 40 GPIO3_B3
`
	orange5 = `
  1 3V3                |  2 5V
  3 GPIO1_B7 I2C5 SDA  |  4 5V
  5 GPIO1_B6 I2C5 SCL  |  6 GND
  7 GPIO1_C6           |  8 GPIO4_A3
  9 GND                | 10 GPIO4_A4
 11 GPIO4_B2           | 12 GPIO0_D5
 13 GPIO4_B3           | 14 GND
 15 GPIO0_D4           | 16 GPIO1_D3
 17 3V3                | 18 GPIO1_D2
 19 GPIO1_C1 SPI4 MOSI | 20 GND
 21 GPIO1_C0 SPI4 MISO | 22 GPIO2_D4
 23 GPIO1_C2 SPI4 CLK  | 24 GPIO1_C4 SPI4 CS1
 25 GND                | 26 GPIO1_A3
`
	orange5Plus = `
  1 3V3                |  2 5V
  3 GPIO0_C0 I2C2 SDA  |  4 5V
  5 GPIO0_B7 I2C2 SCL  |  6 GND
  7 GPIO1_D6           |  8 GPIO1_A1
  9 GND                | 10 GPIO1_A0
 11 GPIO1_A4           | 12 GPIO3_A1
 13 GPIO1_A7           | 14 GND
 15 GPIO1_B0           | 16 GPIO3_B5
 17 3V3                | 18 GPIO3_B6
 19 GPIO1_B2 SPI0 MOSI | 20 GND
 21 GPIO1_B1 SPI0 MISO | 22 GPIO1_A2
 23 GPIO1_B3 SPI0 CLK  | 24 GPIO1_B4 SPI0 CS0
 25 GND                | 26 GPIO1_B5 SPI0 CS1
 27 GPIO1_B7           | 28 GPIO1_B6
 29 GPIO1_D7           | 30 GND
 31 GPIO3_A0           | 32 GPIO1_A3
 33 GPIO3_C2           | 34 GND
 35 GPIO3_A2           | 36 GPIO3_A5
 37 GPIO3_C1           | 38 GPIO3_A4
 39 GND                | 40 GPIO3_A3
`
)

// rockchipLine finds "GPIO4_B3": bank 4, group B of eight lines, line 3. Each bank
// is a controller (drivers/gpio/gpio-rockchip.c labels it "gpio4").
func rockchipLine(name string) (string, int, bool) {
	if len(name) != len("GPIO4_B3") || name[:4] != "GPIO" || name[5] != '_' {
		return "", 0, false
	}
	bank, group, n := name[4], name[6], name[7]
	if bank < '0' || bank > '4' || group < 'A' || group > 'D' || n < '0' || n > '7' {
		return "", 0, false
	}
	return "gpio" + string(bank), int(group-'A')*8 + int(n-'0'), true
}

// A bus is named here only where the device trees of Linux put it on these pins.
func rockchip() []row {
	return []row{
		{"40-pin header", []string{"radxa,zero-3w", "radxa,zero-3e"}, bus{alias: "i2c3"},
			"https://docs.radxa.com/en/zero/zero3/hardware-design/hardware-interface", rockchipLine, zero3},
		{"40-pin header", []string{"radxa,rockpi-e"}, bus{alias: "i2c1"},
			"https://wiki.radxa.com/RockpiE/hardware/gpio", rockchipLine, rockPiE},
		{"40-pin header", []string{"radxa,rockpi4"}, bus{alias: "i2c7"},
			"https://wiki.radxa.com/Rock4/hardware/gpio", rockchipLine, rock4},
		{"40-pin header", []string{"radxa,rock-5b"}, bus{},
			"https://wiki.radxa.com/Rock5/hardware/5b/gpio", rockchipLine, rock5B},
		{"40-pin header", []string{"friendlyarm,nanopc-t6", "friendlyarm,nanopc-t6-lts", "friendlyarm,cm3588-nas"}, bus{alias: "i2c8"},
			"https://wiki.friendlyelec.com/wiki/index.php/NanoPC-T6", rockchipLine, nanoPCT6},
		{"40-pin header", []string{"indiedroid,nova"}, bus{},
			"https://indiedroid.us/", rockchipLine, nova},
		{"26-pin header", []string{"xunlong,orangepi-5"}, bus{},
			"http://www.orangepi.org/html/hardWare/computerAndMicrocontrollers/service-and-support/Orange-pi-5.html", rockchipLine, orange5},
		{"40-pin header", []string{"xunlong,orangepi-5-plus"}, bus{alias: "i2c2"},
			"http://www.orangepi.org/html/hardWare/computerAndMicrocontrollers/service-and-support/Orange-Pi-5-plus.html", rockchipLine, orange5Plus},
	}
}
