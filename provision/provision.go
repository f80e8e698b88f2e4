// Package provision is the state machine that takes a board from no identity to
// a verified one: make a code, announce it, wait for an operator's claim, send
// the certificate signing request, hand the answer over to be verified and
// stored. It is pure: it knows no GPIO, no TPM, no gRPC and no file system, and
// names what it needs as small interfaces.
package provision

import (
	"context"
	"crypto"
	"errors"
	"log/slog"
	"time"

	"github.com/mecha-org/mecha-agent/gateway"
)

// Gateway is the way to the gateway. Errors carry a gateway.Kind.
type Gateway interface {
	Ping(ctx context.Context) error
	// Announce wraps gateway.ErrNoAnnounce when the gateway is the original
	// cloud; its error has kind Taken when the code is in use.
	Announce(ctx context.Context, a gateway.Announcement) (gateway.Session, error)
	// FindManifest's error has kind Pending while no operator claimed the code
	// and NotFound when the code is unknown or has expired.
	FindManifest(ctx context.Context, code string, deviceCode gateway.Secret) (gateway.Manifest, error)
	Sign(ctx context.Context, r gateway.SignRequest) (gateway.Issued, error)
}

// ErrStorage is what an error of Vault.Commit wraps when the disk failed and not
// the gateway's answer: the claim is kept, so that a press can try it again. An
// error with an *fs.PathError in its chain counts as one too.
var ErrStorage = errors.New("the identity could not be written")

// ErrClock is what an error of Vault.Commit wraps when the certificate is not
// valid yet by the clock of this machine: the claim is followed on, until the
// clock is right or the gateway says that its time is over.
var ErrClock = errors.New("the clock is behind")

// Vault holds what the machine is. All of it survives a power cut.
type Vault interface {
	// Key returns the key of the identity in the making. It is made on the
	// first call and stays the same, also over restarts, until Commit or Remove.
	Key(ctx context.Context) (crypto.Signer, error)
	// Commit verifies the answer in full, stores it and switches to it. An
	// error leaves the old identity as it was; see ErrStorage and ErrClock.
	Commit(ctx context.Context, machineID string, csrPEM string, answer gateway.Issued) error
	// Current returns the machine id and the end of the certificate in use; an
	// empty id when the machine has none.
	Current(ctx context.Context) (machineID string, notAfter time.Time, err error)
	// Remove deletes everything and says what it removed.
	Remove(ctx context.Context) ([]string, error)
}

// Sessions remembers an announced code over a restart. The zero Session means
// that there is none; saving it forgets.
type Sessions interface {
	SaveSession(ctx context.Context, s gateway.Session) error
	LoadSession(ctx context.Context) (gateway.Session, error)
}

// Attester speaks for the TPM that the device key is in. The gateway believes none
// of it before it has checked.
type Attester interface {
	// Identity returns what the TPM says of itself; nil when the key is in none. It
	// stays the same as long as the TPM is not cleared, and is asked for until it is
	// known.
	Identity(ctx context.Context) (*gateway.TPMIdentity, error)
	// Prove returns the evidence that the device key, which signed the request, is
	// in that TPM.
	Prove(ctx context.Context, c gateway.Challenge, csrDER []byte) (gateway.Evidence, error)
}

// Panel is what a person looks at. Show returns at once and does not call the
// Provisioner back; it is called for one status after the other, none left out.
type Panel interface {
	Show(Status)
}

// Config is what a Provisioner needs. Zero durations and counts take the defaults.
type Config struct {
	Gateway  Gateway
	Vault    Vault
	Sessions Sessions
	Attester Attester     // nil: keys are in no TPM
	Panel    Panel        // may be nil
	Log      *slog.Logger // may be nil
	Board    gateway.Board

	CodeLength  int           // characters, default gateway.DefaultCodeLength
	CodeLife    time.Duration // how long a code stands, default 5 minutes
	Window      time.Duration // how long codes are refreshed after a press, default 1 hour
	SignURL     string        // when the manifest names none, default gateway.RouteSign
	CallTimeout time.Duration // bound of one call to the gateway, default 30 s
}

// State is the state of the exchange.
type State uint8

// The states; see the transition table in state.go.
const (
	Idle State = iota
	CodeShown
	Claimed
	Signing
	Provisioned
	Failed
)

// String returns the state in words, lower case.
func (s State) String() string {
	return [...]string{"idle", "code shown", "claimed", "signing", "provisioned", "failed"}[s]
}

// Status is a snapshot of the exchange.
type Status struct {
	State              State
	Provisioned        bool // a verified identity is on disk; Failed with this set: its certificate may have ended
	MachineID          string
	CertificateExpires time.Time
	Step               string // what is being done, "announcing the code"; empty while waiting
	Code               string // empty when none is shown
	CodeMade           time.Time
	CodeExpires        time.Time
	ClaimURL           string
	KeyFingerprint     string // of the key behind the code, as the operator sees it; see gateway.Fingerprint; empty after a restart
	Unattested         string // why the TPM could not prove that it holds the key, empty when nothing failed
	Error              string // what failed last, empty when nothing did
	Hint               string
}

// LogValue leaves out the code: what stands on the panel is for the person in
// front of it, not for a log.
func (s Status) LogValue() slog.Value {
	return slog.GroupValue(slog.String("state", s.State.String()),
		slog.Bool("provisioned", s.Provisioned),
		slog.String("machine_id", s.MachineID),
		slog.String("step", s.Step),
		slog.String("error", s.Error))
}
