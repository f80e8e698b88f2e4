package ca

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mecha-org/mecha-agent/gateway"
)

func TestProfile(t *testing.T) {
	l := newCA(t)
	chain, root := l.Chain()
	if len(chain) != 1 || !root.Equal(l.root) || !chain[0].Equal(l.intermediate) {
		t.Fatal("Chain is not intermediate and root")
	}
	for _, c := range []struct {
		cert    *x509.Certificate
		cn      string
		years   int
		pathLen int
		bits    int
	}{{root, "Acme Robots Root CA", 20, 1, 384}, {chain[0], "Acme Robots Intermediate CA", 10, 0, 256}} {
		got := c.cert
		if got.Subject.CommonName != c.cn || got.MaxPathLen != c.pathLen || got.PublicKey.(*ecdsa.PublicKey).Params().BitSize != c.bits {
			t.Errorf("%s: path length %d, key %v", got.Subject, got.MaxPathLen, got.PublicKey)
		}
		if !got.NotAfter.Equal(got.NotBefore.AddDate(c.years, 0, 0)) || got.NotBefore.After(now) {
			t.Errorf("%s is valid from %v to %v", got.Subject, got.NotBefore, got.NotAfter)
		}
	}
	if l.Validity() != 30*24*time.Hour {
		t.Errorf("Validity is %v", l.Validity())
	}
	csr := newCSR(t, elliptic.P384())
	cert := sign(t, l, csr, "machine-1", now)
	if !cert.PublicKey.(*ecdsa.PublicKey).Equal(csr.PublicKey) {
		t.Error("the certificate is for another key")
	}
	if want := seconds(now.Add(-5 * time.Minute)); !cert.NotBefore.Equal(want) {
		t.Errorf("begins %v, want %v", cert.NotBefore, want)
	}
	if want := seconds(now.Add(30 * 24 * time.Hour)); !cert.NotAfter.Equal(want) {
		t.Errorf("ends %v, want %v", cert.NotAfter, want)
	}
	if len(cert.DNSNames) != 0 || len(cert.URIs) != 1 || len(cert.CRLDistributionPoints) != 1 {
		t.Errorf("names %v %v, lists %v", cert.DNSNames, cert.URIs, cert.CRLDistributionPoints)
	}
}

func TestAttestation(t *testing.T) {
	l := newCA(t)
	csr := newCSR(t, elliptic.P256())
	for _, a := range []gateway.Attestation{"", gateway.TPMProven, gateway.TPMUnproven, gateway.SoftwareKey} {
		cert, err := l.Sign(t.Context(), csr, Machine{"m", a}, now)
		if err != nil {
			t.Fatal(err)
		}
		if got := gateway.AttestationOf(cert); got != a {
			t.Errorf("attestation %q, want %q", got, a)
		}
	}
	if _, err := l.Sign(t.Context(), csr, Machine{"m", "hearsay"}, now); !errors.Is(err, ErrPolicy) {
		t.Errorf("an attestation that is none: %v", err)
	}
}

// TestBounds signs at both ends of the intermediate's life.
func TestBounds(t *testing.T) {
	l := newCA(t)
	csr := newCSR(t, elliptic.P256())
	begin, end := l.intermediate.NotBefore, l.intermediate.NotAfter
	if cert := sign(t, l, csr, "m", begin.Add(time.Minute)); !cert.NotBefore.Equal(begin) {
		t.Errorf("begins %v, before its issuer at %v", cert.NotBefore, begin)
	}
	if cert := sign(t, l, csr, "m", end.Add(-time.Hour)); !cert.NotAfter.Equal(end) {
		t.Errorf("ends %v, its issuer %v", cert.NotAfter, end)
	}
	_, err := l.Sign(t.Context(), csr, Machine{ID: "m"}, end)
	if !errors.Is(err, ErrEnded) || gateway.HintOf(err) == "" {
		t.Errorf("at the issuer's end: %v", err)
	}
	if _, err := l.Sign(t.Context(), csr, Machine{ID: "m"}, begin.Add(-time.Second)); err == nil {
		t.Error("signed before the issuer's time")
	}
}

