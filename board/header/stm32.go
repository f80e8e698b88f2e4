package header

// The GPIO expansion connector (CN2) of ST's STM32MP157 discovery kits.
const (
	stm32mp157 = `
  1 3V3           |  2 5V
  3 PA12 I2C5 SDA |  4 5V
  5 PA11 I2C5 SCL |  6 GND
  7 PA8           |  8 PB10
  9 GND           | 10 PB12
 11 PG8           | 12 PI5
 13 PD7           | 14 GND
 15 PG15          | 16 PF1
 17 3V3           | 18 PF0
 19 PF9           | 20 GND
 21 PF8           | 22 PF4
 23 PF7           | 24 PF6
 25 GND           | 26 PF3
 27 -             | 28 -
 29 PG2           | 30 GND
 31 PH11          | 32 PD13
 33 PC7           | 34 GND
 35 PI7           | 36 PB13
 37 PF5           | 38 PI6
 39 GND           | 40 PF11
`
)

// stm32Line finds "PA12": each port of 16 lines is a controller, labelled by its
// st,bank-name in the device tree (drivers/pinctrl/stm32/pinctrl-stm32.c).
func stm32Line(name string) (string, int, bool) {
	if len(name) < 3 || name[0] != 'P' || name[1] < 'A' || name[1] > 'Z' {
		return "", 0, false
	}
	n, ok := number(name[2:])
	return "GPIO" + name[1:2], n, ok && n < 16
}

func stm32() []row {
	return []row{
		{"GPIO expansion connector (CN2)", []string{"st,stm32mp157a-dk1", "st,stm32mp157c-dk2"}, bus{name: "I2C5", node: "i2c@40015000"},
			"https://wiki.st.com/stm32mpu/wiki/STM32MP157x-DKx_-_hardware_description", stm32Line, stm32mp157},
	}
}
