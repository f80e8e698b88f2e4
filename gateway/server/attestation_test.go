package server

import (
	"crypto/x509"
	"strings"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"

	"github.com/mecha-org/mecha-agent/gateway"
	"github.com/mecha-org/mecha-agent/gateway/attest"
	"github.com/mecha-org/mecha-agent/gateway/attest/attesttest"
)

// board is a device with a TPM, in the middle of the exchange.
type board struct {
	*device
	tpm *attesttest.TPM
}

// maker makes a maker of TPMs whose CA is valid now.
func maker(t *testing.T) *attesttest.Maker {
	t.Helper()
	m, err := attesttest.NewMaker("Maker", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func asking(p Policy, trusted ...*attesttest.Maker) func(*Config) {
	return func(c *Config) {
		var roots []*x509.Certificate
		for _, m := range trusted {
			roots = append(roots, m.Root)
		}
		c.Attestation = Attestation{Policy: p, Roots: attest.NewRoots(roots...)}
	}
}

// board makes a device with a TPM, and the answer to its announcement.
func (f *fixture) board(code string, m *attesttest.Maker, o attesttest.Options) (*board, reply) {
	f.t.Helper()
	tpm, err := m.NewTPM(o)
	if err != nil {
		f.t.Fatal(err)
	}
	b := &board{&device{f: f, key: tpm.Key(), code: code}, tpm}
	id, err := tpm.Identity(f.t.Context())
	if err != nil {
		f.t.Fatal(err)
	}
	r := f.call(f.http, "POST", gateway.RouteAnnounce,
		gateway.AnnounceBody{Code: code, CSR: newCSR(f.t, b.key, "pending"), Board: testBoard, TPM: &id})
	if r.status == 200 {
		b.sess = ok[gateway.SessionPayload](f.t, r)
	}
	return b, r
}

// claimedBoard is a board whose code was claimed and which has its manifest.
func (f *fixture) claimedBoard(code string, m *attesttest.Maker, o attesttest.Options) *board {
	f.t.Helper()
	b, r := f.board(code, m, o)
	ok[gateway.SessionPayload](f.t, r)
	f.claim(code)
	b.man = ok[gateway.ManifestPayload](f.t, b.find())
	return b
}

// proof is a request for a certificate with evidence for the newest manifest.
func (b *board) proof() gateway.SignBody {
	b.f.t.Helper()
	body := b.body()
	if b.man.Challenge == nil {
		b.f.t.Fatal("the manifest has no challenge")
	}
	csr, err := gateway.ParseCSR(body.CSR)
	if err != nil {
		b.f.t.Fatal(err)
	}
	e, err := b.tpm.Prove(b.f.t.Context(), *b.man.Challenge, csr.Raw)
	if err != nil {
		b.f.t.Fatal(err)
	}
	body.Evidence = &e
	return body
}

// wantMachine checks certificate and registry alike.
func (f *fixture) wantMachine(issued gateway.IssuedPayload, b *device, want gateway.Attestation) gateway.MachinePayload {
	f.t.Helper()
	cert := verify(f.t, issued, b.key, b.man.MachineID)
	if got := gateway.AttestationOf(cert); got != want {
		f.t.Errorf("the certificate says %q, want %q", got, want)
	}
	for _, m := range ok[gateway.MachinesPayload](f.t, f.call(f.http, "GET", gateway.RouteMachines, nil, asOperator(f))).Machines {
		if m.MachineID != b.man.MachineID {
			continue
		}
		if m.Attestation != want {
			f.t.Errorf("the registry says %q, want %q", m.Attestation, want)
		}
		return m
	}
	f.t.Fatal("the machine is not in the registry")
	return gateway.MachinePayload{}
}

func (f *fixture) pending(code string) gateway.FindPayload {
	f.t.Helper()
	return ok[gateway.FindPayload](f.t, f.call(f.http, "GET", gateway.RouteFindRequest+"?code="+code, nil, asOperator(f)))
}

func TestAttestation(t *testing.T) {
	m, stranger := maker(t), maker(t)
	for name, tt := range map[string]struct {
		policy Policy
		from   *attesttest.Maker
		o      attesttest.Options
		want   gateway.Attestation
		reason string
	}{
		"required, known maker":    {Required, m, attesttest.Options{}, gateway.TPMProven, ""},
		"recorded, known maker":    {Recorded, m, attesttest.Options{RSA: 2048}, gateway.TPMProven, ""},
		"recorded, unknown maker":  {Recorded, stranger, attesttest.Options{}, gateway.TPMUnproven, "TPM maker: unknown maker"},
		"recorded, no certificate": {Recorded, m, attesttest.Options{NoCertificate: true}, gateway.TPMUnproven, "TPM maker: the TPM has no EK certificate"},
		"the default is recorded":  {"", stranger, attesttest.Options{}, gateway.TPMUnproven, "TPM maker: unknown maker"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, asking(tt.policy, m))
			b, r := f.board("ABC123", tt.from, tt.o)
			ok[gateway.SessionPayload](t, r)
			p := f.pending("ABC123")
			if p.Attestation != tt.want || p.TPM.EKFingerprint == "" || !strings.HasPrefix(p.TPM.Reason, tt.reason) ||
				(p.TPM.Reason == "") != (tt.reason == "") || (p.TPM.Maker == "Maker root") != (tt.want == gateway.TPMProven) {
				t.Errorf("the operator sees %+v %+v", p.Attestation, p.TPM)
			}
			f.claim("ABC123")
			b.man = ok[gateway.ManifestPayload](t, b.find())
			row := f.wantMachine(ok[gateway.IssuedPayload](t, b.sign(b.proof())), b.device, tt.want)
			if row.TPM != p.TPM {
				t.Errorf("registry %+v, want %+v", row.TPM, p.TPM)
			}
		})
	}
}

