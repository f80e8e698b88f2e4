package ca

import "errors"

// Errors of Local; compare with errors.Is.
var (
	// ErrPolicy is wrapped by every refusal to sign or to make a certificate
	// because of what was asked for: key, machine id, name.
	ErrPolicy = errors.New("refused by the CA's policy")
	// ErrEnded means that the intermediate's time is over.
	ErrEnded = errors.New("the intermediate certificate has ended")

	// ErrClock means that the machine's clock cannot be right, so no CA is made.
	ErrClock = errors.New("the clock is not set")

	ErrExposed = errors.New("a CA key or its folder is open to others")
	ErrMissing = errors.New("a part of the CA is missing")
	ErrDamaged = errors.New("a part of the CA is damaged")
	// ErrMismatch means that the parts are not of one CA: a key of another
	// certificate, an intermediate of another root.
	ErrMismatch = errors.New("the parts of the CA do not belong together")
	ErrBusy     = errors.New("another process is opening the CA")
)

// hintError is an error that a person can mend.
type hintError struct {
	error
	hint string
}

func (e hintError) Hint() string  { return e.hint }
func (e hintError) Unwrap() error { return e.error }

func hinted(err error, hint string) error { return hintError{err, hint} }
