package attest_test

import (
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"testing"
	"testing/fstest"
	"time"

	"github.com/mecha-org/mecha-agent/gateway"
	"github.com/mecha-org/mecha-agent/gateway/attest"
	"github.com/mecha-org/mecha-agent/gateway/attest/attesttest"
)

var noon = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

func newMaker(t testing.TB) *attesttest.Maker {
	t.Helper()
	m, err := attesttest.NewMaker("Test Maker", noon)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func newTPM(t testing.TB, m *attesttest.Maker, o attesttest.Options) *attesttest.TPM {
	t.Helper()
	tpm, err := m.NewTPM(o)
	if err != nil {
		t.Fatal(err)
	}
	return tpm
}

func identityOf(t testing.TB, tpm *attesttest.TPM) gateway.TPMIdentity {
	t.Helper()
	id, err := tpm.Identity(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func newCSR(t testing.TB, key crypto.Signer) *x509.CertificateRequest {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "m1"}}, key)
	if err != nil {
		t.Fatal(err)
	}
	csr, err := x509.ParseCertificateRequest(der)
	if err != nil {
		t.Fatal(err)
	}
	return csr
}

// exchange is a challenge and what a TPM made of it.
type exchange struct {
	evidence gateway.Evidence
	want     attest.Request
}

func prove(t testing.TB, tpm *attesttest.TPM) exchange {
	t.Helper()
	id := identityOf(t, tpm)
	c, secret, err := attest.NewChallenge(id.EKPublic, id.AKPublic)
	if err != nil {
		t.Fatal(err)
	}
	csr := newCSR(t, tpm.Key())
	e, err := tpm.Prove(t.Context(), c, csr.Raw)
	if err != nil {
		t.Fatal(err)
	}
	return exchange{e, attest.Request{AKPublic: id.AKPublic, Nonce: c.Nonce, Secret: sha256.Sum256(secret), CSR: csr}}
}

// refused fails the test unless err is the refusal of that check.
func refused(t *testing.T, err error, want attest.Check) {
	t.Helper()
	var e *attest.Error
	if !errors.As(err, &e) || e.Check != want {
		t.Errorf("error %v, want a refusal of the %s", err, want)
	}
}

func oneFile(data []byte) fstest.MapFS { return fstest.MapFS{"root": {Data: data}} }
