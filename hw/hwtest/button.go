package hwtest

import (
	"context"
	"errors"
	"sync"
	"time"

	"periph.io/x/conn/v3/gpio"
	"periph.io/x/conn/v3/physic"
	"periph.io/x/conn/v3/pin"
)

// Pin is an input line with a button. Unlike gpiotest.Pin its level changes when
// the line does and not when the edge is fetched, its Halt interrupts a
// WaitForEdge, and it counts the calls, so that busy polling shows.
type Pin struct {
	mu    sync.Mutex
	level gpio.Level
	pull  gpio.Pull
	edge  gpio.Edge
	waits int
	takes int
	err   error // of In
	fails int   // how often In is to fail yet; -1: always
	gone  bool
	back  bool // the next In finds the line again
	deaf  bool
	drop  int
	slow  time.Duration // from Halt to the end of the wait

	edges chan struct{}
	halt  chan struct{}
}

// NewPin returns a line at level. Make it inside the bubble in a synctest.
func NewPin(level gpio.Level) *Pin {
	return &Pin{level: level, edges: make(chan struct{}, 16), halt: make(chan struct{}, 1)}
}

// Lose changes the level, and the edge of it is lost.
func (p *Pin) Lose(l gpio.Level) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.level = l
}

// Set changes the level and queues an edge, as the kernel does: 16 at most.
func (p *Pin) Set(l gpio.Level) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.level == l {
		return
	}
	p.level = l
	if p.edge == gpio.NoEdge || p.gone {
		return
	}
	select {
	case p.edges <- struct{}{}:
	default: // lost, as in the kernel
	}
}

// FailIn makes In fail with err the next so many times; with a negative number until
// FailIn is called again.
func (p *Pin) FailIn(err error, times int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.err, p.fails = err, times
}

// TakeAway makes the line that of a chip that was unplugged: the wait that goes on and
// those to come give up at once, Read returns High, and In fails with err. With no
// err In works, and yet nothing is to be had from the line.
func (p *Pin) TakeAway(err error) {
	p.FailIn(err, -1)
	p.mu.Lock()
	p.gone, p.back = true, false
	p.mu.Unlock()
	p.Hitch()
}

// GiveBack plugs the chip in again. The next In finds the line at the level of the
// last Set.
func (p *Pin) GiveBack() {
	p.FailIn(nil, 0)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.back = true
}

// Hitch makes the wait that goes on, or else the next one, give up early.
func (p *Pin) Hitch() {
	select {
	case p.halt <- struct{}{}:
	default:
	}
}

// Deafen makes Halt switch the edges off instead of interrupting a WaitForEdge, as
// it does for lines of sysfs.
func (p *Pin) Deafen() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.deaf = true
}

// DropHalts makes the next n calls of Halt do nothing, as for a gpioioctl line
// when WaitForEdge begins just after them.
func (p *Pin) DropHalts(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.drop = n
}

// SlowHalts makes Halt end a wait only so much later, as a processor does that has
// other things to do.
func (p *Pin) SlowHalts(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.slow = d
}

// Waits returns how often WaitForEdge was called.
func (p *Pin) Waits() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.waits
}

// Takes returns how often In was called.
func (p *Pin) Takes() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.takes
}

// In sets the line up as an input, and forgets the edges from before.
func (p *Pin) In(pull gpio.Pull, edge gpio.Edge) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.takes++
	if p.err != nil && p.fails != 0 {
		p.fails = max(p.fails-1, -1)
		return p.err
	}
	p.pull, p.edge = pull, edge
	p.gone, p.back = p.gone && !p.back, false
	for len(p.edges) > 0 {
		<-p.edges
	}
	return nil
}

// Read returns the level, High when the line is gone.
func (p *Pin) Read() gpio.Level {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.level || gpio.Level(p.gone)
}

// WaitForEdge waits for an edge, for the time-out, or for Halt.
func (p *Pin) WaitForEdge(timeout time.Duration) bool {
	p.mu.Lock()
	p.waits++
	gone := p.gone || p.edge == gpio.NoEdge
	p.mu.Unlock()
	if gone {
		return false
	}
	if timeout <= 0 {
		panic("hwtest: a time-out of 0 or less means different things to different pins")
	}
	t := time.NewTimer(timeout)
	defer t.Stop()
	select {
	case <-p.edges:
		return true
	case <-p.halt:
		return false
	case <-t.C:
		return false
	}
}

// Halt interrupts a WaitForEdge, or the next one.
func (p *Pin) Halt() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.drop > 0:
		p.drop--
		return nil
	case p.deaf:
		p.edge = gpio.NoEdge
		return nil
	case p.slow > 0:
		time.AfterFunc(p.slow, p.Hitch)
		return nil
	}
	p.Hitch()
	return nil
}

// Pull returns the resistor that In was given.
func (p *Pin) Pull() gpio.Pull {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.pull
}

// Edge returns the edges that In was given.
func (p *Pin) Edge() gpio.Edge {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.edge
}

// Out fails: the line is an input.
func (p *Pin) Out(gpio.Level) error { return errors.New("an output on the button's line") }

// PWM fails: the line is an input.
func (p *Pin) PWM(gpio.Duty, physic.Frequency) error { return p.Out(gpio.Low) }

// DefaultPull returns PullNoChange, as lines of the kernel do.
func (p *Pin) DefaultPull() gpio.Pull { return gpio.PullNoChange }

// String returns the name.
func (p *Pin) String() string { return p.Name() }

// Name returns BUTTON.
func (p *Pin) Name() string { return "BUTTON" }

// Number returns 0.
func (p *Pin) Number() int { return 0 }

// Function returns what the line is for.
func (p *Pin) Function() string { return string(p.Func()) }

// Func returns what the line is for.
func (p *Pin) Func() pin.Func { return gpio.IN }

var _ gpio.PinIO = (*Pin)(nil)

// Presser is a finger on a button that is active low. Set is called with every
// level of the line, bouncing included: Pin.Set, or for a gpiotest.Pin
// `func(l gpio.Level) { pin.EdgesChan <- l }`.
type Presser struct {
	Set func(gpio.Level)
	// Bounces is how often the contact opens and closes again on its way, a
	// millisecond each time.
	Bounces int
}

// Press holds the button down for the given time, bouncing included, and returns
// when it is up and quiet, or with ctx's error when that ends first.
func (f Presser) Press(ctx context.Context, held time.Duration) error {
	took, err := f.contact(ctx, gpio.Low)
	if err == nil {
		err = wait(ctx, held-took)
	}
	if err != nil {
		return err
	}
	_, err = f.contact(ctx, gpio.High)
	return err
}

// contact brings the line to level, bouncing.
func (f Presser) contact(ctx context.Context, level gpio.Level) (took time.Duration, err error) {
	f.Set(level)
	for range f.Bounces {
		for _, l := range [...]gpio.Level{!level, level} {
			if err := wait(ctx, time.Millisecond); err != nil {
				return took, err
			}
			took += time.Millisecond
			f.Set(l)
		}
	}
	return took, nil
}

func wait(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
