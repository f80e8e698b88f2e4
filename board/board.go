// Package board finds out which machine this is and what is on it. A Board is a
// value: real boards are filled from tables, the simulated one (board/sim) with
// emulated parts, and nothing past this package can tell.
package board

import (
	"errors"
	"io"

	"periph.io/x/conn/v3/gpio"
	"periph.io/x/conn/v3/i2c"
)

// ErrAbsent means "not here", which is not "broken": the board lacks the part.
var ErrAbsent = errors.New("not on this board")

// Board is a machine and the parts of its panel. Parts that are absent are nil.
type Board struct {
	Name         string // of the table row: "generic", "sim"
	Vendor       string
	Model        string
	SoC          string
	Revision     string
	Serial       string
	Architecture string // as Go names it, with the variant: "arm64", "arm/v6"

	Display *Display
	LEDs    *LEDs
	Button  gpio.PinIn // active low with pull-up

	// Missing says which parts were looked for, are not there, and why.
	Missing []string

	closers []io.Closer
}

// Display is an I2C display: where it is and which controller it has.
type Display struct {
	Bus        i2c.Bus
	Address    uint16 // 7 bits
	Controller string // row of hw/oled's table: "ssd1306-128x64"
}

// LEDs are lines that show the code: Bits are five, the most significant first,
// and Strobe says when they hold still.
type LEDs struct {
	Bits   []gpio.PinOut
	Strobe gpio.PinOut
}
