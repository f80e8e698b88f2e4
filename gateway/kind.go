package gateway

import (
	"context"
	"errors"
	"net/http"
	"time"
)

// Kind is the kind of an error that crosses a wire. This file is the one list;
// HTTP statuses, gRPC codes and the errorCode of the envelope follow from it.
type Kind uint8

// The kinds. The zero value is Internal, so that an error without a kind is
// never mistaken for one that a caller may act upon.
const (
	Internal       Kind = iota
	BadRequest          // the request can never succeed as it is
	TooLarge            // the body exceeds the limit
	Unauthorized        // credential missing, wrong, expired or used up
	NotFound            // no such code, machine, route
	Taken               // the code is in use: make another
	Pending             // no operator has claimed the code yet (RFC 8628, authorization_pending)
	Precondition        // wrong state for this request
	TooMany             // a rate limit, which counts others at the same address too
	AlreadyRunning      // another request is at work
	Unreachable         // the other side could not be asked
	Deadline            // it did not answer in time
	SlowDown            // nobody claimed the code yet, and it was asked for too soon (RFC 8628, slow_down)
)

// kinds maps a kind to its names on the wires. The gRPC codes are those of
// google.golang.org/grpc/codes, as numbers so that the device's state machine
// does not link gRPC.
var kinds = [...]struct {
	errorCode string
	http      int
	grpc      uint32
}{
	Internal:       {"internal", http.StatusInternalServerError, 13},
	BadRequest:     {"bad_request", http.StatusBadRequest, 3},
	TooLarge:       {"too_large", http.StatusRequestEntityTooLarge, 3},
	Unauthorized:   {"unauthorized", http.StatusUnauthorized, 16},
	NotFound:       {"not_found", http.StatusNotFound, 5},
	Taken:          {"code_taken", http.StatusConflict, 6},
	Pending:        {"authorization_pending", http.StatusBadRequest, 9},
	Precondition:   {"precondition", http.StatusPreconditionFailed, 9},
	TooMany:        {"too_many_requests", http.StatusTooManyRequests, 8},
	AlreadyRunning: {"already_running", http.StatusConflict, 10},
	Unreachable:    {"unreachable", http.StatusServiceUnavailable, 14},
	Deadline:       {"deadline", http.StatusGatewayTimeout, 4},
	SlowDown:       {"slow_down", http.StatusTooManyRequests, 8},
}

// String returns the kind's errorCode.
func (k Kind) String() string { return kinds[k.known()].errorCode }

// HTTPStatus returns the HTTP status that stands for the kind.
func (k Kind) HTTPStatus() int { return kinds[k.known()].http }

// GRPCCode returns the number of the gRPC code that stands for the kind.
func (k Kind) GRPCCode() uint32 { return kinds[k.known()].grpc }

// known reads a number that is no kind as Internal.
func (k Kind) known() Kind {
	if int(k) >= len(kinds) {
		return Internal
	}
	return k
}

// KindFromErrorCode reads an envelope's errorCode; false when it is not ours.
func KindFromErrorCode(s string) (Kind, bool) {
	for k := range kinds {
		if kinds[k].errorCode == s {
			return Kind(k), true
		}
	}
	return Internal, false
}

// KindFromHTTP reads an HTTP status that came without an errorCode of ours.
func KindFromHTTP(status int) Kind {
	switch status {
	case http.StatusForbidden:
		return Unauthorized
	case http.StatusConflict:
		return Taken
	case http.StatusRequestTimeout:
		return Deadline
	case http.StatusBadGateway:
		return Unreachable
	}
	for k := range kinds {
		if kinds[k].http == status && Kind(k) != Pending {
			return Kind(k)
		}
	}
	if status >= 400 && status < 500 {
		return BadRequest
	}
	return Internal
}

// KindFromGRPC reads a gRPC code that came without an errorCode of ours.
func KindFromGRPC(code uint32) Kind {
	if code == 7 { // PERMISSION_DENIED, the Forbidden of KindFromHTTP
		return Unauthorized
	}
	for k := range kinds {
		if kinds[k].grpc == code && Kind(k) != TooLarge {
			return Kind(k)
		}
	}
	return Internal
}

// Error is an error with a kind. Its text says which step failed and why, and
// never holds a code, a token or a key.
type Error struct {
	Kind       Kind
	Step       string        // the action in progress: "announcing the code"
	Err        error         // why
	Advice     string        // what a person can do, or empty
	RetryAfter time.Duration // with TooMany, SlowDown and Unreachable: how long to wait, 0 when not told
}

// Error returns "step: why".
func (e *Error) Error() string {
	why := e.Kind.String()
	if e.Err != nil {
		why = e.Err.Error()
	}
	if e.Step == "" {
		return why
	}
	return e.Step + ": " + why
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Hint returns what a person can do about the error, or "".
func (e *Error) Hint() string { return e.Advice }

// ErrNoAnnounce is what a client's Announce wraps when the gateway has no such
// route: it is the original cloud, which knows neither device codes nor tokens.
var ErrNoAnnounce = errors.New("the gateway has no announce route")

// KindOf returns the kind of err: that of the first *Error in its chain,
// Deadline for context.DeadlineExceeded, else Internal.
func KindOf(err error) Kind {
	var e *Error
	switch {
	case errors.As(err, &e):
		return e.Kind
	case errors.Is(err, context.DeadlineExceeded):
		return Deadline
	}
	return Internal
}

// HintOf returns the first non-empty hint in err's chain: any error with a
// Hint() string method may carry one.
func HintOf(err error) string {
	for err != nil {
		if h, ok := err.(interface{ Hint() string }); ok && h.Hint() != "" {
			return h.Hint()
		}
		switch u := err.(type) {
		case interface{ Unwrap() error }:
			err = u.Unwrap()
		case interface{ Unwrap() []error }:
			for _, e := range u.Unwrap() {
				if h := HintOf(e); h != "" {
					return h
				}
			}
			return ""
		default:
			return ""
		}
	}
	return ""
}
