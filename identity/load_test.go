package identity

import (
	"crypto/elliptic"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mecha-org/mecha-agent/gateway"
	"github.com/mecha-org/mecha-agent/keystore"
)

func TestLoadDamage(t *testing.T) {
	ca := newPKI(t)
	other := newPKI(t)
	write := func(name, text string) func(string) error {
		return func(dir string) error { return os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600) }
	}
	otherKey := newECKey(t, elliptic.P256())
	der, err := x509.MarshalPKCS8PrivateKey(otherKey)
	if err != nil {
		t.Fatal(err)
	}
	otherPEM := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	for name, c := range map[string]struct {
		damage func(dir string) error
		want   error
		hint   string
	}{
		"key gone":            {func(dir string) error { return os.Remove(filepath.Join(dir, keyName)) }, ErrDamaged, "provision"},
		"key empty":           {write(keyName, ""), ErrDamaged, "provision"},
		"key of another":      {write(keyName, otherPEM), ErrDamaged, "provision"},
		"key exposed":         {func(dir string) error { return os.Chmod(filepath.Join(dir, keyName), 0o644) }, keystore.ErrExposed, "chmod"},
		"certificate gone":    {func(dir string) error { return os.Remove(filepath.Join(dir, certName)) }, ErrDamaged, "provision"},
		"certificate empty":   {write(certName, ""), ErrDamaged, "provision"},
		"certificate garbage": {write(certName, "\x00\x00"), ErrDamaged, "provision"},
		"another certificate": {write(certName, encodeCerts(machine(t, "machine-0", ca.mid, otherKey.Public()))), ErrDamaged, "provision"},
		"bundle empty":        {write(bundleName, ""), ErrDamaged, "provision"},
		"bundle gone":         {func(dir string) error { return os.Remove(filepath.Join(dir, bundleName)) }, ErrDamaged, "provision"},
		"root of others":      {write(rootName, encodeCerts(other.root.cert)), ErrDamaged, "provision"},
		"generation gone":     {os.RemoveAll, ErrDamaged, "provision"},
		"switch damaged": {func(dir string) error {
			link := filepath.Join(filepath.Dir(dir), currentName)
			return errors.Join(os.Remove(link), os.Symlink("elsewhere", link))
		}, ErrDamaged, "deprovision"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, ca)
			provisioned(t, b)
			s := b.open(t, nil)
			defer s.Close()
			if err := c.damage(s.gen(1)); err != nil {
				t.Fatal(err)
			}
			id, _, err := s.Current(t.Context())
			if !errors.Is(err, c.want) || id != "" || !strings.Contains(gateway.HintOf(err), c.hint) {
				t.Errorf("Current() = %q, %v (hint %q), want %v", id, err, gateway.HintOf(err), c.want)
			}
			if _, err := s.Signer(t.Context()); !errors.Is(err, c.want) {
				t.Errorf("Signer: %v, want %v", err, c.want)
			}
			if name == "switch damaged" { // the one damage that Commit will not guess about
				if _, err := s.Remove(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			b.provision(t, s, "machine-1")
			b.tidy(t, s)
		})
	}
}

// TestLoadIgnoresClock: a board whose clock starts in 1970 has its identity, and
// so has one that was off until its certificate expired.
func TestLoadIgnoresClock(t *testing.T) {
	b := newBench(t, newPKI(t))
	provisioned(t, b)
	for _, now := range []time.Time{time.Unix(0, 0), noon.Add(20 * 365 * 24 * time.Hour)} {
		s, err := open(t.Context(), b.paths, b.keys, fileSystem{}, func() time.Time { return now })
		if err != nil {
			t.Fatal(err)
		}
		if id, notAfter, err := s.Current(t.Context()); err != nil || id != "machine-0" || notAfter.IsZero() {
			t.Errorf("at %v: Current() = %q, %v, %v", now, id, notAfter, err)
		}
		s.Close()
	}
}

// TestHandMade: an identity of our kind in plain files counts before any Commit.
func TestHandMade(t *testing.T) {
	ca := newPKI(t)
	from, b := newBench(t, ca), newBench(t, ca)
	provisioned(t, from)
	for i, text := range from.view(t) {
		sl := b.paths.slots()[i]
		if err := errors.Join(os.MkdirAll(filepath.Dir(sl.path), 0o700), os.WriteFile(sl.path, []byte(text), sl.mode)); err != nil {
			t.Fatal(err)
		}
	}
	s := b.open(t, nil)
	defer s.Close()
	if id, _, err := s.Current(t.Context()); err != nil || id != "machine-0" {
		t.Errorf("Current() = %q, %v", id, err)
	}
	if err := os.Chmod(b.paths.Key, 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := s.Load(t.Context())
	if !errors.Is(err, ErrNone) || !errors.Is(err, keystore.ErrExposed) {
		t.Errorf("exposed: %v, want ErrNone and ErrExposed", err)
	}
	b.provision(t, s, "machine-1")
}

// TestOriginalAgent: its files (RSA key, JSON bundle) are no identity, do not
// count as damage, and stand until the new one does.
func TestOriginalAgent(t *testing.T) {
	b := newBench(t, newPKI(t))
	legacy(t, b, 0, 1, 2, 3, 4)
	before := b.view(t)
	s := b.open(t, nil)
	defer s.Close()
	check := func(when string) {
		t.Helper()
		if id, _, err := s.Current(t.Context()); err != nil || id != "" {
			t.Errorf("%s: Current() = %q, %v", when, id, err)
		}
		if _, err := s.Load(t.Context()); !errors.Is(err, ErrNone) || gateway.HintOf(err) == "" {
			t.Errorf("%s: Load: %v, want ErrNone with a hint", when, err)
		}
		if b.view(t) != before {
			t.Errorf("%s: a file changed", when)
		}
	}
	check("as left")
	if _, err := s.adopt(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, sl := range b.paths.slots() {
		if w, err := s.look(sl); w != ours || err != nil {
			t.Errorf("%s was not adopted: %v", sl.path, err)
		}
	}
	check("adopted")
	b.provision(t, s, "machine-1")
	b.tidy(t, s)
}
