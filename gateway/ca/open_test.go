package ca

import (
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/mecha-org/mecha-agent/gateway"
)

var allFiles = []string{rootKeyFile, rootFile, rootCRLFile, intermediateKeyFile, intermediateFile}

// contents returns the files of a folder by name.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		all[e.Name()] = string(text)
	}
	return all
}

func TestOpen(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "gateway", "ca")
	first, err := Open(dir, testOptions())
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the folder has mode %v, error %v", info.Mode(), err)
	}
	files := contents(t, dir)
	if len(files) != len(allFiles) {
		t.Errorf("%d files, want %v", len(files), allFiles)
	}
	for name, want := range map[string]fs.FileMode{rootKeyFile: 0o600, rootFile: 0o644, rootCRLFile: 0o644, intermediateKeyFile: 0o600, intermediateFile: 0o644} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s has mode %v, want %v (%v)", name, info.Mode(), want, err)
		}
	}
	if string(first.RootPEM()) != files[rootFile] {
		t.Error("RootPEM is not root.pem")
	}

	// Later, under another name, and with the root's key moved away.
	if err := os.Remove(filepath.Join(dir, rootKeyFile)); err != nil {
		t.Fatal(err)
	}
	again, err := Open(dir, Options{Name: "Other", Now: func() time.Time { return now.AddDate(1, 0, 0) }})
	if err != nil {
		t.Fatal(err)
	}
	if again.RootFingerprint() != first.RootFingerprint() || !again.intermediate.Equal(first.intermediate) {
		t.Error("the second start has another CA")
	}
	cert := sign(t, again, newCSR(t, elliptic.P256()), "m", now.AddDate(1, 0, 0))
	if again.Validity() != DefaultValidity || len(cert.CRLDistributionPoints) != 0 || cert.Subject.Organization[0] != "Other" {
		t.Errorf("options of the second start: %v, %v, %v", again.Validity(), cert.CRLDistributionPoints, cert.Subject)
	}
}

func TestOptions(t *testing.T) {
	for name, o := range map[string]Options{
		"long name": {Name: fmt.Sprintf("%047d", 0)}, "blank": {Name: " x"}, "control": {Name: "a\nb"}, "not UTF-8": {Name: "\xff"},
		"validity": {Validity: time.Second}, "negative": {Validity: -time.Hour},
		"CRL scheme": {CRLURL: "ldap://x/y"}, "CRL host": {CRLURL: "http:///crl"}, "CRL path": {CRLURL: "/crl"},
		"CRL by https": {CRLURL: "https://x/y"}, "root CRL by https": {RootCRLURL: "https://x/y"}, "root CRL path": {RootCRLURL: "/crl"},
	} {
		dir := filepath.Join(t.TempDir(), "ca")
		if _, err := Open(dir, o); err == nil {
			t.Errorf("%s: no error", name)
		}
		if len(contents(t, dir)) != 0 {
			t.Errorf("%s: a CA was made", name)
		}
	}
	if _, err := Open("", Options{}); err == nil {
		t.Error("no folder: no error")
	}
}

func TestOpenTogether(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "ca")
	prints := make([]string, 8)
	var wg sync.WaitGroup
	for i := range prints {
		wg.Go(func() {
			l, err := Open(dir, testOptions())
			if err != nil {
				t.Error(err)
				return
			}
			prints[i] = l.RootFingerprint() + l.intermediate.SerialNumber.String()
		})
	}
	wg.Wait()
	for _, p := range prints {
		if p != prints[0] {
			t.Fatal("starts at one time made more than one CA")
		}
	}
}