// Nothing in the exchange changes for a device without a TPM, or for one that
// cannot prove it, where the policy is not required.
func TestAttestationNone(t *testing.T) {
	m := maker(t)
	f := newFixture(t, asking(Recorded, m))
	d := f.claimed("ABC123")
	if d.man.Challenge != nil {
		t.Error("a challenge for a device without a TPM")
	}
	if row := f.wantMachine(ok[gateway.IssuedPayload](t, d.sign(d.body())), d, gateway.SoftwareKey); row.TPM != (gateway.TPM{}) {
		t.Errorf("registry %+v", row.TPM)
	}

	silent := f.claimedBoard("DEF456", m, attesttest.Options{})
	row := f.wantMachine(ok[gateway.IssuedPayload](t, silent.sign(silent.body())), silent.device, gateway.SoftwareKey)
	if row.TPM.Reason != "the TPM was announced, and no evidence came with the request" {
		t.Errorf("registry %+v", row.TPM)
	}

	odd := f.claimedBoard("GHJ789", m, attesttest.Options{AK: func(p *tpm2.TPMTPublic) { p.ObjectAttributes.Restricted = false }})
	if odd.man.Challenge != nil {
		t.Error("a challenge for an AK that is none")
	}
	row = f.wantMachine(ok[gateway.IssuedPayload](t, odd.sign(odd.body())), odd.device, gateway.SoftwareKey)
	if row.TPM != (gateway.TPM{Reason: "attestation key: its attribute restricted is clear, must be set"}) {
		t.Errorf("registry %+v", row.TPM)
	}
}

func TestAttestationOff(t *testing.T) {
	m := maker(t)
	f := newFixture(t, asking(Off))
	b := f.claimedBoard("ABC123", m, attesttest.Options{})
	if b.man.Challenge != nil {
		t.Error("a challenge")
	}
	body := b.body()
	body.Evidence = &gateway.Evidence{Attest: []byte("nobody looks at it")}
	if row := f.wantMachine(ok[gateway.IssuedPayload](t, b.sign(body)), b.device, ""); row.TPM != (gateway.TPM{}) {
		t.Errorf("registry %+v", row.TPM)
	}
}

