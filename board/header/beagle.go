package header

import "strings"

// Headers of the BeagleBone Black and the boards that keep to it, and of the
// PocketBeagle, after gpio-line-names of am335x-boneblack.dts and
// am335x-pocketbeagle.dts in Linux, with power from the system reference manuals.
// P9.15, P9.41 and P9.42 are on two lines each; here is the one that the manual
// gives.
const (
	bone = `
 P8.1 GND                | P8.2 GND
 P8.3 GPIO1_6 MMC1 DAT6  | P8.4 GPIO1_7 MMC1 DAT7
 P8.5 GPIO1_2 MMC1 DAT2  | P8.6 GPIO1_3 MMC1 DAT3
 P8.7 GPIO2_2            | P8.8 GPIO2_3
 P8.9 GPIO2_5            | P8.10 GPIO2_4
 P8.11 GPIO1_13          | P8.12 GPIO1_12
 P8.13 GPIO0_23 EHRPWM2B | P8.14 GPIO0_26
 P8.15 GPIO1_15          | P8.16 GPIO1_14
 P8.17 GPIO0_27          | P8.18 GPIO2_1
 P8.19 GPIO0_22 EHRPWM2A | P8.20 GPIO1_31 EMMC
 P8.21 GPIO1_30 EMMC     | P8.22 GPIO1_5 MMC1 DAT5
 P8.23 GPIO1_4 MMC1 DAT4 | P8.24 GPIO1_1 MMC1 DAT1
 P8.25 GPIO1_0 MMC1 DAT0 | P8.26 GPIO1_29
 P8.27 GPIO2_22 HDMI     | P8.28 GPIO2_24 HDMI
 P8.29 GPIO2_23 HDMI     | P8.30 GPIO2_25 HDMI
 P8.31 GPIO0_10 LCD D14  | P8.32 GPIO0_11 LCD D15
 P8.33 GPIO0_9 LCD D13   | P8.34 GPIO2_17 HDMI
 P8.35 GPIO0_8 LCD D12   | P8.36 GPIO2_16 HDMI
 P8.37 GPIO2_14 HDMI     | P8.38 GPIO2_15 HDMI
 P8.39 GPIO2_12 HDMI     | P8.40 GPIO2_13 HDMI
 P8.41 GPIO2_10 HDMI     | P8.42 GPIO2_11 HDMI
 P8.43 GPIO2_8 HDMI      | P8.44 GPIO2_9 HDMI
 P8.45 GPIO2_6 HDMI      | P8.46 GPIO2_7 HDMI
 P9.1 GND                 | P9.2 GND
 P9.3 3V3                 | P9.4 3V3
 P9.5 VDD_5V              | P9.6 VDD_5V
 P9.7 SYS_5V              | P9.8 SYS_5V
 P9.9 PWR_BUT             | P9.10 SYS_RESETn
 P9.11 GPIO0_30 UART4 RXD | P9.12 GPIO1_28
 P9.13 GPIO0_31 UART4 TXD | P9.14 GPIO1_18 EHRPWM1A
 P9.15A GPIO1_16          | P9.16 GPIO1_19 EHRPWM1B
 P9.17 GPIO0_5 SPI0 CS0   | P9.18 GPIO0_4 SPI0 D1
 P9.19 GPIO0_13 I2C2 SCL  | P9.20 GPIO0_12 I2C2 SDA
 P9.21 GPIO0_3 SPI0 D0    | P9.22 GPIO0_2 SPI0 SCLK
 P9.23 GPIO1_17           | P9.24 GPIO0_15 UART1 TXD
 P9.25 GPIO3_21           | P9.26 GPIO0_14 UART1 RXD
 P9.27 GPIO3_19           | P9.28 GPIO3_17 SPI1 CS0
 P9.29 GPIO3_15 SPI1 D0   | P9.30 GPIO3_16 SPI1 D1
 P9.31 GPIO3_14 SPI1 SCLK | P9.32 VDD_ADC
 P9.33 AIN4               | P9.34 GNDA_ADC
 P9.35 AIN6               | P9.36 AIN5
 P9.37 AIN2               | P9.38 AIN3
 P9.39 AIN0               | P9.40 AIN1
 P9.41B GPIO0_20          | P9.42A GPIO0_7 ECAPPWM0
 P9.43 GND                | P9.44 GND
 P9.45 GND                | P9.46 GND
`
	pocket = `
 P1.01 VIN              | P1.02 GPIO2_23 AIN6
 P1.03 GPIO3_13 USB1    | P1.04 GPIO2_25 PRU1.11
 P1.05 -                | P1.06 GPIO0_5 SPI0 CS
 P1.07 -                | P1.08 GPIO0_2 SPI0 CLK
 P1.09 -                | P1.10 GPIO0_3 SPI0 MISO
 P1.11 -                | P1.12 GPIO0_4 SPI0 MOSI
 P1.13 -                | P1.14 3V3
 P1.15 GND              | P1.16 GND
 P1.17 -                | P1.18 -
 P1.19 -                | P1.20 GPIO0_20 PRU0.16
 P1.21 -                | P1.22 GND
 P1.23 -                | P1.24 5V
 P1.25 -                | P1.26 GPIO0_12 I2C2 SDA
 P1.27 -                | P1.28 GPIO0_13 I2C2 SCL
 P1.29 GPIO3_21 PRU0.7  | P1.30 GPIO1_11 UART0 TX
 P1.31 GPIO3_18 PRU0.4  | P1.32 GPIO1_10 UART0 RX
 P1.33 GPIO3_15 PRU0.1  | P1.34 GPIO0_26
 P1.35 GPIO2_24 PRU1.10 | P1.36 GPIO3_14 PWM0A
 P2.01 GPIO1_18 PWM1A    | P2.02 GPIO1_27
 P2.03 GPIO0_23          | P2.04 GPIO1_26
 P2.05 GPIO0_30 UART4 RX | P2.06 GPIO1_25
 P2.07 GPIO0_31 UART4 TX | P2.08 GPIO1_28
 P2.09 GPIO0_15 I2C1 SCL | P2.10 GPIO1_20
 P2.11 GPIO0_14 I2C1 SDA | P2.12 -
 P2.13 5V                | P2.14 -
 P2.15 GND               | P2.16 -
 P2.17 GPIO2_1           | P2.18 GPIO1_15 PRU0.15i
 P2.19 GPIO0_27          | P2.20 GPIO2_0
 P2.21 GND               | P2.22 GPIO1_14
 P2.23 3V3               | P2.24 GPIO1_12
 P2.25 GPIO1_9 SPI1 MOSI | P2.26 -
 P2.27 -                 | P2.28 GPIO3_20 PRU0.6
 P2.29 GPIO0_7 SPI1 CLK  | P2.30 GPIO3_17 PRU0.3
 P2.31 GPIO0_19 SPI1 CS  | P2.32 GPIO3_16 PRU0.2
 P2.33 GPIO1_13          | P2.34 GPIO3_19 PRU0.5
 P2.35 GPIO2_22 AIN5     | P2.36 -
`
)

