package ca

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/mecha-org/mecha-agent/gateway"
)

// now is when every test's CA is made.
var now = time.Date(2026, 9, 1, 12, 0, 0, 123456789, time.FixedZone("east", 2*60*60))

const (
	crlURL     = "http://gateway.example.com/v1/ca/crl"
	rootCRLURL = "http://gateway.example.com/v1/ca/root.crl"
)

func testOptions() Options {
	return Options{
		Name: "Acme Robots", Validity: 30 * 24 * time.Hour, Now: func() time.Time { return now },
		CRLURL: crlURL, RootCRLURL: rootCRLURL,
	}
}

func newCA(t testing.TB) *Local {
	t.Helper()
	l, err := Open(t.TempDir(), testOptions())
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func newCSR(t testing.TB, curve elliptic.Curve) *x509.CertificateRequest {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return csrFor(t, key)
}

func csrFor(t testing.TB, key crypto.Signer) *x509.CertificateRequest {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{DNSNames: []string{"bank.example"}}, key)
	if err != nil {
		t.Fatal(err)
	}
	csr, err := gateway.ParseCSR(string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})))
	if err != nil {
		t.Fatal(err)
	}
	return csr
}

func sign(t testing.TB, l *Local, csr *x509.CertificateRequest, id string, at time.Time) *x509.Certificate {
	t.Helper()
	cert, err := l.Sign(t.Context(), csr, Machine{ID: id}, at)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// TestNoCAWithoutAClock: a CA made in 1970 would be over for good.
func TestNoCAWithoutAClock(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "ca")
	early := Options{Now: func() time.Time { return time.Unix(60, 0) }}
	if _, err := Open(dir, early); !errors.Is(err, ErrClock) || gateway.HintOf(err) == "" {
		t.Fatalf("got %v, want ErrClock with a hint", err)
	}
	if _, err := Open(dir, Options{Now: func() time.Time { return now }}); err != nil {
		t.Errorf("once the clock is set: %v", err)
	}
}
