package header

import "strings"

// Headers of boards with Amlogic SoCs. Which line is on which pin stands in
// gpio-line-names of Linux's arch/arm64/boot/dts/amlogic; the tests compare.
// Pins 37, 38 and 40 of the ODROIDs are analogue, others that are marked with a
// hyphen are not known to be lines.
const (
	odroidC2 = `
  1 3V3               |  2 5V
  3 GPIODV_24 I2C SDA |  4 5V
  5 GPIODV_25 I2C SCL |  6 GND
  7 GPIOX_21          |  8 GPIOX_12
  9 GND               | 10 GPIOX_13
 11 GPIOX_19          | 12 GPIOX_10
 13 GPIOX_11          | 14 GND
 15 GPIOX_9           | 16 GPIOX_8
 17 3V3               | 18 GPIOX_5
 19 GPIOX_7           | 20 GND
 21 GPIOX_4           | 22 GPIOX_3
 23 GPIOX_2           | 24 GPIOX_1
 25 GND               | 26 GPIOY_14
 27 GPIODV_26         | 28 GPIODV_27
 29 GPIOX_0           | 30 GND
 31 GPIOY_8           | 32 GPIOY_13
 33 GPIOX_6           | 34 GND
 35 GPIOY_3           | 36 GPIOY_7
 37 -                 | 38 -
 39 GND               | 40 -
`
	odroidC4 = `
  1 3V3      |  2 5V
  3 GPIOX_17 |  4 5V
  5 GPIOX_18 |  6 GND
  7 GPIOX_5  |  8 GPIOX_12
  9 GND      | 10 GPIOX_13
 11 GPIOX_3  | 12 GPIOX_16
 13 GPIOX_4  | 14 GND
 15 GPIOX_7  | 16 GPIOX_0
 17 3V3      | 18 GPIOX_1
 19 GPIOX_8  | 20 GND
 21 GPIOX_9  | 22 GPIOX_2
 23 GPIOX_11 | 24 GPIOX_10
 25 GND      | 26 GPIOH_6
 27 GPIOA_14 | 28 GPIOA_15
 29 GPIOX_14 | 30 GND
 31 GPIOX_15 | 32 GPIOH_7
 33 GPIOX_6  | 34 GND
 35 GPIOX_19 | 36 GPIOH_5
 37 -        | 38 -
 39 GND      | 40 -
`
	odroidN2 = `
  1 3V3      |  2 5V
  3 GPIOX_17 |  4 5V
  5 GPIOX_18 |  6 GND
  7 GPIOA_13 |  8 GPIOX_12
  9 GND      | 10 GPIOX_13
 11 GPIOX_3  | 12 GPIOX_16
 13 GPIOX_4  | 14 GND
 15 GPIOX_7  | 16 GPIOX_0
 17 3V3      | 18 GPIOX_1
 19 GPIOX_8  | 20 GND
 21 GPIOX_9  | 22 GPIOX_2
 23 GPIOX_11 | 24 GPIOX_10
 25 GND      | 26 GPIOA_4
 27 GPIOA_14 | 28 GPIOA_15
 29 GPIOX_14 | 30 GND
 31 GPIOX_15 | 32 GPIOA_12
 33 GPIOX_5  | 34 GND
 35 GPIOX_6  | 36 GPIOX_19
 37 -        | 38 -
 39 GND      | 40 -
`
	potato = `
  1 3V3       |  2 5V
  3 GPIOAO_5  |  4 5V
  5 GPIOAO_4  |  6 GND
  7 GPIOCLK_0 |  8 GPIOX_12
  9 GND       | 10 GPIOX_13
 11 GPIOAO_8  | 12 GPIOAO_6
 13 GPIOAO_9  | 14 GND
 15 GPIOAO_10 | 16 GPIOX_14
 17 3V3       | 18 GPIOX_15
 19 GPIOX_8   | 20 GND
 21 GPIOX_9   | 22 GPIOX_0
 23 GPIOX_11  | 24 GPIOX_10
 25 GND       | 26 GPIOX_1
 27 GPIODV_26 | 28 GPIODV_27
 29 GPIOX_17  | 30 GND
 31 GPIOX_18  | 32 GPIOX_16
 33 GPIOX_6   | 34 GND
 35 GPIOX_7   | 36 GPIOX_2
 37 GPIOX_5   | 38 GPIOX_3
 39 GND       | 40 GPIOX_4
`
	frite = `
  1 3V3       |  2 5V
  3 -         |  4 5V
  5 -         |  6 GND
  7 GPIOH_6   |  8 GPIOX_12
  9 GND       | 10 GPIOX_13
 11 -         | 12 GPIOH_7
 13 GPIOH_4   | 14 GND
 15 GPIOH_5   | 16 GPIOH_8
 17 3V3       | 18 GPIOH_9
 19 GPIOX_8   | 20 GND
 21 GPIOX_9   | 22 GPIOX_0
 23 GPIOX_11  | 24 GPIOX_10
 25 GND       | 26 GPIOX_1
 27 GPIODV_24 | 28 GPIODV_25
 29 GPIODV_27 | 30 GND
 31 GPIOAO_2  | 32 GPIOX_16
 33 GPIOX_6   | 34 GND
 35 GPIOX_7   | 36 GPIOX_2
 37 GPIOX_5   | 38 GPIOX_3
 39 GND       | 40 GPIOX_4
`
	nanoPiK2 = `
  1 3V3       |  2 5V
  3 -         |  4 5V
  5 -         |  6 GND
  7 GPIOY_0   |  8 GPIOY_13
  9 GND       | 10 GPIOY_14
 11 GPIOY_1   | 12 GPIOY_16
 13 GPIOY_2   | 14 GND
 15 GPIOY_3   | 16 GPIOY_15
 17 3V3       | 18 GPIOY_4
 19 GPIOY_5   | 20 GND
 21 GPIOY_7   | 22 GPIOY_6
 23 GPIOY_9   | 24 GPIOY_8
 25 GND       | 26 GPIOY_10
 27 -         | 28 -
 29 GPIOY_11  | 30 GND
 31 GPIOAO_5  | 32 GPIOY_12
 33 GPIOH_3   | 34 GND
 35 GPIOCLK_1 | 36 -
 37 -         | 38 -
 39 GND       | 40 -
`
	bananaM5 = `
  1 3V3      |  2 5V
  3 GPIOX_17 |  4 5V
  5 GPIOX_18 |  6 GND
  7 GPIOX_5  |  8 GPIOX_12
  9 GND      | 10 GPIOX_13
 11 GPIOX_3  | 12 GPIOAO_8
 13 GPIOX_4  | 14 GND
 15 GPIOX_7  | 16 GPIOX_0
 17 3V3      | 18 GPIOX_1
 19 GPIOX_8  | 20 GND
 21 GPIOX_9  | 22 GPIOX_2
 23 GPIOX_11 | 24 GPIOX_10
 25 GND      | 26 GPIOX_16
 27 GPIOA_14 | 28 GPIOA_15
 29 GPIOX_14 | 30 GND
 31 GPIOX_15 | 32 GPIOX_19
 33 GPIOX_6  | 34 GND
 35 GPIOAO_7 | 36 GPIOH_5
 37 GPIOAO_9 | 38 GPIOAO_10
 39 GND      | 40 GPIOAO_4
`
	zero2 = `
  1 3V3      |  2 5V
  3 GPIOA_14 |  4 5V
  5 GPIOA_15 |  6 GND
  7 GPIOZ_2  |  8 GPIOAO_0
  9 GND      | 10 GPIOAO_1
 11 GPIOZ_3  | 12 GPIOA_1
 13 GPIOZ_4  | 14 GND
 15 GPIOZ_5  | 16 -
 17 3V3      | 18 GPIOZ_6
 19 GPIOH_4  | 20 GND
 21 GPIOH_5  | 22 -
 23 GPIOH_7  | 24 GPIOH_6
 25 GND      | 26 -
 27 GPIOZ_0  | 28 GPIOZ_1
 29 GPIOAO_7 | 30 GND
 31 GPIOA_13 | 32 GPIOA_0
 33 GPIOAO_8 | 34 GND
 35 GPIOA_2  | 36 GPIOC_7
 37 GPIOAO_9 | 38 GPIOA_5
 39 GND      | 40 GPIOZ_7
`
)