// am335xLine finds "GPIO1_28": controller 1, line 28. The driver labels a controller
// by the order in which it was found ("gpio-32-63", drivers/gpio/gpio-omap.c), and
// that order changed with Linux 5.15, so that a label says nothing. Chip here is
// the name of the device instead, and lines are found by the names that the device
// tree gives them: https://github.com/elixir-circuits/circuits_gpio/pull/153.
func am335xLine(name string) (string, int, bool) {
	devices := [4]string{"44e07000.gpio", "4804c000.gpio", "481ac000.gpio", "481ae000.gpio"}
	digits, ok := strings.CutPrefix(name, "GPIO")
	b, l, cut := strings.Cut(digits, "_")
	bank, okBank := number(b)
	line, okLine := number(l)
	if !ok || !cut || !okBank || !okLine || bank >= len(devices) || line > 31 {
		return "", 0, false
	}
	return devices[bank], line, true
}

func beagle() []row {
	i2c2 := bus{alias: "i2c2"}
	return []row{
		{"cape headers P8 and P9", []string{"ti,am335x-bone-black", "ti,am335x-bone-green", "ti,am335x-bone"}, i2c2,
			"https://docs.beagleboard.org/boards/beaglebone/black/ch07.html", am335xLine, bone},
		{"headers P1 and P2", []string{"ti,am335x-pocketbeagle"}, i2c2,
			"https://docs.beagleboard.org/boards/pocketbeagle/original/index.html", am335xLine, pocket},
	}
}
