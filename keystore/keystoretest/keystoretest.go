// Package keystoretest is the suite that every keystore.Store passes: what the
// interfaces promise, tried from the outside.
package keystoretest

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/mecha-org/mecha-agent/gateway"
	"github.com/mecha-org/mecha-agent/keystore"
)

// Run runs the suite. open returns a Store; it is called many times, also twice
// in one test, and all its stores must reach the same keys: the same file
// system and the same security chip.
func Run(t *testing.T, open func(t *testing.T) keystore.Store) {
	for _, c := range []struct {
		name string
		test func(*testing.T, func(*testing.T) keystore.Store)
	}{
		{"CreateAndSign", createAndSign},
		{"Info", info},
		{"SurvivesReopen", survivesReopen},
		{"KeysDiffer", keysDiffer},
		{"CreateInMissingFolder", createInMissingFolder},
		{"Exists", exists},
		{"NotExist", notExist},
		{"Delete", deleteKey},
		{"Close", closeKey},
		{"WrongDigest", wrongDigest},
		{"Cancelled", cancelled},
		{"Concurrent", concurrent},
		{"CertificateRequest", certificateRequest},
		{"TLSServer", tlsServer},
		{"TLSClient", tlsClient},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, open) })
	}
}

func createAndSign(t *testing.T, open func(*testing.T) keystore.Store) {
	k := create(t, open(t), newPath(t))
	for _, h := range []crypto.Hash{crypto.SHA256, crypto.SHA384} {
		if k.Info().Curve == keystore.P256 && h != crypto.SHA256 {
			continue // a security chip may tie P-256 to SHA-256
		}
		digest := sum(h, "what is to be signed")
		sig, err := k.Sign(rand.Reader, digest, h)
		if err != nil {
			t.Fatalf("%s: %v", h, err)
		}
		if !verify(t, k, digest, sig) {
			t.Errorf("%s: the signature does not verify", h)
		}
		if verify(t, k, sum(h, "something else"), sig) {
			t.Errorf("%s: the signature verifies for another digest", h)
		}
	}
	// A nil source of randomness is allowed: hardware brings its own.
	digest := sum(crypto.SHA256, "x")
	sig, err := k.Sign(nil, digest, crypto.SHA256)
	if err != nil || !verify(t, k, digest, sig) {
		t.Errorf("signing without a source of randomness: %v", err)
	}
}

func info(t *testing.T, open func(*testing.T) keystore.Store) {
	path := newPath(t)
	k := create(t, open(t), path)
	want, err := gateway.Fingerprint(k.Public())
	if err != nil {
		t.Fatal(err)
	}
	i := k.Info()
	if i.Backend == "" || i.Path != path || i.Fingerprint != want {
		t.Errorf("Info() = %+v, want a backend, path %s, fingerprint %s", i, path, want)
	}
	if name := k.Public().(*ecdsa.PublicKey).Curve.Params().Name; string(i.Curve) != name {
		t.Errorf("Info().Curve = %s, the key is on %s", i.Curve, name)
	}
	if err := gateway.CheckKey(k.Public()); err != nil {
		t.Error(err)
	}
}

func survivesReopen(t *testing.T, open func(*testing.T) keystore.Store) {
	path := newPath(t)
	k := create(t, open(t), path)
	pub, first := k.Public(), k.Info()
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		again, err := open(t).Open(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		if !again.Public().(*ecdsa.PublicKey).Equal(pub) {
			t.Error("the key changed")
		}
		if again.Info() != first {
			t.Errorf("Info() = %+v, was %+v", again.Info(), first)
		}
		digest := sum(crypto.SHA256, "again")
		sig, err := again.Sign(rand.Reader, digest, crypto.SHA256)
		if err != nil || !verify(t, again, digest, sig) {
			t.Errorf("signing after opening: %v", err)
		}
		if err := again.Close(); err != nil {
			t.Error(err)
		}
	}
}

func keysDiffer(t *testing.T, open func(*testing.T) keystore.Store) {
	s := open(t)
	a, b := create(t, s, newPath(t)), create(t, s, newPath(t))
	if a.Public().(*ecdsa.PublicKey).Equal(b.Public()) {
		t.Error("two keys are the same")
	}
}

func createInMissingFolder(t *testing.T, open func(*testing.T) keystore.Store) {
	path := filepath.Join(t.TempDir(), "a", "b", "key.pem")
	create(t, open(t), path)
	if _, err := os.Lstat(path); err != nil {
		t.Error(err)
	}
}