// An announcement is refused with the check that failed, and leaves nothing.
func TestAttestationRequiredAnnounce(t *testing.T) {
	m, stranger := maker(t), maker(t)
	f := newFixture(t, asking(Required, m))
	f.call(f.http, "POST", gateway.RouteAnnounce, gateway.AnnounceBody{Code: "ABC123", CSR: newCSR(t, newKey(t), "x"), Board: testBoard}).
		want(t, 412, gateway.Precondition, "none was announced")
	f.nothingStored()
	other, err := m.NewTPM(attesttest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		from *attesttest.Maker
		o    attesttest.Options
		want string
	}{
		"EK certificate of an unknown maker": {stranger, attesttest.Options{}, "TPM maker: unknown maker"},
		"expired EK chain": {m, attesttest.Options{Certificate: func(c *x509.Certificate) {
			c.NotBefore, c.NotAfter = time.Now().AddDate(-2, 0, 0), time.Now().AddDate(-1, 0, 0)
		}}, "TPM maker: the EK certificate is valid from"},
		"EK not matching its certificate": {m, attesttest.Options{Certificate: func(c *x509.Certificate) { c.PublicKey = other.Key().Public() }},
			"EK certificate: it is for another key"},
		"AK without restricted": {m, attesttest.Options{AK: func(p *tpm2.TPMTPublic) { p.ObjectAttributes.Restricted = false }},
			"attestation key: its attribute restricted is clear"},
	} {
		t.Run(name, func(t *testing.T) {
			_, r := f.board("ABC123", tt.from, tt.o)
			r.want(t, 412, gateway.Precondition, "attestation: "+tt.want)
			f.nothingStored()
		})
	}
}

// What does not parse is refused whatever the policy.
func TestAttestationForm(t *testing.T) {
	m := maker(t)
	for _, p := range []Policy{Recorded, Required} {
		f := newFixture(t, asking(p, m))
		for name, change := range map[string]func(*gateway.TPMIdentity){
			"truncated": func(id *gateway.TPMIdentity) { id.AKPublic = id.AKPublic[:10] },
			"oversized": func(id *gateway.TPMIdentity) { id.EKPublic = make([]byte, 4096) },
		} {
			_, r := f.board("ABC123", m, attesttest.Options{Identity: change})
			if r.want(t, 400, gateway.BadRequest, "attestation: form: "); t.Failed() {
				t.Fatal(name)
			}
			f.nothingStored()
		}
	}
}

// Wrong evidence is refused under either policy, and costs nothing: the right one
// is taken afterwards, with the same token.
func TestAttestationEvidenceRefused(t *testing.T) {
	m := maker(t)
	for _, p := range []Policy{Recorded, Required} {
		f := newFixture(t, asking(p, m))
		b, other := f.claimedBoard("ABC123", m, attesttest.Options{}), f.claimedBoard("DEF456", m, attesttest.Options{})
		good, others := b.proof(), other.proof()
		for name, tt := range map[string]struct {
			change  func(*gateway.Evidence)
			status  int
			kind    gateway.Kind
			message string
		}{
			"altered attest":        {func(e *gateway.Evidence) { e.Attest[len(e.Attest)-60]++ }, 412, gateway.Precondition, "attestation: signature: "},
			"another machine's":     {func(e *gateway.Evidence) { *e = *others.Evidence }, 412, gateway.Precondition, "attestation: device key: "},
			"another's activation":  {func(e *gateway.Evidence) { e.Activated = others.Evidence.Activated }, 412, gateway.Precondition, "attestation: activation: "},
			"nothing activated":     {func(e *gateway.Evidence) { e.Activated = nil }, 412, gateway.Precondition, "attestation: activation: "},
			"truncated statement":   {func(e *gateway.Evidence) { e.Attest = e.Attest[:30] }, 400, gateway.BadRequest, "attestation: form: "},
			"oversized signature":   {func(e *gateway.Evidence) { e.Signature = make([]byte, 2000) }, 400, gateway.BadRequest, "attestation: form: "},
			"an empty one":          {func(e *gateway.Evidence) { *e = gateway.Evidence{} }, 400, gateway.BadRequest, "attestation: form: "},
			"signature of another":  {func(e *gateway.Evidence) { e.Signature = others.Evidence.Signature }, 412, gateway.Precondition, "attestation: signature: "},
			"the key of another AK": {func(e *gateway.Evidence) { e.KeyPublic = others.Evidence.KeyPublic }, 412, gateway.Precondition, "attestation: device key: "},
		} {
			body, e := good, *good.Evidence
			e.Attest = append([]byte{}, e.Attest...)
			tt.change(&e)
			body.Evidence = &e
			if b.sign(body).want(t, tt.status, tt.kind, tt.message); t.Failed() {
				t.Fatal(p, name)
			}
		}
		b.nothingIssued()
		f.wantMachine(ok[gateway.IssuedPayload](t, b.sign(good)), b.device, gateway.TPMProven)
		b.sign(good).want(t, 401, gateway.Unauthorized, "used already") // replayed
	}
}

