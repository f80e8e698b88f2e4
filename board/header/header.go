// Package header holds the pin headers of boards: which pin is where, what it is
// called, and which GPIO line the kernel drives it by. It is a table with links to
// the data sheets, and it draws.
package header

// Header is a row of connectors that a person can reach.
type Header struct {
	Name    string // "40-pin header (J8)"
	Columns int    // 2: odd pins left, even pins right
	Pins    []Pin  // by number, from 1 on
	I2C     string // alias of the bus on the header, "i2c1"; empty: none
	Sheet   string // link to the data sheet or the vendor's pinout
}

// Pin is a pin of a header.
type Pin struct {
	Number int    // physical, as printed on the board: 1, 2, 3; unique in its header
	Label  string // P8 and P9 of a BeagleBone: "P9.12"; empty when the number is enough
	Name   string // what it is called: "GPIO17", "3V3", "GND", "SDA1"
	Chip   string // label of the GPIO controller, "pinctrl-bcm2711"; empty: no GPIO
	Offset int    // of the line on that controller
	Use    string // what it does besides: "I2C1 SDA"; empty when nothing
}
