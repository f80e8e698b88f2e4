package hw

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"periph.io/x/conn/v3/gpio"
)

// ButtonConfig is what a Button is made of.
type ButtonConfig struct {
	Pin  gpio.PinIn    // low while the button is down; its pull-up is asked for. nil: a board without a button
	Hold time.Duration // from the first contact to GestureArmed; 5 s when not positive, 2 s at least
	Do   func(Event)   // is told of gestures, one after the other; it must return soon. nil: nobody is
	Log  *slog.Logger  // nil: no log
}

const (
	defaultHold = 5 * time.Second
	leastHold   = 2 * holdFrom // who presses a bit long must not remove an identity
)

// Button is a push button, from which it makes gestures. A nil *Button is one that
// nobody presses.
type Button struct {
	pin    gpio.PinIn
	outage *outage
	finger finger

	// Of Run alone.
	longest time.Duration // of one wait
	opened  time.Time     // when the line was taken
}

// NewButton returns a button that is watched once Run is called.
func NewButton(c ButtonConfig) *Button {
	if c.Hold <= 0 {
		c.Hold = defaultHold
	}
	if c.Do == nil {
		c.Do = func(Event) {}
	}
	return &Button{pin: c.Pin, outage: newOutage(c.Log, "the button"),
		finger: finger{hold: max(c.Hold, leastHold), do: c.Do}}
}

// Trouble returns why the button cannot be watched just now, and in brackets what
// can be done about it; "" when it can.
func (b *Button) Trouble() string {
	if b == nil {
		return ""
	}
	return b.outage.trouble()
}

// Run watches the button until ctx ends, and returns nil. A button that is held
// down (or shorted) at the start does nothing until it is released. A line that
// cannot be had or goes away does not end it: it is tried again after a second,
// doubling up to a minute, which is logged once, as is that it works again. While
// the error has a method Soon that returns true (another process of this program
// looks at the line), it is tried every second for the first minute: who presses
// meanwhile presses again. Call Run once.
//
// Between presses it sleeps; while the button is down it wakes when that begins to
// mean something else. periph's WaitForEdge knows no context; what can end it is
// the pin's Halt, which does so for lines of board/host (and for the simulated
// board's), but not for those of sysfs, where it switches the edges off. No
// interface tells, so Run tries it at the start. Where Halt interrupts, Run wakes
// once an hour and ends at once with ctx; elsewhere it wakes every second, and
// ends at the latest a second after ctx.
func (b *Button) Run(ctx context.Context) error {
	if b == nil || b.pin == nil {
		<-ctx.Done()
		return nil
	}
	ended := make(chan struct{})
	defer close(ended)
	stop := context.AfterFunc(ctx, func() { halt(b.pin, ended) })
	defer stop()
	for ctx.Err() == nil {
		err := b.open(ctx)
		if err == nil {
			err = b.watch(ctx)
		}
		if ctx.Err() != nil {
			break
		}
		b.finger.saw(isLost, time.Now())
		b.outage.note(err)
		pause := time.NewTimer(b.outage.retry)
		select {
		case <-ctx.Done():
		case <-pause.C:
		}
		pause.Stop()
	}
	return nil
}

// open takes the line and finds out what it can do.
func (b *Button) open(ctx context.Context) error {
	if err := b.take(); err != nil {
		return err
	}
	// The first wait readies a gpioioctl line for Halt and empties it of edges
	// from before, of which the kernel keeps 16.
	for i := 0; i < 16 && b.pin.WaitForEdge(leastWait); i++ {
	}
	if b.pin.Read() == gpio.High {
		b.finger.saw(goesUp, time.Now())
	}
	interrupts, err := b.interruptible(ctx)
	if err != nil {
		return err
	}
	b.longest = shortWait
	if interrupts {
		b.longest = longWait
	}
	// Once more, for the pins whose Halt has switched the edges off.
	return b.take()
}

// take asks for the line.
func (b *Button) take() error {
	b.opened = time.Now()
	if err := b.pin.In(gpio.PullUp, gpio.BothEdges); err != nil {
		return fmt.Errorf("watching %s: %w", b.pin.Name(), err)
	}
	return nil
}

// watch follows the line until ctx ends or the line does.
func (b *Button) watch(ctx context.Context) error {
	edge, lasted := true, false
	at := time.Now()
	for ctx.Err() == nil {
		down, alive, err := b.look(ctx, edge)
		if err != nil {
			return err
		}
		if alive {
			if lasted {
				b.outage.note(nil)
			}
			b.finger.level(down, at)
			edge, alive = b.wait(b.patience())
			at, lasted = time.Now(), true
		}
		if !alive && ctx.Err() == nil {
			if err := b.retake(); err != nil {
				return err
			}
			edge, at, lasted = true, time.Now(), false
		}
	}
	return nil
}

// retake takes a line again that has given up early. That is how it says that it is
// gone, but it may be no more than a hitch: who holds the button goes on. The second
// time in a row it is gone.
func (b *Button) retake() error {
	if time.Since(b.opened) < shortWait {
		return deafError{b.pin.Name()}
	}
	if err := b.take(); err != nil {
		return err
	}
	if b.finger.isDown() && b.pin.Read() == gpio.High {
		b.finger.saw(isLost, time.Now()) // when was it let go, and was it?
	}
	return nil
}
