package ca

import (
	"crypto/elliptic"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mecha-org/mecha-agent/gateway"
)

// openssl runs the real one in dir. It is a requirement of the tests.
func openssl(t *testing.T, dir string, args ...string) (string, error) {
	t.Helper()
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Fatalf("install openssl: %v", err)
	}
	cmd := exec.CommandContext(t.Context(), "openssl", args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func writePEM(t *testing.T, dir, name, kind string, der []byte) {
	t.Helper()
	text := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
	if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestOpenSSL has openssl verify what a relying party gets to see.
func TestOpenSSL(t *testing.T) {
	l, dir := newCA(t), t.TempDir()
	writePEM(t, dir, "root.pem", pemCert, l.root.Raw)
	writePEM(t, dir, "bundle.pem", pemCert, l.intermediate.Raw)
	p256, p384 := sign(t, l, newCSR(t, elliptic.P256()), "machine-1", now), sign(t, l, newCSR(t, elliptic.P384()), "machine_2", now)
	writePEM(t, dir, "p256.pem", pemCert, p256.Raw)
	writePEM(t, dir, "p384.pem", pemCert, p384.Raw)
	server, err := l.ServerCertificate([]string{"gateway.example.com", "192.0.2.1"}, now)
	if err != nil {
		t.Fatal(err)
	}
	writePEM(t, dir, "server.pem", pemCert, server.Certificate[0])
	crl, err := l.CRL(t.Context(), []x509.RevocationListEntry{{SerialNumber: p384.SerialNumber, RevocationTime: now}}, now)
	if err != nil {
		t.Fatal(err)
	}
	writePEM(t, dir, "crl.pem", pemCRL, crl)
	writePEM(t, dir, "root.crl", pemCRL, l.RootCRL())
	otherDir := t.TempDir()
	other, err := Open(otherDir, testOptions())
	if err != nil {
		t.Fatal(err)
	}
	writePEM(t, dir, "other.pem", pemCert, other.root.Raw)

	at := func(seconds int64) string { return fmt.Sprint(now.Unix() + seconds) }
	for _, c := range []struct {
		args string
		want string // in the output; "OK" for success
	}{
		{"-CAfile root.pem -untrusted bundle.pem -attime " + at(0) + " p256.pem", "OK"},
		{"-CAfile root.pem -untrusted bundle.pem -attime " + at(0) + " p384.pem", "OK"},
		{"-x509_strict -purpose sslclient -CAfile root.pem -untrusted bundle.pem -attime " + at(0) + " p256.pem", "OK"},
		{"-x509_strict -purpose sslserver -verify_hostname gateway.example.com -CAfile root.pem -untrusted bundle.pem -attime " + at(0) + " server.pem", "OK"},
		{"-x509_strict -verify_ip 192.0.2.1 -CAfile root.pem -untrusted bundle.pem -attime " + at(0) + " server.pem", "OK"},
		{"-crl_check -CRLfile crl.pem -CAfile root.pem -untrusted bundle.pem -attime " + at(0) + " p256.pem", "OK"},
		{"-crl_check -CRLfile crl.pem -CAfile root.pem -untrusted bundle.pem -attime " + at(0) + " p384.pem", "certificate revoked"},
		{"-crl_check -CRLfile crl.pem -CAfile root.pem -untrusted bundle.pem -attime " + at(8*24*3600) + " p256.pem", "CRL has expired"},
		{"-x509_strict -crl_check_all -CRLfile crl.pem -CRLfile root.crl -CAfile root.pem -untrusted bundle.pem -attime " + at(0) + " p256.pem", "OK"},
		{"-crl_check_all -CRLfile crl.pem -CRLfile root.crl -CAfile root.pem -untrusted bundle.pem -attime " + at(0) + " p384.pem", "certificate revoked"},
		{"-crl_check_all -CRLfile crl.pem -CAfile root.pem -untrusted bundle.pem -attime " + at(0) + " p256.pem", "unable to get certificate CRL"},
		{"-purpose sslserver -CAfile root.pem -untrusted bundle.pem -attime " + at(0) + " p256.pem", "unsuitable certificate purpose"},
		{"-CAfile root.pem -untrusted bundle.pem -attime " + at(31*24*3600) + " p256.pem", "certificate has expired"},
		{"-CAfile other.pem -untrusted bundle.pem -attime " + at(0) + " p256.pem", "unable to get"},
		{"-CAfile root.pem -attime " + at(0) + " p256.pem", "unable to get local issuer"},
	} {
		out, err := openssl(t, dir, append([]string{"verify"}, strings.Fields(c.args)...)...)
		if (err == nil) != (c.want == "OK") || !strings.Contains(out, c.want) {
			t.Errorf("openssl verify %s: %v, want %q:\n%s", c.args, err, c.want, out)
		}
	}
	text, err := openssl(t, dir, "x509", "-in", "p256.pem", "-noout", "-text")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"Subject: O = Acme Robots, CN = machine-1", "URI:urn:mecha:machine:machine-1", "CA:FALSE",
		"X509v3 Key Usage: critical", "Digital Signature", "TLS Web Client Authentication",
		"X509v3 Subject Key Identifier", "X509v3 Authority Key Identifier", crlURL, "ecdsa-with-SHA256",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("openssl does not show %q in:\n%s", want, text)
		}
	}
	if strings.Contains(text, "bank.example") {
		t.Error("a name that the request asked for is in the certificate")
	}
	sum, err := openssl(t, dir, "x509", "-in", "root.pem", "-noout", "-fingerprint", "-sha256")
	if got := strings.ToLower(strings.ReplaceAll(sum, ":", "")); err != nil || !strings.Contains(got, l.RootFingerprint()) {
		t.Errorf("RootFingerprint is %s, openssl says %s", l.RootFingerprint(), sum)
	}
	if new(big.Int).Rsh(p256.SerialNumber, 120).Sign() == 0 || len(p256.SerialNumber.Bytes()) != 16 {
		t.Errorf("serial %x is not of 16 octets", p256.SerialNumber)
	}
}

// TestOpenSSLPolicy: who relies on a certificate asks openssl for the policy that
// stands for "tpm-proven", and gets no other.
func TestOpenSSLPolicy(t *testing.T) {
	l, dir := newCA(t), t.TempDir()
	writePEM(t, dir, "root.pem", pemCert, l.root.Raw)
	writePEM(t, dir, "bundle.pem", pemCert, l.intermediate.Raw)
	oid, ok := gateway.TPMProven.PolicyOID()
	if !ok {
		t.Fatal("no policy stands for tpm-proven")
	}
	for _, a := range []gateway.Attestation{"", gateway.TPMProven, gateway.TPMUnproven, gateway.SoftwareKey} {
		cert, err := l.Sign(t.Context(), newCSR(t, elliptic.P256()), Machine{"m", a}, now)
		if err != nil {
			t.Fatal(err)
		}
		writePEM(t, dir, "m.pem", pemCert, cert.Raw)
		base := []string{"verify", "-x509_strict", "-CAfile", "root.pem", "-untrusted", "bundle.pem", "-attime", fmt.Sprint(now.Unix())}
		if out, err := openssl(t, dir, append(base, "m.pem")...); err != nil {
			t.Errorf("%q: %v\n%s", a, err, out)
		}
		out, err := openssl(t, dir, append(base, "-explicit_policy", "-policy", oid.String(), "m.pem")...)
		if (err == nil) != (a == gateway.TPMProven) {
			t.Errorf("%q asked for as tpm-proven: %v\n%s", a, err, out)
		}
	}
}
