package attest_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"

	"github.com/mecha-org/mecha-agent/gateway"
	"github.com/mecha-org/mecha-agent/gateway/attest"
	"github.com/mecha-org/mecha-agent/gateway/attest/attesttest"
)

// Every kind of EK that the TCG EK Credential Profile has a template for.
func TestProven(t *testing.T) {
	m := newMaker(t)
	for name, o := range map[string]attesttest.Options{
		"RSA 2048, L-1":  {RSA: 2048},
		"P-256, L-2":     {},
		"RSA 2048, H-1":  {RSA: 2048, High: true},
		"P-256, H-2":     {High: true},
		"P-384, H-3":     {Curve: elliptic.P384(), High: true},
		"RSA 3072, H-6":  {RSA: 3072, High: true},
		"RSA 4096, H-7":  {RSA: 4096, High: true},
		"AK with RSAPSS": {RSAAK: true},
		"without the intermediate, which is in the folder": {
			Identity: func(id *gateway.TPMIdentity) { id.EKCertificates = id.EKCertificates[:1] }},
		"filled up to the size of the TPM's memory": {
			Identity: func(id *gateway.TPMIdentity) {
				id.EKCertificates[0] = append(id.EKCertificates[0], bytes.Repeat([]byte{0xff}, 300)...)
			}},
		"beside a certificate that cannot be read": {
			Identity: func(id *gateway.TPMIdentity) { id.EKCertificates = append(id.EKCertificates, []byte("x")) }},
	} {
		t.Run(name, func(t *testing.T) {
			tpm := newTPM(t, m, o)
			id, err := attest.CheckIdentity(identityOf(t, tpm), attest.NewRoots(m.Root, m.Intermediate), noon)
			if err != nil || id.Unproven != nil {
				t.Fatalf("refused %v, unproven %v", err, id.Unproven)
			}
			if id.TPM.Maker != "Test Maker root" || id.TPM.EKSerial != "5eed" || len(id.TPM.EKFingerprint) != 64 || id.TPM.Reason != "" {
				t.Errorf("identity %+v", id.TPM)
			}
			x := prove(t, tpm)
			if err := attest.CheckEvidence(x.evidence, x.want); err != nil {
				t.Error(err)
			}
		})
	}
}

