package gateway

import (
	"context"
	"errors"
	"fmt"
	"testing"
)

// every lists all kinds by name, so that a new one without a row in the table,
// or without a line here, is found out.
var every = []Kind{Internal, BadRequest, TooLarge, Unauthorized, NotFound, Taken, Pending,
	Precondition, TooMany, AlreadyRunning, Unreachable, Deadline, SlowDown}

func TestKindTableIsComplete(t *testing.T) {
	if len(every) != len(kinds) {
		t.Fatalf("%d kinds, the table has %d rows", len(every), len(kinds))
	}
	names := map[string]Kind{}
	for _, k := range every {
		if k.String() == "" || k.HTTPStatus() < 400 || k.GRPCCode() == 0 || k.GRPCCode() > 16 {
			t.Errorf("kind %d: %q, HTTP %d, gRPC %d", k, k, k.HTTPStatus(), k.GRPCCode())
		}
		if other, twice := names[k.String()]; twice {
			t.Errorf("%q names the kinds %d and %d", k, other, k)
		}
		names[k.String()] = k
		if got, ok := KindFromErrorCode(k.String()); !ok || got != k {
			t.Errorf("KindFromErrorCode(%q) = %v, %v", k, got, ok)
		}
	}
	if k, ok := KindFromErrorCode("PROVISIONING_CODE_NOT_FOUND"); ok {
		t.Errorf("a code of another API was read as %v", k)
	}
}

// Without an errorCode a status must lead back to its kind, save for kinds that
// share one.
func TestKindFromStatus(t *testing.T) {
	sameHTTP := map[Kind]Kind{Pending: BadRequest, AlreadyRunning: Taken, SlowDown: TooMany}
	sameGRPC := map[Kind]Kind{TooLarge: BadRequest, Precondition: Pending, SlowDown: TooMany}
	for _, k := range every {
		want := k
		if w, ok := sameHTTP[k]; ok {
			want = w
		}
		if got := KindFromHTTP(k.HTTPStatus()); got != want {
			t.Errorf("KindFromHTTP(%d) = %v, want %v", k.HTTPStatus(), got, want)
		}
		want = k
		if w, ok := sameGRPC[k]; ok {
			want = w
		}
		if got := KindFromGRPC(k.GRPCCode()); got != want {
			t.Errorf("KindFromGRPC(%d) = %v, want %v", k.GRPCCode(), got, want)
		}
	}
	for status, want := range map[int]Kind{403: Unauthorized, 408: Deadline, 418: BadRequest, 502: Unreachable, 507: Internal, 304: Internal} {
		if got := KindFromHTTP(status); got != want {
			t.Errorf("KindFromHTTP(%d) = %v, want %v", status, got, want)
		}
	}
	for code, want := range map[uint32]Kind{7: Unauthorized, 2: Internal, 12: Internal, 99: Internal} {
		if got := KindFromGRPC(code); got != want {
			t.Errorf("KindFromGRPC(%d) = %v, want %v", code, got, want)
		}
	}
}

// The codes that CONTRACT.md promises to clients of the agent.
func TestKindCodesOfTheContract(t *testing.T) {
	for k, want := range map[Kind]uint32{Unauthorized: 16, NotFound: 5, BadRequest: 3, Unreachable: 14,
		AlreadyRunning: 10, Precondition: 9, Deadline: 4, Internal: 13} {
		if got := k.GRPCCode(); got != want {
			t.Errorf("%v has gRPC code %d, want %d", k, got, want)
		}
	}
}

func TestUnknownKindIsInternal(t *testing.T) {
	k := Kind(200)
	if k.String() != "internal" || k.HTTPStatus() != 500 || k.GRPCCode() != 13 {
		t.Errorf("kind 200: %q, HTTP %d, gRPC %d", k, k.HTTPStatus(), k.GRPCCode())
	}
}

func TestErrorTextKindAndHint(t *testing.T) {
	cause := errors.New("cause")
	inner := &Error{Kind: Taken, Step: "announcing the code", Err: cause, Advice: "make another"}
	err := fmt.Errorf("provisioning: %w", inner)
	if got := err.Error(); got != "provisioning: announcing the code: cause" {
		t.Errorf("text %q", got)
	}
	if KindOf(err) != Taken || HintOf(err) != "make another" || !errors.Is(err, cause) {
		t.Errorf("kind %v, hint %q", KindOf(err), HintOf(err))
	}
	if got := (&Error{Kind: Pending}).Error(); got != "authorization_pending" {
		t.Errorf("text without step and cause: %q", got)
	}
	if got := KindOf(fmt.Errorf("x: %w", context.DeadlineExceeded)); got != Deadline {
		t.Errorf("kind of a deadline: %v", got)
	}
	if got := KindOf(cause); got != Internal {
		t.Errorf("kind of any error: %v", got)
	}
	joined := errors.Join(cause, &Error{Step: "no advice", Err: inner})
	if got := HintOf(joined); got != "make another" {
		t.Errorf("hint through Join and an empty one: %q", got)
	}
	if got := HintOf(cause); got != "" {
		t.Errorf("hint of any error: %q", got)
	}
}
