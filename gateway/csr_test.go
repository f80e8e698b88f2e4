package gateway

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"strings"
	"testing"
)

func newCSR(t testing.TB, key crypto.Signer) []byte {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "m"}}, key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func newKey(t testing.TB, c elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(c, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func block(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

const csrType = "CERTIFICATE REQUEST"

func TestParseCSR(t *testing.T) {
	p256 := newCSR(t, newKey(t, elliptic.P256()))
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	forged := bytes.Clone(p256)
	forged[len(forged)-1] ^= 1 // the last byte of the signature
	for _, c := range []struct{ name, text, want string }{
		{"P-256", block(csrType, p256), ""},
		{"P-384", block(csrType, newCSR(t, newKey(t, elliptic.P384()))), ""},
		{"old name", block("NEW "+csrType, p256), ""},
		{"P-224", block(csrType, newCSR(t, newKey(t, elliptic.P224()))), "P-224"},
		{"P-521", block(csrType, newCSR(t, newKey(t, elliptic.P521()))), "P-521"},
		{"RSA", block(csrType, newCSR(t, rsaKey)), "rsa"},
		{"Ed25519", block(csrType, newCSR(t, edKey)), "ed25519"},
		{"forged", block(csrType, forged), "does not verify"},
		{"a certificate", block("CERTIFICATE", p256), "CERTIFICATE"},
		{"two", block(csrType, p256) + block(csrType, p256), "after the PEM block"},
		{"DER", string(p256), "no PEM"},
		{"empty", "", "no PEM"},
		{"cut", block(csrType, p256)[:100], "no PEM"},
		{"cut DER", block(csrType, p256[:50]), "asn1"},
		{"long", block(csrType, p256) + strings.Repeat("\n", MaxCSR), "longer"},
	} {
		csr, err := ParseCSR(c.text)
		switch {
		case c.want == "" && (err != nil || csr.Subject.CommonName != "m"):
			t.Errorf("%s: %v", c.name, err)
		case c.want != "" && (!errors.Is(err, ErrBadCSR) || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %v, want it to say %q", c.name, err, c.want)
		}
	}
}

func TestFingerprintIsThatOfOpenSSL(t *testing.T) {
	key := newKey(t, elliptic.P256())
	csr, err := x509.ParseCertificateRequest(newCSR(t, key))
	if err != nil {
		t.Fatal(err)
	}
	// openssl pkey -pubout -outform DER | sha256sum hashes the same bytes.
	sum := sha256.Sum256(csr.RawSubjectPublicKeyInfo)
	if got, err := Fingerprint(key.Public()); err != nil || got != hex.EncodeToString(sum[:]) {
		t.Errorf("Fingerprint = %s, %v, want %x", got, err, sum)
	}
	if _, err := Fingerprint("no key"); err == nil {
		t.Error("a fingerprint of what is no key")
	}
}

func FuzzParseCSR(f *testing.F) {
	good := newCSR(f, newKey(f, elliptic.P256()))
	f.Add(block(csrType, good))
	f.Add(block(csrType, newCSR(f, newKey(f, elliptic.P384()))))
	f.Add(block(csrType, good[:40]))
	f.Add(block(csrType, good) + "x")
	f.Add("-----BEGIN " + csrType + "-----\n-----END " + csrType + "-----\n")
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		csr, err := ParseCSR(text)
		if err != nil {
			if !errors.Is(err, ErrBadCSR) || csr != nil {
				t.Fatalf("%v, %v", csr, err)
			}
			return
		}
		again, err := ParseCSR(block(csrType, csr.Raw))
		if err != nil || !bytes.Equal(again.Raw, csr.Raw) || CheckKey(again.PublicKey) != nil || again.CheckSignature() != nil {
			t.Fatalf("what parsed does not print back the same: %v", err)
		}
	})
}
