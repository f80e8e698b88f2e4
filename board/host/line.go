package host

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"strconv"

	"periph.io/x/conn/v3/gpio"
	"periph.io/x/conn/v3/physic"

	"github.com/mecha-org/mecha-agent/board"
)

// named is what periph's pin.Pin asks for besides Halt.
type named struct {
	name   string
	number int
}

// Name returns what a person knows the part by.
func (n named) Name() string { return n.name }

// String is the same as Name.
func (n named) String() string { return n.name }

// Number returns the offset of a line at its controller, or the code of a key.
// It is -1 for a light.
func (n named) Number() int { return n.number }

// Function returns nothing: periph has given it up.
func (n named) Function() string { return "" }

// lineName is the name that the device tree has for a line, or label and offset.
func lineName(c board.Chip, offset int) named {
	if offset >= 0 && offset < len(c.Lines) && c.Lines[offset].Name != "" {
		return named{c.Lines[offset].Name, offset}
	}
	return named{cmp.Or(c.Label, c.Device) + ":" + strconv.Itoa(offset), offset}
}

// light is the part of a gpio.PinOut that is the same for all of ours.
type light struct{ named }

// PWM is refused: a light is on or off.
func (l light) PWM(gpio.Duty, physic.Frequency) error {
	return fmt.Errorf("dimming %s: %w", l.name, errors.ErrUnsupported)
}

// Halt does nothing: in periph's contract it ends a PWM. Close lets the light go.
func (l light) Halt() error { return nil }

// text is the string in a fixed array of the kernel's.
func text(b []byte) string {
	s, _, _ := bytes.Cut(b, []byte{0})
	return string(s)
}
