package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/mecha-org/mecha-agent/gateway"
	"github.com/mecha-org/mecha-agent/settings"
)

// The exit codes that every program has. Those of its own follow ExitUsage.
const (
	ExitOK      = iota // done
	ExitFailure        // failed, and no other code says how
	ExitUsage          // wrong usage or settings
)

// Codes are the exit codes of a program's own.
type Codes struct {
	Declined int                  // a person said no at the prompt, or interrupted it
	Kinds    map[gateway.Kind]int // by the kind of error; a kind that is not here is ExitFailure
}

// of returns the exit code of an error: what Fail gave it, else ExitUsage for
// bad settings, else that of its kind.
func (c Codes) of(err error) int {
	var own failure
	var bad *settings.Error
	switch {
	case err == nil:
		return ExitOK
	case errors.Is(err, errDeclined):
		return c.Declined
	case errors.As(err, &own):
		return own.code
	case errors.As(err, &bad):
		return ExitUsage
	}
	if code, ok := c.Kinds[gateway.KindOf(err)]; ok {
		return code
	}
	return ExitFailure
}

// failure is an error with an exit code and a hint of its own.
type failure struct {
	error
	code int
	hint string
}

// Hint returns what a person can do, or "".
func (f failure) Hint() string { return f.hint }

// Unwrap returns the cause.
func (f failure) Unwrap() error { return f.error }

// Fail gives an error an exit code and a hint, which may be "": what a person
// can do about it.
func Fail(code int, err error, hint string) error { return failure{err, code, hint} }

// Usage is Fail with ExitUsage: what a person typed or set is wrong.
func Usage(err error, hint string) error { return Fail(ExitUsage, err, hint) }

// complain prints an error and its hint on stderr, each line after the
// program's name. Between them stands the picture of an error that has one.
func (p *Program) complain(name string, err error) {
	for line := range strings.Lines(err.Error()) {
		if line = strings.TrimSpace(line); line != "" {
			fmt.Fprintf(p.Stderr, "%s: %s\n", name, Clean(line))
		}
	}
	var pictured interface{ Picture() string }
	if errors.As(err, &pictured) && pictured.Picture() != "" {
		fmt.Fprintf(p.Stderr, "\n%s\n", strings.Trim(pictured.Picture(), "\n"))
	}
	if hint := gateway.HintOf(err); hint != "" {
		fmt.Fprintf(p.Stderr, "%s: hint: %s\n", name, Clean(hint))
	}
}
