package server

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mecha-org/mecha-agent/gateway"
	"github.com/mecha-org/mecha-agent/gateway/ca"
	"github.com/mecha-org/mecha-agent/gateway/store"
	"github.com/mecha-org/mecha-agent/gateway/store/sqlite"
)

// clock is a time that only the test moves.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// buffer is a log that several goroutines write.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// fixture is a running gateway with a real store and a real CA.
type fixture struct {
	t     *testing.T
	srv   *Server
	store store.Store
	clock *clock
	log   *buffer
	url   string
	addr  string
	http  *http.Client
	key   string
	secr  gateway.Secret
	stop  context.CancelFunc
	ended chan struct{} // closed when Serve has returned
	err   error         // of Serve
}

func newFixture(t *testing.T, change ...func(*Config)) *fixture {
	t.Helper()
	return newFixtureOver(t, nil, change...)
}

// newFixtureOver is newFixture for a gateway that speaks TLS when serverTLS is
// not nil.
func newFixtureOver(t *testing.T, serverTLS func(*fixture, *ca.Local) *tls.Config, change ...func(*Config)) *fixture {
	t.Helper()
	dir := t.TempDir()
	db, err := sqlite.Open(t.Context(), filepath.Join(dir, "gateway.db"))
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{t: t, store: db, clock: &clock{now: time.Now().UTC().Truncate(time.Second)}, log: &buffer{}, ended: make(chan struct{})}
	authority, err := ca.Open(filepath.Join(dir, "ca"), ca.Options{Name: "Test", Validity: 24 * time.Hour, Now: f.clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	c := Config{
		Store: db, CA: authority, Now: f.clock.Now, URL: "https://gw.example:3000/",
		Log:    slog.New(slog.NewJSONHandler(f.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Limits: Limits{PerAddress: 1e6, Burst: 1e6, Overall: 1e6},
	}
	for _, ch := range change {
		ch(&c)
	}
	if f.srv, err = New(c); err != nil {
		t.Fatal(err)
	}
	var made bool
	f.key, f.secr, made, err = f.srv.EnsureAdminKey(t.Context())
	if err != nil || !made {
		t.Fatalf("EnsureAdminKey: made %v, error %v", made, err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f.addr, f.url = ln.Addr().String(), "http://"+ln.Addr().String()
	f.http = f.from("127.0.0.1")
	var tlsConfig *tls.Config
	if serverTLS != nil {
		tlsConfig = serverTLS(f, authority)
	}
	ctx, stop := context.WithCancel(context.Background())
	f.stop = stop
	go func() {
		defer close(f.ended)
		f.err = f.srv.Serve(ctx, ln, tlsConfig)
	}()
	t.Cleanup(func() {
		f.http.CloseIdleConnections()
		stop()
		if <-f.ended; f.err != nil {
			t.Errorf("Serve: %v", f.err)
		}
		if err := db.Close(); err != nil {
			t.Errorf("closing the store: %v", err)
		}
	})
	return f
}

// from returns a client whose connections come from the given loopback address.
func (f *fixture) from(ip string) *http.Client {
	d := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip)}}
	tr := &http.Transport{DialContext: d.DialContext}
	f.t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

// reply is an answer of the HTTP door.
type reply struct {
	status  int
	header  http.Header
	env     gateway.Envelope
	rawText string
}

type option func(*http.Request)

func asOperator(f *fixture) option {
	return func(r *http.Request) {
		r.Header.Set(gateway.HeaderAPIKeyID, f.key)
		r.Header.Set(gateway.HeaderAPIKeySecret, f.secr.Reveal())
	}
}

func withBearer(s string) option {
	return func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+s) }
}

// call sends a request, a body that is no string as JSON, and reads the envelope.
func (f *fixture) call(c *http.Client, method, path string, body any, opts ...option) reply {
	f.t.Helper()
	var r io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		r = strings.NewReader(b)
	default:
		data, err := json.Marshal(b)
		if err != nil {
			f.t.Fatal(err)
		}
		r = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(f.t.Context(), method, f.url+path, r)
	if err != nil {
		f.t.Fatal(err)
	}
	for _, o := range opts {
		o(req)
	}
	resp, err := c.Do(req)
	if err != nil {
		f.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		f.t.Fatal(err)
	}
	out := reply{status: resp.StatusCode, header: resp.Header, rawText: string(data)}
	if method != http.MethodHead && strings.HasPrefix(resp.Header.Get("Content-Type"), "application/json") {
		if out.env, err = gateway.ParseEnvelope(data); err != nil {
			f.t.Fatalf("%s %s: %v in %q", method, path, err, data)
		}
	}
	return out
}

// want checks a failure: status, kind and a part of the message.
func (r reply) want(t *testing.T, status int, kind gateway.Kind, message string) {
	t.Helper()
	if r.status != status || r.env.ErrorCode != kind.String() || !strings.Contains(r.env.Message, message) ||
		r.env.Success || r.env.StatusCode != status {
		t.Errorf("got %d %s, want %d %s with %q", r.status, r.rawText, status, kind, message)
	}
}

// ok reads the payload of a success.
func ok[T any](t *testing.T, r reply) T {
	t.Helper()
	var v T
	if r.status != http.StatusOK || !r.env.Success {
		t.Fatalf("got %d %s, want a success", r.status, r.rawText)
	}
	if err := r.env.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

func newKey(t testing.TB) crypto.Signer {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func newCSR(t testing.TB, key crypto.Signer, cn string) string {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: cn}}, key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))
}

