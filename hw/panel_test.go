package hw_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"periph.io/x/conn/v3/gpio"

	"github.com/mecha-org/mecha-agent/hw"
	"github.com/mecha-org/mecha-agent/hw/hwtest"
)

// runPanel runs a panel in a bubble, hands it to f, and checks its end.
func runPanel(t *testing.T, c hw.PanelConfig, f func(p *hw.Panel)) {
	t.Helper()
	p := hw.NewPanel(c)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	synctest.Wait()
	f(p)
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	for _, s := range c.Screens {
		if err := s.(*hwtest.Screen).Check(); err != nil {
			t.Error(err)
		}
	}
}

func codeFor(d time.Duration) hw.View {
	now := time.Now()
	return hw.View{Mode: hw.ModeCode, Code: "7K2M9X", Made: now, Expires: now.Add(d)}
}

// TestPanelDraws: on every change, once a second while a code stands, and else
// not at all.
func TestPanelDraws(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one, two := new(hwtest.Screen), new(hwtest.Screen)
		runPanel(t, hw.PanelConfig{Screens: []hw.Screen{one, two}}, func(p *hw.Panel) {
			count := func(what string, want int) {
				t.Helper()
				synctest.Wait()
				if got := len(one.Shown()); got != want {
					t.Errorf("%s: drawn %d times, want %d", what, got, want)
				}
			}
			count("at the start", 1)
			pass(time.Hour)
			count("idle for an hour", 1)
			p.Show(hw.View{Mode: hw.ModeWaiting})
			count("a change", 2)
			p.Show(hw.View{Mode: hw.ModeWaiting})
			count("the same again", 2)
			p.Show(codeFor(10*time.Second + time.Second/2))
			count("a code", 3)
			pass(3 * time.Second)
			count("a code for 3 s", 3+3)
			pass(time.Hour)
			count("the code ended", 3+11)
			last := one.Shown()[13]
			if last.Now != last.View.Expires {
				t.Errorf("drawn last at %v, want the end of the code at %v", last.Now, last.View.Expires)
			}
			p.Show(hw.View{Mode: hw.ModeCode, Code: "0D8B5S"})
			count("a code without an end", 15)
			pass(time.Hour)
			count("that code after an hour", 15)
			p.Show(hw.View{Mode: hw.ModeDone})
			pass(time.Hour)
			count("done", 16)
			if one.Last().Mode != hw.ModeDone || two.Last().Mode != hw.ModeDone {
				t.Error("the screens do not show the end")
			}
		})
	})
}

// TestPanelSlow: Show does not wait, the latest view wins, and a slow screen does
// not hold up the other.
func TestPanelSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow, quick := new(hwtest.Screen), new(hwtest.Screen)
		hold := make(chan struct{})
		slow.Hold(hold)
		runPanel(t, hw.PanelConfig{Screens: []hw.Screen{slow, quick}}, func(p *hw.Panel) {
			for range 100 {
				p.Show(hw.View{Mode: hw.ModeWaiting})
				p.Show(hw.View{Mode: hw.ModeWorking})
			}
			p.Show(hw.View{Mode: hw.ModeDone})
			synctest.Wait()
			if quick.Last().Mode != hw.ModeDone {
				t.Error("the quick screen waits for the slow one")
			}
			close(hold)
			synctest.Wait()
			if got := slow.Shown(); len(got) != 2 || got[1].View.Mode != hw.ModeDone {
				t.Errorf("the slow screen was given %d views, want the first and the last", len(got))
			}
		})
	})
}

// TestPanelBroken: a screen that fails is tried again with growing pauses and at
// once for a new view; failure and recovery are logged once each, without the
// code.
func TestPanelBroken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken, good := new(hwtest.Screen), new(hwtest.Screen)
		gone := errors.New("remote I/O error")
		broken.Fail(gone)
		var log bytes.Buffer
		c := hw.PanelConfig{Screens: []hw.Screen{broken, good}, Log: slog.New(slog.NewTextHandler(&log, nil))}
		runPanel(t, c, func(p *hw.Panel) {
			start := time.Now()
			pass(5 * time.Minute)
			var at []int
			for _, s := range broken.Shown() {
				at = append(at, int(s.Now.Sub(start)/time.Second))
			}
			want := []int{0, 1, 3, 7, 15, 31, 63, 123, 183, 243}
			if len(at) < len(want) || len(at) > len(want)+1 {
				t.Fatalf("tried after %v s, want %v", at, want)
			}
			for i := range want {
				if at[i] != want[i] {
					t.Fatalf("tried after %v s, want %v", at, want)
				}
			}
			if len(good.Shown()) != 1 {
				t.Errorf("the good screen was drawn %d times", len(good.Shown()))
			}
			// Ticks of a code do not hammer it, a new view is tried at once.
			n := len(broken.Shown())
			p.Show(codeFor(5 * time.Minute))
			pass(59 * time.Second)
			if got := len(broken.Shown()) - n; got != 1 {
				t.Errorf("tried %d times in 59 s of a code, want 1", got)
			}
			if got := strings.Count(log.String(), "\n"); got != 1 || !strings.Contains(log.String(), "level=WARN") {
				t.Errorf("log of the failure:\n%s", log.String())
			}
			broken.Fail(nil)
			pass(2 * time.Minute)
			if broken.Last().Code != "7K2M9X" {
				t.Error("it does not show the code after it was mended")
			}
			if got := strings.Count(log.String(), "\n"); got != 2 || !strings.Contains(log.String(), "level=INFO") {
				t.Errorf("log of failure and recovery:\n%s", log.String())
			}
			if strings.Contains(log.String(), "7K2M9X") {
				t.Error("the code is in the log")
			}
			broken.Fail(gone)
			n = len(broken.Shown())
			pass(4 * time.Second) // the next tick, 1 s and 2 s after it
			if got := len(broken.Shown()) - n; got != 3 {
				t.Errorf("tried %d times in 4 s of the second failure, want 3", got)
			}
			if got := strings.Count(log.String(), "\n"); got != 3 {
				t.Errorf("log of the second failure:\n%s", log.String())
			}
		})
	})
}

