package hw_test

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mecha-org/mecha-agent/hw"
	"github.com/mecha-org/mecha-agent/hw/hwtest"
)

func resetFor(d time.Duration) hw.View {
	now := time.Now()
	return hw.View{Mode: hw.ModeReset, Made: now, Expires: now.Add(d)}
}

// TestPanelSleep: a screen goes dark once what it shows has stood for long enough,
// but not while it asks something of a person, and then nothing runs.
func TestPanelSleep(t *testing.T) {
	for mode, sleeps := range map[hw.Mode]bool{
		hw.ModeIdle: true, hw.ModeWaiting: false, hw.ModeCode: false, hw.ModeWorking: false,
		hw.ModeDone: true, hw.ModeFailed: true, hw.ModeReset: false,
	} {
		for _, after := range []time.Duration{0, 10 * time.Minute} {
			synctest.Test(t, func(t *testing.T) {
				s := new(hwtest.Screen)
				runPanel(t, hw.PanelConfig{Screens: []hw.Screen{s}, Sleep: after}, func(p *hw.Panel) {
					pass(5 * time.Minute)
					p.Show(hw.View{Mode: mode, Step: "new"})
					pass(10*time.Minute - 1)
					if s.Dark() {
						t.Errorf("%v: dark before its time", mode)
					}
					drawn := len(s.Shown())
					pass(24 * time.Hour)
					if want := sleeps && after > 0; s.Dark() != want || s.Sleeps() > 1 {
						t.Errorf("%v, Sleep %v: dark %v, %d times, want %v", mode, after, s.Dark(), s.Sleeps(), want)
					}
					if n := len(s.Shown()) - drawn; n != 0 {
						t.Errorf("%v: drawn %d times in a day without news", mode, n)
					}
				})
			})
		}
	}
}

// TestPanelWake: a person wakes the screens, and is told whether that was needed.
func TestPanelWake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one, two, lamp := new(hwtest.Screen), new(hwtest.Screen), new(hwtest.Screen)
		lamp.FailSleep(fmt.Errorf("a console: %w", errors.ErrUnsupported))
		var log logBuffer
		c := hw.PanelConfig{Screens: []hw.Screen{one, two, lamp}, Sleep: time.Minute, Log: slog.New(slog.NewTextHandler(&log, nil))}
		runPanel(t, c, func(p *hw.Panel) {
			done := hw.View{Mode: hw.ModeDone, MachineID: "m1"}
			p.Show(done)
			pass(59 * time.Second)
			if p.Wake() {
				t.Error("woken although it was awake")
			}
			pass(59 * time.Second)
			if one.Dark() {
				t.Error("dark a minute after the view, not after somebody came")
			}
			pass(time.Second)
			if !one.Dark() || !two.Dark() || lamp.Dark() {
				t.Errorf("after a minute: dark %v %v %v", one.Dark(), two.Dark(), lamp.Dark())
			}
			if !p.Wake() || p.Wake() {
				t.Error("Wake is not true once, and then false")
			}
			synctest.Wait()
			if one.Dark() || two.Dark() || one.Last() != done {
				t.Error("still dark")
			}
			pass(time.Minute)
			if !one.Dark() || one.Sleeps() != 2 {
				t.Errorf("dark %v, %d times, a minute after it was woken", one.Dark(), one.Sleeps())
			}
			p.Show(done)
			synctest.Wait()
			if !one.Dark() {
				t.Error("the same view again wakes it")
			}
			p.Show(hw.View{Mode: hw.ModeFailed})
			synctest.Wait()
			if one.Dark() || one.Last().Mode != hw.ModeFailed {
				t.Error("a new view does not wake it")
			}
		})
		if log.String() != "" {
			t.Errorf("log:\n%s", log.String())
		}
	})
	// A console alone has nothing to wake, or the press that wakes it would be lost.
	synctest.Test(t, func(t *testing.T) {
		console := new(hwtest.Screen)
		console.FailSleep(errors.ErrUnsupported)
		runPanel(t, hw.PanelConfig{Screens: []hw.Screen{console}, Sleep: time.Minute}, func(p *hw.Panel) {
			pass(time.Hour)
			if p.Wake() || console.Sleeps() != 1 {
				t.Errorf("woken, or sent to sleep %d times", console.Sleeps())
			}
		})
	})
}

