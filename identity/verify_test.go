package identity

import (
	"crypto"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/mecha-org/mecha-agent/gateway"
)

func TestVerify(t *testing.T) {
	ca := newPKI(t)
	key := newECKey(t, elliptic.P384())
	cert := machine(t, "machine-1", ca.mid, key.Public())
	want := Identity{
		MachineID: "machine-1", NotBefore: cert.NotBefore, NotAfter: cert.NotAfter,
		CertPEM: encodeCerts(cert), BundlePEM: encodeCerts(ca.mid.cert), RootPEM: encodeCerts(ca.root.cert),
	}
	second := newAuthority(t, "second intermediate", ca.mid)
	below := machine(t, "machine-1", second, key.Public())
	direct := machine(t, "machine-1", ca.root, key.Public())
	stranger := newAuthority(t, "of somebody else", nil)
	windows := func(text string) string { return "\n" + strings.ReplaceAll(text, "\n", "\r\n") }

	for name, c := range map[string]struct {
		answer gateway.Issued
		now    time.Time
		want   Identity
	}{
		"as issued":    {ca.answer(cert), noon, want},
		"line ends":    {gateway.Issued{Cert: windows(want.CertPEM), RootCert: windows(want.RootPEM), CABundle: []string{windows(want.BundlePEM)}}, noon, want},
		"clock behind": {ca.answer(cert), cert.NotBefore.Add(-ClockSkew), want},
		"last second":  {ca.answer(cert), cert.NotAfter.Add(-time.Second), want},
		"empty entries": {gateway.Issued{Cert: want.CertPEM, RootCert: want.RootPEM,
			CABundle: []string{"", want.BundlePEM, "\n"}}, noon, want},
		"more in the bundle than the chain": {gateway.Issued{Cert: want.CertPEM, RootCert: want.RootPEM,
			CABundle: []string{encodeCerts(stranger.cert, ca.mid.cert), want.RootPEM}}, noon, want},
		"two intermediates in one entry, in the wrong order": {
			gateway.Issued{Cert: encodeCerts(below), RootCert: want.RootPEM, CABundle: []string{encodeCerts(ca.mid.cert, second.cert)}}, noon,
			Identity{"machine-1", below.NotBefore, below.NotAfter, encodeCerts(below), encodeCerts(second.cert, ca.mid.cert), want.RootPEM}},
		"signed by the root": {gateway.Issued{Cert: encodeCerts(direct), RootCert: want.RootPEM}, noon,
			Identity{"machine-1", direct.NotBefore, direct.NotAfter, encodeCerts(direct), "", want.RootPEM}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Verify("machine-1", key.Public(), c.answer, c.now)
			if err != nil {
				t.Fatal(err)
			}
			if got != c.want {
				t.Errorf("got %+v\nwant %+v", got, c.want)
			}
		})
	}
}

// TestVerifyYoungCA: the whole PKI was made a moment ago by a clock ahead of ours.
func TestVerifyYoungCA(t *testing.T) {
	young := func(c *x509.Certificate) { c.NotBefore = noon.Add(ClockSkew) }
	root := newAuthority(t, "young root", nil, young)
	ca := pki{root, newAuthority(t, "young intermediate", root, young)}
	key := newECKey(t, elliptic.P256())
	if _, err := Verify("m", key.Public(), ca.answer(machine(t, "m", ca.mid, key.Public(), young)), noon); err != nil {
		t.Error(err)
	}
}