// TestPanelLEDs: the LEDs show what the screens do; when a line fails they are
// tried again, and that is logged once, as is that they work again.
func TestPanelLEDs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pins := hwtest.NewLEDPins(nil)
		pins.Fail(errors.New("no such line"))
		var log bytes.Buffer
		c := hw.PanelConfig{
			LEDs: hw.NewLEDs(hw.LEDConfig{Bits: pins.Bits(), Strobe: pins.Strobe()}),
			Log:  slog.New(slog.NewTextHandler(&log, nil)),
		}
		runPanel(t, c, func(p *hw.Panel) {
			p.Show(codeFor(time.Hour))
			pass(10 * time.Minute)
			if got := strings.Count(log.String(), "\n"); got != 1 {
				t.Errorf("log of the failure:\n%s", log.String())
			}
			pins.Fail(nil)
			pass(2 * time.Minute)
			if code, err := hwtest.DecodeLEDs(pins.Events()); err != nil || code != "7K2M9X" {
				t.Errorf("read %q, %v", code, err)
			}
			if got := strings.Count(log.String(), "\n"); got != 2 || strings.Contains(log.String(), "7K2M9X") {
				t.Errorf("log of failure and recovery:\n%s", log.String())
			}
		})
	})
}

// dimPin is a line that can be dark only.
type dimPin struct {
	gpio.PinOut
	tries int
}

func (p *dimPin) Out(l gpio.Level) error {
	if l == gpio.High {
		p.tries++
		return errors.New("short circuit")
	}
	return p.PinOut.Out(l)
}

// TestPanelDimLED: a line that works half of the time is broken, not mended and
// broken again in every round.
func TestPanelDimLED(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pins := hwtest.NewLEDPins(nil)
		strobe := &dimPin{PinOut: pins.Strobe()}
		var log bytes.Buffer
		c := hw.PanelConfig{
			LEDs: hw.NewLEDs(hw.LEDConfig{Bits: pins.Bits(), Strobe: strobe}),
			Log:  slog.New(slog.NewTextHandler(&log, nil)),
		}
		runPanel(t, c, func(p *hw.Panel) {
			pass(time.Second) // idle, which works
			p.Show(codeFor(time.Hour))
			pass(time.Hour)
			if got := strings.Count(log.String(), "\n"); got != 1 || strobe.tries > 70 {
				t.Errorf("%d tries, log:\n%s", strobe.tries, log.String())
			}
		})
	})
}

// TestPanelClose: an error while closing is Run's, but not that of a screen that
// was broken anyway.
func TestPanelClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, late := range []bool{true, false} {
			s := new(hwtest.Screen)
			gone := errors.New("gone")
			if !late {
				s.Fail(gone)
			}
			p := hw.NewPanel(hw.PanelConfig{Screens: []hw.Screen{s}})
			ctx, cancel := context.WithCancel(t.Context())
			go func() { pass(time.Second / 2); s.Fail(gone); cancel() }()
			if err := p.Run(ctx); errors.Is(err, gone) != late {
				t.Errorf("late %v: Run: %v", late, err)
			}
		}
	})
}

// TestPanelClock: screens are given the time of the clock that the panel was given.
func TestPanelClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(hwtest.Screen)
		runPanel(t, hw.PanelConfig{Screens: []hw.Screen{s}, Clock: func() time.Time { return noon }}, func(*hw.Panel) {})
		if got := s.Shown(); len(got) != 1 || got[0].Now != noon {
			t.Errorf("shown %v, want once at noon", got)
		}
	})
}

// TestPanelNil: no panel is a panel that shows nothing; so is an empty one.
func TestPanelNil(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, p := range []*hw.Panel{nil, hw.NewPanel(hw.PanelConfig{})} {
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			p.Show(codeFor(time.Minute))
			p.Cover(codeFor(time.Hour))
			p.Uncover()
			if p.Wake() || p.Trouble() != nil {
				t.Error("a panel without parts sleeps, or is broken")
			}
			if err := p.Run(ctx); err != nil || ctx.Err() == nil {
				t.Errorf("Run: %v before ctx ended", err)
			}
			cancel()
		}
	})
}