// TestPanelCover: what covers is shown instead, and what was shown meanwhile after it.
func TestPanelCover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, pins := new(hwtest.Screen), hwtest.NewLEDPins(nil)
		c := hw.PanelConfig{Screens: []hw.Screen{s}, Sleep: time.Minute, LEDs: hw.NewLEDs(hw.LEDConfig{RGB: pins.Bits()[2:]})}
		runPanel(t, c, func(p *hw.Panel) {
			colour := func() uint8 { e := pins.Events(); return e[len(e)-1].Bits }
			shows := func(what string, mode hw.Mode, rgb uint8) {
				t.Helper()
				synctest.Wait()
				if s.Last().Mode != mode || s.Dark() || rgb != 0xFF && colour() != rgb {
					t.Errorf("%s: %v, dark %v, colour %03b", what, s.Last().Mode, s.Dark(), colour())
				}
			}
			p.Uncover()
			p.Show(hw.View{Mode: hw.ModeDone})
			pass(time.Hour)
			if !s.Dark() {
				t.Error("does not sleep")
			}
			drawn := len(s.Shown())
			p.Cover(resetFor(5*time.Second - 1))
			shows("covered", hw.ModeReset, 0b101)
			p.Show(hw.View{Mode: hw.ModeCode, Code: "7K2M9X"})
			shows("a view under the cover", hw.ModeReset, 0b101)
			pass(time.Hour)
			if n := len(s.Shown()) - drawn; n != 6 {
				t.Errorf("drawn %d times in the five seconds of a reset, want 6", n)
			}
			shows("armed for an hour", hw.ModeReset, 0xFF)
			p.Uncover()
			shows("uncovered", hw.ModeCode, 0b001)
			p.Uncover()
			p.Show(hw.View{Mode: hw.ModeIdle})
			shows("idle", hw.ModeIdle, 0)
		})
	})
}

// TestPanelAbsent: a display that may be there is looked for quietly, once a minute
// when there is no hurry, and shows what it is there for when it is found.
func TestPanelAbsent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(hwtest.Screen)
		s.Fail(fmt.Errorf("no display at 0x3c: %w", hw.ErrAbsent))
		var log logBuffer
		c := hw.PanelConfig{Screens: []hw.Screen{s}, Sleep: 10 * time.Minute, Log: slog.New(slog.NewTextHandler(&log, nil))}
		runPanel(t, c, func(p *hw.Panel) {
			tries := func(what string, least, most int) {
				t.Helper()
				if n := len(s.Shown()); n < least || n > most {
					t.Errorf("%s: tried %d times, want %d to %d", what, n, least, most)
				}
				if p.Trouble() != nil || p.Wake() {
					t.Errorf("%s: trouble %q, or woken", what, p.Trouble())
				}
				synctest.Wait()
				s.Forget()
			}
			pass(time.Hour - 1)
			tries("an hour of idle", 60, 60)
			p.Show(codeFor(24 * time.Hour))
			pass(time.Minute)
			tries("a minute of a code", 2, 2)
			pass(time.Hour)
			tries("an hour of a code", 59, 61)
			p.Show(hw.View{Mode: hw.ModeDone})
			synctest.Wait()
			s.Forget()
			pass(time.Hour)
			tries("an hour of done", 60, 60)

			s.Fail(nil)
			pass(time.Minute)
			if s.Last().Mode != hw.ModeDone || s.Dark() {
				t.Errorf("plugged in: %v, dark %v", s.Last().Mode, s.Dark())
			}
			pass(9*time.Minute - 1)
			if s.Dark() {
				t.Error("dark too soon after it was plugged in")
			}
			pass(2 * time.Minute)
			if !s.Dark() {
				t.Error("does not sleep after it was plugged in")
			}
			if log.String() != "" {
				t.Errorf("log:\n%s", log.String())
			}
			// Later it breaks, which is news.
			s.Fail(errors.New("remote I/O error"))
			p.Wake()
			synctest.Wait()
			if got := p.Trouble(); !slices.Equal(got, []string{"test screen: remote I/O error"}) {
				t.Errorf("trouble %q", got)
			}
			s.Fail(hw.ErrAbsent)
			pass(time.Minute)
			if got := p.Trouble(); got != nil {
				t.Errorf("trouble %q of one that was unplugged", got)
			}
			if n := strings.Count(log.String(), "\n"); n != 1 {
				t.Errorf("%d lines of log, want 1:\n%s", n, log.String())
			}
			s.Fail(nil) // what was said aloud is taken back aloud
			pass(time.Minute)
			if n := strings.Count(log.String(), "\n"); n != 2 || !strings.Contains(log.String(), "level=INFO") {
				t.Errorf("%d lines of log, want 2:\n%s", n, log.String())
			}
		})
	})
}