// A key that may leave its TPM is none of it.
func TestAttestationKeyWithoutFixedTPM(t *testing.T) {
	m := maker(t)
	f := newFixture(t, asking(Recorded, m))
	b := f.claimedBoard("ABC123", m, attesttest.Options{Key: func(p *tpm2.TPMTPublic) { p.ObjectAttributes.FixedTPM = false }})
	b.sign(b.proof()).want(t, 412, gateway.Precondition, "attestation: device key: its attribute fixedTPM is clear")
	b.nothingIssued()
}

// The evidence is for the newest manifest: each makes a new challenge.
func TestAttestationStaleNonce(t *testing.T) {
	m := maker(t)
	f := newFixture(t, asking(Required, m))
	b := f.claimedBoard("ABC123", m, attesttest.Options{})
	old := b.proof()
	first := *b.man.Challenge
	b.man = ok[gateway.ManifestPayload](t, b.find())
	if string(b.man.Challenge.Nonce) == string(first.Nonce) || string(b.man.Challenge.Credential) == string(first.Credential) {
		t.Fatal("the second challenge is the first")
	}
	b.sign(old).want(t, 401, gateway.Unauthorized, "replaced")
	old.Token = b.man.Token
	b.sign(old).want(t, 401, gateway.Unauthorized, "attestation: nonce: ")
	b.nothingIssued()
	f.wantMachine(ok[gateway.IssuedPayload](t, b.sign(b.proof())), b.device, gateway.TPMProven)
}

// A gateway that starts anew between manifest and request knows its challenge.
func TestAttestationRestart(t *testing.T) {
	m := maker(t)
	var config Config
	f := newFixture(t, asking(Required, m), func(c *Config) { config = *c })
	b := f.claimedBoard("ABC123", m, attesttest.Options{})
	next, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	issued, err := next.service.Sign(t.Context(), Caller{}, b.proof().SignRequest())
	if err != nil {
		t.Fatal(err)
	}
	f.wantMachine(gateway.NewIssuedPayload(issued), b.device, gateway.TPMProven)
}

// A policy that became stricter holds for what was announced before.
func TestAttestationStricter(t *testing.T) {
	m, stranger := maker(t), maker(t)
	var config Config
	f := newFixture(t, asking(Recorded, m), func(c *Config) { config = *c })
	unknown := f.claimedBoard("ABC123", stranger, attesttest.Options{})
	software := f.claimed("DEF456")
	asking(Required, m)(&config)
	next, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	for body, want := range map[gateway.SignBody]string{
		unknown.proof():               "attestation: TPM maker: unknown maker",
		software.body():               "no evidence came",
		unknown.body():                "no evidence came",
		withEvidence(software.body()): "no challenge went out",
	} {
		_, err := next.service.Sign(t.Context(), Caller{}, body.SignRequest())
		if gateway.KindOf(err) != gateway.Precondition || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
	software.nothingIssued()
}

func withEvidence(b gateway.SignBody) gateway.SignBody {
	b.Evidence = &gateway.Evidence{}
	return b
}

func TestAttestationConfig(t *testing.T) {
	var config Config
	newFixture(t, func(c *Config) { config = *c })
	m := maker(t)
	for want, change := range map[string]func(*Config){
		"no TPM maker is trusted":             asking(Required),
		"codes that nobody announced":         func(c *Config) { asking(Required, m)(c); c.Unannounced = true },
		`attestation policy "strict" is none`: asking("strict"),
	} {
		c := config
		change(&c)
		if _, err := New(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}
