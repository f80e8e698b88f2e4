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
)

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
