package sim

import (
	"context"
	"sync"
	"time"

	"periph.io/x/conn/v3/gpio"
)

// maxEdges is how many edges wait to be fetched, as in Linux's GPIO character
// device, which keeps 16 for a line.
const maxEdges = 16

// button is a push button to ground, idle high by a resistor. Pressing it makes
// an edge only for who asked for one with In.
type button struct {
	finger chan struct{} // holds one token: one finger at a time

	mu    sync.Mutex
	level gpio.Level
	pull  gpio.Pull
	edge  gpio.Edge
	edges int           // not fetched yet
	turn  int           // grows by In and Halt, which end a wait
	wake  chan struct{} // closed when any of these change
}

func newButton() *button {
	return &button{
		finger: make(chan struct{}, 1),
		level:  gpio.High,
		pull:   gpio.PullNoChange,
		wake:   make(chan struct{}),
	}
}

func (b *button) String() string         { return b.Name() }
func (b *button) Name() string           { return "BUTTON" }
func (b *button) Number() int            { return codeLEDs + 1 }
func (b *button) Function() string       { return string(gpio.IN) }
func (b *button) DefaultPull() gpio.Pull { return gpio.PullNoChange }

// Halt ends a WaitForEdge, as it does for lines of the character device.
func (b *button) Halt() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.turn++
	b.notify()
	return nil
}

// In asks for edges, forgets those that came before and ends a WaitForEdge.
func (b *button) In(pull gpio.Pull, edge gpio.Edge) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.pull, b.edge, b.edges = pull, edge, 0
	b.turn++
	b.notify()
	return nil
}

// Read returns Low while the button is held.
func (b *button) Read() gpio.Level {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.level
}

// Pull returns what In was told.
func (b *button) Pull() gpio.Pull {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.pull
}

// WaitForEdge waits for an edge of the kind that In named, forever when timeout
// is negative. It returns false at once when In named none.
func (b *button) WaitForEdge(timeout time.Duration) bool {
	var late <-chan time.Time
	if timeout >= 0 {
		t := time.NewTimer(timeout)
		defer t.Stop()
		late = t.C
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for turn := b.turn; b.turn == turn && b.edge != gpio.NoEdge; {
		if b.edges > 0 {
			b.edges--
			return true
		}
		wake := b.wake
		b.mu.Unlock()
		timedOut := false
		select {
		case <-wake:
		case <-late:
			timedOut = true
		}
		b.mu.Lock()
		if timedOut {
			return false
		}
	}
	return false
}

// press holds the button for that long, or until ctx ends, and releases it.
func (b *button) press(ctx context.Context, hold time.Duration) error {
	select {
	case b.finger <- struct{}{}:
		defer func() { <-b.finger }()
	case <-ctx.Done():
		return ctx.Err()
	}
	t := time.NewTimer(hold)
	defer t.Stop()
	b.set(gpio.Low)
	defer b.set(gpio.High)
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// set changes the level and makes the edge that belongs to it.
func (b *button) set(level gpio.Level) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.level == level {
		return
	}
	b.level = level
	kind := gpio.FallingEdge
	if level == gpio.High {
		kind = gpio.RisingEdge
	}
	if b.edge&kind != 0 && b.edges < maxEdges {
		b.edges++
		b.notify()
	}
}

// notify wakes who waits; b.mu is held.
func (b *button) notify() {
	close(b.wake)
	b.wake = make(chan struct{})
}

var _ gpio.PinIn = (*button)(nil)
