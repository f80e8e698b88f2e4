package screen

import (
	"fmt"
	"time"

	"periph.io/x/conn/v3/i2c"
	"periph.io/x/devices/v3/ht16k33"

	"github.com/mecha-org/mecha-agent/hw"
)

// Commands of the HT16K33 (Holtek, revision 1.10, table "Command Summary") that
// periph's driver has no method for.
const (
	htStandby = 0x20 // oscillator off
	htDark    = 0x80 // display off
)

// htDigits is how many digits a module has.
const htDigits = 4

// segments is a display of 14-segment digits with an HT16K33.
type segments struct {
	dev   i2c.Dev
	chip  *ht16k33.Display // nil: to be started
	shown [htDigits]digit
}

// digit is what stands in one of the digits.
type digit struct {
	char rune // 0: not known
	dot  bool
}

// Show sends the digits that changed.
func (s *segments) Show(v hw.View, now time.Time) error {
	if s.chip == nil {
		chip, err := ht16k33.NewAlphaNumericDisplay(s.dev.Bus, s.dev.Addr)
		if err != nil {
			return fmt.Errorf("starting the segments: %w", err)
		}
		s.chip, s.shown = chip, [htDigits]digit{}
	}
	text, dot := hw.Digits(v, htDigits, now)
	for i, char := range text {
		want := digit{char, dot && i == htDigits-1}
		if s.shown[i] == want {
			continue
		}
		if err := s.chip.SetDigit(i, char, want.dot); err != nil {
			s.chip = nil
			return fmt.Errorf("writing digit %d: %w", i, err)
		}
		s.shown[i] = want
	}
	return nil
}

// Sleep switches the segments off. The next Show starts the chip anew.
func (s *segments) Sleep() error { return s.command(htDark) }

// Close clears the memory of the chip and puts it into standby.
func (s *segments) Close() error {
	if s.chip != nil {
		if err := s.chip.Halt(); err != nil {
			return fmt.Errorf("clearing the segments: %w", err)
		}
	}
	return s.command(htDark, htStandby)
}

func (s *segments) command(codes ...byte) error {
	s.chip = nil
	for _, c := range codes {
		if err := s.dev.Tx([]byte{c}, nil); err != nil {
			return fmt.Errorf("switching off the segments: %w", err)
		}
	}
	return nil
}

var _ hw.Screen = (*segments)(nil)
