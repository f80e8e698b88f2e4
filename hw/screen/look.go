package screen

import (
	"errors"
	"fmt"
	"strings"
	"syscall"

	"periph.io/x/conn/v3/i2c"

	"github.com/mecha-org/mecha-agent/hw"
)

// autoAddresses are where displays are at home, the likely ones first. No other
// address is asked: a read disturbs some devices, and one that is absent costs up
// to a tenth of a second on some adapters.
var autoAddresses = []uint16{0x3C, 0x3D, 0x27, 0x3F, 0x70}

// candidates returns where a display with the controller may be.
func candidates(addr uint16, controller string) []uint16 {
	if addr != 0 {
		return []uint16{addr}
	}
	if controller == Auto {
		return autoAddresses
	}
	c, _ := find(controller)
	return c.Addresses
}

// Answers tells whether a display answers now, as Open would find it. It takes as
// long as five transfers. It cannot tell a display from another device at the
// same address.
func Answers(bus i2c.Bus, addr uint16, controller string) bool {
	for _, a := range candidates(addr, controller) {
		if _, err := ask(bus, a); err == nil {
			return true
		}
	}
	return false
}

// ask reads a byte, which every display of the table allows and none takes note of.
func ask(bus i2c.Bus, addr uint16) (status byte, err error) {
	var b [1]byte
	err = bus.Tx(addr, nil, b[:])
	return b[0], err
}

// look finds the display.
func (s *Screen) look() error {
	asked := candidates(s.addr, s.controller)
	var silence error
	for _, addr := range asked {
		status, err := ask(s.bus, addr)
		if err != nil {
			if !s.silent(err) {
				return fmt.Errorf("looking for the display: %w", err)
			}
			if silence == nil {
				silence = err
			}
			continue
		}
		name := s.controller
		if name == Auto {
			name = guess(addr, status)
		}
		c, _ := find(name)
		if s.found, err = c.open(s.bus, addr); err != nil {
			return err
		}
		s.where = fmt.Sprintf("%s at %#02x of %s", c.Name, addr, s.bus)
		return nil
	}
	if s.optional {
		return fmt.Errorf("no display on %s: %w", s.bus, hw.ErrAbsent)
	}
	return &hinted{
		fmt.Errorf("no %s at %s: %w", s.name(), addresses(asked), silence),
		fmt.Sprintf("check the wiring (on headers of 40 pins SDA is pin 3, SCL pin 5, GND pin 9) and what answers: i2cdetect -y %s", number(s.bus)),
	}
}

// silent tells whether an error only says that nobody answered. Adapters with
// nothing connected may also say that lines do not rise, or that time was up
// (https://docs.kernel.org/i2c/fault-codes.html): no news where nobody asked for a
// display.
func (s *Screen) silent(err error) bool {
	var errno syscall.Errno
	if !errors.As(err, &errno) {
		return false
	}
	switch errno {
	case syscall.ENXIO, syscall.EREMOTEIO:
		return true
	case syscall.EIO, syscall.ETIMEDOUT, syscall.EAGAIN:
		return s.optional
	}
	return false
}

// guess returns the controller that is the most common at an address: a PCF8574 is
// at 0x20 to 0x27, a PCF8574A at 0x38 to 0x3F, an HT16K33 at 0x70 to 0x77. Of the
// LCDs the small one is taken, whose picture is whole on the large one as well.
//
// An SH1106 would show an SSD1306's picture two columns to the left. The low four
// bits of its status byte tell them apart: 8 on an SH1106, 3 or 6 on an SSD1306.
// The data sheets leave these bits out; they were read off modules by the authors
// of ss_oled (https://github.com/bitbank2/ss_oled). Any other value is taken for
// the more common chip.
func guess(addr uint16, status byte) string {
	switch {
	case addr >= 0x70:
		return "ht16k33"
	case addr&^0x07 == 0x20, addr&^0x07 == 0x38 && addr != 0x3C && addr != 0x3D:
		return "hd44780-16x2"
	case status&0x0F == 0x08:
		return "sh1106-128x64"
	}
	return "ssd1306-128x64"
}

func addresses(list []uint16) string {
	words := make([]string, 0, len(list))
	for _, a := range list {
		words = append(words, fmt.Sprintf("%#02x", a))
	}
	return strings.Join(words, " or ")
}

// number returns the number at the end of a bus's name, for i2cdetect.
func number(bus i2c.Bus) string {
	name := bus.String()
	if n := name[len(strings.TrimRight(name, "0123456789")):]; n != "" {
		return n
	}
	return "N"
}
