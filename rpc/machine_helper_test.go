package rpc

import (
	"bytes"
	"cmp"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	"github.com/mecha-org/mecha-agent/gateway/gatewaytest"
	provisioningpb "github.com/mecha-org/mecha-agent/proto/provisioning"
)

// slowKey is a key as a TPM's: it takes its time, may fail, and is of no use
// after Close.
type slowKey struct {
	*ecdsa.PrivateKey
	sign   func() error // before each signature; may be nil
	signed atomic.Int32
	closed atomic.Int32
}

func (k *slowKey) Sign(random io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	k.signed.Add(1)
	if k.sign != nil {
		if err := k.sign(); err != nil {
			return nil, err
		}
	}
	if k.closed.Load() > 0 {
		return nil, errors.New("the key is closed")
	}
	return k.PrivateKey.Sign(random, digest, opts)
}

// machine is an identity that the test changes. The zero value has none.
type machine struct {
	t  *testing.T
	ca *gatewaytest.CA

	mu       sync.Mutex
	changed  chan struct{}
	name     string // "" is no identity
	err      error  // of the next opening, besides
	sign     func() error
	opened   []*slowKey
	rootless bool
	made     time.Time // when its certificates were; zero: now
}

func newMachine(t *testing.T, name string) *machine {
	ca, err := gatewaytest.NewCA("Fleet", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return &machine{t: t, ca: ca, changed: make(chan struct{}), name: name}
}

func (m *machine) Changed() <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.changed
}

// become changes the identity.
func (m *machine) become(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.name = name
	close(m.changed)
	m.changed = make(chan struct{})
}

func (m *machine) set(f func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f()
}

func (m *machine) Open(context.Context) (*MachineCredential, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.name == "" {
		return nil, fmt.Errorf("%w: the machine has no identity", ErrNoIdentity)
	}
	if m.err != nil {
		return nil, m.err
	}
	cert, roots := certificateOf(m.t, m.ca, m.name, cmp.Or(m.made, time.Now()))
	key := &slowKey{PrivateKey: cert.PrivateKey.(*ecdsa.PrivateKey), sign: m.sign}
	cert.PrivateKey = key
	m.opened = append(m.opened, key)
	if m.rootless {
		roots = nil
	}
	return &MachineCredential{Certificate: cert, Roots: roots, Close: func() error { key.closed.Add(1); return nil }}, nil
}

func (m *machine) keys() []*slowKey {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]*slowKey(nil), m.opened...)
}

// certificate is a machine's, as the CA issues them.
func certificate(t *testing.T, ca *gatewaytest.CA, name string) (tls.Certificate, *x509.CertPool) {
	return certificateOf(t, ca, name, time.Now())
}

func certificateOf(t *testing.T, ca *gatewaytest.CA, name string, made time.Time) (tls.Certificate, *x509.CertPool) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	issued, err := ca.Machine(key.Public(), name, made)
	if err != nil {
		t.Fatal(err)
	}
	cert := tls.Certificate{PrivateKey: key}
	for _, text := range append([]string{issued.Cert}, issued.CABundle...) {
		block, _ := pem.Decode([]byte(text))
		cert.Certificate = append(cert.Certificate, block.Bytes)
	}
	if cert.Leaf, err = x509.ParseCertificate(cert.Certificate[0]); err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(issued.RootCert))
	return cert, roots
}

// calm is a state machine that many may ask at once.
type calm struct{ exchange }

func (*calm) Ping(context.Context) error { return nil }

// port is a served machine, and what a client of its fleet needs.
type port struct {
	t       *testing.T
	address string
	creds   *machineTLS
	log     *safeBuffer
	friend  tls.Certificate
	roots   *x509.CertPool
	stop    func()
}

// safeBuffer may be written while it is read.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

// lines counts the lines that hold text.
func (s *safeBuffer) lines(text string) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for line := range strings.Lines(s.b.String()) {
		if strings.Contains(line, text) {
			n++
		}
	}
	return n
}

func servePort(t *testing.T, m *machine, clientCA string) *port {
	t.Helper()
	return servePortFor(t, m, clientCA, handshakeTime)
}

// servePortFor gives each handshake the time limit.
func servePortFor(t *testing.T, m *machine, clientCA string, limit time.Duration) *port {
	t.Helper()
	p := &port{t: t, log: &safeBuffer{}}
	log := slog.New(slog.NewTextHandler(p.log, nil))
	ls, err := Listen(t.Context(), Endpoint{Host: "127.0.0.1", TLS: true, ClientCA: clientCA, Machine: m, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	p.address, p.creds = ls[0].Addr().String(), ls[0].Credentials.(*machineTLS)
	p.creds.limit = limit
	p.friend, p.roots = certificate(t, m.ca, "friend")
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- Serve(ctx, Config{Exchange: &calm{}, Log: log}, ls...) }()
	p.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(p.stop)
	return p
}

// client is the configuration of a client that takes any machine of the fleet,
// and says which answered.
func (p *port) client(answered *string, certs ...tls.Certificate) *tls.Config {
	return &tls.Config{Certificates: certs, InsecureSkipVerify: true, VerifyConnection: func(s tls.ConnectionState) error {
		between := x509.NewCertPool()
		for _, c := range s.PeerCertificates[1:] {
			between.AddCert(c)
		}
		_, err := s.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: p.roots, Intermediates: between,
			KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
		*answered = s.PeerCertificates[0].Subject.CommonName
		return err
	}}
}

// call pings over a connection of its own and returns who answered.
func (p *port) call(certs ...tls.Certificate) (answered string, err error) {
	p.t.Helper()
	conn, err := grpc.NewClient(p.address, grpc.WithTransportCredentials(credentials.NewTLS(p.client(&answered, certs...))))
	if err != nil {
		p.t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	_, err = provisioningpb.NewProvisioningServiceClient(conn).Ping(ctx, &provisioningpb.PingRequest{})
	return answered, err
}

func (p *port) answers(name string) {
	p.t.Helper()
	if got, err := p.call(p.friend); err != nil || got != name {
		p.t.Errorf("%q answered, %v; want %q", got, err, name)
	}
}

func (p *port) refuses(why string, certs ...tls.Certificate) {
	p.t.Helper()
	if got, err := p.call(certs...); status.Code(err) != codes.Unavailable {
		p.t.Errorf("%s: %q answered, %v; want UNAVAILABLE", why, got, err)
	}
}

// eventually waits for what happens in another goroutine.
func eventually(t *testing.T, what string, right func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for timeout := time.After(10 * time.Second); !right(); {
		select {
		case <-tick.C:
		case <-timeout:
			t.Fatalf("not in ten seconds: %s", what)
		}
	}
}
