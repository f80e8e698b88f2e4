// Package board finds out which machine this is and what is on it. A Board is a
// value: real boards are filled from tables, the simulated one (board/sim) with
// emulated parts, and nothing past this package can tell.
package board

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

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

// OnClose has c closed by Close. A nil c is ignored.
func (b *Board) OnClose(c io.Closer) {
	if c != nil {
		b.closers = append(b.closers, c)
	}
}

// Close closes what OnClose was given, the last first, because later parts
// stand on earlier ones. All are closed even when some fail; the error joins
// what they said.
func (b Board) Close() error {
	var errs []error
	for _, c := range slices.Backward(b.closers) {
		if err := c.Close(); err != nil {
			errs = append(errs, fmt.Errorf("closing board %s: %w", b.Name, err))
		}
	}
	return errors.Join(errs...)
}

// String names the board for a person, with the table row in brackets:
// "Raspberry Pi 4 Model B Rev 1.4 (generic)". A model of one word is a part
// number and says little, so the vendor goes before it.
func (b Board) String() string {
	name := b.Model
	switch {
	case name == "" && b.Vendor == "":
		name = "unknown board"
	case name == "":
		name = b.Vendor + " board"
	case b.Vendor != "" && !strings.Contains(name, " "):
		name = b.Vendor + " " + name
	}
	return name + " (" + b.Name + ")"
}
