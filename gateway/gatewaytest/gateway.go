// Package gatewaytest is a gateway for tests: a server on loopback that answers
// the device's HTTP routes, signs with a CA in memory, records what it is asked
// and, when told so, fails the way that gateways and the networks before them
// do. It checks itself: a fault that nothing ran into fails the test.
package gatewaytest

import (
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/mecha-org/mecha-agent/gateway"
	"github.com/mecha-org/mecha-agent/gateway/attest"
)

// Step is a device's route; faults and records go by it.
type Step string

// The steps.
const (
	Ping     Step = gateway.RoutePing
	Announce Step = gateway.RouteAnnounce
	Find     Step = gateway.RouteFindManifest
	Sign     Step = gateway.RouteSign
)

// Gateway is the fake. It is safe for concurrent use.
type Gateway struct {
	URL string // http, or https with the option TLS
	CA  *CA    // signs machines, and the gateway's own certificate with TLS

	t        testing.TB
	server   *httptest.Server
	now      func() time.Time
	life     time.Duration
	interval time.Duration
	tls      bool
	original bool
	required bool
	makers   *attest.Roots
	done     chan struct{}
	closing  sync.Once

	mu       sync.Mutex
	faults   map[Step][]Fault
	requests []Request
	codes    map[string]*code
	machines int
	attested map[string]gateway.Attestation
}

// code is an announced code, or with the original cloud a claimed one.
type code struct {
	device    gateway.Secret
	key       string // fingerprint; empty: none was announced
	expires   time.Time
	machineID string // empty: not claimed
	token     gateway.Secret
	tpm       *tpm // nil: none was announced
}

// Request is what the gateway was asked.
type Request struct {
	Step   Step
	Query  string
	Header http.Header
	Body   []byte
}

// Option changes what New makes.
type Option func(*Gateway)

// TLS makes the gateway speak https, with a certificate for localhost,
// 127.0.0.1 and ::1 from CA, and shows the whole chain, the root included.
func TLS() Option { return func(g *Gateway) { g.tls = true } }

// Original makes the gateway the original cloud: no announce route, no device
// codes, no tokens.
func Original() Option { return func(g *Gateway) { g.original = true } }

// Clock replaces time.Now for expiry and for certificates.
func Clock(now func() time.Time) Option { return func(g *Gateway) { g.now = now } }

// Codes sets how long a code lives, and the least time between two polls that
// devices are told; the defaults are 5 minutes and 1 second, the unit of both.
func Codes(life, interval time.Duration) Option {
	return func(g *Gateway) { g.life, g.interval = life, interval }
}

// New starts a gateway that ends with the test.
func New(t testing.TB, opts ...Option) *Gateway {
	t.Helper()
	g := &Gateway{t: t, now: time.Now, life: 5 * time.Minute, interval: time.Second,
		done: make(chan struct{}), faults: map[Step][]Fault{}, codes: map[string]*code{},
		attested: map[string]gateway.Attestation{}}
	for _, o := range opts {
		o(g)
	}
	ca, err := NewCA("test gateway", g.now())
	if err != nil {
		t.Fatalf("gatewaytest: making a CA: %v", err)
	}
	g.CA = ca
	g.server = httptest.NewUnstartedServer(http.HandlerFunc(g.serve))
	g.server.Config.ErrorLog = discard() // refused handshakes are what tests are about
	if g.tls {
		cert, err := ca.Server(ServerCert{})
		if err != nil {
			t.Fatalf("gatewaytest: making the gateway's certificate: %v", err)
		}
		g.server.TLS = tlsConfig(cert)
		g.server.StartTLS()
	} else {
		g.server.Start()
	}
	g.URL = g.server.URL
	t.Cleanup(g.Close)
	return g
}