func TestPolicy(t *testing.T) {
	l := newCA(t)
	good := newCSR(t, elliptic.P256())
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	p521, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	edKey, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"a", strings.Repeat("x", 64), "A-Z.a_z:09"} {
		sign(t, l, good, id, now)
	}
	for name, c := range map[string]struct {
		csr *x509.CertificateRequest
		id  string
	}{
		"empty id": {good, ""}, "long id": {good, strings.Repeat("x", 65)}, "blank": {good, "a b"}, "slash": {good, "a/b"},
		"umlaut": {good, "ä"}, "NUL": {good, "a\x00"}, "percent": {good, "a%41"}, "line": {good, "a\n"},
		"no CSR": {nil, "m"}, "no key": {&x509.CertificateRequest{}, "m"},
		"RSA":     {&x509.CertificateRequest{PublicKey: &rsaKey.PublicKey}, "m"},
		"P-521":   {&x509.CertificateRequest{PublicKey: &p521.PublicKey}, "m"},
		"Ed25519": {&x509.CertificateRequest{PublicKey: edKey}, "m"},
		"no point": {&x509.CertificateRequest{PublicKey: &ecdsa.PublicKey{
			//lint:ignore SA1019 as above
			Curve: elliptic.P256(), X: p521.X, Y: p521.Y}}, "m"},
	} {
		if _, err := l.Sign(t.Context(), c.csr, Machine{ID: c.id}, now); !errors.Is(err, ErrPolicy) {
			t.Errorf("%s: %v, want ErrPolicy", name, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.Sign(ctx, good, Machine{ID: "m"}, now); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if _, err := l.CRL(ctx, nil, now); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestSignConcurrently(t *testing.T) {
	l := newCA(t)
	csr := newCSR(t, elliptic.P256())
	serials, numbers := make([]string, 64), make([]string, 64)
	var wg sync.WaitGroup
	for i := range serials {
		wg.Go(func() {
			cert, err := l.Sign(t.Context(), csr, Machine{ID: "m"}, now)
			if err != nil {
				t.Error(err)
				return
			}
			serials[i] = cert.SerialNumber.String()
			der, err := l.CRL(t.Context(), nil, now)
			if err != nil {
				t.Error(err)
				return
			}
			crl, err := x509.ParseRevocationList(der)
			if err != nil {
				t.Error(err)
				return
			}
			numbers[i] = crl.Number.String()
		})
	}
	wg.Wait()
	for what, all := range map[string][]string{"serials": serials, "CRL numbers": numbers} {
		seen := map[string]bool{}
		for _, s := range all {
			seen[s] = true
		}
		if len(seen) != len(all) {
			t.Errorf("%d %s, %d of them different", len(all), what, len(seen))
		}
	}
}

func TestCRL(t *testing.T) {
	l := newCA(t)
	var last *x509.RevocationList
	for i, at := range []time.Time{now, now, now.Add(-time.Hour), now.Add(time.Hour)} {
		der, err := l.CRL(t.Context(), nil, at)
		if err != nil {
			t.Fatal(err)
		}
		crl, err := x509.ParseRevocationList(der)
		if err != nil {
			t.Fatal(err)
		}
		if err := crl.CheckSignatureFrom(l.intermediate); err != nil {
			t.Error(err)
		}
		if last != nil && crl.Number.Cmp(last.Number) <= 0 {
			t.Errorf("list %d has number %v after %v", i, crl.Number, last.Number)
		}
		if !crl.ThisUpdate.Equal(seconds(at)) || !crl.NextUpdate.Equal(seconds(at.Add(7*24*time.Hour))) {
			t.Errorf("from %v to %v", crl.ThisUpdate, crl.NextUpdate)
		}
		last = crl
	}
}

func BenchmarkSign(b *testing.B) {
	l := newCA(b)
	csr := newCSR(b, elliptic.P256())
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := l.Sign(b.Context(), csr, Machine{ID: "machine-1"}, now); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "CSR/s")
}