var testBoard = gateway.Board{Vendor: "Acme", Model: "Comet m", Serial: "C-100"}

// device is a board in the middle of the exchange.
type device struct {
	f    *fixture
	http *http.Client // nil: the fixture's
	key  crypto.Signer
	code string
	sess gateway.SessionPayload
	man  gateway.ManifestPayload
}

func (f *fixture) announce(code string) *device {
	f.t.Helper()
	d := &device{f: f, key: newKey(f.t), code: code}
	d.sess = ok[gateway.SessionPayload](f.t, f.call(f.http, "POST", gateway.RouteAnnounce,
		gateway.AnnounceBody{Code: code, CSR: newCSR(f.t, d.key, "pending"), Board: testBoard}))
	return d
}

func (d *device) client() *http.Client {
	if d.http != nil {
		return d.http
	}
	return d.f.http
}

func (d *device) find() reply {
	d.f.t.Helper()
	return d.f.call(d.client(), "GET", gateway.RouteFindManifest+"?code="+d.code, nil, withBearer(d.sess.DeviceCode))
}

func (f *fixture) claim(code string) gateway.ClaimPayload {
	f.t.Helper()
	return ok[gateway.ClaimPayload](f.t, f.call(f.http, "POST", gateway.RouteClaim, gateway.ClaimBody{ProvisionCode: code}, asOperator(f)))
}

// claimed is a device whose code was claimed and which has its manifest.
func (f *fixture) claimed(code string) *device {
	f.t.Helper()
	d := f.announce(code)
	f.claim(code)
	d.man = ok[gateway.ManifestPayload](f.t, d.find())
	return d
}

func (d *device) body() gateway.SignBody {
	return gateway.SignBody{CSR: newCSR(d.f.t, d.key, d.man.MachineID), MachineID: d.man.MachineID, RequestType: "Provision", Token: d.man.Token}
}

func (d *device) sign(b gateway.SignBody) reply {
	d.f.t.Helper()
	return d.f.call(d.client(), "POST", gateway.RouteSign, b)
}

// nothingIssued checks that no certificate was recorded, for the request or any
// machine, and that the token may still be used.
func (d *device) nothingIssued() {
	d.f.t.Helper()
	list, err := d.f.store.Machines(d.f.t.Context(), "", 100)
	if err != nil {
		d.f.t.Fatal(err)
	}
	for _, m := range list {
		if m.CertificateSerial != "" {
			d.f.t.Errorf("machine %s has certificate %s, want none", m.ID, m.CertificateSerial)
		}
	}
}

// nothingStored checks that no request exists.
func (f *fixture) nothingStored() {
	f.t.Helper()
	if r, err := f.store.RequestByID(f.t.Context(), 1); !errors.Is(err, store.ErrNotFound) {
		f.t.Errorf("the store has request %+v, error %v, want none", r.ID, err)
	}
}

// verify checks a chain as a device would.
func verify(t *testing.T, p gateway.IssuedPayload, key crypto.Signer, cn string) *x509.Certificate {
	t.Helper()
	parse := func(text string) *x509.Certificate {
		block, _ := pem.Decode([]byte(text))
		if block == nil {
			t.Fatal("no PEM")
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	roots, inter := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(parse(p.RootCert))
	for _, i := range p.CABundle {
		inter.AddCert(parse(i))
	}
	c := parse(p.Cert)
	if _, err := c.Verify(x509.VerifyOptions{Roots: roots, Intermediates: inter, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
		t.Fatal(err)
	}
	if c.Subject.CommonName != cn || !c.PublicKey.(*ecdsa.PublicKey).Equal(key.Public()) {
		t.Fatalf("certificate for %q, want %q and the device's key", c.Subject.CommonName, cn)
	}
	return c
}

// newFuzzFixture is a gateway without a port, for all inputs of a worker.
func newFuzzFixture(t *testing.F) *fixture {
	t.Helper()
	dir := t.TempDir()
	f := &fixture{clock: &clock{now: time.Now()}, log: &buffer{}}
	db, err := sqlite.Open(context.Background(), filepath.Join(dir, "gateway.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	f.store = db
	authority, err := ca.Open(filepath.Join(dir, "ca"), ca.Options{Name: "Test", Validity: time.Hour, Now: f.clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	f.srv, err = New(Config{
		Store: f.store, CA: authority, Now: f.clock.Now,
		Log:    slog.New(slog.NewTextHandler(f.log, &slog.HandlerOptions{Level: slog.LevelError})),
		Limits: Limits{PerAddress: 1e9, Burst: 1e9, Overall: 1e9, WrongCodes: 1e9},
	})
	if err != nil {
		t.Fatal(err)
	}
	if f.key, f.secr, _, err = f.srv.EnsureAdminKey(context.Background()); err != nil {
		t.Fatal(err)
	}
	return f
}
