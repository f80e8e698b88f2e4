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
	// buttonWait bounds one wait for an edge, see Button.
	buttonWait = time.Second
)

// Button calls handle for every press of the button on pin, when it is released,
// until ctx ends; then it returns nil. The button pulls the line to ground; pin's
// pull-up is asked for. It sleeps until the line changes. A button that is held
// down (or shorted) at the start counts from its release on. handle must return
// soon: presses during it are lost.
//
// periph's WaitForEdge knows no context. It is called with a bound of a second
// (0 and -1 mean "for ever" to some pins and "not at all" to others) and
// interrupted by pin.Halt, which works for lines of gpioioctl. So at the latest
// a second after ctx has ended Button has returned.
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
	stop := context.AfterFunc(ctx, func() { pin.Halt() })
	defer stop()

	var down time.Time // zero while the button is up
	stuck := pin.Read() == gpio.Low
	for ctx.Err() == nil {
		edge, at := waitEdge(ctx, pin)
		if edge {
			settle(ctx, pin)
		}
		if ctx.Err() != nil {
			return nil
		}
		// The level is read after a quiet second too: edges may be lost.
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

// waitEdge waits for an edge, at most buttonWait, and returns when it was. A pin
// that gives up early, as a line that was taken away does, is not asked again
// before the time is over.
func waitEdge(ctx context.Context, pin gpio.PinIn) (edge bool, at time.Time) {
	end := time.Now().Add(buttonWait)
	if pin.WaitForEdge(buttonWait) {
		return true, time.Now()
	}
	if rest := time.Until(end); rest > 0 && ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-time.After(rest):
		}
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
