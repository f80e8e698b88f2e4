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
	"net"
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

// TestMachineAnswersItsFleet: who shows a certificate of the fleet is served, for
// one signature; nobody else is.
func TestMachineAnswersItsFleet(t *testing.T) {
	m := newMachine(t, "machine-1")
	p := servePort(t, m, "")
	for range 3 {
		p.answers("machine-1")
	}
	if keys := m.keys(); len(keys) != 1 || keys[0].signed.Load() != 3 {
		t.Errorf("%d openings, %d signatures for three connections", len(keys), keys[0].signed.Load())
	}

	other := newMachine(t, "").ca
	stranger, _ := certificate(t, other, "stranger")
	gateway, err := m.ca.Server(gatewaytest.ServerCert{})
	if err != nil {
		t.Fatal(err)
	}
	alone := p.friend
	alone.Certificate = alone.Certificate[:1]
	p.refuses("no certificate")
	p.refuses("another root", stranger)
	p.refuses("a server's certificate", gateway)
	p.refuses("a chain with a gap", alone)
	ended, _ := certificateOf(t, m.ca, "friend", time.Now().Add(-48*time.Hour))
	p.refuses("an ended certificate", ended)

	var answered string
	old := p.client(&answered, p.friend)
	old.MaxVersion = tls.VersionTLS12
	if c, err := tls.Dial("tcp", p.address, old); err == nil {
		c.Close()
		t.Error("TLS 1.2 was spoken")
	}
	c, err := tls.Dial("tcp", p.address, p.client(&answered, p.friend))
	if err == nil { // RFC 9113, 3.2: without ALPN it is no HTTP/2
		_, err = c.Read(make([]byte, 1))
		c.Close()
	}
	if err == nil {
		t.Error("a client without ALPN was served")
	}
}

// TestClientCAInsteadOfTheFleet: with server.client_ca the fleet's own
// certificates open nothing.
func TestClientCAInsteadOfTheFleet(t *testing.T) {
	operators := newMachine(t, "").ca
	p := servePort(t, newMachine(t, "machine-1"), write(t, "ca.pem", operators.RootPEM()))
	operator, _ := certificate(t, operators, "operator")
	if got, err := p.call(operator); err != nil || got != "machine-1" {
		t.Errorf("the operator: %q, %v", got, err)
	}
	p.refuses("a machine of the fleet", p.friend)
}

// TestHandshakesFollowTheIdentity: none, one, another, none, without a restart.
func TestHandshakesFollowTheIdentity(t *testing.T) {
	m := newMachine(t, "")
	p := servePort(t, m, "")
	for range 5 {
		p.refuses("no identity", p.friend)
	}
	if n := p.log.lines("until the machine has an identity"); n != 1 {
		t.Errorf("five refused connections made %d lines", n)
	}
	m.become("machine-1")
	p.answers("machine-1")

	var answered string
	conn, err := grpc.NewClient(p.address, grpc.WithTransportCredentials(credentials.NewTLS(p.client(&answered, p.friend))))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	running := provisioningpb.NewProvisioningServiceClient(conn)
	goesOn := func(when string) {
		t.Helper()
		if _, err := running.Ping(t.Context(), &provisioningpb.PingRequest{}); err != nil || answered != "machine-1" {
			t.Errorf("%s the running connection is with %q, %v", when, answered, err)
		}
	}
	goesOn("at first")
	m.become("machine-2")
	eventually(t, "the first key is closed without another connection", func() bool { return m.keys()[0].closed.Load() == 1 })
	goesOn("after the change")
	p.answers("machine-2")
	m.become("")
	p.refuses("removed", p.friend)
	goesOn("after the removal")
	eventually(t, "the second key is closed", func() bool { return m.keys()[1].closed.Load() == 1 })
	m.become("machine-3")
	p.answers("machine-3")
	if n := p.log.lines("served with the machine's identity"); n != 3 {
		t.Errorf("three identities made %d lines", n)
	}
	p.stop()
	eventually(t, "the last key is closed at the end", func() bool { return m.keys()[2].closed.Load() == 1 })
	for i, k := range m.keys() {
		if n := k.closed.Load(); n != 1 {
			t.Errorf("key %d was closed %d times", i, n)
		}
	}
}

// TestNoHandshakeIsBehind: from the moment of a change on, nothing begins with what
// stood before.
func TestNoHandshakeIsBehind(t *testing.T) {
	m := newMachine(t, "")
	c := newMachineTLS(m, nil, nil)
	for n := range 100 {
		name := fmt.Sprintf("machine-%d", n)
		m.become(name)
		h, err := c.acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if got := h.Certificate.Leaf.Subject.CommonName; got != name {
			t.Fatalf("%s is behind, it is %s by now", got, name)
		}
		c.release(h)
	}
	c.close()
	for i, k := range m.keys() {
		eventually(t, "every key is closed", func() bool { return k.closed.Load() > 0 })
		if n := k.closed.Load(); n != 1 {
			t.Errorf("key %d was closed %d times", i, n)
		}
	}
	if _, err := c.acquire(t.Context()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after the end: %v", err)
	}
}