func TestVerifyRefuses(t *testing.T) {
	ca := newPKI(t)
	key := newECKey(t, elliptic.P256())
	good := ca.answer(machine(t, "machine-1", ca.mid, key.Public()))
	issued := func(change func(*x509.Certificate)) gateway.Issued {
		return ca.answer(machine(t, "machine-1", ca.mid, key.Public(), change))
	}
	with := func(change func(*gateway.Issued)) gateway.Issued {
		a := good
		a.CABundle = append([]string(nil), good.CABundle...)
		change(&a)
		return a
	}
	other := newPKI(t)
	// A root with the name of ours and another key.
	forged := newAuthority(t, "test root", nil)
	expired := newAuthority(t, "expired", ca.root, func(c *x509.Certificate) { c.NotAfter = noon.Add(-time.Hour) })
	serverOnly := newAuthority(t, "servers only", ca.root, func(c *x509.Certificate) {
		c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	})
	noCA := &authority{machine(t, "not a CA", ca.root, ca.mid.key.Public()), ca.mid.key}
	rootNoCA := newAuthority(t, "no CA", nil, func(c *x509.Certificate) { c.IsCA = false; c.KeyUsage = 0 })
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	edPub, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	below := func(a *authority) gateway.Issued {
		return gateway.Issued{Cert: encodeCerts(machine(t, "machine-1", a, key.Public())), RootCert: good.RootCert, CABundle: []string{encodeCerts(a.cert)}}
	}
	keyPEM := string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: []byte{1, 2, 3}}))

	for name, c := range map[string]struct {
		answer gateway.Issued
		says   string
		id     string           // default machine-1
		pub    crypto.PublicKey // default key
	}{
		"all empty":             {gateway.Issued{}, "certificate: it is empty", "", nil},
		"no certificate":        {with(func(a *gateway.Issued) { a.Cert = "" }), "certificate: it is empty", "", nil},
		"no root":               {with(func(a *gateway.Issued) { a.RootCert = " \n" }), "root: it is empty", "", nil},
		"no bundle":             {with(func(a *gateway.Issued) { a.CABundle = nil }), "chain:", "", nil},
		"no machine id":         {good, "machine id: it is empty", "-", nil},
		"two certificates":      {with(func(a *gateway.Issued) { a.Cert += a.CABundle[0] }), "certificate: 2 certificates", "", nil},
		"two roots":             {with(func(a *gateway.Issued) { a.RootCert += a.RootCert }), "root: 2 certificates", "", nil},
		"HTML":                  {with(func(a *gateway.Issued) { a.Cert = "<html>" }), "certificate: text that is not PEM", "", nil},
		"text before":           {with(func(a *gateway.Issued) { a.Cert = "hello\n" + a.Cert }), "certificate: text that is not PEM", "", nil},
		"text after":            {with(func(a *gateway.Issued) { a.Cert += "hello" }), "certificate: text that is not PEM", "", nil},
		"text after root":       {with(func(a *gateway.Issued) { a.RootCert += "hello" }), "root: text that is not PEM", "", nil},
		"JSON bundle":           {with(func(a *gateway.Issued) { a.CABundle[0] = "[\"" + a.CABundle[0] + "\"]" }), "CA bundle, entry 1: text that is not PEM", "", nil},
		"cut short":             {with(func(a *gateway.Issued) { a.Cert = a.Cert[:len(a.Cert)-20] }), "certificate: text that is not PEM", "", nil},
		"half a certificate":    {with(func(a *gateway.Issued) { a.Cert = a.Cert[:100] + "\n" + a.Cert }), "certificate: text that is not PEM", "", nil},
		"a key":                 {with(func(a *gateway.Issued) { a.Cert = keyPEM }), "a PEM block that is no certificate", "", nil},
		"no DER":                {with(func(a *gateway.Issued) { a.Cert = strings.ReplaceAll(keyPEM, "PUBLIC KEY", "CERTIFICATE") }), "certificate: parsing", "", nil},
		"huge certificate":      {with(func(a *gateway.Issued) { a.Cert += strings.Repeat("\n", MaxPEM) }), "certificate: longer than", "", nil},
		"huge root":             {with(func(a *gateway.Issued) { a.RootCert += strings.Repeat("\n", MaxPEM) }), "root: longer than", "", nil},
		"huge bundle":           {with(func(a *gateway.Issued) { a.CABundle = append(a.CABundle, strings.Repeat("\n", MaxPEM)) }), "CA bundle: longer than", "", nil},
		"another key":           {ca.answer(machine(t, "machine-1", ca.mid, newECKey(t, elliptic.P256()).Public())), "key: the certificate is for another key", "", nil},
		"RSA certificate":       {ca.answer(machine(t, "machine-1", ca.mid, rsaKey.Public())), "key: the certificate is for another key", "", nil},
		"our key RSA":           {ca.answer(machine(t, "machine-1", ca.mid, rsaKey.Public())), "our key:", "", rsaKey.Public()},
		"our key Ed25519":       {good, "our key:", "", edPub},
		"another machine":       {good, `common name: it is "machine-1", the machine is "machine-2"`, "machine-2", nil},
		"a CA":                  {issued(func(c *x509.Certificate) { c.IsCA = true }), "the certificate is a CA", "", nil},
		"expired":               {issued(func(c *x509.Certificate) { c.NotAfter = noon }), "validity: it ended at", "", nil},
		"not yet valid":         {issued(func(c *x509.Certificate) { c.NotBefore = noon.Add(ClockSkew + time.Second) }), "validity: it begins at", "", nil},
		"ends before it begins": {issued(func(c *x509.Certificate) { c.NotAfter = c.NotBefore }), "validity: it ends", "", nil},
		"for servers only":      {issued(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }), "chain:", "", nil},
		"root not CA":           {with(func(a *gateway.Issued) { a.RootCert = encodeCerts(rootNoCA.cert) }), "root: it is not a CA", "", nil},
		"root not self-signed":  {with(func(a *gateway.Issued) { a.RootCert = encodeCerts(ca.mid.cert) }), "root: it is not self-signed", "", nil},
		"root by name only": {with(func(a *gateway.Issued) {
			a.RootCert = encodeCerts(newAuthority(t, "test root", ca.root).cert)
		}), "root: it is not self-signed", "", nil},
		"root of others":          {with(func(a *gateway.Issued) { a.RootCert = encodeCerts(other.root.cert) }), "chain:", "", nil},
		"root forged":             {with(func(a *gateway.Issued) { a.RootCert = encodeCerts(forged.cert) }), "chain:", "", nil},
		"bundle of others":        {with(func(a *gateway.Issued) { a.CABundle = []string{encodeCerts(other.mid.cert)} }), "chain:", "", nil},
		"intermediate expired":    {below(expired), "chain:", "", nil},
		"intermediate no CA":      {below(noCA), "chain:", "", nil},
		"intermediate for others": {below(serverOnly), "chain:", "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			id, pub := "machine-1", crypto.PublicKey(key.Public())
			if c.id != "" {
				id = strings.TrimPrefix(c.id, "-")
			}
			if c.pub != nil {
				pub = c.pub
			}
			got, err := Verify(id, pub, c.answer, noon)
			if !errors.Is(err, ErrUnverified) || !strings.Contains(err.Error(), c.says) {
				t.Fatalf("%v, want ErrUnverified and %q", err, c.says)
			}
			if got != (Identity{}) {
				t.Error("an identity came with the error")
			}
			if early := strings.HasPrefix(c.says, "validity: it begins"); errors.Is(err, ErrClock) != early {
				t.Errorf("%v: ErrClock is %t, want %t", err, !early, early)
			}
			if strings.HasPrefix(c.says, "validity: it begins") && !strings.Contains(gateway.HintOf(err), "clock") {
				t.Errorf("hint %q does not speak of the clock", gateway.HintOf(err))
			}
		})
	}
	if _, err := Verify("machine-1", nil, good, noon); !errors.Is(err, ErrUnverified) {
		t.Errorf("without a key: %v, want ErrUnverified", err)
	}
}

