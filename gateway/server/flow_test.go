package server

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/hex"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mecha-org/mecha-agent/gateway"
	"github.com/mecha-org/mecha-agent/gateway/ca"
	"github.com/mecha-org/mecha-agent/gateway/store"
)

func TestExchange(t *testing.T) {
	f := newFixture(t)
	d := f.announce("abc-123") // as a person would write it
	if d.sess.ExpiresIn != 300 || d.sess.Interval != 5 || len(d.sess.DeviceCode) != 43 ||
		d.sess.VerificationURI != "https://gw.example:3000/claim" ||
		d.sess.VerificationURIComplete != "https://gw.example:3000/claim?code=ABC123" {
		t.Errorf("session %+v", d.sess)
	}
	d.find().want(t, 400, gateway.Pending, "no operator has claimed")

	p := ok[gateway.FindPayload](t, f.call(f.http, "GET", gateway.RouteFindRequest+"?code=ABC123", nil, asOperator(f)))
	fp, _ := gateway.Fingerprint(d.key.Public())
	if p.Board != testBoard || p.KeyFingerprint != fp || !p.Expires.Equal(f.clock.Now().Add(5*time.Minute)) {
		t.Errorf("pending request %+v", p)
	}
	claim := f.claim("ABC123")
	if len(claim.MachineID) != 36 || claim.MachineID[14] != '4' {
		t.Errorf("machine id %q, want a UUID of version 4", claim.MachineID)
	}
	status := func() gateway.RequestState {
		return ok[gateway.RequestStatusPayload](t, f.call(f.http, "POST", gateway.RouteRequestStatus+"?id=1", nil, asOperator(f))).StatusCode
	}
	if s := status(); s != gateway.RequestPending {
		t.Errorf("status %s before the certificate", s)
	}
	d.man = ok[gateway.ManifestPayload](t, d.find())
	if d.man.MachineID != claim.MachineID || d.man.CertSignURL != gateway.RouteSign || d.man.Token == "" {
		t.Errorf("manifest %+v", d.man)
	}
	if want := f.clock.Now().Add(24 * time.Hour).Format(time.RFC3339); d.man.CertValidUpto != want {
		t.Errorf("cert_valid_upto %s, want %s", d.man.CertValidUpto, want)
	}
	r := d.sign(d.body())
	if cc := r.header.Get("Cache-Control"); cc != "no-store" {
		t.Errorf("Cache-Control %q", cc)
	}
	cert := verify(t, ok[gateway.IssuedPayload](t, r), d.key, claim.MachineID)
	if s := status(); s != gateway.RequestComplete {
		t.Errorf("status %s after the certificate", s)
	}
	list := ok[gateway.MachinesPayload](t, f.call(f.http, "GET", gateway.RouteMachines, nil, asOperator(f))).Machines
	if len(list) != 1 || list[0].MachineID != claim.MachineID || list[0].KeyFingerprint != fp ||
		list[0].CertificateSerial != hex.EncodeToString(cert.SerialNumber.Bytes()) {
		t.Errorf("machines %+v", list)
	}

	// Revocation is final, idempotent, and in the list that everybody can fetch.
	crl := func() *x509.RevocationList {
		r := f.call(f.http, "GET", gateway.RouteCRL, nil)
		l, err := x509.ParseRevocationList([]byte(r.rawText))
		if err != nil || r.header.Get("Content-Type") != "application/pkix-crl" {
			t.Fatalf("CRL: %v, %v", err, r.header)
		}
		return l
	}
	if n := len(crl().RevokedCertificateEntries); n != 0 {
		t.Errorf("%d revoked before the revocation", n)
	}
	revoke := func() time.Time {
		return ok[gateway.RevokePayload](t, f.call(f.http, "POST", gateway.RouteRevoke, gateway.RevokeBody{MachineID: claim.MachineID}, asOperator(f))).Revoked
	}
	at := revoke()
	f.clock.add(2 * time.Second)
	if again := revoke(); !again.Equal(at) {
		t.Errorf("revoked at %s, and again at %s", at, again)
	}
	if e := crl().RevokedCertificateEntries; len(e) != 1 || e[0].SerialNumber.Cmp(cert.SerialNumber) != 0 {
		t.Errorf("revocation list %+v", e)
	}
	d2 := &device{f: f, key: d.key, code: "ZZZ222"}
	d2.sess = ok[gateway.SessionPayload](t, f.call(f.http, "POST", gateway.RouteAnnounce,
		gateway.AnnounceBody{Code: d2.code, CSR: newCSR(t, d2.key, "x"), Board: testBoard}))
	f.call(f.http, "POST", gateway.RouteClaim, gateway.ClaimBody{ProvisionCode: d2.code}, asOperator(f)).
		want(t, 412, gateway.Precondition, "revoked")
}