// Close stops the gateway, and fails the test when a fault was not run into.
// It need not be called: the end of the test does.
func (g *Gateway) Close() {
	g.closing.Do(func() {
		close(g.done) // lets go of slow answers, which server.Close waits for
		g.server.CloseClientConnections()
		g.server.Close()
		g.mu.Lock()
		defer g.mu.Unlock()
		for step, list := range g.faults {
			for _, f := range list {
				g.t.Errorf("gatewaytest: nothing ran into the fault %s of %s, %d left", f.name, step, f.times)
			}
		}
	})
}

// Claim is the operator's yes. It returns the id of the machine, or fails the
// test when nobody announced the code (which the original cloud does not ask).
func (g *Gateway) Claim(text string) (machineID string) {
	g.t.Helper()
	canonical, err := gateway.ParseCode(text)
	if err != nil {
		g.t.Errorf("gatewaytest: claiming a code: %v", err)
		return ""
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	c := g.codes[canonical]
	if c == nil && g.original {
		c = &code{expires: g.now().Add(g.life)}
		g.codes[canonical] = c
	}
	if c == nil || !g.now().Before(c.expires) {
		g.t.Errorf("gatewaytest: claiming a code that was not announced or has expired")
		return ""
	}
	if c.machineID == "" {
		g.machines++
		c.machineID = fmt.Sprintf("machine-%d", g.machines)
	}
	return c.machineID
}

// Requests returns what was asked at a step so far, in order.
func (g *Gateway) Requests(step Step) []Request {
	g.mu.Lock()
	defer g.mu.Unlock()
	var list []Request
	for _, r := range g.requests {
		if r.Step == step {
			list = append(list, r)
		}
	}
	return list
}

func (g *Gateway) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client went away
	}
	step := Step(r.URL.Path)
	g.mu.Lock()
	g.requests = append(g.requests, Request{step, r.URL.RawQuery, r.Header.Clone(), body})
	f := g.nextFault(step)
	g.mu.Unlock()

	if f.instead == nil && g.original && step == Announce {
		f = NoRoute()
	}
	if f.instead != nil {
		f.instead(g, w, r)
		return
	}
	status, env := g.answer(step, r, body, f.issue)
	if f.answer != nil {
		f.answer(w, env)
		return
	}
	write(w, status, env)
}

// write sends the envelope as the real gateway does.
func write(w http.ResponseWriter, status int, env gateway.Envelope) {
	env.StatusCode, env.Status = status, http.StatusText(status)
	b, err := json.Marshal(env)
	if err != nil {
		panic(err) // never: all of it was made here
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(b) //nolint:errcheck // the client went away
}

func (g *Gateway) answer(step Step, r *http.Request, body []byte, issue issue) (int, gateway.Envelope) {
	payload, err := g.route(step, r, body, issue)
	if err == nil {
		var env gateway.Envelope
		if env, err = gateway.NewSuccess(payload); err == nil {
			return http.StatusOK, env
		}
	}
	k := gateway.KindOf(err)
	env := gateway.NewFailure(k, err.Error(), nil)
	if g.original {
		env.ErrorCode = "" // the original has no code of ours
	}
	return k.HTTPStatus(), env
}

func fail(k gateway.Kind, why string) error {
	return &gateway.Error{Kind: k, Err: errors.New(why)}
}

func (g *Gateway) route(step Step, r *http.Request, body []byte, issue issue) (any, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case step == Ping:
		return nil, nil
	case step == Announce:
		var b gateway.AnnounceBody
		if err := json.Unmarshal(body, &b); err != nil {
			return nil, fail(gateway.BadRequest, "broken JSON")
		}
		return g.announce(b.Announcement())
	case step == Find:
		return g.find(r.URL.Query().Get("code"), r.Header.Get("Authorization"))
	case step == Sign:
		var b gateway.SignBody
		if err := json.Unmarshal(body, &b); err != nil {
			return nil, fail(gateway.BadRequest, "broken JSON")
		}
		return g.sign(b.SignRequest(), issue)
	}
	return nil, fail(gateway.NotFound, "there is no such route")
}

