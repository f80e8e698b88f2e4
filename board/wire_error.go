package board

import (
	"strings"
)

// Problem is something in a Wiring that does not fit the board.
type Problem struct {
	Setting string // "hardware.button.line"
	Text    string // "pin 6 is GND and has no GPIO line"
	Hint    string // what a person can do about it, or empty
	// Optional says that the part may still come, or that nobody asked for it: it
	// is a warning, and the rest is wired.
	Optional bool
}

// String returns the problem in a line, without its hint.
func (p Problem) String() string { return p.Setting + ": " + p.Text }

// WiringError is all that does not fit of a Wiring. At least one of its problems
// is not optional.
type WiringError struct {
	Problems []Problem
	picture  string
}

// Error returns a line for each problem that is not optional.
func (e *WiringError) Error() string {
	var lines []string
	for _, p := range e.Problems {
		if !p.Optional {
			lines = append(lines, p.String())
		}
	}
	return strings.Join(lines, "\n")
}

// Hint returns what a person can do about the first problem that has a hint, and
// where to see the pins.
func (e *WiringError) Hint() string {
	for _, p := range e.Problems {
		if !p.Optional && p.Hint != "" {
			return p.Hint
		}
	}
	return "`mecha-agent board --pinout` shows the pins of this board"
}

// Picture returns the board's header, with the pins that are wired and those that
// are not right: lines of at most 80 columns, or "" when no table has the board.
func (e *WiringError) Picture() string { return e.picture }
