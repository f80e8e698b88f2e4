package tpm

import (
	"context"
	"crypto/ecdsa"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"

	"github.com/mecha-org/mecha-agent/gateway"
	"github.com/mecha-org/mecha-agent/keystore"
	"github.com/mecha-org/mecha-agent/keystore/tpm/tpmtest"
)

// used makes a key that has signed a request and one handshake.
func used(t testing.TB, s *Store, path string) {
	t.Helper()
	k := create(t, s, path)
	sign(t, k)
	sign(t, k)
	without(t, k.Close())
}

// A cleared TPM is told from another, however the maker shipped it and whenever
// the key's file learned which TPM it is.
func TestClearedOrReplaced(t *testing.T) {
	prepared := func(t *testing.T) *tpmtest.TPM { chip, _ := tpmtest.Prepared(t); return chip }
	ready := func(t *testing.T, chip *tpmtest.TPM, path string) {
		s := newTestStore(t, Config{Path: chip.Socket})
		used(t, s, path)
		without(t, s.Close())
	}
	for name, c := range map[string]struct {
		start func(t *testing.T) *tpmtest.TPM
		ready func(t *testing.T, chip *tpmtest.TPM, path string)
	}{
		"no certificate": {func(t *testing.T) *tpmtest.TPM { return tpmtest.New(t) }, ready},
		"certificates":   {prepared, ready},
		"evidence": {prepared, func(t *testing.T, chip *tpmtest.TPM, path string) {
			s := newTestStore(t, Config{Path: chip.Socket})
			k := create(t, s, path)
			_, _, _, err := s.AttestIdentity(t.Context())
			without(t, err)
			without(t, k.Close())
			without(t, s.Close())
		}},
		"evidence first": {func(t *testing.T) *tpmtest.TPM { return tpmtest.New(t) }, func(t *testing.T, chip *tpmtest.TPM, path string) {
			s := newTestStore(t, Config{Path: chip.Socket})
			_, _, _, err := s.AttestIdentity(t.Context())
			without(t, err)
			without(t, create(t, s, path).Close())
			without(t, s.Close())
		}},
		"opened": {prepared, func(t *testing.T, chip *tpmtest.TPM, path string) {
			for range 2 {
				s := newTestStore(t, Config{Path: chip.Socket})
				k, err := s.Open(t.Context(), path)
				if errors.Is(err, keystore.ErrNotExist) {
					k, err = s.Create(t.Context(), path)
				}
				without(t, err)
				without(t, k.Close())
				without(t, s.Close())
			}
		}},
		"of an earlier version, P-384": {prepared, func(t *testing.T, chip *tpmtest.TPM, path string) { earlier(t, chip, path, ekHandleECC) }},
		"of an earlier version, RSA":   {prepared, func(t *testing.T, chip *tpmtest.TPM, path string) { earlier(t, chip, path, ekHandleRSA) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for what, fault := range map[error]func(chip *tpmtest.TPM){
				ErrCleared:  func(chip *tpmtest.TPM) { clearTPM(t, chip.Socket) },
				ErrReplaced: func(chip *tpmtest.TPM) { chip.Swap() },
			} {
				chip, path := c.start(t), newKeyPath(t)
				c.ready(t, chip, path)
				fault(chip)
				_, err := newTestStore(t, Config{Path: chip.Socket}).Open(t.Context(), path)
				certain := err != nil && !strings.Contains(err.Error(), "or another TPM")
				if strings.HasPrefix(name, "of an earlier") && what == ErrReplaced {
					// Nobody knows whether that endorsement key was made from a template.
					what, certain = ErrCleared, !certain
				}
				if !errors.Is(err, what) || !certain {
					t.Errorf("%v: got %v", what, err)
				}
			}
		})
	}
}

// earlier makes a key with an origin that names a persistent endorsement key.
func earlier(t *testing.T, chip *tpmtest.TPM, path string, h tpm2.TPMHandle) {
	s := newTestStore(t, Config{Path: chip.Socket})
	without(t, create(t, s, path).Close())
	without(t, s.Close())
	o, err := readOrigin(path)
	without(t, err)
	r, err := tpm2.ReadPublic{ObjectHandle: h}.Execute(raw(t, chip.Socket))
	without(t, err)
	o.EK, o.EKFrom = r.Name.Buffer, source(h)
	text, err := o.encode()
	without(t, err)
	without(t, os.WriteFile(path+OriginSuffix, text, 0o600))
}

// A key that has signed its request and no more was not worth the time: both are
// named.
func TestClearedUnused(t *testing.T) {
	socket := tpmtest.Start(t)
	path := newKeyPath(t)
	k := create(t, newTestStore(t, Config{Path: socket}), path)
	sign(t, k)
	without(t, k.Close())
	clearTPM(t, socket)
	_, err := newTestStore(t, Config{Path: socket}).Open(t.Context(), path)
	if !errors.Is(err, ErrCleared) || !errors.Is(err, ErrReplaced) || gateway.HintOf(err) == "" {
		t.Errorf("got %v, hint %q", err, gateway.HintOf(err))
	}
}

// What a key's file learns late is for that key: not for one that took its place,
// and not for one that is gone.
func TestRememberOthers(t *testing.T) {
	s := newTestStore(t, Config{Path: tpmtest.Start(t)})
	path := newKeyPath(t)
	first := create(t, s, path)
	sign(t, first)
	without(t, s.Delete(t.Context(), path))
	second := create(t, s, path)
	sign(t, first) // which would write down where it is from
	without(t, first.Close())
	without(t, second.Close())
	again, err := s.Open(t.Context(), path)
	without(t, err)
	if !again.Public().(*ecdsa.PublicKey).Equal(second.Public()) {
		t.Error("it is another key")
	}
	without(t, again.Close())

	third := create(t, s, newKeyPath(t))
	sign(t, third)
	without(t, s.Delete(t.Context(), third.Info().Path))
	sign(t, third)
	if left, _ := os.ReadDir(filepath.Dir(third.Info().Path)); len(left) != 0 {
		t.Errorf("the key is deleted, and there is %v", left)
	}
}

// All keys learn it, also those that found no place in the TPM, and a TPM that is
// away is asked another time.
func TestRememberAll(t *testing.T) {
	chip := tpmtest.New(t)
	s := newTestStore(t, Config{Path: chip.Socket})
	known := func(k keystore.Key) bool {
		o, err := readOrigin(k.Info().Path)
		without(t, err)
		return len(o.EK) > 0 && o.EKFrom == madeEK
	}
	var keys []keystore.Key
	for range 4 {
		keys = append(keys, create(t, s, newKeyPath(t)))
	}
	without(t, keys[0].Close())
	chip.Kill() // who connects now waits
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, _, _, err := s.AttestIdentity(ctx); err == nil {
		t.Fatal("a TPM without power says who it is")
	}
	chip.On()
	if known(keys[1]) {
		t.Error("the key knows what nobody could say")
	}
	_, _, _, err := s.AttestIdentity(t.Context())
	without(t, err)
	for i, k := range keys {
		if !known(k) {
			t.Errorf("key %d does not know which TPM made it", i)
		}
	}
	if k := create(t, s, newKeyPath(t)); !known(k) {
		t.Error("a key that was made afterwards does not know which TPM made it")
	}
}