func (g *Gateway) announce(a gateway.Announcement) (any, error) {
	canonical, err := gateway.ParseCode(a.Code)
	if err != nil || canonical != a.Code {
		return nil, fail(gateway.BadRequest, "the code is not canonical")
	}
	csr, err := gateway.ParseCSR(a.CSR)
	if err != nil {
		return nil, &gateway.Error{Kind: gateway.BadRequest, Err: err}
	}
	key, err := gateway.Fingerprint(csr.PublicKey)
	if err != nil {
		return nil, err
	}
	now := g.now()
	if c := g.codes[a.Code]; c != nil && now.Before(c.expires) {
		return nil, fail(gateway.Taken, "the code is in use")
	}
	c := &code{device: gateway.NewSecret(), key: key, expires: now.Add(g.life)}
	if c.tpm, err = g.identify(a.TPM); err != nil {
		return nil, err
	}
	g.codes[a.Code] = c
	return gateway.NewSessionPayload(gateway.Session{
		DeviceCode: c.device, Expires: c.expires, Interval: g.interval,
		VerificationURI:         g.URL + "/claim",
		VerificationURIComplete: g.URL + "/claim?code=" + a.Code,
	}, now), nil
}

func (g *Gateway) find(text, authorization string) (_ any, err error) {
	c := g.codes[text]
	switch {
	case c == nil || !g.now().Before(c.expires):
		return nil, fail(gateway.NotFound, "the code is unknown or has expired")
	case !same(authorization, c.device, "Bearer "):
		return nil, fail(gateway.Unauthorized, "the device code is wrong")
	case c.machineID == "": // never with the original: it knows claimed codes only
		return nil, fail(gateway.Pending, "nobody has claimed the code yet")
	}
	m := gateway.Manifest{MachineID: c.machineID, CertSignURL: gateway.RouteSign,
		CertValidUpto: g.now().Add(validity).UTC().Format(time.RFC3339)}
	if !g.original {
		c.token = gateway.NewSecret()
		m.Token = c.token
		if m.Challenge, err = c.tpm.challenge(); err != nil {
			return nil, err
		}
	}
	return gateway.NewManifestPayload(m), nil
}

func (g *Gateway) sign(r gateway.SignRequest, issue issue) (any, error) {
	csr, err := gateway.ParseCSR(r.CSR)
	if err != nil {
		return nil, &gateway.Error{Kind: gateway.BadRequest, Err: err}
	}
	key, err := gateway.Fingerprint(csr.PublicKey)
	if err != nil {
		return nil, err
	}
	var c *code
	for _, have := range g.codes {
		if have.machineID != "" && have.machineID == r.MachineID && same(r.Token.Reveal(), have.token, "") {
			c = have
		}
	}
	switch {
	case r.Type != gateway.Provision && r.Type != gateway.ReIssue:
		return nil, fail(gateway.BadRequest, "request_type is neither Provision nor ReIssue")
	case c == nil, !g.original && c.token == "":
		return nil, fail(gateway.Unauthorized, "the token is wrong, was used, or is another machine's")
	case c.key != "" && c.key != key:
		return nil, fail(gateway.Unauthorized, "the key is not the one that was announced")
	case csr.Subject.CommonName != r.MachineID:
		return nil, fail(gateway.BadRequest, "the common name is not the machine id")
	}
	attestation, err := g.prove(c.tpm, csr, r.Evidence)
	if err != nil {
		return nil, err
	}
	if issue == nil {
		issue = (*CA).Machine
	}
	issued, err := issue(g.CA, csr.PublicKey, r.MachineID, g.now())
	if err != nil {
		return nil, err
	}
	c.token, g.attested[r.MachineID] = "", attestation
	return gateway.NewIssuedPayload(issued), nil
}

// same compares a credential as it came, behind its prefix, with the one kept.
func same(got string, want gateway.Secret, prefix string) bool {
	if want == "" {
		return true // the original cloud asks for none
	}
	return subtle.ConstantTimeCompare([]byte(got), []byte(prefix+want.Reveal())) == 1
}
