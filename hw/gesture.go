package hw

import "time"

// Gesture is what a finger does on the button.
type Gesture uint8

// The gestures. A hold that is let go in time is a GestureHold and a GestureCancel;
// one that is not is a GestureHold, a GestureArmed and a GestureReset.
const (
	GesturePress  Gesture = iota + 1 // released before HoldFrom
	GestureHold                      // still down after HoldFrom: the countdown to Event.Armed begins
	GestureArmed                     // still down at Event.Armed: letting go means GestureReset now
	GestureReset                     // released after GestureArmed
	GestureCancel                    // released before GestureArmed, down for too long, or lost from sight
)

var gestureNames = [...]string{"none", "press", "hold", "armed", "reset", "cancel"}

// String names the gesture in lower case: "press".
func (g Gesture) String() string {
	if int(g) >= len(gestureNames) {
		return "unknown"
	}
	return gestureNames[g]
}

// Event is a gesture, and when it began.
type Event struct {
	Gesture Gesture
	Down    time.Time // the first contact
	Armed   time.Time // Down and the time to hold: when letting go begins to mean GestureReset
}