func exists(t *testing.T, open func(*testing.T) keystore.Store) {
	s, path := open(t), newPath(t)
	k := create(t, s, path)
	before := read(t, path)
	if _, err := s.Create(t.Context(), path); !errors.Is(err, keystore.ErrExists) {
		t.Errorf("Create of a key that exists: %v, want ErrExists", err)
	}
	if read(t, path) != before {
		t.Error("the refused Create changed the file")
	}
	again, err := s.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if !again.Public().(*ecdsa.PublicKey).Equal(k.Public()) {
		t.Error("the refused Create changed the key")
	}
	// Whatever stands there is not replaced, be it a key or not.
	other := newPath(t)
	if err := os.WriteFile(other, []byte("something of a person's"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Create(t.Context(), other); !errors.Is(err, keystore.ErrExists) {
		t.Errorf("Create over another file: %v, want ErrExists", err)
	}
	if read(t, other) != "something of a person's" {
		t.Error("Create changed another file")
	}
}

func notExist(t *testing.T, open func(*testing.T) keystore.Store) {
	s := open(t)
	for _, path := range []string{newPath(t), filepath.Join(t.TempDir(), "missing", "key.pem")} {
		if _, err := s.Open(t.Context(), path); !errors.Is(err, keystore.ErrNotExist) {
			t.Errorf("Open: %v, want ErrNotExist", err)
		}
		if err := s.Delete(t.Context(), path); !errors.Is(err, keystore.ErrNotExist) {
			t.Errorf("Delete: %v, want ErrNotExist", err)
		}
	}
	path := newPath(t)
	if err := os.WriteFile(path, nil, 0o600); err != nil { // what a power cut may leave
		t.Fatal(err)
	}
	if _, err := s.Open(t.Context(), path); !errors.Is(err, keystore.ErrDamaged) || gateway.HintOf(err) == "" {
		t.Errorf("Open of an empty file: %v, want ErrDamaged with a hint", err)
	}
}

func deleteKey(t *testing.T, open func(*testing.T) keystore.Store) {
	s, path := open(t), newPath(t)
	k := create(t, s, path)
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Delete(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("the file is still there: %v", err)
	}
	if _, err := s.Open(t.Context(), path); !errors.Is(err, keystore.ErrNotExist) {
		t.Errorf("Open after Delete: %v, want ErrNotExist", err)
	}
	if err := s.Delete(t.Context(), path); !errors.Is(err, keystore.ErrNotExist) {
		t.Errorf("second Delete: %v, want ErrNotExist", err)
	}
	if create(t, s, path).Public().(*ecdsa.PublicKey).Equal(k.Public()) {
		t.Error("the deleted key came back")
	}
}

func closeKey(t *testing.T, open func(*testing.T) keystore.Store) {
	k := create(t, open(t), newPath(t))
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := k.Sign(rand.Reader, sum(crypto.SHA256, "x"), crypto.SHA256); err == nil {
		t.Error("a closed key signs")
	}
	if _, ok := k.Public().(*ecdsa.PublicKey); !ok {
		t.Error("a closed key has no public part")
	}
	if err := k.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
}

func wrongDigest(t *testing.T, open func(*testing.T) keystore.Store) {
	k := create(t, open(t), newPath(t))
	for name, c := range map[string]struct {
		digest []byte
		opts   crypto.SignerOpts
	}{
		"empty":       {nil, crypto.SHA256},
		"short":       {make([]byte, 31), crypto.SHA256},
		"long":        {make([]byte, 33), crypto.SHA256},
		"no hash":     {make([]byte, 32), crypto.Hash(0)},
		"no options":  {make([]byte, 32), nil},
		"SHA-1 sized": {make([]byte, 20), crypto.SHA256},
	} {
		if _, err := k.Sign(rand.Reader, c.digest, c.opts); err == nil {
			t.Errorf("%s digest: signed", name)
		}
	}
}

func cancelled(t *testing.T, open func(*testing.T) keystore.Store) {
	s, path := open(t), newPath(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Create(ctx, path); !errors.Is(err, context.Canceled) {
		t.Errorf("Create: %v, want context.Canceled", err)
	}
	if left, _ := os.ReadDir(filepath.Dir(path)); len(left) != 0 {
		t.Errorf("the cancelled Create left %v", left)
	}
	create(t, s, path)
	if _, err := s.Open(ctx, path); !errors.Is(err, context.Canceled) {
		t.Errorf("Open: %v, want context.Canceled", err)
	}
	if err := s.Delete(ctx, path); !errors.Is(err, context.Canceled) {
		t.Errorf("Delete: %v, want context.Canceled", err)
	}
	k, err := s.Open(t.Context(), path)
	if err != nil {
		t.Fatalf("the cancelled Delete deleted: %v", err)
	}
	k.Close()
}

func concurrent(t *testing.T, open func(*testing.T) keystore.Store) {
	k := create(t, open(t), newPath(t))
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for j := range 4 {
				digest := sha256.Sum256([]byte{byte(i), byte(j)})
				sig, err := k.Sign(rand.Reader, digest[:], crypto.SHA256)
				if err != nil || !verify(t, k, digest[:], sig) {
					t.Errorf("concurrent signature does not verify: %v", err)
				}
			}
		})
	}
	wg.Wait()
}

func create(t *testing.T, s keystore.Store, path string) keystore.Key {
	t.Helper()
	k, err := s.Create(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { k.Close() })
	return k
}

// newPath returns a path in an empty folder of the mode that keys ask for.
func newPath(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "keys")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "key.pem")
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func sum(h crypto.Hash, text string) []byte {
	w := h.New()
	w.Write([]byte(text))
	return w.Sum(nil)
}

func verify(t *testing.T, k keystore.Key, digest, sig []byte) bool {
	t.Helper()
	return ecdsa.VerifyASN1(k.Public().(*ecdsa.PublicKey), digest, sig)
}