func TestLostAnswers(t *testing.T) {
	f := newFixture(t)
	d := f.claimed("ABC123")
	old := d.man.Token
	d.man = ok[gateway.ManifestPayload](t, d.find()) // the answer with the first token was lost
	if d.man.Token == old {
		t.Fatal("the token is the same as before")
	}
	b := d.body()
	b.Token = old
	d.sign(b).want(t, 401, gateway.Unauthorized, "replaced")
	d.nothingIssued()

	first := ok[gateway.IssuedPayload](t, d.sign(d.body()))
	d.sign(d.body()).want(t, 401, gateway.Unauthorized, "used already") // replayed
	d.man = ok[gateway.ManifestPayload](t, d.find())                    // the certificate was lost
	again := ok[gateway.IssuedPayload](t, d.sign(d.body()))
	if again.Cert != first.Cert {
		t.Error("another certificate was issued, want the recorded one")
	}
}

func TestSameTokenFromMany(t *testing.T) {
	f := newFixture(t)
	d := f.claimed("ABC123")
	b := d.body()
	var wg sync.WaitGroup
	answers := make([]reply, 32)
	for i := range answers {
		wg.Go(func() { answers[i] = d.sign(b) })
	}
	wg.Wait()
	good := 0
	for _, r := range answers {
		if r.status == http.StatusOK {
			good++
			continue
		}
		r.want(t, 401, gateway.Unauthorized, "the token was used already")
	}
	if good != 1 {
		t.Errorf("%d of 32 got a certificate, want 1", good)
	}
}

