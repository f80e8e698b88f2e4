// Package screen knows every display that can be wired to an I²C bus: which
// controllers there are, at which addresses they answer, and how a view is shown
// on them. A display may be missing, come late and be exchanged.
package screen

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"periph.io/x/conn/v3/i2c"

	"github.com/mecha-org/mecha-agent/hw"
)

// Auto is the name that stands for whichever display answers.
const Auto = "auto"

// ErrUnknownController is what Open wraps for a name that is not in the table.
var ErrUnknownController = errors.New("unknown display controller")

// Screen is a display on an I²C bus that is looked for by the first Show, and
// again after every failure. It is safe for concurrent use.
type Screen struct {
	bus        i2c.Bus
	addr       uint16 // 0: the controller's usual ones
	controller string // or Auto
	optional   bool

	mu     sync.Mutex
	found  hw.Screen // nil: to be looked for
	where  string    // what found is, in words
	closed bool
}

// Open returns the display with the given controller, a name of the table or
// Auto, at the 7-bit address addr of bus; 0 stands for the usual addresses of the
// controller. It does not touch the bus. An error, which has a hint, is about
// the settings: the name (it wraps ErrUnknownController) or the address.
//
// Show then says what is missing: it wraps hw.ErrAbsent when optional, and
// has a hint when not. It takes as long as five transfers to find out.
func Open(bus i2c.Bus, addr uint16, controller string, optional bool) (hw.Screen, error) {
	if bus == nil {
		return nil, errors.New("opening the display: no I2C bus")
	}
	if _, ok := find(controller); !ok && controller != Auto {
		return nil, &hinted{fmt.Errorf("%w %q", ErrUnknownController, controller), "known are " + known()}
	}
	if addr != 0 && !valid(addr) {
		return nil, &hinted{
			fmt.Errorf("opening the display: address %#02x is not one of a device", addr),
			"devices are at 0x08 to 0x77; the usual addresses are asked when none is set",
		}
	}
	return &Screen{bus: bus, addr: addr, controller: controller, optional: optional}, nil
}

// valid tells whether a device may have the address; the others are reserved
// (I²C specification UM10204, table 4).
func valid(addr uint16) bool { return addr >= 0x08 && addr <= 0x77 }

// Show draws v, and looks for the display before that if it has to.
func (s *Screen) Show(v hw.View, now time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return fmt.Errorf("showing on %s: %w", s.name(), os.ErrClosed)
	}
	if s.found == nil {
		if err := s.look(); err != nil {
			return err
		}
	}
	if err := s.found.Show(v, now); err != nil {
		s.found = nil // it may have been exchanged for another
		return err
	}
	return nil
}

// Sleep makes the display dark, if there is one.
func (s *Screen) Sleep() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.found == nil {
		return nil
	}
	if err := s.found.Sleep(); err != nil {
		s.found = nil
		return err
	}
	return nil
}

// Close blanks the display, if there is one. It leaves the bus open, which belongs
// to the caller. A second Close does nothing.
func (s *Screen) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.found == nil {
		s.closed = true
		return nil
	}
	s.closed = true
	return s.found.Close()
}

// String returns the controller and where it is, "ssd1306-128x64 at 0x3c of
// I2C1", as far as that is known by now.
func (s *Screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.name()
}

func (s *Screen) name() string {
	switch {
	case s.found != nil:
		return s.where
	case s.controller == Auto:
		return fmt.Sprintf("display on %s", s.bus)
	}
	return fmt.Sprintf("%s on %s", s.controller, s.bus)
}

// hinted is an error that a person can mend.
type hinted struct {
	err  error
	hint string
}

func (e *hinted) Error() string { return e.err.Error() }
func (e *hinted) Unwrap() error { return e.err }

// Hint returns what a person can do about it.
func (e *hinted) Hint() string { return e.hint }

var _ hw.Screen = (*Screen)(nil)
