package hw

import (
	"context"
	"fmt"
	"time"

	"periph.io/x/conn/v3/gpio"
)

// Press is a press of the button.
type Press struct {
	Held time.Duration // from the first contact to the release
}

const (
	// debounce is how long a contact must be quiet to count. Push buttons bounce
	// for up to 20 ms or so.
	debounce = 30 * time.Millisecond
	// noise ends the wait for quiet on a line that never is, such as one that
	// floats.
	noise = time.Second
	// longWait bounds one wait for an edge on a pin whose Halt interrupts it,
	// shortWait on one that would hold Button up when ctx ends.
	longWait  = time.Hour
	shortWait = time.Second
	// How Button finds out which of them a pin is: it halts a wait of probeWait
	// after probeHalt.
	probeWait  = 200 * time.Millisecond
	probeHalt  = 20 * time.Millisecond
	probeTries = 3
	// haltAgain is the time from one Halt to the next until Button has ended.
	haltAgain = 10 * time.Millisecond
)

// Button calls handle for every press of the button on pin, when it is released,
// until ctx ends; then it returns nil. The button pulls the line to ground; pin's
// pull-up is asked for. A button that is held down (or shorted) at the start
// counts from its release on. handle must return soon: presses during it are lost.
//
// Between presses it sleeps. periph's WaitForEdge knows no context; what can end
// it is the pin's Halt, which does so for lines of gpioioctl (and for the
// simulated board's), but not for those of sysfs, where it switches the edges
// off. No interface tells, so Button tries it once at the start. Where Halt
// interrupts, Button wakes once an hour and ends at once with ctx; elsewhere it
// wakes every second, and ends at the latest a second after ctx.
//
// A nil pin is a board without a button: Button waits for ctx to end.
func Button(ctx context.Context, pin gpio.PinIn, handle func(Press)) error {
	if pin == nil {
		<-ctx.Done()
		return nil
	}
	if err := pin.In(gpio.PullUp, gpio.BothEdges); err != nil {
		return fmt.Errorf("watching the button on %s: %w", pin.Name(), err)
	}
	// The first wait readies a gpioioctl line for Halt and empties it of edges
	// from before, of which the kernel keeps 16.
	for i := 0; i < 16 && pin.WaitForEdge(time.Millisecond); i++ {
	}
	stuck := pin.Read() == gpio.Low
	w := waiter{pin: pin, longest: shortWait}
	if interruptible(ctx, pin) {
		w.longest = longWait
	}
	// Once more, for the pins whose Halt has switched the edges off.
	if err := pin.In(gpio.PullUp, gpio.BothEdges); err != nil {
		return fmt.Errorf("watching the button on %s: %w", pin.Name(), err)
	}
	ended := make(chan struct{})
	defer close(ended)
	stop := context.AfterFunc(ctx, func() { halt(pin, ended) })
	defer stop()

	var down time.Time // zero while the button is up
	switch low := pin.Read() == gpio.Low; {
	case stuck:
		stuck = low
	case low: // pressed just now
		down = time.Now()
	}
	for ctx.Err() == nil {
		edge, at := w.edge(ctx)
		if edge {
			settle(ctx, pin)
		}
		if ctx.Err() != nil {
			return nil
		}
		// The level counts, not the number of edges: some of a bouncing contact
		// are lost when the kernel's queue is full. The last change is not: an edge
		// that comes after the one that was taken ends the next wait at once,
		// however long that may be.
		switch low := pin.Read() == gpio.Low; {
		case stuck:
			stuck = low
		case low && down.IsZero():
			down = at
		case !low && !down.IsZero():
			handle(Press{Held: at.Sub(down)})
			down = time.Time{}
		}
	}
	return nil
}

// interruptible finds out whether pin's Halt ends a WaitForEdge, by doing it. An
// edge in between tells nothing: it tries again then.
func interruptible(ctx context.Context, pin gpio.PinIn) bool {
	for i := 0; i < probeTries && ctx.Err() == nil; i++ {
		halted := make(chan struct{})
		t := time.AfterFunc(probeHalt, func() { pin.Halt(); close(halted) })
		start := time.Now()
		edge := pin.WaitForEdge(probeWait)
		took := time.Since(start)
		before := t.Stop() // it returned on its own, as a line does that is gone
		if !before {
			<-halted
		}
		if !edge && !before && took < (probeHalt+probeWait)/2 {
			return true
		}
	}
	return false
}

// halt ends the wait for an edge. Once is not enough: a gpioioctl line forgets a
// Halt that comes just before the wait.
func halt(pin gpio.PinIn, ended <-chan struct{}) {
	t := time.NewTicker(haltAgain)
	defer t.Stop()
	for {
		pin.Halt()
		select {
		case <-ended:
			return
		case <-t.C:
		}
	}
}

// waiter waits for edges.
type waiter struct {
	pin     gpio.PinIn
	longest time.Duration // of one wait
	pause   time.Duration // the last one after a wait that gave up early
}

// edge waits for an edge, at most for w.longest, and returns when it was. A pin
// that gives up early, as a line that was taken away does, is asked again after a
// pause of a second, which doubles up to an hour.
func (w *waiter) edge(ctx context.Context) (edge bool, at time.Time) {
	start := time.Now()
	edge = w.pin.WaitForEdge(w.longest)
	if edge || time.Since(start) >= w.longest {
		w.pause = 0
		return edge, time.Now()
	}
	w.pause = min(max(shortWait, 2*w.pause), longWait)
	t := time.NewTimer(w.pause)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
	return false, time.Now()
}

// settle waits until the line has been quiet for the debounce time.
func settle(ctx context.Context, pin gpio.PinIn) {
	for end := time.Now().Add(noise); time.Now().Before(end) && ctx.Err() == nil; {
		if !pin.WaitForEdge(debounce) {
			return
		}
	}
}