type bank struct {
	name  string
	lines int
}

// meson finds a line by its bank and its number in there: "GPIOX_3". There are
// two controllers, of which the second is always on.
func meson(periphs, always []bank) lines {
	return func(name string) (string, int, bool) {
		prefix, digits, _ := strings.Cut(name, "_")
		for label, banks := range map[string][]bank{"periphs-banks": periphs, "aobus-banks": always} {
			offset := 0
			for _, b := range banks {
				if b.name == prefix {
					n, ok := number(digits)
					return label, offset + n, ok && n < b.lines
				}
				offset += b.lines
			}
		}
		return "", 0, false
	}
}

func amlogic() []row {
	// The banks of the SoCs in the order of their lines (include/dt-bindings/gpio/
	// meson-gxbb-gpio.h, meson-gxl-gpio.h, meson-g12a-gpio.h), and how many each has.
	// Their labels are the names in drivers/pinctrl/meson/pinctrl-meson-*.c.
	mesonGXBB := meson([]bank{{"GPIOZ", 16}, {"GPIOH", 4}, {"BOOT", 18}, {"CARD", 7}, {"GPIODV", 30}, {"GPIOY", 17}, {"GPIOX", 23}, {"GPIOCLK", 4}},
		[]bank{{"GPIOAO", 14}})
	mesonGXL := meson([]bank{{"GPIOZ", 16}, {"GPIOH", 10}, {"BOOT", 16}, {"CARD", 7}, {"GPIODV", 30}, {"GPIOX", 19}, {"GPIOCLK", 2}},
		[]bank{{"GPIOAO", 11}}) // the last is also called TEST_N
	mesonG12A := meson([]bank{{"GPIOZ", 16}, {"GPIOH", 9}, {"BOOT", 16}, {"GPIOC", 8}, {"GPIOA", 16}, {"GPIOX", 20}},
		[]bank{{"GPIOAO", 12}, {"GPIOE", 3}})
	return []row{
		{"40-pin header (J2)", []string{"hardkernel,odroid-c2"}, bus{name: "I2C", node: "i2c@8500"},
			"https://wiki.odroid.com/odroid-c2/hardware/expansion_connectors", mesonGXBB, odroidC2},
		{"40-pin header (J2)", []string{"hardkernel,odroid-c4"}, bus{},
			"https://wiki.odroid.com/odroid-c4/hardware/expansion_connectors", mesonG12A, odroidC4},
		{"40-pin header (J2)", []string{"hardkernel,odroid-n2", "hardkernel,odroid-n2-plus"}, bus{},
			"https://wiki.odroid.com/odroid-n2/hardware/expansion_connectors", mesonG12A, odroidN2},
		{"40-pin header (7J1)", []string{"libretech,aml-s905x-cc"}, bus{},
			"https://libre.computer/products/aml-s905x-cc/", mesonGXL, potato},
		{"40-pin header (7J1)", []string{"libretech,aml-s805x-ac"}, bus{},
			"https://libre.computer/products/aml-s805x-ac/", mesonGXL, frite},
		{"40-pin header (CON1)", []string{"friendlyarm,nanopi-k2"}, bus{},
			"https://wiki.friendlyelec.com/wiki/index.php/NanoPi_K2", mesonGXBB, nanoPiK2},
		{"40-pin header (CON1)", []string{"bananapi,bpi-m5", "bananapi,bpi-m2-pro"}, bus{},
			"https://wiki.banana-pi.org/Banana_Pi_BPI-M5", mesonG12A, bananaM5},
		{"40-pin header", []string{"radxa,zero2"}, bus{},
			"https://wiki.radxa.com/Zero2/hardware/gpio", mesonG12A, zero2},
	}
}
