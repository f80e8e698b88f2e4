package hw

import "time"

// Gesture is what a finger does on the button.
type Gesture uint8

// The gestures. A button that is held makes a GestureHold and then, when it is let
// go in time, a GestureCancel, else a GestureArmed and a GestureReset.
const (
	GesturePress  Gesture = iota + 1 // released within a second
	GestureHold                      // still down after a second: the countdown to Event.Armed begins
	GestureArmed                     // still down at Event.Armed: letting go means GestureReset from here on
	GestureReset                     // released after GestureArmed
	GestureCancel                    // released between the two, still down 30 s after Event.Armed, or the button was lost from sight
)

var gestureNames = [...]string{"none", "press", "hold", "armed", "reset", "cancel"}

// String names the gesture in lower case: "press".
func (g Gesture) String() string {
	if int(g) >= len(gestureNames) {
		return "unknown"
	}
	return gestureNames[g]
}

// Event is a gesture, and when it began. Times are those of time.Now.
type Event struct {
	Gesture Gesture
	Down    time.Time // of the first contact
	Armed   time.Time // Down and ButtonConfig.Hold
}

// When a button that is down is more than a press, and when it is stuck.
const (
	holdFrom   = time.Second
	stuckAfter = 30 * time.Second // and it was armed
)

// contact is where a button stands.
type contact uint8

const (
	stuck   contact = iota // down, and nobody knows why; also where it begins
	up                     // nobody is there
	pressed                // down, perhaps for a press
	held                   // down, counting
	armed                  // down, and counted to the end
)

// happening is what is seen of a button.
type happening uint8

const (
	goesDown happening = iota
	goesUp
	staysDown // until the time of the row
	isLost    // the line is gone, or does not come to rest
)

// gestures is all that a button can do. Rows that are not there change nothing. A
// button moves on to what letting go would do only when it is seen down at that
// time: what is late or lost makes less happen, not more.
var gestures = [...]struct {
	from contact
	when happening
	hold bool          // after ButtonConfig.Hold and
	more time.Duration // this much, both from the first contact
	to   contact
	make Gesture // 0: none
}{
	{from: stuck, when: goesUp, to: up},
	{from: up, when: goesDown, to: pressed},
	{from: up, when: isLost, to: stuck},
	{from: pressed, when: goesUp, to: up, make: GesturePress},
	{from: pressed, when: staysDown, more: holdFrom, to: held, make: GestureHold},
	{from: pressed, when: isLost, to: stuck},
	{from: held, when: goesUp, to: up, make: GestureCancel},
	{from: held, when: staysDown, hold: true, to: armed, make: GestureArmed},
	{from: held, when: isLost, to: stuck, make: GestureCancel},
	{from: armed, when: goesUp, to: up, make: GestureReset},
	{from: armed, when: staysDown, hold: true, more: stuckAfter, to: stuck, make: GestureCancel},
	{from: armed, when: isLost, to: stuck, make: GestureCancel},
}

// finger makes gestures of what is seen of a button.
type finger struct {
	hold time.Duration
	do   func(Event)

	state contact
	down  time.Time // of the first contact, in pressed, held and armed
}

// saw takes what was seen of the button at a time.
func (f *finger) saw(h happening, at time.Time) {
	for _, g := range gestures {
		if g.from != f.state || g.when != h || h == staysDown && at.Before(f.after(g.hold, g.more)) {
			continue
		}
		if h == goesDown {
			f.down = at
		}
		f.state = g.to
		if g.make != 0 {
			f.do(Event{Gesture: g.make, Down: f.down, Armed: f.down.Add(f.hold)})
		}
		if h != staysDown { // else, late, it may be time for the next row, too
			return
		}
	}
}

// next returns when staying down makes a difference, if it does.
func (f *finger) next() (at time.Time, ok bool) {
	for _, g := range gestures {
		if g.from == f.state && g.when == staysDown {
			return f.after(g.hold, g.more), true
		}
	}
	return time.Time{}, false
}

func (f *finger) after(hold bool, more time.Duration) time.Time {
	if hold {
		more += f.hold
	}
	return f.down.Add(more)
}

// level takes what the line shows now, and since when it does if that is new.
func (f *finger) level(down bool, since time.Time) {
	switch {
	case down && f.state == up:
		f.saw(goesDown, since)
	case !down && f.isDown():
		f.saw(goesUp, since)
	case down:
		f.saw(staysDown, time.Now())
	}
}

func (f *finger) isDown() bool { return f.state != up }
