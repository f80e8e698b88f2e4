package provision

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/mecha-org/mecha-agent/gateway"
)

// The defaults of Config.
const (
	DefaultCodeLife    = 5 * time.Minute
	DefaultWindow      = time.Hour
	DefaultCallTimeout = 30 * time.Second
)

// Provisioner is the state machine. Run works it; all other methods may be
// called at any time, by anybody. They wait until Run has restored what was
// saved.
//
// One goroutine at a time drives the exchange. Whoever starts or stops it holds
// ctl; busy admits one request at a time; mu guards the fields below it and is
// never held while something is waited for.
type Provisioner struct {
	c       Config
	log     *slog.Logger
	pressed chan struct{} // capacity 1: presses that come together are one
	ready   chan struct{} // closed when restored
	stopped chan struct{} // closed when Run ends
	busy    token
	ctl     token
	wg      sync.WaitGroup

	mu       sync.Mutex
	run      context.Context // Run's, nil before
	ended    bool
	status   Status
	watchers map[chan Status]func() bool
	news     chan struct{}        // closed and made anew whenever a waiting request should look
	work     *work                // nil while no exchange runs
	offer    *offer               // the code that stands, or whose claim is worked on
	kept     *offer               // a claim that the disk could not hold, until it expires
	last     outcome              // of the last claim
	saved    bool                 // a session is on disk
	tpm      *gateway.TPMIdentity // as the TPM told it, nil before
	expiry   *time.Timer          // for the end of the certificate in use, nil without one to come
	unread   *time.Timer          // for another look at an identity that could not be read, nil when it could
}

// work is the goroutine that drives the exchange.
type work struct {
	cancel     context.CancelFunc
	done       chan struct{}
	until      time.Time // end of the window
	unfinished bool      // it was stopped; valid after done
}

// outcome is how the last claim ended.
type outcome struct {
	code      string
	err       error // nil: the identity is in use
	requested bool  // the code came from GenerateCode
	told      bool  // a request was told of it
	at        time.Time
}

// token is a mutex that can be tried, and waited for with a context.
type token chan struct{}

func (t token) release() { <-t }

func (t token) try() bool {
	select {
	case t <- struct{}{}:
		return true
	default:
		return false
	}
}

func (t token) take(ctx context.Context) error {
	select {
	case t <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// New returns a Provisioner that does nothing until Run is called. The error
// says what of c is missing or out of range.
func New(c Config) (*Provisioner, error) {
	switch {
	case c.Gateway == nil:
		return nil, errors.New("provision: no gateway")
	case c.Vault == nil:
		return nil, errors.New("provision: no vault")
	case c.Sessions == nil:
		return nil, errors.New("provision: no sessions")
	case c.CodeLength != 0 && (c.CodeLength < gateway.MinCodeLength || c.CodeLength > gateway.MaxCodeLength):
		return nil, fmt.Errorf("provision: code length %d is not %d to %d",
			c.CodeLength, gateway.MinCodeLength, gateway.MaxCodeLength)
	case c.CodeLife < 0 || c.Window < 0 || c.CallTimeout < 0:
		return nil, errors.New("provision: negative duration")
	}
	orDefault(&c.CodeLength, gateway.DefaultCodeLength)
	orDefault(&c.CodeLife, DefaultCodeLife)
	orDefault(&c.Window, DefaultWindow)
	orDefault(&c.CallTimeout, DefaultCallTimeout)
	orDefault(&c.SignURL, gateway.RouteSign)
	orDefault(&c.Log, slog.New(slog.DiscardHandler))
	return &Provisioner{
		c: c, log: c.Log,
		pressed: make(chan struct{}, 1), ready: make(chan struct{}), stopped: make(chan struct{}),
		busy: make(token, 1), ctl: make(token, 1),
		watchers: make(map[chan Status]func() bool), news: make(chan struct{}),
	}, nil
}

func orDefault[T comparable](v *T, d T) {
	if zero := *new(T); *v == zero {
		*v = d
	}
}

// identity reads which identity is in use and returns what writes it down.
func (p *Provisioner) identity(ctx context.Context) (func(*Status), error) {
	ctx, cancel := context.WithTimeout(ctx, vaultTimeout)
	defer cancel()
	id, notAfter, err := p.c.Vault.Current(ctx)
	if err != nil {
		return nil, failed(stepRestore, err)
	}
	p.read()
	return func(s *Status) { s.Provisioned, s.MachineID, s.CertificateExpires = id != "", id, notAfter }, nil
}

// save keeps a session over a restart.
func (p *Provisioner) save(ctx context.Context, s gateway.Session) error {
	ctx, cancel := context.WithTimeout(ctx, vaultTimeout)
	defer cancel()
	p.mu.Lock()
	p.saved = true // also when it fails: it may lie there all the same
	p.mu.Unlock()
	if err := p.c.Sessions.SaveSession(ctx, s); err != nil {
		return unstored(stepSession, err)
	}
	return nil
}

// forget drops the saved session. Failing is no harm: it expires.
func (p *Provisioner) forget(ctx context.Context) error {
	p.mu.Lock()
	saved := p.saved
	p.saved = false
	p.mu.Unlock()
	if !saved {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), vaultTimeout)
	defer cancel()
	if err := p.c.Sessions.SaveSession(ctx, gateway.Session{}); err != nil {
		p.log.Warn("forgetting the session", "error", err)
		return failed("forgetting the session", err)
	}
	return nil
}
