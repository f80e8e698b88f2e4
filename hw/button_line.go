package hw

import (
	"context"
	"time"

	"periph.io/x/conn/v3/gpio"
)

const (
	// debounce is how long a contact must be quiet to count. Push buttons bounce
	// for up to 20 ms or so.
	debounce = 30 * time.Millisecond
	// noise ends the wait for quiet on a line that never is, such as one that
	// floats.
	noise = time.Second
	// longWait bounds one wait for an edge on a pin whose Halt interrupts it,
	// shortWait on one that would hold Run up when ctx ends. A line that works for
	// shortWait works.
	longWait  = time.Hour
	shortWait = time.Second
	// How Button finds out which of them a pin is: it halts a wait of probeWait
	// after probeHalt. The rest of it is for processors with other things to do: the
	// agent starts when all the board does, and what is found out then stays.
	probeWait  = 500 * time.Millisecond
	probeHalt  = 20 * time.Millisecond
	probeTries = 3
	// haltAgain is the time from one Halt to the next until Run has ended.
	haltAgain = 10 * time.Millisecond
	// leastWait is the shortest wait for an edge: pins differ in what 0 means. Clocks
	// of different grain make a wait shorter by no more than this.
	leastWait = time.Millisecond
)

// deafError is what a line does that is taken and yet tells of no edges.
type deafError struct{ pin string }

func (e deafError) Error() string { return "line " + e.pin + " tells of no edges" }

// noisyError is what a line does that is never quiet.
type noisyError struct{ pin string }

func (e noisyError) Error() string { return "line " + e.pin + " does not come to rest" }

// Hint returns what a person can do about it.
func (e noisyError) Hint() string {
	return "a line without a pull-up resistor floats: is the button connected, and to this line?"
}

// look returns whether the button is down. After an edge, or when the level is not
// the one that is known, the line must be quiet first. alive is false when the line
// has given up.
//
// The level counts, not the number of edges: some of a bouncing contact are lost
// when the kernel's queue is full. The last change is not: an edge that comes after
// the one that was taken ends the next wait at once.
func (b *Button) look(ctx context.Context, edge bool) (down, alive bool, err error) {
	down = b.pin.Read() == gpio.Low
	if !edge && down == b.finger.isDown() {
		return down, true, nil
	}
	for end := time.Now().Add(noise); ctx.Err() == nil; {
		// Before the wait: a line that is gone reads as released, and does not wait.
		down = b.pin.Read() == gpio.Low
		edge, alive = b.wait(debounce)
		if !edge {
			return down, alive, nil
		}
		if !time.Now().Before(end) {
			return false, true, noisyError{b.pin.Name()}
		}
	}
	return false, false, nil
}

// patience is how long to wait for an edge.
func (b *Button) patience() time.Duration {
	d := b.longest
	if b.outage.broken() {
		d = shortWait // then it is known to work again
	}
	if at, ok := b.finger.next(); ok {
		d = min(d, max(leastWait, time.Until(at)))
	}
	return d
}

// wait waits for an edge for d. The line is not alive when it has given up before
// that.
func (b *Button) wait(d time.Duration) (edge, alive bool) {
	start := time.Now()
	edge = b.pin.WaitForEdge(d)
	return edge, edge || time.Since(start) >= d-leastWait
}

// interruptible finds out whether the pin's Halt ends a WaitForEdge, by doing it: the
// wait ends before its time, however late Halt was. An edge in between tells nothing:
// it tries again then. An error means that the line does not wait at all: once may be
// a Halt of the try before.
func (b *Button) interruptible(ctx context.Context) (bool, error) {
	early := 0
	for try := 1; try <= probeTries && ctx.Err() == nil; try++ {
		halted := make(chan struct{})
		t := time.AfterFunc(probeHalt, func() { b.pin.Halt(); close(halted) })
		_, alive := b.wait(probeWait)
		if t.Stop() { // not halted
			if !alive {
				early++
			}
			if early > 1 {
				return false, deafError{b.pin.Name()}
			}
		} else {
			<-halted
			if !alive {
				return true, nil
			}
		}
		if err := b.take(); err != nil { // lines of board/host remember a Halt until then
			return false, err
		}
	}
	return false, nil
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
