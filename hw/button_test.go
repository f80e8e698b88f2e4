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

// watch runs Button on a line at level in a bubble and hands f the line and what
// has been pressed so far.
func watch(t *testing.T, level gpio.Level, f func(pin *hwtest.Pin, presses func() []hw.Press)) {
	synctest.Test(t, func(t *testing.T) {
		pin := hwtest.NewPin(level)
		ctx, cancel := context.WithCancel(t.Context())
		var got []hw.Press
		ended := make(chan error, 1)
		go func() { ended <- hw.Button(ctx, pin, func(p hw.Press) { got = append(got, p) }) }()
		pass(100 * time.Millisecond)
		f(pin, func() []hw.Press { synctest.Wait(); return got })
		cancel()
		start := time.Now()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if took := time.Since(start); took > 0 {
			t.Errorf("Button took %v to end, although Halt interrupts", took)
		}
	})
}

func TestButton(t *testing.T) {
	for _, tt := range []struct {
		held    time.Duration
		bounces int
		want    bool
	}{
		{5 * time.Millisecond, 0, false}, // a spike on the line
		{100 * time.Millisecond, 0, true},
		{100 * time.Millisecond, 8, true},
		{time.Second, 3, true},
		{7 * time.Second, 5, true}, // longer than one wait for an edge
	} {
		watch(t, gpio.High, func(pin *hwtest.Pin, presses func() []hw.Press) {
			finger := hwtest.Presser{Set: pin.Set, Bounces: tt.bounces}
			for n := 1; n <= 3; n++ {
				if err := finger.Press(context.Background(), tt.held); err != nil {
					t.Fatal(err)
				}
				pass(200 * time.Millisecond)
				want := 0
				if tt.want {
					want = n
				}
				if got := presses(); len(got) != want {
					t.Fatalf("held %v, %d bounces: %d presses, want %d", tt.held, tt.bounces, len(got), want)
				}
			}
			for _, p := range presses() {
				if p.Held != tt.held {
					t.Errorf("held %v, want %v", p.Held, tt.held)
				}
			}
			if pin.Pull() != gpio.PullUp || pin.Edge() != gpio.BothEdges {
				t.Errorf("the line has %v and %v", pin.Pull(), pin.Edge())
			}
		})
	}
}

// TestButtonDown: nothing happens while it is down.
func TestButtonDown(t *testing.T) {
	watch(t, gpio.High, func(pin *hwtest.Pin, presses func() []hw.Press) {
		pin.Set(gpio.Low)
		pass(time.Hour)
		if got := presses(); len(got) != 0 {
			t.Errorf("%v before the release", got)
		}
		pin.Set(gpio.High)
		pass(time.Second)
		if got := presses(); len(got) != 1 || got[0].Held != time.Hour {
			t.Errorf("%v, want one press of an hour", got)
		}
	})
}

// TestButtonStuck: a button that is down at the start counts from its release on.
func TestButtonStuck(t *testing.T) {
	watch(t, gpio.Low, func(pin *hwtest.Pin, presses func() []hw.Press) {
		pass(10 * time.Second)
		pin.Set(gpio.High)
		pass(time.Second)
		if got := presses(); len(got) != 0 {
			t.Fatalf("%v from a button that was stuck", got)
		}
		if err := (hwtest.Presser{Set: pin.Set}).Press(context.Background(), time.Second); err != nil {
			t.Fatal(err)
		}
		pass(time.Second)
		if got := presses(); len(got) != 1 {
			t.Errorf("%d presses after it came loose, want 1", len(got))
		}
	})
}

