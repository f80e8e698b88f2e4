// Package hwtest is "a person" in front of a panel, for tests: it reads codes off
// LEDs, remembers what screens showed and presses the button. Its fakes check
// how they are used.
package hwtest

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"periph.io/x/conn/v3/gpio"
	"periph.io/x/conn/v3/physic"

	"github.com/mecha-org/mecha-agent/hw"
)

// LEDEvent is what the LEDs show from a moment on.
type LEDEvent struct {
	At     time.Time
	Bits   uint8 // five lines, bit 4 is the first of them
	Strobe bool
}

// ErrNoCode is what DecodeLEDs wraps when no whole code was shown.
var ErrNoCode = errors.New("no whole code on the LEDs")

// DecodeLEDs reads a code off LEDs as a person would: it looks at the lines
// while the strobe is lit, takes a gap that is longer than a character stood for
// the start of a new round, and trusts only rounds that it saw from such a gap to
// the next. The last of them is the code. Events may be changes (LEDPins gives
// them) or samples of a register, many times the pace: equal ones in a row count
// as one. It fails when the lines change while the strobe is lit.
func DecodeLEDs(events []LEDEvent) (code string, err error) {
	var (
		round, last string
		whole       bool          // round began after a long gap
		lit         bool          // the strobe was, at the last event
		value       uint8         // of the lines since
		since       time.Time     // of the last change of the strobe
		stood       time.Duration // how long the last character did
		early       time.Duration // the dark time before the first character
	)
	for i, e := range events {
		if i > 0 && e.At.Before(events[i-1].At) {
			return "", fmt.Errorf("event %d is older than the one before it", i)
		}
		switch {
		case i == 0:
			since, lit, value = e.At, e.Strobe, e.Bits
			whole = false
		case e.Strobe && lit && e.Bits != value:
			return "", fmt.Errorf("the lines changed from %05b to %05b while the strobe was lit", value, e.Bits)
		case e.Strobe && !lit:
			dark := e.At.Sub(since)
			switch {
			case stood == 0: // the first character: its gap is judged when it is over
				early = dark
			case dark > stood:
				if whole && round != "" {
					last = round
				}
				round, whole = "", true
			}
			since, lit, value = e.At, true, e.Bits
		case !e.Strobe && lit:
			if int(value) >= len(hw.LEDAlphabet) {
				return "", fmt.Errorf("the lines show %d, which is no character", value)
			}
			stood = e.At.Sub(since)
			if round == "" && early > stood {
				whole = true
			}
			early = 0
			round += hw.LEDAlphabet[value : value+1]
			since, lit = e.At, false
		}
	}
	// A gap at the end is one as well when it was seen for long enough.
	if n := len(events); n > 0 && !lit && whole && round != "" && stood > 0 && events[n-1].At.Sub(since) > stood {
		last = round
	}
	if last == "" {
		return "", ErrNoCode
	}
	return last, nil
}

// LEDPins are five lines and a strobe that remember what they showed.
type LEDPins struct {
	mu     sync.Mutex
	clock  func() time.Time
	now    LEDEvent
	events []LEDEvent
	err    error
	sets   int
}

// NewLEDPins returns dark LEDs. A nil clock is time.Now.
func NewLEDPins(clock func() time.Time) *LEDPins {
	if clock == nil {
		clock = time.Now
	}
	return &LEDPins{clock: clock}
}

// Bits returns the five lines, the most significant first.
func (l *LEDPins) Bits() []gpio.PinOut {
	pins := make([]gpio.PinOut, 5)
	for i := range pins {
		pins[i] = &ledPin{l, i}
	}
	return pins
}

// Strobe returns the line that says when the others hold still.
func (l *LEDPins) Strobe() gpio.PinOut { return &ledPin{l, 5} }

// Events returns what was shown, oldest first; the last event is what is shown
// now, with the present time, so that DecodeLEDs sees how long it has stood.
func (l *LEDPins) Events() []LEDEvent {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now
	now.At = l.clock()
	return append(append([]LEDEvent(nil), l.events...), now)
}

// Sets returns how often a line was set, and so whether something is awake.
func (l *LEDPins) Sets() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sets
}

// Fail makes every setting of a line fail with err; nil mends them.
func (l *LEDPins) Fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.err = err
}

// ledPin is line n of the LEDs, 5 is the strobe.
type ledPin struct {
	leds *LEDPins
	n    int
}

// Out sets the line.
func (p *ledPin) Out(level gpio.Level) error {
	l := p.leds
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sets++
	if l.err != nil {
		return l.err
	}
	if p.n == 5 {
		l.now.Strobe = bool(level)
	} else if mask := uint8(0b10000) >> p.n; level {
		l.now.Bits |= mask
	} else {
		l.now.Bits &^= mask
	}
	l.now.At = l.clock()
	l.events = append(l.events, l.now)
	return nil
}

// PWM fails: nobody needs dimmed LEDs.
func (p *ledPin) PWM(gpio.Duty, physic.Frequency) error { return errors.New("no PWM on this line") }

// String returns the name.
func (p *ledPin) String() string { return p.Name() }

// Halt does nothing.
func (p *ledPin) Halt() error { return nil }

// Name returns LED1 to LED5, or STROBE.
func (p *ledPin) Name() string {
	if p.n == 5 {
		return "STROBE"
	}
	return fmt.Sprint("LED", p.n+1)
}

// Number returns the place of the line, 0 to 5.
func (p *ledPin) Number() int { return p.n }

// Function returns what the line is for.
func (p *ledPin) Function() string { return "Out" }

var _ gpio.PinOut = (*ledPin)(nil)
