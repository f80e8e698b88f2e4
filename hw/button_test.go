package hw_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"periph.io/x/conn/v3/gpio"

	"github.com/mecha-org/mecha-agent/hw"
	"github.com/mecha-org/mecha-agent/hw/hwtest"
)

// desk is a button in a bubble, with what came of it.
type desk struct {
	t      *testing.T
	pin    *hwtest.Pin
	button *hw.Button
	log    logBuffer

	mu     sync.Mutex
	start  time.Time
	events []hw.Event
	said   []string // "press @2.1s": gestures, and when they were told
}

// logBuffer is a log that is read while it is written.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// watch runs a button with the default Hold on a line at level, and hands f what
// there is; half a second has passed, in which Run tries what the line can do.
func watch(t *testing.T, level gpio.Level, f func(d *desk)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { watchPin(t, hwtest.NewPin(level), 0, f) })
}

// watchPin is watch inside a bubble. late is how long Run may take to end.
func watchPin(t *testing.T, pin *hwtest.Pin, late time.Duration, f func(d *desk)) {
	t.Helper()
	d := &desk{t: t, pin: pin}
	d.button = hw.NewButton(hw.ButtonConfig{Pin: pin, Log: slog.New(slog.NewTextHandler(&d.log, nil)), Do: func(e hw.Event) {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.events = append(d.events, e)
		d.said = append(d.said, fmt.Sprintf("%v @%v", e.Gesture, time.Since(d.start)))
	}})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- d.button.Run(ctx) }()
	pass(500 * time.Millisecond)
	d.begin()
	f(d)
	cancel()
	end := time.Now()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if took := time.Since(end); took > late {
		t.Errorf("Run took %v to end, want %v at most", took, late)
	}
}

// begin forgets what was told, and counts time from now on.
func (d *desk) begin() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.start, d.events, d.said = time.Now(), nil, nil
}

// want compares what has been told since, and forgets it.
func (d *desk) want(what string, said ...string) {
	d.t.Helper()
	synctest.Wait()
	d.mu.Lock()
	defer d.mu.Unlock()
	if !slices.Equal(d.said, said) {
		d.t.Errorf("%s: told %q, want %q", what, d.said, said)
	}
	d.said = nil
}

// lines wants so many lines of log.
func (d *desk) lines(what string, n int) {
	d.t.Helper()
	synctest.Wait()
	if got := strings.Count(d.log.String(), "\n"); got != n {
		d.t.Errorf("%s: %d lines of log, want %d:\n%s", what, got, n, d.log.String())
	}
}

// press holds the button from now on for held, and waits for quiet.
func (d *desk) press(held time.Duration, bounces int) {
	d.t.Helper()
	if err := (hwtest.Presser{Set: d.pin.Set, Bounces: bounces}).Press(context.Background(), held); err != nil {
		d.t.Fatal(err)
	}
	pass(200 * time.Millisecond)
}

// TestButtonGestures plays all that a finger can do. Times are from the first contact;
// a release counts 30 ms after its last bounce, for quiet.
func TestButtonGestures(t *testing.T) {
	const tick = time.Millisecond
	for _, tt := range []struct {
		held    time.Duration
		bounces int
		want    []string
	}{
		{5 * tick, 0, nil}, // a spike on the line
		{100 * tick, 0, []string{"press @130ms"}},
		{100 * tick, 8, []string{"press @146ms"}},
		{time.Second - 31*tick, 0, []string{"press @999ms"}},
		{time.Second - tick, 0, []string{"press @1.029s"}},
		{time.Second + tick, 0, []string{"hold @1s", "cancel @1.031s"}},
		{4 * time.Second, 5, []string{"hold @1s", "cancel @4.04s"}},
		{5*time.Second - tick, 0, []string{"hold @1s", "cancel @5.029s"}},
		{5*time.Second - tick, 8, []string{"hold @1s", "cancel @5.045s"}}, // bounces over the end
		{5*time.Second + tick, 0, []string{"hold @1s", "armed @5s", "reset @5.031s"}},
		{34 * time.Second, 3, []string{"hold @1s", "armed @5s", "reset @34.036s"}},
		{35*time.Second - tick, 0, []string{"hold @1s", "armed @5s", "reset @35.029s"}},
		{35*time.Second + tick, 0, []string{"hold @1s", "armed @5s", "cancel @35s"}},
		{3 * time.Hour, 2, []string{"hold @1s", "armed @5s", "cancel @35s"}},
	} {
		t.Run(fmt.Sprintf("%v,%d", tt.held, tt.bounces), func(t *testing.T) {
			watch(t, gpio.High, func(d *desk) {
				for n := range 2 {
					d.begin()
					d.press(tt.held, tt.bounces)
					d.want(fmt.Sprint("time ", n+1), tt.want...)
					for _, e := range d.events {
						if e.Down != d.start || e.Armed != d.start.Add(5*time.Second) {
							t.Errorf("%v: down %v, armed %v after the first contact", e.Gesture, e.Down.Sub(d.start), e.Armed.Sub(d.start))
						}
					}
				}
				if d.pin.Pull() != gpio.PullUp || d.pin.Edge() != gpio.BothEdges {
					t.Errorf("the line has %v and %v", d.pin.Pull(), d.pin.Edge())
				}
				d.lines("a button that works", 0)
			})
		})
	}
}

