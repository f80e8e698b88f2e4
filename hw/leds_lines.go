package hw

import (
	"errors"
	"fmt"

	"periph.io/x/conn/v3/gpio"
)

// lights are lines that are set together.
type lights struct {
	pins   []gpio.PinOut
	width  int         // the first pin is bit width-1 of what set is given
	strobe gpio.PinOut // bit width; may be nil

	shown uint8
	known bool // shown is what the lines show
}

// set lights the lines. The strobe goes out before they change and on after, so
// that they hold still for as long as it is lit.
func (l *lights) set(want uint8) error {
	all, was := !l.known, l.shown
	l.shown, l.known = want, false
	strobeBit := uint8(1) << l.width
	if l.strobe != nil && (all || was&strobeBit != 0) {
		if err := l.strobe.Out(gpio.Low); err != nil {
			return fmt.Errorf("setting the strobe LED: %w", err)
		}
	}
	for i, pin := range l.pins {
		mask := l.mask(i)
		if !all && (was^want)&mask == 0 {
			continue
		}
		if err := pin.Out(want&mask != 0); err != nil {
			return fmt.Errorf("setting LED %d: %w", i+1, err)
		}
	}
	if l.strobe != nil && want&strobeBit != 0 {
		if err := l.strobe.Out(gpio.High); err != nil {
			return fmt.Errorf("setting the strobe LED: %w", err)
		}
	}
	l.known = true
	return nil
}

// mask is the bit of a pin.
func (l *lights) mask(pin int) uint8 { return 1 << (l.width - 1 - pin) }

// dark makes all lines dark that can be, whatever they show.
func (l *lights) dark() error {
	var errs []error
	if l.strobe != nil {
		errs = append(errs, l.strobe.Out(gpio.Low))
	}
	for _, pin := range l.pins {
		errs = append(errs, pin.Out(gpio.Low))
	}
	l.known = false
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("putting the LEDs out: %w", err)
	}
	return nil
}
