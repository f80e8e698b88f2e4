package hw_test

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"periph.io/x/conn/v3/gpio"

	"github.com/mecha-org/mecha-agent/hw"
	"github.com/mecha-org/mecha-agent/hw/hwtest"
)

// lamps are LEDs of all three groups.
type lamps struct {
	*hw.LEDs
	bits, single, rgb *hwtest.LEDPins
}

// runLamps runs LEDs with a dot of 100 ms in a bubble, hands them to f, and ends them.
func runLamps(t *testing.T, f func(l lamps)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		l := lamps{bits: hwtest.NewLEDPins(nil), single: hwtest.NewLEDPins(nil), rgb: hwtest.NewLEDPins(nil)}
		l.LEDs = hw.NewLEDs(hw.LEDConfig{Bits: l.bits.Bits(), Strobe: l.bits.Strobe(), Single: l.single.Strobe(),
			RGB: l.rgb.Bits()[2:], Dot: 100 * time.Millisecond})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- l.Run(ctx) }()
		synctest.Wait()
		f(l)
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if bits, single, rgb := l.now(); bits != 0 || single || rgb != 0 {
			t.Errorf("lit at the end: %05b %v %03b", bits, single, rgb)
		}
	})
}

// now returns what is lit; red is the highest of the three.
func (l lamps) now() (bits uint8, single bool, rgb uint8) {
	last := func(p *hwtest.LEDPins) hwtest.LEDEvent { e := p.Events(); return e[len(e)-1] }
	return last(l.bits).Bits, last(l.single).Strobe, last(l.rgb).Bits
}

// sets returns how often lines were set.
func (l lamps) sets() int { return l.bits.Sets() + l.single.Sets() + l.rgb.Sets() }

// TestLEDsModes: what is at rest is steady and wakes nobody, nothing but a code reads
// as one, and done, failed and idle are told apart by any group alone.
func TestLEDsModes(t *testing.T) {
	for _, tt := range []struct {
		mode   hw.Mode
		steady bool // after a quarter of an hour
		bits   uint8
		single bool
		rgb    uint8
	}{
		{hw.ModeIdle, true, 0, false, 0},
		{hw.ModeWaiting, false, 0, false, 0},
		{hw.ModeWorking, false, 0, false, 0},
		{hw.ModeDone, true, 0b11111, true, 0b010},
		{hw.ModeFailed, true, 0b01010, false, 0b100},
		{hw.ModeReset, false, 0, false, 0},
		{hw.Mode(99), true, 0, false, 0},
	} {
		runLamps(t, func(l lamps) {
			l.Show(hw.View{Mode: tt.mode})
			pass(15 * time.Minute)
			before := l.sets()
			pass(24 * time.Hour / 1000)
			if moved := l.sets() != before; moved == tt.steady {
				t.Errorf("%v: moves %v", tt.mode, moved)
			}
			if bits, single, rgb := l.now(); tt.steady && (bits != tt.bits || single != tt.single || rgb != tt.rgb) {
				t.Errorf("%v: %05b %v %03b, want %05b %v %03b", tt.mode, bits, single, rgb, tt.bits, tt.single, tt.rgb)
			}
			for _, e := range l.bits.Events() {
				if e.Strobe {
					t.Errorf("%v lights the strobe", tt.mode)
				}
			}
			if code, err := hwtest.DecodeLEDs(l.bits.Events()); !errors.Is(err, hwtest.ErrNoCode) {
				t.Errorf("%v reads as %q, %v", tt.mode, code, err)
			}
			if code, err := hwtest.DecodeMorse(l.single.Events()); !errors.Is(err, hwtest.ErrNoCode) {
				t.Errorf("%v reads as %q, %v", tt.mode, code, err)
			}
		})
	}
}