func TestBadSign(t *testing.T) {
	weak, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	f := newFixture(t)
	d := f.claimed("ABC123")
	other := f.announce("DEF456")
	id := d.man.MachineID
	flip := func(csr string) string { // the last characters of the base64 are the signature
		lines := strings.Split(strings.TrimSpace(csr), "\n")
		l := []byte(lines[len(lines)-2])
		if l[2] == 'A' {
			l[2] = 'B'
		} else {
			l[2] = 'A'
		}
		lines[len(lines)-2] = string(l)
		return strings.Join(lines, "\n")
	}
	for name, tc := range map[string]struct {
		change  func(b *gateway.SignBody)
		status  int
		kind    gateway.Kind
		message string
	}{
		"no token":              {func(b *gateway.SignBody) { b.Token = "" }, 401, gateway.Unauthorized, "token is missing"},
		"token without id":      {func(b *gateway.SignBody) { b.Token = "abc" }, 401, gateway.Unauthorized, "token is wrong"},
		"token of nothing":      {func(b *gateway.SignBody) { b.Token = "99" + b.Token }, 401, gateway.Unauthorized, "token is wrong"},
		"token of an unclaimed": {func(b *gateway.SignBody) { b.Token = "2." + b.Token[2:] }, 401, gateway.Unauthorized, "token is wrong"},
		"guessed token":         {func(b *gateway.SignBody) { b.Token = "1." + gateway.NewSecret().Reveal() }, 401, gateway.Unauthorized, "token is wrong"},
		"token with a tail":     {func(b *gateway.SignBody) { b.Token += "A" }, 401, gateway.Unauthorized, "token is wrong"},
		"another machine":       {func(b *gateway.SignBody) { b.MachineID = newMachineID() }, 401, gateway.Unauthorized, "machine_id"},
		"no machine":            {func(b *gateway.SignBody) { b.MachineID = "" }, 401, gateway.Unauthorized, "machine_id"},
		"another key":           {func(b *gateway.SignBody) { b.CSR = newCSR(t, other.key, id) }, 401, gateway.Unauthorized, "its key is not"},
		"CN of another machine": {func(b *gateway.SignBody) { b.CSR = newCSR(t, d.key, newMachineID()) }, 400, gateway.BadRequest, "common name"},
		"bad signature":         {func(b *gateway.SignBody) { b.CSR = flip(b.CSR) }, 400, gateway.BadRequest, "csr: certificate signing request refused"},
		"RSA key":               {func(b *gateway.SignBody) { b.CSR = newCSR(t, weak, id) }, 400, gateway.BadRequest, "want ECDSA on P-256 or P-384"},
		"weak curve":            {func(b *gateway.SignBody) { b.CSR = newCSR(t, p224, id) }, 400, gateway.BadRequest, "P-224"},
		"no PEM":                {func(b *gateway.SignBody) { b.CSR = "hello" }, 400, gateway.BadRequest, "no PEM block"},
		"huge CSR":              {func(b *gateway.SignBody) { b.CSR = strings.Repeat("A", 9000) }, 400, gateway.BadRequest, "longer than"},
		"re-issue":              {func(b *gateway.SignBody) { b.RequestType = "ReIssue" }, 400, gateway.BadRequest, "does not serve it yet"},
		"no type":               {func(b *gateway.SignBody) { b.RequestType = "" }, 400, gateway.BadRequest, "request_type"},
	} {
		t.Run(name, func(t *testing.T) {
			b := d.body()
			tc.change(&b)
			d.sign(b).want(t, tc.status, tc.kind, tc.message)
			d.nothingIssued()
		})
	}
	// None of it has used up the token.
	verify(t, ok[gateway.IssuedPayload](t, d.sign(d.body())), d.key, id)
}

func TestExpiry(t *testing.T) {
	f := newFixture(t)
	d := f.announce("ABC123")
	f.clock.add(5 * time.Minute)
	d.find().want(t, 404, gateway.NotFound, "unknown or expired")
	f.call(f.http, "POST", gateway.RouteClaim, gateway.ClaimBody{ProvisionCode: "ABC123"}, asOperator(f)).
		want(t, 404, gateway.NotFound, "unknown or expired")
	f.call(f.http, "GET", gateway.RouteFindRequest+"?code=ABC123", nil, asOperator(f)).
		want(t, 404, gateway.NotFound, "unknown or expired")

	// The code is still its former key's: nobody else's is behind it now.
	f.call(f.http, "POST", gateway.RouteAnnounce, gateway.AnnounceBody{Code: "ABC123", CSR: newCSR(t, newKey(t), "x")}).
		want(t, 409, gateway.Taken, "make another")
	ok[gateway.SessionPayload](t, f.call(f.http, "POST", gateway.RouteAnnounce, gateway.AnnounceBody{Code: "ABC123", CSR: newCSR(t, d.key, "x")}))
	f.clock.add(5*time.Minute + store.Reserved)

	d = f.claimed("ABC123") // the code is anybody's again
	f.clock.add(15 * time.Minute)
	d.sign(d.body()).want(t, 401, gateway.Unauthorized, "expired")
	d.find().want(t, 404, gateway.NotFound, "unknown or expired")
	d.nothingIssued()
}

