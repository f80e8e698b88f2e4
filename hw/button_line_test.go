package hw_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"periph.io/x/conn/v3/gpio"

	"github.com/mecha-org/mecha-agent/hw"
	"github.com/mecha-org/mecha-agent/hw/hwtest"
)

// TestButtonNoise: a line that never rests makes no gesture, least of all a reset,
// and is trouble that ends with the noise.
func TestButtonNoise(t *testing.T) {
	watch(t, gpio.High, func(d *desk) {
		d.pin.Set(gpio.Low)
		pass(6 * time.Second)
		d.want("held", "hold @1s", "armed @5s")
		for i := range 1000 {
			d.pin.Set(!d.pin.Read())
			pass(10 * time.Millisecond)
			if i == 500 {
				if got := d.button.Trouble(); !strings.Contains(got, "does not come to rest (a line without") {
					t.Errorf("trouble in the noise: %q", got)
				}
			}
		}
		d.pin.Set(gpio.High)
		d.want("noise", "cancel @7s")
		pass(10 * time.Second)
		if got := d.button.Trouble(); got != "" {
			t.Errorf("trouble after the noise: %q", got)
		}
		d.lines("the noise and its end", 2)
		d.begin()
		d.press(100*time.Millisecond, 0)
		d.want("a press after the noise", "press @130ms")
	})
}

// hinted is an error that says what to do about it.
type hinted struct{ error }

func (hinted) Hint() string { return "press harder" }

// TestButtonRefused: a line that cannot be had is asked for less and less often, with
// one line of log; Trouble says why, with the hint.
func TestButtonRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pin := hwtest.NewPin(gpio.High)
		pin.FailIn(fmt.Errorf("GPIO17: %w", hinted{errors.New("line is in use")}), 9)
		watchPin(t, pin, 0, func(d *desk) {
			for i, want := range []time.Duration{0, 1, 3, 7, 15, 31, 63, 123, 183} {
				if got := pin.Takes(); got != i+1 {
					t.Errorf("tried %d times, want %d before %d s", got, i+1, want)
				}
				if got, want := d.button.Trouble(), "the button: watching BUTTON: GPIO17: line is in use (press harder)"; got != want {
					t.Errorf("trouble %q, want %q", got, want)
				}
				pass(min(time.Second<<i, time.Minute))
			}
			d.lines("refused for a while", 1)
			pass(2 * time.Second)
			d.lines("it works again", 2)
			if got := d.button.Trouble(); got != "" {
				t.Errorf("trouble %q although it works", got)
			}
			d.begin()
			d.press(100*time.Millisecond, 0)
			d.want("a press in the end", "press @130ms")
			if log := d.log.String(); !strings.Contains(log, "level=WARN") || !strings.Contains(log, "level=INFO") || !strings.Contains(log, "press harder") {
				t.Errorf("log:\n%s", log)
			}
		})
	})
}

// lent is the error of a line that comes back soon.
type lent struct{ error }

func (lent) Soon() bool { return true }