func TestVerifyCSR(t *testing.T) {
	key := newECKey(t, elliptic.P256())
	csr, _ := newPKI(t).issue(t, "machine-1", key)
	if got, err := verifyCSR(csr, key.Public()); err != nil || got != csr {
		t.Errorf("%v, got %q", err, got)
	}
	if _, err := verifyCSR(csr, newECKey(t, elliptic.P256()).Public()); !errors.Is(err, ErrUnverified) {
		t.Errorf("CSR of another key: %v", err)
	}
	if _, err := verifyCSR(csr[:50], key.Public()); !errors.Is(err, ErrUnverified) {
		t.Errorf("half a CSR: %v", err)
	}
}

// FuzzVerify feeds one text as certificate, root or bundle of an answer that is
// otherwise good. What passes prints back as something that passes with the same
// result, and so does every text that parses.
func FuzzVerify(f *testing.F) {
	ca, key, cert := fixed(f)
	good := ca.answer(cert)
	for where := range byte(3) {
		f.Add(where, good.Cert)
		f.Add(where, good.RootCert+"\r\n")
		f.Add(where, good.CABundle[0]+good.RootCert)
		f.Add(where, good.Cert[:80]+"\n"+good.Cert)
		f.Add(where, "x"+good.CABundle[0])
		f.Add(where, "-----BEGIN CERTIFICATE-----\na: b\n\nMA==\n-----END CERTIFICATE-----")
		f.Add(where, " \r\n")
	}
	f.Fuzz(func(t *testing.T, where byte, text string) {
		certs, err := parseCerts(text)
		if err == nil {
			again, err := parseCerts(encodeCerts(certs...))
			if err != nil || encodeCerts(again...) != encodeCerts(certs...) || len(certs) == 0 && strings.TrimSpace(text) != "" {
				t.Fatalf("what parsed does not print back the same: %v", err)
			}
		}
		answer := good
		switch where % 3 {
		case 0:
			answer.Cert = text
		case 1:
			answer.RootCert = text
		case 2:
			answer.CABundle = []string{text}
		}
		id, verifyErr := Verify("m", key.Public(), answer, noon)
		if verifyErr != nil {
			if !errors.Is(verifyErr, ErrUnverified) || id != (Identity{}) {
				t.Fatalf("%v with %+v", verifyErr, id)
			}
			return
		}
		if err != nil {
			t.Fatalf("an answer passes with a text that does not parse: %v", err)
		}
		again, err := Verify("m", key.Public(), gateway.Issued{Cert: id.CertPEM, RootCert: id.RootPEM, CABundle: []string{id.BundlePEM}}, noon)
		if err != nil || again != id {
			t.Fatalf("what passed does not print back the same: %v", err)
		}
	})
}