func TestSweepDropsOnlyWhatIsOver(t *testing.T) {
	f := newFixture(t)
	f.announce("ABC123")
	f.claimed("DEF456")
	f.clock.add(59 * time.Minute)
	f.srv.sweep(t.Context())
	if _, err := f.store.RequestByID(t.Context(), 1); err != nil {
		t.Errorf("swept after 59 minutes: %v", err)
	}
	f.clock.add(time.Hour)
	f.srv.sweep(t.Context())
	f.nothingStored()
	if _, err := f.store.RequestByID(t.Context(), 2); err != nil {
		t.Errorf("the claimed request was swept: %v", err)
	}
}

func TestPollsAndDeviceCodes(t *testing.T) {
	f := newFixture(t)
	d := f.announce("ABC123")
	d.find().want(t, 400, gateway.Pending, "")
	r := d.find()
	r.want(t, 429, gateway.SlowDown, "too often")
	if ra := r.header.Get("Retry-After"); ra != "5" {
		t.Errorf("Retry-After %q, want 5", ra)
	}
	f.clock.add(2500 * time.Millisecond)
	d.find().want(t, 400, gateway.Pending, "")

	// A wrong device code, and none, look exactly like a code that nobody announced.
	unknown := f.call(f.http, "GET", gateway.RouteFindManifest+"?code=ZZZZZZ", nil, withBearer(d.sess.DeviceCode))
	for _, o := range []option{withBearer("wrong"), withBearer(""), func(*http.Request) {}, withBearer(f.announce("QQQQQQ").sess.DeviceCode)} {
		r := f.call(f.http, "GET", gateway.RouteFindManifest+"?code=ABC123", nil, o)
		if r.status != 404 || r.rawText != unknown.rawText {
			t.Errorf("got %d %s, want it like %d %s", r.status, r.rawText, unknown.status, unknown.rawText)
		}
	}
	// Also once it is claimed: a code that was overheard is worth nothing.
	f.claim("ABC123")
	f.call(f.http, "GET", gateway.RouteFindManifest+"?code=ABC123", nil).want(t, 404, gateway.NotFound, "unknown or expired")
	ok[gateway.ManifestPayload](t, d.find())
}

func TestBadAnnounce(t *testing.T) {
	f := newFixture(t)
	csr := newCSR(t, newKey(t), "x")
	for name, tc := range map[string]struct {
		body    gateway.AnnounceBody
		message string
	}{
		"no code":       {gateway.AnnounceBody{CSR: csr}, "code: not a provisioning code"},
		"short code":    {gateway.AnnounceBody{Code: "AB", CSR: csr}, "fewer than"},
		"long code":     {gateway.AnnounceBody{Code: strings.Repeat("A", 13), CSR: csr}, "more than"},
		"odd code":      {gateway.AnnounceBody{Code: "ABC!23", CSR: csr}, "outside"},
		"no CSR":        {gateway.AnnounceBody{Code: "ABC123"}, "csr: "},
		"long serial":   {gateway.AnnounceBody{Code: "ABC123", CSR: csr, Board: gateway.Board{Serial: strings.Repeat("s", 129)}}, "board.serial: longer than 128 bytes"},
		"escape in it":  {gateway.AnnounceBody{Code: "ABC123", CSR: csr, Board: gateway.Board{Model: "x\x1b[2J"}}, "board.model: it has a character that does not print"},
		"lines in it":   {gateway.AnnounceBody{Code: "ABC123", CSR: csr, Board: gateway.Board{Vendor: "a\nb"}}, "board.vendor"},
		"right to left": {gateway.AnnounceBody{Code: "ABC123", CSR: csr, Board: gateway.Board{SoC: "a\u202eb"}}, "board.soc"},
	} {
		t.Run(name, func(t *testing.T) {
			f.call(f.http, "POST", gateway.RouteAnnounce, tc.body).want(t, 400, gateway.BadRequest, tc.message)
			f.nothingStored()
		})
	}
	f.announce("ABC123")
	f.call(f.http, "POST", gateway.RouteAnnounce, gateway.AnnounceBody{Code: "abc-l23", CSR: csr}).want(t, 409, gateway.Taken, "make another")
}