// TestLEDsMorse: a person reads the code off one light, whatever was on it before; the
// colour for it is a steady blue.
func TestLEDsMorse(t *testing.T) {
	for _, code := range []string{"7K2M9X", "000000", "EEEE", "TTTT", hw.LEDAlphabet[:16], hw.LEDAlphabet[16:]} {
		runLamps(t, func(l lamps) {
			l.Show(hw.View{Mode: hw.ModeWaiting})
			pass(7 * time.Second / 3)
			l.Show(hw.View{Mode: hw.ModeCode, Code: code})
			pass(time.Second)
			colours := l.rgb.Sets()
			pass(2 * 60 * time.Second)
			if got, err := hwtest.DecodeMorse(l.single.Events()); err != nil || got != code {
				t.Errorf("read %q, %v, want %q", got, err, code)
			}
			if got, err := hwtest.DecodeLEDs(l.bits.Events()); err != nil || got != code {
				t.Errorf("read %q off the five, %v, want %q", got, err, code)
			}
			if _, _, rgb := l.now(); rgb != 0b001 || l.rgb.Sets() != colours {
				t.Errorf("the colour for a code is %03b, set %d times more", rgb, l.rgb.Sets()-colours)
			}
		})
	}
}

// TestLEDsMorseTiming holds one round to the lengths of ITU-R M.1677-1.
func TestLEDsMorseTiming(t *testing.T) {
	runLamps(t, func(l lamps) {
		start := time.Now()
		l.Show(hw.View{Mode: hw.ModeCode, Code: "A1"})
		pass(6 * time.Second)
		want := []int{14, 1, 1, 3, 3, 1, 1, 3, 1, 3, 1, 3, 1, 3, 14, 1} // dots, dark at first
		events := l.single.Events()
		for len(events) > 0 && !events[0].At.After(start) {
			events = events[1:]
		}
		at, lit := start, false
		for i, dots := range want {
			at, lit = at.Add(time.Duration(dots)*100*time.Millisecond), !lit
			if i >= len(events) || events[i].At != at || events[i].Strobe != lit {
				t.Fatalf("change %d: %+v, want %v after %v", i, events[min(i, len(events)-1)], lit, at.Sub(start))
			}
		}
	})
	// The usual dot is that of five words a minute.
	runSingle := func(code string) (round time.Duration) {
		synctest.Test(t, func(t *testing.T) {
			pins := hwtest.NewLEDPins(nil)
			l := hw.NewLEDs(hw.LEDConfig{Single: pins.Strobe()})
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			l.Show(hw.View{Mode: hw.ModeCode, Code: code})
			if err := l.Run(ctx); err != nil {
				t.Error(err)
			}
			var lit []time.Time
			for _, e := range pins.Events() {
				if e.Strobe {
					lit = append(lit, e.At)
				}
			}
			round = lit[14].Sub(lit[0])
		})
		return round
	}
	// PARIS, 14 flashes in 43 dots, and 14 dots between the rounds.
	if got, want := runSingle("PARIS"), 57*240*time.Millisecond; got != want {
		t.Errorf("a round of PARIS takes %v, want %v", got, want)
	}
}