// TestButtonLent: a line that another process of this program looks at is there a
// second after that one has let go of it; one that it keeps is asked for less and
// less often.
func TestButtonLent(t *testing.T) {
	err := fmt.Errorf("GPIO17: %w", lent{errors.New("line is in use")})
	for _, kept := range []int{1, 15, 40} { // times, and seconds
		synctest.Test(t, func(t *testing.T) {
			pin := hwtest.NewPin(gpio.High)
			pin.FailIn(err, kept)
			watchPin(t, pin, 0, func(d *desk) {
				pass(time.Duration(kept)*time.Second + 100*time.Millisecond)
				if got := d.button.Trouble(); got == "" {
					t.Error("no trouble before the button is known to work")
				}
				d.begin()
				d.press(100*time.Millisecond, 0)
				d.want(fmt.Sprintf("a press after %d s", kept), "press @130ms")
				pass(2 * time.Second)
				if got := d.button.Trouble(); got != "" {
					t.Errorf("trouble %q although it works", got)
				}
				d.lines("lent and given back", 2)
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		pin := hwtest.NewPin(gpio.High)
		pin.FailIn(err, -1)
		watchPin(t, pin, 0, func(d *desk) {
			pass(time.Hour)
			if n := pin.Takes(); n < 60 || n > 130 {
				t.Errorf("tried %d times in an hour", n)
			}
		})
	})
}

// TestButtonUnplugged: a chip that goes away takes the finger with it, whatever the
// finger was doing, and what is down when it is back must be released first.
func TestButtonUnplugged(t *testing.T) {
	gone := errors.New("no such device")
	for _, tt := range []struct {
		held time.Duration
		want []string
	}{
		{0, nil},
		{500 * time.Millisecond, nil},
		{2 * time.Second, []string{"hold @1s", "cancel @2s"}},
		{6 * time.Second, []string{"hold @1s", "armed @5s", "cancel @6s"}},
	} {
		for _, why := range []error{gone, nil} {
			watch(t, gpio.High, func(d *desk) {
				pass(5 * time.Second)
				d.begin()
				if tt.held > 0 {
					d.pin.Set(gpio.Low)
				}
				pass(tt.held)
				d.pin.TakeAway(why)
				pass(2 * time.Hour)
				d.want(fmt.Sprintf("held %v, gone, %v", tt.held, why), tt.want...)
				d.lines("gone", 1)
				if got := d.button.Trouble(); got == "" || why != nil && !strings.Contains(got, why.Error()) {
					t.Errorf("trouble %q, want %v", got, why)
				}
				waits, takes := d.pin.Waits(), d.pin.Takes()
				pass(time.Hour)
				if waits, takes = d.pin.Waits()-waits, d.pin.Takes()-takes; waits > 240 || takes > 240 {
					t.Errorf("%d waits and %d tries in an hour without the chip", waits, takes)
				}

				d.pin.GiveBack()
				pass(2 * time.Minute)
				d.pin.Set(gpio.High)
				pass(time.Second)
				d.want("back, and released")
				d.begin()
				d.press(100*time.Millisecond, 0)
				d.want("a press after it is back", "press @130ms")
				d.lines("back", 2)
				if got := d.button.Trouble(); got != "" {
					t.Errorf("trouble %q after it is back", got)
				}
			})
		}
	}
}

// TestButtonHitch: a wait that gives up once is no reason to let go, unless nobody
// can tell whether the finger has.
func TestButtonHitch(t *testing.T) {
	watch(t, gpio.High, func(d *desk) {
		for range 3 {
			pass(2 * time.Second)
			d.begin()
			d.pin.Set(gpio.Low)
			pass(3 * time.Second)
			d.pin.Hitch()
			pass(3 * time.Second)
			d.pin.Set(gpio.High)
			pass(time.Second)
			d.want("a hitch while counting", "hold @1s", "armed @5s", "reset @6.03s")
		}
		d.begin()
		d.pin.Set(gpio.Low)
		pass(6 * time.Second)
		d.pin.Lose(gpio.High)
		d.pin.Hitch()
		pass(time.Second)
		d.want("let go during a hitch", "hold @1s", "armed @5s", "cancel @6s")
		pass(time.Second)
		d.lines("hitches", 0)
		d.begin()
		d.press(100*time.Millisecond, 0)
		d.want("a press after that", "press @130ms")
	})
}

// TestButtonHaltLost: a Halt that comes just before the wait is given again.
func TestButtonHaltLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		watchPin(t, hwtest.NewPin(gpio.High), 100*time.Millisecond, func(d *desk) { d.pin.DropHalts(2) })
	})
}

// TestButtonSlowHalt: a processor that is busy when the button is tried does not turn
// it into one that wakes every second.
func TestButtonSlowHalt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const slow = 400 * time.Millisecond
		pin := hwtest.NewPin(gpio.High)
		pin.SlowHalts(slow)
		watchPin(t, pin, slow, func(d *desk) {
			before := pin.Waits()
			pass(24 * time.Hour)
			if n := pin.Waits() - before; n > 25 {
				t.Errorf("%d waits in 24 hours of silence", n)
			}
			d.begin()
			d.press(100*time.Millisecond, 0)
			d.want("a press after the silence", "press @130ms")
		})
	})
}

// TestButtonEarly: a press that begins while Halt is tried counts, and does not
// turn the button into one that wakes every second.
func TestButtonEarly(t *testing.T) {
	for _, after := range []time.Duration{2, 10, 20, 21} {
		synctest.Test(t, func(t *testing.T) {
			pin := hwtest.NewPin(gpio.High)
			go func() {
				<-time.After(after * time.Millisecond)
				pin.Set(gpio.Low)
				<-time.After(900 * time.Millisecond)
				pin.Set(gpio.High)
			}()
			watchPin(t, pin, 0, func(d *desk) {
				pass(time.Second)
				if len(d.events) != 1 || d.events[0].Gesture != hw.GesturePress {
					t.Errorf("after %v ms: %v, want one press", int(after), d.said)
				}
				d.lines("a press while Halt is tried", 0)
				before := pin.Waits()
				pass(24 * time.Hour)
				if n := pin.Waits() - before; n > 25 {
					t.Errorf("%d waits in 24 hours of silence", n)
				}
			})
		})
	}
}
