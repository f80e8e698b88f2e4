// Package hw is what a person sees and touches: displays, LEDs, the button and
// the console. It is given parts (periph pins and buses) and a View to show; it
// knows neither which board it runs on nor what the view is about.
package hw

import (
	"errors"
	"time"
)

// ErrAbsent is what a Screen wraps when nothing is there and nobody said that
// there would be: a panel tries again, and does not complain.
var ErrAbsent = errors.New("not connected")

// Mode is what the panel is to say.
type Mode uint8

// The modes of a panel.
const (
	ModeIdle    Mode = iota // nothing runs; press the button
	ModeWaiting             // at work on getting a code: asking the gateway
	ModeCode                // a code stands and waits for its claim
	ModeWorking             // claimed; the certificate is on its way
	ModeDone                // the machine has its identity
	ModeFailed              // it failed; Error and Hint say why
	ModeReset               // the button is held since Made; from Expires on, letting go removes the identity
)

var modeNames = [...]string{"idle", "waiting", "code", "working", "done", "failed", "reset"}

// String names the mode in lower case: "idle".
func (m Mode) String() string {
	if int(m) >= len(modeNames) {
		return "unknown"
	}
	return modeNames[m]
}

// View is the content of a panel. Every display makes of it what fits.
type View struct {
	Mode      Mode
	Code      string
	Made      time.Time // when the code was made
	Expires   time.Time // when it ends
	Key       string    // fingerprint of the key behind the code, hex, for the console
	ClaimURL  string    // drawn as a QR code where there is room
	Step      string    // state and step in words
	MachineID string
	Keystore  string // where the key is, in words; shown at rest where there is room
	Error     string
	Hint      string
}

// Screen is a display that shows views. Show draws once and returns; an error
// means that the display could not be written to.
type Screen interface {
	Show(v View, now time.Time) error
	// Sleep makes the display dark until the next Show. What has no light of its own
	// does nothing.
	Sleep() error
	// Close blanks the display and frees the bus.
	Close() error
}