// TestRevokedOnTheWay: a machine that is revoked after its claim is told so, at
// each step that is left.
func TestRevokedOnTheWay(t *testing.T) {
	g := &gate{entered: make(chan struct{}), open: make(chan struct{})}
	f := newFixture(t, gated(g))
	revoke := func(id string) {
		ok[gateway.RevokePayload](t, f.call(f.http, "POST", gateway.RouteRevoke, gateway.RevokeBody{MachineID: id}, asOperator(f)))
	}
	d := f.announce("ABC123")
	revoke(f.claim("ABC123").MachineID)
	d.find().want(t, 401, gateway.Unauthorized, "the machine is revoked")

	d = f.claimed("DEF456")
	revoke(d.man.MachineID)
	d.sign(d.body()).want(t, 401, gateway.Unauthorized, "the machine is revoked")

	d = f.claimed("GHJ789")
	b, answer := d.body(), make(chan reply, 1)
	go func() { answer <- d.sign(b) }()
	<-g.entered
	revoke(d.man.MachineID)
	close(g.open)
	r := <-answer
	r.want(t, 401, gateway.Unauthorized, "the machine is revoked")
	d.nothingIssued()
}

func TestUnannounced(t *testing.T) {
	f := newFixture(t, func(c *Config) { c.Unannounced = true })
	find := func(code string) reply { return f.call(f.http, "GET", gateway.RouteFindManifest+"?code="+code, nil) }
	for range 50 { // an agent of the original asks again and again for the same code
		find("ABC123").want(t, 400, gateway.Pending, "")
	}
	if p := ok[gateway.FindPayload](t, f.call(f.http, "GET", gateway.RouteFindRequest+"?code=ABC123", nil, asOperator(f))); p.KeyFingerprint != "" {
		t.Errorf("a key %q of nobody", p.KeyFingerprint)
	}
	a, b := f.claim("ABC123"), f.claim("DEF456")
	if a.MachineID == b.MachineID {
		t.Fatal("two codes of nobody became one machine")
	}
	m := ok[gateway.ManifestPayload](t, find("ABC123"))
	if m.MachineID != a.MachineID || m.Token != "" {
		t.Errorf("manifest %+v, want machine %s", m, a.MachineID)
	}
	key, thief := newKey(t), newKey(t)
	sign := func(k *device, id string) reply {
		return f.call(f.http, "POST", gateway.RouteSign, gateway.SignBody{CSR: newCSR(t, k.key, id), MachineID: id, RequestType: "Provision"})
	}
	first := ok[gateway.IssuedPayload](t, sign(&device{key: key}, a.MachineID))
	verify(t, first, key, a.MachineID)
	sign(&device{key: thief}, a.MachineID).want(t, 401, gateway.Unauthorized, "another key")
	if again := ok[gateway.IssuedPayload](t, sign(&device{key: key}, a.MachineID)); again.Cert != first.Cert {
		t.Error("another certificate for the same key")
	}
	ok[gateway.RevokePayload](t, f.call(f.http, "POST", gateway.RouteRevoke, gateway.RevokeBody{MachineID: b.MachineID}, asOperator(f)))
	sign(&device{key: key}, b.MachineID).want(t, 401, gateway.Unauthorized, "revoked")
	sign(&device{key: key}, machineIDFor(2)).want(t, 401, gateway.Unauthorized, "unknown")

	// An announced code stays bound to its key.
	d := f.announce("GHJ789")
	c := f.claim("GHJ789")
	find("GHJ789").want(t, 404, gateway.NotFound, "unknown or expired")
	sign(&device{key: thief}, c.MachineID).want(t, 401, gateway.Unauthorized, "unknown")
	d.man = ok[gateway.ManifestPayload](t, d.find())
	verify(t, ok[gateway.IssuedPayload](t, d.sign(d.body())), d.key, c.MachineID)
}

