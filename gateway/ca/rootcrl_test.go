package ca

import (
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"fmt"
	"maps"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func parseList(t *testing.T, der []byte) *x509.RevocationList {
	t.Helper()
	list, err := x509.ParseRevocationList(der)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestRootCRL(t *testing.T) {
	l := newCA(t)
	list := parseList(t, l.RootCRL())
	if err := list.CheckSignatureFrom(l.root); err != nil {
		t.Error(err)
	}
	if len(list.RevokedCertificateEntries) != 0 || list.Number.Sign() <= 0 {
		t.Errorf("number %v with %d entries, want an empty list", list.Number, len(list.RevokedCertificateEntries))
	}
	if !list.NextUpdate.Equal(l.root.NotAfter) || list.ThisUpdate.Before(l.root.NotBefore) || list.ThisUpdate.After(now) {
		t.Errorf("from %v to %v, the root from %v to %v", list.ThisUpdate, list.NextUpdate, l.root.NotBefore, l.root.NotAfter)
	}
	if got := l.intermediate.CRLDistributionPoints; !slices.Equal(got, []string{rootCRLURL}) {
		t.Errorf("the intermediate's list is at %q", got)
	}
	if got := sign(t, l, newCSR(t, elliptic.P256()), "m", now).CRLDistributionPoints; !slices.Equal(got, []string{crlURL}) {
		t.Errorf("the machine's list is at %q", got)
	}
	l.RootCRL()[0]++ // the caller's own copy
	parseList(t, l.RootCRL())

	o := testOptions()
	o.RootCRLURL = ""
	plain, err := Open(t.TempDir(), o)
	if err != nil {
		t.Fatal(err)
	}
	if got := plain.intermediate.CRLDistributionPoints; len(got) != 0 || plain.RootCRL() == nil {
		t.Errorf("without URL: points %q, list %v", got, plain.RootCRL() != nil)
	}
}

// TestWithoutRootCRL opens folders of before there was a root.crl: it is made
// when the root's key is there to sign it, and all the rest stays as it was.
func TestWithoutRootCRL(t *testing.T) {
	ended := now.AddDate(21, 0, 0)
	for _, c := range []struct {
		name   string
		remove []string
		at     time.Time
		made   bool
	}{
		{"with the root's key", []string{rootCRLFile}, now.AddDate(1, 0, 0), true},
		{"clock before the root's time", []string{rootCRLFile}, now.AddDate(-1, 0, 0), true},
		{"without the root's key", []string{rootCRLFile, rootKeyFile}, now.AddDate(1, 0, 0), false},
		{"after the root's end", []string{rootCRLFile}, ended, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := t.TempDir()
			if _, err := Open(path, testOptions()); err != nil {
				t.Fatal(err)
			}
			for _, name := range c.remove {
				if err := os.Remove(filepath.Join(path, name)); err != nil {
					t.Fatal(err)
				}
			}
			before := contents(t, path)
			o := testOptions()
			o.Now = func() time.Time { return c.at }
			l, err := Open(path, o)
			if err != nil {
				t.Fatal(err)
			}
			after := contents(t, path)
			_, there := after[rootCRLFile]
			if there != c.made || (l.RootCRL() != nil) != c.made {
				t.Errorf("list in the folder: %v, served: %v, want %v", there, l.RootCRL() != nil, c.made)
			}
			if c.made {
				list := parseList(t, l.RootCRL())
				if err := list.CheckSignatureFrom(l.root); err != nil || list.ThisUpdate.Before(l.root.NotBefore) {
					t.Errorf("from %v, error %v", list.ThisUpdate, err)
				}
			}
			delete(after, rootCRLFile)
			if !maps.Equal(after, before) {
				t.Error("another file was changed")
			}
		})
	}
}

// TestForeignRootCRL has a list that the root signed elsewhere, after the
// intermediate was stolen: it is served as it is, and openssl refuses the chain.
func TestForeignRootCRL(t *testing.T) {
	path := t.TempDir()
	l, err := Open(path, testOptions())
	if err != nil {
		t.Fatal(err)
	}
	key, err := dir{path: path}.key(rootKeyFile)
	if err != nil {
		t.Fatal(err)
	}
	number := new(big.Int).Add(parseList(t, l.RootCRL()).Number, big.NewInt(1))
	der, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{
		Number: number, ThisUpdate: now, NextUpdate: now.AddDate(1, 0, 0),
		RevokedCertificateEntries: []x509.RevocationListEntry{{SerialNumber: l.intermediate.SerialNumber, RevocationTime: now}},
	}, l.root, key)
	if err != nil {
		t.Fatal(err)
	}
	writePEM(t, path, rootCRLFile, pemCRL, der)
	if l, err = Open(path, testOptions()); err != nil {
		t.Fatal(err)
	}
	if list := parseList(t, l.RootCRL()); list.Number.Cmp(number) != 0 {
		t.Errorf("number %v, want %v", list.Number, number)
	}

	work := t.TempDir()
	crl, err := l.CRL(t.Context(), nil, now)
	if err != nil {
		t.Fatal(err)
	}
	for name, f := range map[string]struct {
		kind string
		der  []byte
	}{
		"root.pem": {pemCert, l.root.Raw}, "bundle.pem": {pemCert, l.intermediate.Raw}, "crl.pem": {pemCRL, crl}, "root.crl": {pemCRL, l.RootCRL()},
		"m.pem": {pemCert, sign(t, l, newCSR(t, elliptic.P256()), "m", now).Raw},
	} {
		writePEM(t, work, name, f.kind, f.der)
	}
	out, err := openssl(t, work, "verify", "-attime", fmt.Sprint(now.Unix()+60), "-crl_check_all", "-CRLfile", "crl.pem", "-CRLfile", "root.crl",
		"-CAfile", "root.pem", "-untrusted", "bundle.pem", "m.pem")
	if err == nil || !strings.Contains(out, "error 23 at 1 depth lookup: certificate revoked") {
		t.Errorf("openssl, with a revoked intermediate: %v\n%s", err, out)
	}
}