// TestButtonSleeps: it wakes once an hour, or once a second on a pin whose Halt
// does not interrupt, and not for ever on one that never rests; the press after
// the silence counts all the same.
func TestButtonSleeps(t *testing.T) {
	for name, tt := range map[string]struct {
		deaf  bool
		every time.Duration // from one wait for an edge to the next
	}{
		"Halt interrupts": {false, time.Hour},
		"Halt does not":   {true, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				pin := hwtest.NewPin(gpio.High)
				if tt.deaf {
					pin.Deafen()
				}
				ctx, cancel := context.WithCancel(t.Context())
				var got []hw.Press
				ended := make(chan error, 1)
				go func() { ended <- hw.Button(ctx, pin, func(p hw.Press) { got = append(got, p) }) }()
				pass(time.Second) // of which it tries Halt for 0.6 s at most

				press := func(n int) {
					t.Helper()
					if err := (hwtest.Presser{Set: pin.Set, Bounces: 3}).Press(context.Background(), 200*time.Millisecond); err != nil {
						t.Fatal(err)
					}
					pass(100 * time.Millisecond) // soon, not at the end of a wait
					if len(got) != n || got[n-1].Held != 200*time.Millisecond {
						t.Errorf("%v, want %d presses of 0.2 s", got, n)
					}
				}
				before := pin.Waits()
				pass(24 * time.Hour)
				if n, want := pin.Waits()-before, int(24*time.Hour/tt.every); n < want-1 || n > want+1 {
					t.Errorf("%d waits in 24 hours of silence, want %d", n, want)
				}
				press(1)
				pass(90 * time.Minute)
				press(2)
				for range 1000 {
					pin.Set(!pin.Read())
					pass(10 * time.Millisecond)
				}
				pin.Set(gpio.High)
				pass(2 * time.Second)
				press(len(got) + 1)

				start := time.Now()
				cancel()
				if err := <-ended; err != nil {
					t.Error(err)
				}
				if took := time.Since(start); took > 0 && !tt.deaf || took > time.Second {
					t.Errorf("it took %v to end", took)
				}
			})
		})
	}
}

// TestButtonGone: a line that was taken away is asked for less and less often.
func TestButtonGone(t *testing.T) {
	watch(t, gpio.High, func(pin *hwtest.Pin, _ func() []hw.Press) {
		pin.TakeAway()
		pin.Set(gpio.Low) // ends the wait that goes on
		synctest.Wait()
		before := pin.Waits()
		pass(24 * time.Hour)
		if n := pin.Waits() - before; n > 24+13 { // and 1, 2, 4 ... 2048 s and the first hour
			t.Errorf("%d waits in 24 hours on a line that is gone", n)
		}
	})
}

// TestButtonHaltLost: a Halt that comes just before the wait is given again.
func TestButtonHaltLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pin := hwtest.NewPin(gpio.High)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- hw.Button(ctx, pin, nil) }()
		pass(time.Second)
		pin.DropHalts(2)
		start := time.Now()
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if took := time.Since(start); took > 100*time.Millisecond {
			t.Errorf("it took %v to end", took)
		}
	})
}

// TestButtonEarly: a press that begins while Halt is tried counts, and does not
// turn the button into one that wakes every second.
func TestButtonEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pin := hwtest.NewPin(gpio.High)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		presses := 0
		go hw.Button(ctx, pin, func(hw.Press) { presses++ }) //nolint:errcheck // ends with ctx
		pass(10 * time.Millisecond)
		pin.Set(gpio.Low)
		pass(time.Second)
		pin.Set(gpio.High)
		pass(time.Second)
		if presses != 1 {
			t.Errorf("%d presses, want 1", presses)
		}
		before := pin.Waits()
		pass(24 * time.Hour)
		if n := pin.Waits() - before; n > 25 {
			t.Errorf("%d waits in 24 hours of silence", n)
		}
	})
}

func TestButtonRefused(t *testing.T) {
	pin := hwtest.NewPin(gpio.High)
	busy := errors.New("line is in use")
	pin.FailIn(busy)
	if err := hw.Button(t.Context(), pin, nil); !errors.Is(err, busy) {
		t.Errorf("Button: %v", err)
	}
}

// TestButtonAbsent: a board without a button has nobody who presses it, which is
// no error.
func TestButtonAbsent(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := hw.Button(ctx, nil, func(hw.Press) { t.Error("pressed") }); err != nil {
		t.Error(err)
	}
}
