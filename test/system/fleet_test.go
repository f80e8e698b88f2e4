//go:build system

package system_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	words "github.com/mecha-org/mecha-agent/gateway"
	"github.com/mecha-org/mecha-agent/gateway/client"
)

// requires is the part of a gateway's settings that lets it take only machines whose
// TPM is of one of the makers.
func requires(t *testing.T, makers ...*x509.Certificate) string {
	t.Helper()
	dir := t.TempDir()
	for i, c := range makers {
		text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%d.pem", i)), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return fmt.Sprintf("attestation: {policy: required, roots: %s}\n", dir)
}

// machine is a row of the gateway's registry, as the operator's program prints it.
type machine struct {
	ID          string `json:"machineId"`
	Key         string `json:"keyFingerprint"`
	Attestation string `json:"attestation"`
	TPM         struct {
		EKFingerprint string `json:"ekFingerprint"`
		Maker         string `json:"maker"`
		Reason        string `json:"reason"`
	} `json:"tpm"`
}

// fleet returns the gateway's registry.
func (g *gateway) fleet(t *testing.T) []machine {
	t.Helper()
	var answer struct{ Machines []machine }
	if err := g.operator(t.Context(), &answer, "machines"); err != nil {
		t.Fatal(err)
	}
	return answer.Machines
}

// enrol has a machine without a board taken into the fleet: a program on the host,
// with a key in its memory. It returns the machine's certificate.
func (g *gateway) enrol(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	request := func(name string) string {
		der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: name}}, key)
		if err != nil {
			t.Fatal(err)
		}
		return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))
	}
	c, err := client.New(client.Config{ServerURL: g.url, RootFingerprint: g.fingerprint})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	code := words.NewCode(codeLength)
	session, err := c.Announce(t.Context(), words.Announcement{Code: code, CSR: request(code), Board: words.Board{Model: "a desk"}})
	if err != nil {
		t.Fatal(err)
	}
	id, err := g.claim(t.Context(), code)
	if err != nil {
		t.Fatal(err)
	}
	m, err := c.FindManifest(t.Context(), code, session.DeviceCode)
	if err != nil {
		t.Fatal(err)
	}
	issued, err := c.Sign(t.Context(), words.SignRequest{URL: m.CertSignURL, CSR: request(id), MachineID: id, Type: words.Provision, Token: m.Token})
	if err != nil {
		t.Fatal(err)
	}
	g.roots = x509.NewCertPool()
	if !g.roots.AppendCertsFromPEM([]byte(issued.RootCert)) {
		t.Fatal("the gateway's root is none")
	}
	cert := tls.Certificate{PrivateKey: key}
	block, rest := pem.Decode([]byte(issued.Cert + strings.Join(issued.CABundle, "")))
	for ; block != nil; block, rest = pem.Decode(rest) {
		cert.Certificate = append(cert.Certificate, block.Bytes)
	}
	return cert
}

// newMaker is a maker of TPMs whom nobody has heard of.
func newMaker(t *testing.T) *x509.Certificate {
	t.Helper()
	made, err := x509.ParseCertificate(selfSigned(t, &x509.Certificate{Subject: pkix.Name{CommonName: "Another Maker"}, IsCA: true, BasicConstraintsValid: true}).Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// newCaller is a certificate that looks like a machine's and is nobody's.
func newCaller(t *testing.T) tls.Certificate {
	t.Helper()
	return selfSigned(t, &x509.Certificate{Subject: pkix.Name{Organization: []string{"Mecha"}, CommonName: "somebody"},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
}

func selfSigned(t *testing.T, template *x509.Certificate) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber = big.NewInt(1)
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}
