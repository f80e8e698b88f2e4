package hw_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"periph.io/x/conn/v3/gpio"

	"github.com/mecha-org/mecha-agent/hw"
	"github.com/mecha-org/mecha-agent/hw/hwtest"
)

// runLEDs runs LEDs in a bubble, hands them to f, and ends them.
func runLEDs(t *testing.T, f func(l *hw.LEDs, pins *hwtest.LEDPins)) {
	synctest.Test(t, func(t *testing.T) {
		pins := hwtest.NewLEDPins(nil)
		pins.Bits()[2].Out(gpio.High) // left over from a process that was killed
		l := hw.NewLEDs(hw.LEDConfig{Bits: pins.Bits(), Strobe: pins.Strobe()})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- l.Run(ctx) }()
		synctest.Wait()
		f(l, pins)
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		events := pins.Events()
		if e := events[len(events)-1]; e.Bits != 0 || e.Strobe {
			t.Errorf("the LEDs are lit at the end: %+v", e)
		}
	})
}

// pass lets time go by in the bubble.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// TestLEDsCode: a person reads the code off the LEDs, whatever was on them before.
func TestLEDsCode(t *testing.T) {
	for _, code := range []string{"7K2M9X", "000000", "ZZZZZZ", "0123456789AB", "CDEFGHJKMNPQ", "RSTVWXYZ", "0Z0Z", "A"} {
		runLEDs(t, func(l *hw.LEDs, pins *hwtest.LEDPins) {
			l.Show(hw.View{Mode: hw.ModeWaiting})
			pass(7 * time.Second / 3)
			l.Show(hw.View{Mode: hw.ModeCode, Code: code})
			pass(3 * 20 * time.Second)
			if got, err := hwtest.DecodeLEDs(pins.Events()); err != nil || got != code {
				t.Errorf("read %q, %v, want %q", got, err, code)
			}
		})
	}
}

// TestLEDsTiming holds one round to the documented times and order.
func TestLEDsTiming(t *testing.T) {
	runLEDs(t, func(l *hw.LEDs, pins *hwtest.LEDPins) {
		start := time.Now()
		l.Show(hw.View{Mode: hw.ModeCode, Code: "1Z"})
		pass(6500 * time.Millisecond)
		want := []struct {
			after  time.Duration
			bits   uint8
			strobe bool
		}{
			{2000 * time.Millisecond, 0b00001, false},
			{2000 * time.Millisecond, 0b00001, true},
			{3000 * time.Millisecond, 0b00001, false},
			{3000 * time.Millisecond, 0b00000, false},
			{3500 * time.Millisecond, 0b10000, false},
			{3500 * time.Millisecond, 0b11000, false},
			{3500 * time.Millisecond, 0b11100, false},
			{3500 * time.Millisecond, 0b11110, false},
			{3500 * time.Millisecond, 0b11111, false},
			{3500 * time.Millisecond, 0b11111, true},
			{4500 * time.Millisecond, 0b11111, false},
		}
		events := pins.Events()
		for len(events) > 0 && !events[0].At.After(start) {
			events = events[1:]
		}
		for i, w := range want {
			if i >= len(events) {
				t.Fatalf("%d events, want %d", len(events), len(want))
			}
			if e := events[i]; e.At.Sub(start) != w.after || e.Bits != w.bits || e.Strobe != w.strobe {
				t.Errorf("event %d: after %v %05b %v, want %v %05b %v", i, e.At.Sub(start), e.Bits, e.Strobe, w.after, w.bits, w.strobe)
			}
		}
	})
}

// TestLEDsRefresh: a new code is read once it was played; the same view again
// does not disturb the one that is being read.
func TestLEDsRefresh(t *testing.T) {
	runLEDs(t, func(l *hw.LEDs, pins *hwtest.LEDPins) {
		v := hw.View{Mode: hw.ModeCode, Code: "ABC123"}
		l.Show(v)
		for range 30 { // as a step that changes every second
			pass(time.Second)
			v.Step += "."
			l.Show(v)
		}
		if got, err := hwtest.DecodeLEDs(pins.Events()); err != nil || got != "ABC123" {
			t.Errorf("read %q, %v", got, err)
		}
		l.Show(hw.View{Mode: hw.ModeCode, Code: "XYZ789"})
		pass(25 * time.Second)
		if got, err := hwtest.DecodeLEDs(pins.Events()); err != nil || got != "XYZ789" {
			t.Errorf("read %q, %v", got, err)
		}
	})
}

// TestLEDsFailedRests: a failure blinks for ten minutes, then is a steady light
// that wakes nobody, and does not begin anew with the same view.
func TestLEDsFailedRests(t *testing.T) {
	runLEDs(t, func(l *hw.LEDs, pins *hwtest.LEDPins) {
		for range 2 {
			failed := hw.View{Mode: hw.ModeFailed, Error: "the gateway is away"}
			l.Show(failed)
			synctest.Wait()
			for minute := range 10 {
				before := pins.Sets()
				pass(time.Minute)
				if pins.Sets() == before {
					t.Errorf("minute %d: steady", minute+1)
				}
			}
			pass(time.Second) // the round ends
			before := pins.Sets()
			pass(24 * time.Hour)
			failed.Hint = "press the button"
			l.Show(failed)
			pass(24 * time.Hour)
			if n := pins.Sets() - before; n != 0 {
				t.Errorf("set %d times after ten minutes", n)
			}
			events := pins.Events()
			if last := events[len(events)-1]; last.Bits != 0b01010 || last.Strobe {
				t.Errorf("rests at %05b %v", last.Bits, last.Strobe)
			}
			if code, err := hwtest.DecodeLEDs(events); !errors.Is(err, hwtest.ErrNoCode) {
				t.Errorf("reads as %q, %v", code, err)
			}
			l.Show(hw.View{Mode: hw.ModeWaiting}) // the button; the next failure blinks again
			pass(10 * time.Second)
		}
	})
}

// TestLEDsFew: without five lines, or with a code they cannot show, there is a
// pattern instead, and without a strobe nothing panics.
func TestLEDsFew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, tt := range []struct {
			lines int
			code  string
		}{{0, "ABC"}, {1, "ABC"}, {4, "ABC"}, {5, "abc"}, {5, ""}, {5, "U"}} {
			pins := hwtest.NewLEDPins(nil)
			l := hw.NewLEDs(hw.LEDConfig{Bits: pins.Bits()[:tt.lines]})
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			l.Show(hw.View{Mode: hw.ModeCode, Code: tt.code})
			if err := l.Run(ctx); err != nil {
				t.Error(err)
			}
			cancel()
			var most uint8
			for _, e := range pins.Events() {
				most |= e.Bits
			}
			if want := uint8(0b11111) << (5 - tt.lines) & 0b11111; most != want {
				t.Errorf("%d lines, code %q: lit %05b, want %05b", tt.lines, tt.code, most, want)
			}
		}
	})
}

// TestLEDsNil: no LEDs are LEDs that do nothing.
func TestLEDsNil(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l *hw.LEDs
		l.Show(hw.View{Mode: hw.ModeCode, Code: "ABC"})
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if err := l.Run(ctx); err != nil || ctx.Err() == nil {
			t.Errorf("Run: %v before ctx ended", err)
		}
	})
}
