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

	"github.com/mecha-org/mecha-agent/board/header"
)

// ErrAbsent means "not here", which is not "broken": the board lacks the part.
var ErrAbsent = errors.New("not on this board")

// Board is a machine: what Detect found out about it, and the parts of its panel,
// which Wire connects. What is not known is empty, parts that are absent are nil.
type Board struct {
	Name         string // of the table row: "raspberrypi", "imx8mp", "generic", "sim"
	Vendor       string
	Model        string
	SoC          string
	Revision     string
	Serial       string
	Architecture string   // as Go names it, with the variant: "arm64", "arm/v6"
	Compatible   []string // of the device tree's root, the most specific first
	MAC          string   // of the first wired network interface
	Sheet        string   // link to the documentation of the family

	Header  *header.Header // the pins that a person can reach; nil when no table has this board
	Chips   []Chip         // GPIO controllers
	I2C     []Bus
	SPI     []Bus
	Onboard []LED  // what /sys/class/leds has
	Keys    []Key  // what gpio-keys has
	TPM     string // device to open, "/dev/tpmrm0"

	Display *Display
	LEDs    *LEDs
	Button  gpio.PinIn // active low with pull-up, whatever the wiring is

	// Missing says which parts were looked for, are not there, and why.
	Missing []string

	closers []io.Closer
}

// Chip is a GPIO controller. Its label says which one it is; its number, and with
// it Device, may change from one kernel to the next.
type Chip struct {
	Device string // "/dev/gpiochip0"; empty when the kernel has no driver for it
	Label  string // "pinctrl-bcm2711"
	Lines  []Line // by offset
}

// Line is a line of a GPIO controller.
type Line struct {
	Name     string // as the device tree names it; may be empty
	Consumer string // who holds it: a driver, or a program; empty when free
	Used     bool   // held by the kernel or by a program
}

// Bus is an I2C or SPI bus.
type Bus struct {
	Number int    // of /dev/i2c-1, /dev/spidev0.*; -1 when it is not known
	Device string // "/dev/i2c-1"; empty when it is switched off or its driver is not loaded
	Node   string // of the device tree: "/soc/i2c@7e804000"
	Alias  string // of the device tree: "i2c1"; may be empty
	Header bool   // it is the one on the header's pins
}

// LED is a light that the kernel has a driver for.
type LED struct {
	Name    string // of /sys/class/leds: "ACT"
	Trigger string // what drives it now: "mmc0", "none"
}

// Key is a push button that the kernel has a driver for (gpio-keys).
type Key struct {
	Name   string // the label: "Power Button"
	Code   uint16 // of linux/input-event-codes.h: 116 is KEY_POWER
	Device string // "/dev/input/event0"; empty when the driver is not loaded
}

// Display is an I2C display: where it is and which controller it has.
type Display struct {
	Bus        i2c.Bus
	Address    uint16 // 7 bits; 0: whichever of the controller's usual ones answers
	Controller string // row of hw/screen's table, "ssd1306-128x64", or "auto"
	Optional   bool   // nobody asked for it: none there is no fault
}

// LEDs are the lights of a panel. Each of the three groups may be empty.
type LEDs struct {
	Bits   []gpio.PinOut // five: the code in binary, the most significant first
	Strobe gpio.PinOut   // says when Bits hold still
	Single gpio.PinOut   // one light: the code in Morse
	RGB    []gpio.PinOut // red, green, blue: a colour for the state
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