// TestRefused changes a complete CA: the start is refused with a hint, and
// nothing is replaced.
func TestRefused(t *testing.T) {
	other := t.TempDir()
	if _, err := Open(other, testOptions()); err != nil {
		t.Fatal(err)
	}
	swap := func(names ...string) func(dir string) error {
		return func(dir string) (err error) {
			for _, name := range names {
				text, e := os.ReadFile(filepath.Join(other, name))
				err = errors.Join(err, e, os.WriteFile(filepath.Join(dir, name), text, 0o600))
			}
			return err
		}
	}
	remove := func(names ...string) func(dir string) error {
		return func(dir string) (err error) {
			for _, name := range names {
				err = errors.Join(err, os.Remove(filepath.Join(dir, name)))
			}
			return err
		}
	}
	write := func(name, text string) func(dir string) error {
		return func(dir string) error { return os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600) }
	}
	chmod := func(name string, mode fs.FileMode) func(dir string) error {
		return func(dir string) error { return os.Chmod(filepath.Join(dir, name), mode) }
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	rsaDER, err := x509.MarshalPKCS8PrivateKey(rsaKey)
	if err != nil {
		t.Fatal(err)
	}
	rsaPEM := string(pem.EncodeToMemory(&pem.Block{Type: pemKey, Bytes: rsaDER}))
	l, err := Open(other, testOptions())
	if err != nil {
		t.Fatal(err)
	}
	leaf := string(pem.EncodeToMemory(&pem.Block{Type: pemCert, Bytes: sign(t, l, newCSR(t, elliptic.P256()), "m", now).Raw}))

	for _, c := range []struct {
		name   string
		change func(dir string) error
		want   error
	}{
		{"root.pem gone", remove(rootFile), ErrMissing},
		{"root.pem and root.key gone", remove(rootFile, rootKeyFile), ErrMissing},
		{"root.pem and both intermediates' certificate gone", remove(rootFile, intermediateFile), ErrMissing},
		{"intermediate.key gone", remove(intermediateKeyFile), ErrMissing},
		{"intermediate.pem and root.key gone", remove(intermediateFile, rootKeyFile), ErrMissing},
		{"both intermediates and root.key gone", remove(intermediateFile, intermediateKeyFile, rootKeyFile), ErrMissing},
		{"root.key readable", chmod(rootKeyFile, 0o640), ErrExposed},
		{"intermediate.key readable", chmod(intermediateKeyFile, 0o604), ErrExposed},
		{"folder writable", chmod(".", 0o770), ErrExposed},
		{"another root.key", swap(rootKeyFile), ErrMismatch},
		{"another intermediate.key", swap(intermediateKeyFile), ErrMismatch},
		{"another root", swap(rootFile, rootKeyFile), ErrMismatch},
		{"another root's list", swap(rootCRLFile), ErrMismatch},
		{"all of another root", swap(rootFile, rootKeyFile, rootCRLFile), ErrMismatch},
		{"all but the root's list gone", remove(rootKeyFile, rootFile, intermediateKeyFile, intermediateFile), ErrMissing},
		{"empty root.crl", write(rootCRLFile, ""), ErrDamaged},
		{"garbage in root.crl", write(rootCRLFile, "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n"), ErrDamaged},
		{"another intermediate", swap(intermediateFile, intermediateKeyFile), ErrMismatch},
		{"empty root.key", write(rootKeyFile, ""), ErrDamaged},
		{"empty root.pem", write(rootFile, ""), ErrDamaged},
		{"empty intermediate.key", write(intermediateKeyFile, ""), ErrDamaged},
		{"garbage in intermediate.pem", write(intermediateFile, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), ErrDamaged},
		{"garbage in intermediate.key", write(intermediateKeyFile, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"), ErrDamaged},
		{"an RSA key", write(intermediateKeyFile, rsaPEM), ErrDamaged},
		{"a machine's certificate", write(intermediateFile, leaf), ErrDamaged},
		{"a machine's certificate as root", write(rootFile, leaf), ErrDamaged},
		{"intermediate as root", func(dir string) error {
			text, err := os.ReadFile(filepath.Join(dir, intermediateFile))
			return errors.Join(err, os.WriteFile(filepath.Join(dir, rootFile), text, 0o600))
		}, ErrDamaged},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			if _, err := Open(dir, testOptions()); err != nil {
				t.Fatal(err)
			}
			if err := c.change(dir); err != nil {
				t.Fatal(err)
			}
			before := contents(t, dir)
			_, err := Open(dir, testOptions())
			if !errors.Is(err, c.want) || gateway.HintOf(err) == "" {
				t.Errorf("error %v with hint %q, want %v", err, gateway.HintOf(err), c.want)
			}
			if after := contents(t, dir); fmt.Sprint(after) != fmt.Sprint(before) {
				t.Error("the folder was changed")
			}
		})
	}
}

// TestNewIntermediate moves a complete intermediate away: the root makes another.
func TestNewIntermediate(t *testing.T) {
	dir := t.TempDir()
	first, err := Open(dir, testOptions())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{intermediateKeyFile, intermediateFile} {
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	o := testOptions()
	later := now.AddDate(15, 0, 0)
	o.Now = func() time.Time { return later }
	second, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	if second.RootFingerprint() != first.RootFingerprint() || second.intermediate.Equal(first.intermediate) {
		t.Error("want the same root and another intermediate")
	}
	if !second.intermediate.NotAfter.Equal(second.root.NotAfter) {
		t.Errorf("the intermediate ends %v, the root %v", second.intermediate.NotAfter, second.root.NotAfter)
	}
}
