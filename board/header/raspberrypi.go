package header

// The Raspberry Pi's headers. Line n of the controller is GPIO n of the data
// sheets (BCM2835 ARM Peripherals, section 6; RP1 Peripherals, section 3.1). The
// label is what drivers/pinctrl/bcm/pinctrl-bcm2835.c and pinctrl-rp1.c give; it
// stays, while the number of /dev/gpiochip moved between kernels on the Pi 5.
const (
	piSheet   = "https://www.raspberrypi.com/documentation/computers/raspberry-pi.html#gpio"
	piBCM2835 = "pinctrl-bcm2835" // BCM2835, BCM2836, BCM2837
	piBCM2711 = "pinctrl-bcm2711"
	piRP1     = "pinctrl-rp1"
)

// Alternative functions after the interactive map at https://pinout.xyz.
const pi40 = `
  1 3V3                |  2 5V
  3 GPIO2  I2C1 SDA    |  4 5V
  5 GPIO3  I2C1 SCL    |  6 GND
  7 GPIO4  GPCLK0      |  8 GPIO14 UART TXD
  9 GND                | 10 GPIO15 UART RXD
 11 GPIO17             | 12 GPIO18 PCM CLK
 13 GPIO27             | 14 GND
 15 GPIO22             | 16 GPIO23
 17 3V3                | 18 GPIO24
 19 GPIO10 SPI0 MOSI   | 20 GND
 21 GPIO9  SPI0 MISO   | 22 GPIO25
 23 GPIO11 SPI0 SCLK   | 24 GPIO8  SPI0 CE0
 25 GND                | 26 GPIO7  SPI0 CE1
 27 GPIO0  HAT ID SDA  | 28 GPIO1  HAT ID SCL
 29 GPIO5              | 30 GND
 31 GPIO6              | 32 GPIO12 PWM0
 33 GPIO13 PWM1        | 34 GND
 35 GPIO19 PCM FS      | 36 GPIO16
 37 GPIO26             | 38 GPIO20 PCM DIN
 39 GND                | 40 GPIO21 PCM DOUT
`

// The first boards, with three lines elsewhere on revision 1 (revision codes 0002
// and 0003): https://elinux.org/RPi_Low-level_peripherals#P1_Header.
const (
	pi26rev1 = `
  1 3V3                |  2 5V
  3 GPIO0  I2C0 SDA    |  4 5V
  5 GPIO1  I2C0 SCL    |  6 GND
  7 GPIO4  GPCLK0      |  8 GPIO14 UART TXD
  9 GND                | 10 GPIO15 UART RXD
 11 GPIO17             | 12 GPIO18 PCM CLK
 13 GPIO21             | 14 GND
` + pi26rest
	pi26 = `
  1 3V3                |  2 5V
  3 GPIO2  I2C1 SDA    |  4 5V
  5 GPIO3  I2C1 SCL    |  6 GND
  7 GPIO4  GPCLK0      |  8 GPIO14 UART TXD
  9 GND                | 10 GPIO15 UART RXD
 11 GPIO17             | 12 GPIO18 PCM CLK
 13 GPIO27             | 14 GND
` + pi26rest
	pi26rest = ` 15 GPIO22             | 16 GPIO23
 17 3V3                | 18 GPIO24
 19 GPIO10 SPI0 MOSI   | 20 GND
 21 GPIO9  SPI0 MISO   | 22 GPIO25
 23 GPIO11 SPI0 SCLK   | 24 GPIO8  SPI0 CE0
 25 GND                | 26 GPIO7  SPI0 CE1
`
)

func raspberryPi() []row {
	i2c0, i2c1 := bus{alias: "i2c0", node: "i2c@7e205000"}, bus{alias: "i2c1", node: "i2c@7e804000"}
	rp1I2C1 := bus{alias: "i2c1", node: "i2c@74000"} // rp1.dtsi
	return []row{
		{"26-pin header (P1, revision 1)", []string{
			"raspberrypi,model-b-rev1",
		}, i2c0, piSheet, numbered(piBCM2835, "GPIO"), pi26rev1},
		{"26-pin header (P1)", []string{
			"raspberrypi,model-a", "raspberrypi,model-b", "raspberrypi,model-b-rev2",
		}, i2c1, piSheet, numbered(piBCM2835, "GPIO"), pi26},
		{"40-pin header (J8)", []string{
			"raspberrypi,model-a-plus", "raspberrypi,model-b-plus", "raspberrypi,2-model-b", "raspberrypi,2-model-b-rev2",
			"raspberrypi,3-model-a-plus", "raspberrypi,3-model-b", "raspberrypi,3-model-b-plus",
			"raspberrypi,model-zero", "raspberrypi,model-zero-w", "raspberrypi,model-zero-2", "raspberrypi,model-zero-2-w",
		}, i2c1, piSheet, numbered(piBCM2835, "GPIO"), pi40},
		{"40-pin header (J8)", []string{
			"raspberrypi,4-model-b", "raspberrypi,400",
		}, i2c1, piSheet, numbered(piBCM2711, "GPIO"), pi40},
		// The modules have no header: it is that of their IO boards. On another
		// carrier the names still hold.
		{"40-pin header of the IO Board", []string{
			"raspberrypi,4-compute-module",
		}, i2c1, piSheet, numbered(piBCM2711, "GPIO"), pi40},
		{"40-pin header", []string{
			"raspberrypi,5-model-b", "raspberrypi,500",
		}, rp1I2C1, piSheet, numbered(piRP1, "GPIO"), pi40},
		{"40-pin header of the IO Board", []string{
			"raspberrypi,5-compute-module",
		}, rp1I2C1, piSheet, numbered(piRP1, "GPIO"), pi40},
	}
}