// TestKeyFails: the next handshake opens the key anew, and the log stays short.
func TestKeyFails(t *testing.T) {
	m := newMachine(t, "machine-1")
	var gone atomic.Bool
	m.sign = func() error {
		if gone.Load() {
			return errors.New("the TPM does not answer")
		}
		return nil
	}
	p := servePort(t, m, "")
	p.answers("machine-1")
	gone.Store(true)
	for range 5 {
		p.refuses("a key that fails", p.friend)
	}
	if n := len(m.keys()); n != 5 {
		t.Errorf("%d openings for five failures, want one for each", n)
	}
	if n := p.log.lines("does not sign"); n != 1 {
		t.Errorf("five failures made %d lines", n)
	}
	gone.Store(false)
	p.answers("machine-1")
	keys := m.keys()
	for _, k := range keys[:len(keys)-1] {
		if k.closed.Load() != 1 {
			t.Error("a key that failed was not closed once")
		}
	}

	// An identity that cannot be opened is asked again after a while, not by
	// every connection.
	m.set(func() { m.err = errors.New("owner authorisation") })
	m.become("machine-1")
	for range 3 {
		p.refuses("an identity that cannot be opened", p.friend)
	}
	if n := p.log.lines("cannot be opened"); n != 1 {
		t.Errorf("three refused connections made %d lines", n)
	}
	m.set(func() { m.err = nil })
	eventually(t, "it is opened again", func() bool { _, err := p.call(p.friend); return err == nil })
}

// TestIdentityWithoutRoot: the system's roots never decide who may call.
func TestIdentityWithoutRoot(t *testing.T) {
	m := newMachine(t, "machine-1")
	m.rootless = true
	p := servePort(t, m, "")
	p.refuses("no root", p.friend)
	if k := m.keys(); len(k) != 1 || k[0].closed.Load() != 1 || k[0].signed.Load() != 0 {
		t.Error("the key was used, or left open")
	}
}

// TestEndedCertificate: it is shown all the same, the log warns, and it is for the
// caller to refuse it.
func TestEndedCertificate(t *testing.T) {
	m := newMachine(t, "machine-1")
	m.made = time.Now().Add(-48 * time.Hour)
	p := servePort(t, m, "")
	_, err := p.call(p.friend)
	if err == nil || !strings.Contains(err.Error(), "expired") {
		t.Errorf("a caller who looks at the dates: %v", err)
	}
	lenient := &tls.Config{Certificates: []tls.Certificate{p.friend}, InsecureSkipVerify: true, NextProtos: []string{"h2"}}
	c, err := tls.Dial("tcp", p.address, lenient)
	if err != nil {
		t.Fatalf("a caller who does not: %v", err)
	}
	c.Close()
	if n := p.log.lines("level=WARN msg=\"TLS connections are served"); n != 1 {
		t.Errorf("%d warnings", n)
	}
}

// TestSlowKey: a handshake has its time, and what it began with: a key that is
// replaced meanwhile is closed when it has signed.
func TestSlowKey(t *testing.T) {
	m := newMachine(t, "machine-1")
	signing, goOn := make(chan struct{}), make(chan struct{})
	m.sign = func() error {
		signing <- struct{}{}
		<-goOn
		return nil
	}
	p := servePort(t, m, "")
	type answer struct {
		name string
		err  error
	}
	first := make(chan answer, 1)
	go func() {
		name, err := p.call(p.friend)
		first <- answer{name, err}
	}()
	<-signing
	m.set(func() { m.sign = nil })
	m.become("machine-2")
	p.answers("machine-2")
	if m.keys()[0].closed.Load() != 0 {
		t.Error("a key was closed while it signed")
	}
	close(goOn)
	if a := <-first; a.err != nil || a.name != "machine-1" {
		t.Errorf("the handshake that had begun: %q, %v", a.name, a.err)
	}
	eventually(t, "the replaced key is closed", func() bool { return m.keys()[0].closed.Load() == 1 })
}

// TestHangingKey: the handshakes end in time, and when the key wakes up it serves.
func TestHangingKey(t *testing.T) {
	m := newMachine(t, "machine-1")
	goOn := make(chan struct{})
	m.sign = func() error { <-goOn; return nil }
	p := servePortFor(t, m, "", 100*time.Millisecond)
	start := time.Now()
	for range signers + 1 { // one more waits for its turn
		p.refuses("a key that hangs", p.friend)
	}
	if took := time.Since(start); took > handshakeTime {
		t.Errorf("took %v", took)
	}
	if n := m.keys()[0].signed.Load(); n > signers {
		t.Errorf("%d signatures are under way, want %d at the most", n, signers)
	}
	close(goOn)
	eventually(t, "it serves", func() bool { _, err := p.call(p.friend); return err == nil })
	if len(m.keys()) != 1 {
		t.Error("a key that was late was opened anew")
	}
}

// TestManyHandshakes: fifty at once, and each once more, with a key as slow as a TPM's that changes
// meanwhile. All of them are served, and never more than two signatures wait.
func TestManyHandshakes(t *testing.T) {
	m := newMachine(t, "machine-0")
	var at, most atomic.Int32
	var total atomic.Int32
	m.sign = func() error {
		n := at.Add(1)
		defer at.Add(-1)
		for {
			if old := most.Load(); n <= old || most.CompareAndSwap(old, n) {
				break
			}
		}
		if total.Add(1)%10 == 0 {
			m.become(fmt.Sprintf("machine-%d", total.Load()))
		}
		<-time.After(5 * time.Millisecond) // a key's time to sign
		return nil
	}
	p := servePort(t, m, "")
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			for range 2 {
				if name, err := p.call(p.friend); err != nil || !strings.HasPrefix(name, "machine-") {
					t.Errorf("%q, %v", name, err)
				}
			}
		})
	}
	all.Wait()
	if total.Load() != 100 || most.Load() > signers {
		t.Errorf("%d signatures for a hundred connections, %d at once", total.Load(), most.Load())
	}
	p.stop()
	eventually(t, "all keys are closed once", func() bool {
		for _, k := range m.keys() {
			if k.closed.Load() != 1 {
				return false
			}
		}
		return true
	})
	if n := len(m.keys()); n < 2 {
		t.Errorf("%d keys: no change was noticed", n)
	}
}