// TestLEDsReset: a countdown from the first contact to the time at which letting go
// begins to mean something, then another pattern; a second hold counts anew.
func TestLEDsReset(t *testing.T) {
	runLamps(t, func(l lamps) {
		for range 2 {
			made := time.Now()
			pass(time.Second) // a hold is told of after a second
			v := hw.View{Mode: hw.ModeReset, Made: made, Expires: made.Add(5 * time.Second)}
			l.Show(v)
			for second, want := range []uint8{0b11110, 0b11100, 0b11000, 0b10000} {
				pass(time.Second / 2)
				if bits, _, _ := l.now(); bits != want {
					t.Errorf("after %d.5 s: %05b, want %05b", second+1, bits, want)
				}
				pass(time.Second / 2)
				v.Step = time.Now().String() // does not begin it anew
				l.Show(v)
			}
			flashes := 0
			for before, _, _ := l.now(); time.Since(made) < 7*time.Second; {
				pass(25 * time.Millisecond)
				bits, _, rgb := l.now()
				if bits != 0 && bits != 0b11111 || rgb != 0b100 && rgb != 0b111 {
					t.Fatalf("armed: %05b %03b", bits, rgb)
				}
				if bits != before {
					flashes++
				}
				before = bits
			}
			if flashes < 14 || flashes > 17 {
				t.Errorf("%d changes in two seconds", flashes)
			}
		}
		var lengths []time.Duration // of the single light's flashes in the second countdown
		events := l.single.Events()
		for i := 1; i < len(events); i++ {
			if events[i-1].Strobe && !events[i].Strobe && time.Since(events[i].At) < 6*time.Second && time.Since(events[i].At) > 2*time.Second {
				lengths = append(lengths, events[i].At.Sub(events[i-1].At))
			}
		}
		if len(lengths) < 4 || !slices.IsSortedFunc(lengths, func(a, b time.Duration) int { return cmp.Compare(b, a) }) {
			t.Errorf("flashes of %v, want them to quicken", lengths)
		}
		l.Show(hw.View{Mode: hw.ModeDone})
		synctest.Wait()
		if bits, single, rgb := l.now(); bits != 0b11111 || !single || rgb != 0b010 {
			t.Errorf("let go in time: %05b %v %03b, want what was there", bits, single, rgb)
		}
	})
}

// TestLEDsGroups: a group that fails does not stop the others, is tried again less and
// less often and with every new view, and sets all its lines when it works again.
func TestLEDsGroups(t *testing.T) {
	runLamps(t, func(l lamps) {
		l.Show(hw.View{Mode: hw.ModeDone})
		synctest.Wait()
		l.bits.Fail(errors.New("gone"))
		l.Show(hw.View{Mode: hw.ModeCode, Code: "7K2M9X"})
		before := l.bits.Sets()
		pass(10 * time.Minute)
		if n := l.bits.Sets() - before; n < 10 || n > 20 {
			t.Errorf("tried %d times in ten minutes", n)
		}
		if got, err := hwtest.DecodeMorse(l.single.Events()); err != nil || got != "7K2M9X" {
			t.Errorf("read %q, %v, off the light that works", got, err)
		}
		l.bits.Fail(nil)
		l.Show(hw.View{Mode: hw.ModeFailed})
		synctest.Wait()
		if bits, _, _ := l.now(); bits != 0b10101 {
			t.Errorf("%05b at once after it was mended, want %05b", bits, 0b10101)
		}
	})
}

// stiffPin is a line that fails to be set low.
type stiffPin struct{ gpio.PinOut }

func (p stiffPin) Out(l gpio.Level) error {
	if l == gpio.Low {
		return errors.New("welded")
	}
	return p.PinOut.Out(l)
}

// TestLEDsDark: at the end all lines are dark that can be, and the one that cannot is
// an error, unless it was one before.
func TestLEDsDark(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pins := hwtest.NewLEDPins(nil)
		bits := pins.Bits()
		l := hw.NewLEDs(hw.LEDConfig{Bits: bits})
		l.Show(hw.View{Mode: hw.ModeDone})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- l.Run(ctx) }()
		synctest.Wait()
		pins.Fail(errors.New("gone"))
		cancel()
		if err := <-ended; err == nil {
			t.Error("no error from lines that stay lit")
		}

		pins.Fail(nil)
		bits[1] = stiffPin{bits[1]}
		ctx, cancel = context.WithCancel(t.Context())
		go func() { ended <- l.Run(ctx) }()
		l.Show(hw.View{Mode: hw.ModeIdle})
		pass(time.Second)
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the end of a group that was broken: %v", err)
		}
		if e := pins.Events(); e[len(e)-1].Bits != 0b01000 {
			t.Errorf("%05b are lit at the end", e[len(e)-1].Bits)
		}
	})
}
