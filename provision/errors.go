package provision

import (
	"context"
	"errors"
	"io/fs"

	"github.com/mecha-org/mecha-agent/gateway"
)

// The steps, as errors and Status name them.
const (
	stepPing     = "asking the gateway"
	stepKey      = "opening the key"
	stepAnnounce = "announcing the code"
	stepSession  = "saving the session"
	stepRestore  = "reading the identity"
	stepAsk      = "asking for the claim"
	stepClosing  = "asking whether the last code was claimed"
	stepSign     = "requesting the certificate"
	stepStore    = "storing the identity"
	stepByCode   = "provisioning by code"
	stepRemove   = "removing the identity"
)

var (
	// errGone ends an offer: the code expired, here or at the gateway.
	errGone     = errors.New("the code has ended")
	errStopping = &gateway.Error{Kind: gateway.Unreachable, Err: errors.New("the agent is stopping")}
	errBusy     = &gateway.Error{Kind: gateway.AlreadyRunning, Err: errors.New("another request is at work"),
		Advice: "wait for it to end, then try again"}
)

// failed gives err the step that it happened in, and keeps its kind and hint.
func failed(step string, err error) error {
	e := &gateway.Error{Kind: gateway.KindOf(err), Step: step, Err: err, Advice: gateway.HintOf(err)}
	var inner *gateway.Error
	if errors.As(err, &inner) {
		e.RetryAfter = inner.RetryAfter
		// The client may name the same step: say it once.
		if top, ok := err.(*gateway.Error); ok && top.Step == step && top.Err != nil {
			e.Err = top.Err
		}
	}
	return e
}

// unstored is failed for what the disk did not take.
func unstored(step string, err error) error {
	e := failed(step, err).(*gateway.Error)
	if e.Advice == "" {
		e.Advice = "make room on the disk or make it writable, then press the button"
	}
	return e
}

// early is failed for a certificate that is not valid yet.
func early(step string, err error) error {
	e := failed(step, err).(*gateway.Error)
	if e.Advice == "" {
		e.Advice = "set the clock of this machine, or wait until it has the time from the network"
	}
	return e
}

// declined is failed for a gateway that does not take the machine as it is: what it
// misses stands in its words.
func declined(step string, err error) error {
	e := failed(step, err).(*gateway.Error)
	if e.Kind == gateway.Precondition && e.Advice == "" {
		e.Advice = "the gateway wants more than this machine has; its operator decides, by attestation in the gateway's settings"
	}
	return e
}

// interrupted is failed for a context that ended: err alone would not say why.
func interrupted(ctx context.Context, step string) error {
	return failed(step, context.Cause(ctx))
}

// refusal is an error of ours: the request or the answer is not as it must be.
func refusal(k gateway.Kind, step, why, advice string) error {
	return &gateway.Error{Kind: k, Step: step, Err: errors.New(why), Advice: advice}
}

// hints is what a person can do where the error itself does not say.
var hints = [...]string{
	gateway.Internal:       "press the button to try again; the log says more",
	gateway.BadRequest:     "the gateway refused the request; its log says why",
	gateway.TooLarge:       "the gateway refused the request; its log says why",
	gateway.Unauthorized:   "press the button for a new code",
	gateway.NotFound:       "press the button for a new code",
	gateway.Taken:          "set provisioning.code.length higher",
	gateway.Pending:        "press the button for a new code",
	gateway.Precondition:   "press the button for a new code",
	gateway.TooMany:        "the gateway is busy; the agent slows down by itself",
	gateway.SlowDown:       "the gateway is busy; the agent slows down by itself",
	gateway.AlreadyRunning: "wait for the other request to end",
	gateway.Unreachable:    "check the network and provisioning.server_url",
	gateway.Deadline:       "check the network and provisioning.server_url",
}

// hint returns what a person can do about err, always something.
func hint(err error) string {
	if h := gateway.HintOf(err); h != "" {
		return h
	}
	return hints[gateway.KindOf(err)]
}

// storage reports whether the disk failed, not the gateway's answer.
func storage(err error) bool {
	var file *fs.PathError
	return errors.Is(err, ErrStorage) || errors.As(err, &file)
}