// TestButtonHold: the time to hold is the configured one, and never so short that a
// press could remove an identity.
func TestButtonHold(t *testing.T) {
	for hold, want := range map[time.Duration]time.Duration{
		0: 5 * time.Second, -1: 5 * time.Second, 1: 2 * time.Second, time.Second: 2 * time.Second,
		3 * time.Second: 3 * time.Second, time.Minute: time.Minute,
	} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			pin := hwtest.NewPin(gpio.High)
			var armed time.Time
			b := hw.NewButton(hw.ButtonConfig{Pin: pin, Hold: hold, Do: func(e hw.Event) {
				if e.Gesture == hw.GestureArmed {
					armed = time.Now()
				}
			}})
			ended := make(chan error, 1)
			go func() { ended <- b.Run(ctx) }()
			pass(time.Second)
			start := time.Now()
			pin.Set(gpio.Low)
			pass(80 * time.Second)
			if got := armed.Sub(start); got != want {
				t.Errorf("Hold %v: armed after %v, want %v", hold, got, want)
			}
			cancel()
			<-ended
		})
	}
}

// TestButtonStuck: a button that is down at the start does nothing until it is
// released, neither does one that was down for too long.
func TestButtonStuck(t *testing.T) {
	watch(t, gpio.Low, func(d *desk) {
		pass(time.Hour)
		d.want("down from the start")
		d.pin.Set(gpio.High)
		pass(time.Second)
		d.want("released")
		d.begin()
		d.press(100*time.Millisecond, 3)
		d.want("pressed", "press @136ms")

		d.pin.Set(gpio.Low)
		pass(time.Minute)
		waits := d.pin.Waits()
		pass(24 * time.Hour)
		if n := d.pin.Waits() - waits; n > 25 {
			t.Errorf("%d waits in 24 hours of a button that is stuck", n)
		}
		d.begin()
		d.pin.Set(gpio.High)
		pass(time.Second)
		d.want("stuck, and released")
		d.begin()
		d.press(time.Second/2, 0)
		d.want("pressed", "press @530ms")
	})
}

// TestButtonLostEdges: the level counts. An edge that was lost is seen at the end of
// a wait, and then counts from there.
func TestButtonLostEdges(t *testing.T) {
	watch(t, gpio.High, func(d *desk) {
		d.pin.Set(gpio.Low)
		pass(500 * time.Millisecond)
		d.pin.Lose(gpio.High)
		pass(2 * time.Second)
		d.want("released, unseen", "press @1.03s")

		d.begin()
		d.pin.Set(gpio.Low)
		pass(3 * time.Second)
		d.pin.Lose(gpio.High)
		pass(10 * time.Second)
		d.want("let go while counting, unseen", "hold @1s", "cancel @5.03s")

		d.pin.Lose(gpio.Low)
		pass(time.Second)
		d.want("down, unseen")
		d.begin()
		d.pin.Set(gpio.High)
		pass(time.Second)
		d.want("up again: that was nothing")
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
				late := time.Duration(0)
				if tt.deaf {
					pin.Deafen()
					late = time.Second
				}
				watchPin(t, pin, late, func(d *desk) {
					pass(time.Second)
					before := pin.Waits()
					pass(24 * time.Hour)
					if n, want := pin.Waits()-before, int(24*time.Hour/tt.every); n < want-1 || n > want+1 {
						t.Errorf("%d waits in 24 hours of silence, want %d", n, want)
					}
					for range 2 {
						pass(90 * time.Minute)
						d.begin()
						d.press(200*time.Millisecond, 3)
						d.want("a press after the silence", "press @236ms")
					}
					before = pin.Waits()
					d.press(4*time.Second, 0)
					if n := pin.Waits() - before; n > 12 {
						t.Errorf("%d waits while the button was held for 4 s", n)
					}
				})
			})
		})
	}
}

// TestButtonAbsent: a board without a button has nobody who presses it, which is
// no error.
func TestButtonAbsent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, b := range []*hw.Button{nil, hw.NewButton(hw.ButtonConfig{})} {
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			if err := b.Run(ctx); err != nil || ctx.Err() == nil || b.Trouble() != "" {
				t.Errorf("Run: %v, %v before ctx ended; trouble %q", err, ctx.Err(), b.Trouble())
			}
			cancel()
		}
	})
}