// TestFirstKeyIsOne: of many that come first with a machine id, one becomes the machine.
func TestFirstKeyIsOne(t *testing.T) {
	f := newFixture(t, func(c *Config) { c.Unannounced = true })
	id := f.claim("ABC123").MachineID
	answers := make([]reply, 16)
	var wg sync.WaitGroup
	for i := range answers {
		csr := newCSR(t, newKey(t), id)
		wg.Go(func() {
			answers[i] = f.call(f.http, "POST", gateway.RouteSign, gateway.SignBody{CSR: csr, MachineID: id, RequestType: "Provision"})
		})
	}
	wg.Wait()
	good := 0
	for _, r := range answers {
		if r.status == http.StatusOK {
			good++
			continue
		}
		r.want(t, 401, gateway.Unauthorized, "the machine has a certificate for another key")
	}
	if good != 1 {
		t.Errorf("%d of 16 keys got a certificate, want 1", good)
	}
}

func TestUnannouncedIsOff(t *testing.T) {
	f := newFixture(t)
	f.call(f.http, "GET", gateway.RouteFindManifest+"?code=ABC123", nil).want(t, 404, gateway.NotFound, "unknown or expired")
	f.call(f.http, "POST", gateway.RouteClaim, gateway.ClaimBody{ProvisionCode: "ABC123"}, asOperator(f)).want(t, 404, gateway.NotFound, "")
	f.nothingStored()
	f.call(f.http, "POST", gateway.RouteSign, gateway.SignBody{CSR: newCSR(t, newKey(t), "m"), MachineID: machineIDFor(1), RequestType: "Provision"}).
		want(t, 401, gateway.Unauthorized, "token is missing")
}

// gate holds a signature until the test lets it go.
type gate struct {
	ca.Authority
	entered, open chan struct{}
}

func (g *gate) Sign(ctx context.Context, csr *x509.CertificateRequest, m ca.Machine, now time.Time) (*x509.Certificate, error) {
	close(g.entered)
	select {
	case <-g.open:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return g.Authority.Sign(ctx, csr, m, now)
}

func gated(g *gate) func(*Config) {
	return func(c *Config) { g.Authority, c.CA = c.CA, g }
}

func TestShutdownFinishesASign(t *testing.T) {
	g := &gate{entered: make(chan struct{}), open: make(chan struct{})}
	f := newFixture(t, gated(g))
	d := f.claimed("ABC123")
	b, answer := d.body(), make(chan reply, 1)
	go func() { answer <- d.sign(b) }()
	<-g.entered
	f.stop()
	<-f.srv.stopping.Done()
	select {
	case <-f.ended:
		t.Fatal("Serve returned while a sign was in flight")
	default:
	}
	close(g.open)
	verify(t, ok[gateway.IssuedPayload](t, <-answer), d.key, d.man.MachineID)
	<-f.ended
	if r, err := f.store.RequestByID(t.Context(), 1); err != nil || r.CertificateSerial == "" {
		t.Errorf("the certificate was not recorded: %v", err)
	}
}

func TestHangingUpDoesNotLoseTheCertificate(t *testing.T) {
	g := &gate{entered: make(chan struct{}), open: make(chan struct{})}
	f := newFixture(t, gated(g))
	d := f.claimed("ABC123")
	ctx, hangUp := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, err := f.srv.service.Sign(ctx, Caller{}, d.body().SignRequest())
		if err != nil {
			t.Errorf("sign: %v", err)
		}
	}()
	<-g.entered
	hangUp()
	close(g.open)
	<-ended
	if r, err := f.store.RequestByID(t.Context(), 1); err != nil || r.CertificateSerial == "" {
		t.Errorf("the certificate was not recorded: %v", err)
	}
}