// What is no refusal, but proves no maker.
func TestUnproven(t *testing.T) {
	m, stranger := newMaker(t), newMaker(t)
	ended, err := attesttest.NewMakerUntil("Ended", noon, noon.Add(-time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		maker *attesttest.Maker
		o     attesttest.Options
		roots *attest.Roots
		want  string
	}{
		"unknown maker":  {maker: stranger, want: `TPM maker: unknown maker: no trusted root leads to the EK certificate of "Test Maker intermediate"`},
		"no root at all": {maker: m, roots: attest.NewRoots(), want: "TPM maker: the gateway has no root of any TPM maker"},
		"expired EK certificate": {maker: m, want: "TPM maker: the EK certificate is valid from 2024-01-01 to 2025-01-01",
			o: attesttest.Options{Certificate: func(c *x509.Certificate) {
				c.NotBefore, c.NotAfter = time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)
			}}},
		"expired EK chain": {maker: ended, roots: attest.NewRoots(ended.Root),
			want: "TPM maker: a CA certificate on the way to the maker's root is not valid now"},
		"no certificate": {maker: m, o: attesttest.Options{NoCertificate: true}, want: "TPM maker: the TPM has no EK certificate"},
		"no DER": {maker: m, want: "TPM maker: the EK certificate cannot be read: it is not DER",
			o: attesttest.Options{Identity: func(id *gateway.TPMIdentity) { id.EKCertificates[0] = []byte("no DER") }}},
		"truncated": {maker: m, want: "TPM maker: the EK certificate cannot be read: it is not DER",
			o: attesttest.Options{Identity: func(id *gateway.TPMIdentity) { id.EKCertificates[0] = id.EKCertificates[0][:100] }}},
		"something behind it": {maker: m, want: "TPM maker: the EK certificate cannot be read: something follows it",
			o: attesttest.Options{Identity: func(id *gateway.TPMIdentity) { id.EKCertificates[0] = append(id.EKCertificates[0], 0, 1) }}},
	} {
		t.Run(name, func(t *testing.T) {
			if tt.roots == nil {
				tt.roots = attest.NewRoots(m.Root)
			}
			tpm := newTPM(t, tt.maker, tt.o)
			id, err := attest.CheckIdentity(identityOf(t, tpm), tt.roots, noon)
			if err != nil {
				t.Fatal(err)
			}
			refused(t, id.Unproven, attest.Maker)
			if id.TPM.Reason != tt.want || id.TPM.Maker != "" || id.TPM.EKFingerprint == "" {
				t.Errorf("identity %+v\nwant reason %s", id.TPM, tt.want)
			}
			x := prove(t, tpm) // and yet the rest holds
			if err := attest.CheckEvidence(x.evidence, x.want); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestIdentityRefused(t *testing.T) {
	m := newMaker(t)
	other := newTPM(t, m, attesttest.Options{})
	ek := func(f func(*tpm2.TPMAObject)) attesttest.Options {
		return attesttest.Options{EK: func(p *tpm2.TPMTPublic) { f(&p.ObjectAttributes) }}
	}
	ak := func(f func(*tpm2.TPMAObject)) attesttest.Options {
		return attesttest.Options{AK: func(p *tpm2.TPMTPublic) { f(&p.ObjectAttributes) }}
	}
	sent := func(f func(*gateway.TPMIdentity)) attesttest.Options { return attesttest.Options{Identity: f} }
	for name, tt := range map[string]struct {
		o    attesttest.Options
		want attest.Check
	}{
		"EK not restricted":         {ek(func(a *tpm2.TPMAObject) { a.Restricted = false }), attest.EndorsementKey},
		"EK that signs":             {ek(func(a *tpm2.TPMAObject) { a.SignEncrypt = true }), attest.EndorsementKey},
		"EK that does not decrypt":  {ek(func(a *tpm2.TPMAObject) { a.Decrypt = false }), attest.EndorsementKey},
		"EK without fixedTPM":       {ek(func(a *tpm2.TPMAObject) { a.FixedTPM = false }), attest.EndorsementKey},
		"EK without fixedParent":    {ek(func(a *tpm2.TPMAObject) { a.FixedParent = false }), attest.EndorsementKey},
		"EK brought from outside":   {ek(func(a *tpm2.TPMAObject) { a.SensitiveDataOrigin = false }), attest.EndorsementKey},
		"EK named with SHA-1":       {attesttest.Options{EK: func(p *tpm2.TPMTPublic) { p.NameAlg = tpm2.TPMAlgSHA1 }}, attest.EndorsementKey},
		"AK without restricted":     {ak(func(a *tpm2.TPMAObject) { a.Restricted = false }), attest.AttestationKey},
		"AK that decrypts":          {ak(func(a *tpm2.TPMAObject) { a.Decrypt = true }), attest.AttestationKey},
		"AK that does not sign":     {ak(func(a *tpm2.TPMAObject) { a.SignEncrypt = false }), attest.AttestationKey},
		"AK without fixedTPM":       {ak(func(a *tpm2.TPMAObject) { a.FixedTPM = false }), attest.AttestationKey},
		"AK without fixedParent":    {ak(func(a *tpm2.TPMAObject) { a.FixedParent = false }), attest.AttestationKey},
		"AK brought from outside":   {ak(func(a *tpm2.TPMAObject) { a.SensitiveDataOrigin = false }), attest.AttestationKey},
		"EK not in its certificate": {attesttest.Options{Certificate: func(c *x509.Certificate) { c.PublicKey = other.Key().Public() }}, attest.Certificate},
		"certificate of a CA": {attesttest.Options{Certificate: func(c *x509.Certificate) {
			c.IsCA, c.KeyUsage, c.UnknownExtKeyUsage = true, x509.KeyUsageCertSign, nil
		}}, attest.Certificate},
		"certificate of a TLS client": {attesttest.Options{Certificate: func(c *x509.Certificate) {
			c.UnknownExtKeyUsage, c.ExtKeyUsage = nil, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
		}}, attest.Certificate},
		"no EK":        {sent(func(id *gateway.TPMIdentity) { id.EKPublic = nil }), attest.Form},
		"no AK":        {sent(func(id *gateway.TPMIdentity) { id.AKPublic = nil }), attest.Form},
		"EK truncated": {sent(func(id *gateway.TPMIdentity) { id.EKPublic = id.EKPublic[:40] }), attest.Form},
		"EK and more":  {sent(func(id *gateway.TPMIdentity) { id.EKPublic = append(id.EKPublic, 0) }), attest.Form},
		"EK oversized": {sent(func(id *gateway.TPMIdentity) { id.EKPublic = make([]byte, 1<<10+1) }), attest.Form},
		"AK truncated": {sent(func(id *gateway.TPMIdentity) { id.AKPublic = id.AKPublic[:40] }), attest.Form},
		"AK oversized": {sent(func(id *gateway.TPMIdentity) { id.AKPublic = make([]byte, 1<<10+1) }), attest.Form},
		"EK off the curve": {sent(func(id *gateway.TPMIdentity) {
			id.EKPublic[len(id.EKPublic)-1] ^= 1
		}), attest.EndorsementKey},
		"certificate oversized":    {sent(func(id *gateway.TPMIdentity) { id.EKCertificates[0] = make([]byte, 4<<10+1) }), attest.Form},
		"too many certificates":    {sent(func(id *gateway.TPMIdentity) { id.EKCertificates = make([][]byte, 7) }), attest.Form},
		"EK and AK the wrong way":  {sent(func(id *gateway.TPMIdentity) { id.EKPublic, id.AKPublic = id.AKPublic, id.EKPublic }), attest.EndorsementKey},
		"the EK as the AK as well": {sent(func(id *gateway.TPMIdentity) { id.AKPublic = id.EKPublic }), attest.AttestationKey},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := attest.CheckIdentity(identityOf(t, newTPM(t, m, tt.o)), attest.NewRoots(m.Root), noon)
			refused(t, err, tt.want)
		})
	}
}

func TestEvidenceRefused(t *testing.T) {
	m := newMaker(t)
	other := prove(t, newTPM(t, m, attesttest.Options{}))
	key := func(f func(*tpm2.TPMAObject)) attesttest.Options {
		return attesttest.Options{Key: func(p *tpm2.TPMTPublic) { f(&p.ObjectAttributes) }}
	}
	statement := func(f func(*tpm2.TPMSAttest)) attesttest.Options { return attesttest.Options{Statement: f} }
	sent := func(f func(*gateway.Evidence)) attesttest.Options { return attesttest.Options{Evidence: f} }
	software, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		o      attesttest.Options
		change func(*attest.Request)
		want   attest.Check
	}{
		"software key with TPM claim": {change: func(r *attest.Request) { r.CSR = newCSR(t, software) }, want: attest.DeviceKey},
		"key without fixedTPM":        {o: key(func(a *tpm2.TPMAObject) { a.FixedTPM = false }), want: attest.DeviceKey},
		"key without fixedParent":     {o: key(func(a *tpm2.TPMAObject) { a.FixedParent = false }), want: attest.DeviceKey},
		"key brought from outside":    {o: key(func(a *tpm2.TPMAObject) { a.SensitiveDataOrigin = false }), want: attest.DeviceKey},
		"key that does not sign":      {o: key(func(a *tpm2.TPMAObject) { a.SignEncrypt = false }), want: attest.DeviceKey},
		"restricted key":              {o: key(func(a *tpm2.TPMAObject) { a.Restricted = true }), want: attest.DeviceKey},
		"key that decrypts":           {o: key(func(a *tpm2.TPMAObject) { a.Decrypt = true }), want: attest.DeviceKey},
		"altered statement": {o: sent(func(e *gateway.Evidence) {
			e.Attest[len(e.Attest)-60]++ // in the clock
		}), want: attest.Signature},
		"not made by a TPM": {o: statement(func(a *tpm2.TPMSAttest) { a.Magic = 0x12345678 }), want: attest.Statement},
		"a quote": {o: statement(func(a *tpm2.TPMSAttest) {
			a.Type = tpm2.TPMSTAttestQuote
			a.Attested = tpm2.NewTPMUAttest(tpm2.TPMSTAttestQuote, &tpm2.TPMSQuoteInfo{})
		}), want: attest.Statement},
		"about another key": {o: statement(func(a *tpm2.TPMSAttest) {
			a.Attested = tpm2.NewTPMUAttest(tpm2.TPMSTAttestCertify, &tpm2.TPMSCertifyInfo{Name: tpm2.TPM2BName{Buffer: make([]byte, 34)}})
		}), want: attest.Statement},
		"stale nonce":     {change: func(r *attest.Request) { r.Nonce = bytes.Repeat([]byte{7}, attest.NonceSize) }, want: attest.Nonce},
		"no nonce":        {change: func(r *attest.Request) { r.Nonce = nil }, want: attest.Nonce},
		"another request": {change: func(r *attest.Request) { r.CSR = nil }, want: attest.Nonce}, // made below, of the same key
		"signature of another AK": {o: sent(func(e *gateway.Evidence) {
			e.Signature = other.evidence.Signature
		}), want: attest.Signature},
		"another AK announced": {change: func(r *attest.Request) { r.AKPublic = other.want.AKPublic }, want: attest.Signature},
		"secret of another credential": {o: sent(func(e *gateway.Evidence) { e.Activated = other.evidence.Activated }),
			want: attest.Activation},
		"nothing activated": {o: sent(func(e *gateway.Evidence) { e.Activated = nil }), change: func(r *attest.Request) {
			r.Secret = sha256.Sum256(nil)
		}, want: attest.Activation},
		"evidence of another machine": {o: sent(func(e *gateway.Evidence) { *e = other.evidence }), want: attest.DeviceKey},
		"key truncated":               {o: sent(func(e *gateway.Evidence) { e.KeyPublic = e.KeyPublic[:20] }), want: attest.Form},
		"key oversized":               {o: sent(func(e *gateway.Evidence) { e.KeyPublic = make([]byte, 1<<10+1) }), want: attest.Form},
		"statement truncated":         {o: sent(func(e *gateway.Evidence) { e.Attest = e.Attest[:20] }), want: attest.Form},
		"statement and more":          {o: sent(func(e *gateway.Evidence) { e.Attest = append(e.Attest, 0) }), want: attest.Form},
		"statement oversized":         {o: sent(func(e *gateway.Evidence) { e.Attest = make([]byte, 513) }), want: attest.Form},
		"signature truncated":         {o: sent(func(e *gateway.Evidence) { e.Signature = e.Signature[:20] }), want: attest.Form},
		"signature oversized":         {o: sent(func(e *gateway.Evidence) { e.Signature = make([]byte, 1<<10+1) }), want: attest.Form},
		"no evidence":                 {o: sent(func(e *gateway.Evidence) { *e = gateway.Evidence{} }), want: attest.Form},
	} {
		t.Run(name, func(t *testing.T) {
			tpm := newTPM(t, m, tt.o)
			x := prove(t, tpm)
			if tt.change != nil {
				tt.change(&x.want)
			}
			if x.want.CSR == nil {
				x.want.CSR = newCSR(t, tpm.Key()) // ECDSA is randomised: another signature, so another request
			}
			refused(t, attest.CheckEvidence(x.evidence, x.want), tt.want)
		})
	}
}

// A credential is opened by the TPM with that EK, and for that AK, only.
func TestCredentialForAnother(t *testing.T) {
	m := newMaker(t)
	for _, o := range []attesttest.Options{{}, {RSA: 2048}, {Curve: elliptic.P384(), High: true}} {
		a, b := newTPM(t, m, o), newTPM(t, m, o)
		idA, idB := identityOf(t, a), identityOf(t, b)
		for name, keys := range map[string][2][]byte{
			"another AK": {idA.EKPublic, idB.AKPublic},
			"another EK": {idB.EKPublic, idA.AKPublic},
		} {
			if o.RSA != 0 && name == "another EK" {
				continue // the fake makes one RSA key for all
			}
			c, _, err := attest.NewChallenge(keys[0], keys[1])
			if err != nil {
				t.Fatal(err)
			}
			if _, err := a.Activate(c); !errors.Is(err, attesttest.ErrIntegrity) {
				t.Errorf("%s: error %v", name, err)
			}
		}
	}
}

// Two challenges have nothing in common.
func TestChallengesDiffer(t *testing.T) {
	id := identityOf(t, newTPM(t, newMaker(t), attesttest.Options{}))
	a, secretA, err := attest.NewChallenge(id.EKPublic, id.AKPublic)
	if err != nil {
		t.Fatal(err)
	}
	b, secretB, err := attest.NewChallenge(id.EKPublic, id.AKPublic)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(a.Nonce, b.Nonce) || bytes.Equal(secretA, secretB) || bytes.Equal(a.Nonce, secretA) ||
		len(a.Nonce) != attest.NonceSize || len(secretA) != attest.NonceSize {
		t.Errorf("%x %x, %x %x", a.Nonce, secretA, b.Nonce, secretB)
	}
}