// TestPanelTrouble: a line for each part that is broken, with the hint, in the order of
// the parts.
func TestPanelTrouble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		good, bad := new(hwtest.Screen), new(hwtest.Screen)
		bits, single := hwtest.NewLEDPins(nil), hwtest.NewLEDPins(nil)
		bad.Fail(fmt.Errorf("bus 1: %w", hinted{errors.New("no permission")}))
		single.Fail(errors.New("line 4 is in use"))
		var log logBuffer
		c := hw.PanelConfig{Screens: []hw.Screen{good, bad}, Log: slog.New(slog.NewTextHandler(&log, nil)),
			LEDs: hw.NewLEDs(hw.LEDConfig{Bits: bits.Bits(), Single: single.Strobe()})}
		runPanel(t, c, func(p *hw.Panel) {
			want := []string{"test screen: bus 1: no permission (press harder)", "the single LED: setting LED 1: line 4 is in use"}
			for range 3 {
				if got := p.Trouble(); !slices.Equal(got, want) {
					t.Errorf("trouble %q, want %q", got, want)
				}
				pass(time.Hour)
			}
			if n := strings.Count(log.String(), "\n"); n != 2 || !strings.Contains(log.String(), "press harder") {
				t.Errorf("log:\n%s", log.String())
			}
			bad.Fail(nil)
			pass(time.Minute)
			if got := p.Trouble(); !slices.Equal(got, want[1:]) {
				t.Errorf("trouble %q, want %q", got, want[1:])
			}
			single.Fail(nil)
			pass(time.Minute)
			if got := p.Trouble(); got != nil {
				t.Errorf("trouble %q although all is well", got)
			}
			if n := strings.Count(log.String(), "\n"); n != 4 {
				t.Errorf("log:\n%s", log.String())
			}
		})
	})
}

// TestPanelSleepFails: a display that cannot be made dark is trouble and goes on
// showing what it is to show.
func TestPanelSleepFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(hwtest.Screen)
		s.FailSleep(errors.New("remote I/O error"))
		runPanel(t, hw.PanelConfig{Screens: []hw.Screen{s}, Sleep: 10 * time.Minute}, func(p *hw.Panel) {
			pass(10 * time.Minute)
			if got := p.Trouble(); !slices.Equal(got, []string{"test screen: remote I/O error"}) || p.Wake() {
				t.Errorf("trouble %q, or it was asleep", got)
			}
			p.Show(hw.View{Mode: hw.ModeWaiting})
			synctest.Wait()
			if s.Last().Mode != hw.ModeWaiting || p.Trouble() != nil {
				t.Errorf("shows %v, trouble %q", s.Last().Mode, p.Trouble())
			}
		})
	})
}
