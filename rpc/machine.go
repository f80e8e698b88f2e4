package rpc

import (
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc/credentials"

	"github.com/mecha-org/mecha-agent/gateway"
)

// ErrNoIdentity is what MachineIdentity.Open wraps while the machine has none.
var ErrNoIdentity = errors.New("no certificate to answer with")

// MachineIdentity is where the machine's own certificate and key come from.
type MachineIdentity interface {
	// Changed returns a channel that is closed when the identity changes, or may
	// have. It does not wait.
	Changed() <-chan struct{}
	// Open opens the identity in use. The error wraps ErrNoIdentity when there is
	// none.
	Open(ctx context.Context) (*MachineCredential, error)
}

// MachineCredential is an opened identity.
type MachineCredential struct {
	// Certificate has the chain, the Leaf, and a crypto.Signer that is safe for
	// concurrent use. It may be slow, and may fail.
	Certificate tls.Certificate
	Roots       *x509.CertPool // whose certificates may call, unless Endpoint.ClientCA says so
	Close       func() error   // frees the key
}

// Limits of the handshakes as the machine.
const (
	// signers is how many handshakes have the key sign at once. Anybody who reaches
	// the port can ask for a signature: in TLS 1.3 the server proves itself first. A
	// TPM does one after the other, 70 ms each, and the exchange needs it too: it
	// waits behind this many at the most.
	signers = 2
	// openTime bounds the opening of the identity.
	openTime = 30 * time.Second
	// retryTime is how long an identity that could not be opened is left alone,
	// unless it changes.
	retryTime = time.Second
	// quietTime is how long a state that comes back is not told again.
	quietTime = time.Minute
)

// machineTLS are the credentials of a server that proves itself with the machine's
// identity and follows it: a handshake uses the one that stands when it begins.
// The opened key is kept for the next handshake, until the identity changes or
// the key fails.
type machineTLS struct {
	credentials.TransportCredentials // all but the server's side
	id                               MachineIdentity
	callers                          *x509.CertPool // nil: MachineCredential.Roots
	log                              *slog.Logger
	signing                          chan struct{}
	done                             chan struct{} // closed by close
	limit                            time.Duration // of a handshake

	mu      sync.Mutex
	held    *heldCredential
	opening chan struct{} // closed when an opening that is under way ends; nil: none is
	refusal refusal
	closed  bool
	state   string
	told    map[string]time.Time // by state
}

func newMachineTLS(id MachineIdentity, callers *x509.CertPool, log *slog.Logger) *machineTLS {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &machineTLS{
		TransportCredentials: credentials.NewTLS(&tls.Config{MinVersion: tls.VersionTLS13}),
		id:                   id, callers: callers, log: log,
		signing: make(chan struct{}, signers), done: make(chan struct{}), limit: handshakeTime, told: map[string]time.Time{},
	}
}

// Clone implements credentials.TransportCredentials; all clones share the key.
func (m *machineTLS) Clone() credentials.TransportCredentials { return m }

// ServerHandshake implements credentials.TransportCredentials. Only who has said a
// TLS hello makes it look for the identity.
func (m *machineTLS) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	ctx, cancel := context.WithTimeout(context.Background(), m.limit)
	defer cancel()
	var h *heldCredential
	conn, info, err := credentials.NewTLS(&tls.Config{
		MinVersion: tls.VersionTLS13,
		GetConfigForClient: func(*tls.ClientHelloInfo) (_ *tls.Config, err error) {
			if h, err = m.acquire(ctx); err != nil {
				return nil, err
			}
			return m.config(ctx, h), nil
		},
	}).ServerHandshake(raw)
	if h != nil {
		m.release(h)
	}
	if err != nil {
		m.log.Debug("TLS handshake refused", "from", raw.RemoteAddr().String(), "error", err)
	}
	return conn, info, err
}

// config is for one handshake. There are no session tickets: a resumed session
// would live on under an identity that was replaced, and spare a signature of a
// connection that lasts for hours.
func (m *machineTLS) config(ctx context.Context, h *heldCredential) *tls.Config {
	cert := h.Certificate
	cert.PrivateKey = handshakeKey{m, h, ctx}
	callers := m.callers
	if callers == nil {
		callers = h.Roots
	}
	return &tls.Config{
		MinVersion:             tls.VersionTLS13,
		Certificates:           []tls.Certificate{cert},
		ClientAuth:             tls.RequireAndVerifyClientCert,
		ClientCAs:              callers,
		SessionTicketsDisabled: true,
	}
}

// handshakeKey is the machine's key for one handshake, within its time.
type handshakeKey struct {
	m   *machineTLS
	h   *heldCredential
	ctx context.Context
}

func (k handshakeKey) signer() crypto.Signer { return k.h.Certificate.PrivateKey.(crypto.Signer) }

// Public implements crypto.Signer.
func (k handshakeKey) Public() crypto.PublicKey { return k.signer().Public() }

// Sign implements crypto.Signer. A key that fails is opened anew by the next
// handshake; one that is only late is not the worse for it.
func (k handshakeKey) Sign(random io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	select {
	case k.m.signing <- struct{}{}:
	case <-k.ctx.Done():
		return nil, fmt.Errorf("waiting for the machine's key: %w", k.ctx.Err())
	}
	type result struct {
		signature []byte
		err       error
	}
	signed := make(chan result, 1)
	k.m.retain(k.h)
	go func() {
		defer func() { <-k.m.signing }()
		defer k.m.release(k.h)
		signature, err := k.signer().Sign(random, digest, opts)
		if err != nil {
			k.m.drop(k.h)
			k.m.tell("failing", slog.LevelWarn, "TLS connection refused: the machine's key does not sign; it is opened anew",
				"error", err, "hint", gateway.HintOf(err))
		}
		signed <- result{signature, err}
	}()
	select {
	case r := <-signed:
		return r.signature, r.err
	case <-k.ctx.Done():
		return nil, fmt.Errorf("signing with the machine's key: %w", k.ctx.Err())
	}
}
