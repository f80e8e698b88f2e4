package board

import (
	"periph.io/x/conn/v3/gpio"
)

// connect makes the parts of the plan. Nothing opens a device yet, so nothing
// fails.
func (f *fitter) connect(w Wiring, h Host) {
	b, p := f.b, f.plan
	if p.display != nil {
		bus := h.I2C(p.bus)
		b.OnClose(bus)
		p.display.Bus = bus
		b.Display = p.display
	}
	out := func(at place) gpio.PinOut {
		o := h.Output(at.chip, at.offset, w.LEDs.ActiveLow)
		b.OnClose(o)
		return o
	}
	leds := &LEDs{}
	for _, at := range p.code {
		leds.Bits = append(leds.Bits, out(at))
	}
	if p.strobe != nil {
		leds.Strobe = out(*p.strobe)
	}
	for _, at := range p.rgb {
		leds.RGB = append(leds.RGB, out(at))
	}
	switch {
	case p.single != nil:
		leds.Single = out(*p.single)
	case p.light != "":
		o := h.LED(p.light, w.State)
		b.OnClose(o)
		leds.Single = o
		if w.SpareLight() {
			leds.Single = spareLight{o}
		}
	}
	if leds.Bits != nil || leds.Single != nil || leds.RGB != nil {
		b.LEDs = leds
	}
	switch {
	case p.button != nil:
		in := h.Input(p.button.chip, p.button.offset, w.Button.ActiveHigh)
		b.OnClose(in)
		b.Button = in
	case p.key != nil:
		in := h.Key(p.key.Device, p.key.Code)
		b.OnClose(in)
		b.Button = in
	}
}

// spareLight is a light that nobody asked for: that this program may not use it
// is no fault.
type spareLight struct{ gpio.PinOut }

// Out implements gpio.PinOut.
func (s spareLight) Out(l gpio.Level) error {
	_ = s.PinOut.Out(l)
	return nil
}
