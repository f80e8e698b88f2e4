package tpm

import (
	"crypto/ecdsa"
	"errors"
	"os"
	"testing"

	"github.com/google/go-tpm/tpm2"

	"github.com/mecha-org/mecha-agent/gateway"
	"github.com/mecha-org/mecha-agent/keystore"
	"github.com/mecha-org/mecha-agent/keystore/tpm/tpmtest"
)

// The files alone say what the key at work says, with no TPM there.
func TestReadInfo(t *testing.T) {
	for _, curve := range []keystore.Curve{keystore.P256, keystore.P384} {
		chip := tpmtest.New(t)
		path := newKeyPath(t)
		k := create(t, newTestStore(t, Config{Path: chip.Socket, Curve: curve}), path)
		chip.Kill()
		for _, origin := range []bool{true, false} {
			if !origin { // as openssl leaves it
				without(t, os.Remove(path+OriginSuffix))
			}
			pub, info, err := ReadInfo(path)
			without(t, err)
			if info != k.Info() || info.Curve != curve || !k.Public().(*ecdsa.PublicKey).Equal(pub) {
				t.Errorf("got %v, %+v, want %+v", pub, info, k.Info())
			}
		}
		chip.On()
	}
}

// ReadInfo refuses the files that Open refuses, with the same error and hint, and
// no other.
func TestReadInfoRefuses(t *testing.T) {
	chip := tpmtest.New(t)
	s := newTestStore(t, Config{Path: chip.Socket})
	for name, c := range map[string]struct {
		fault func(path string) error
		want  error
	}{
		"nothing there": {os.Remove, keystore.ErrNotExist},
		"exposed":       {func(path string) error { return os.Chmod(path, 0o640) }, keystore.ErrExposed},
		"empty":         {func(path string) error { return os.Truncate(path, 0) }, keystore.ErrDamaged},
		"cut short":     {func(path string) error { return os.Truncate(path, 100) }, keystore.ErrDamaged},
		"of the disk": {func(path string) error {
			return os.WriteFile(path, []byte("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"), 0o600)
		}, keystore.ErrWrongKind},
		"swapped":        {func(path string) error { swapFile(t, path, chip.Socket); return nil }, ErrSwapped},
		"origin damaged": {func(path string) error { return os.Truncate(path+OriginSuffix, 3) }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			path := newKeyPath(t)
			without(t, create(t, s, path).Close())
			without(t, c.fault(path))
			_, info, err := ReadInfo(path)
			if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
				t.Fatalf("got %v, want %v", err, c.want)
			}
			if err != nil && info != (keystore.Info{}) {
				t.Errorf("got %+v with an error", info)
			}
			k, open := s.Open(t.Context(), path)
			if !errors.Is(open, c.want) || gateway.HintOf(open) != gateway.HintOf(err) {
				t.Errorf("Open: %v, hint %q, want hint %q", open, gateway.HintOf(open), gateway.HintOf(err))
			}
			if open == nil {
				without(t, k.Close())
			}
		})
	}
}

// A Store asks the TPM about itself in between its own work: two commands, and
// nothing that is loaded is lost.
func TestStoreInspect(t *testing.T) {
	socket := tpmtest.Start(t)
	s, sent := newRecorded(t, Config{Path: socket})
	k := create(t, s, newKeyPath(t))
	sent.take()
	info, err := s.Inspect(t.Context())
	without(t, err)
	sent.want(t, "Inspect", tpm2.TPMCCGetCapability, tpm2.TPMCCGetCapability)
	if beside, err := Inspect(t.Context(), socket); err != nil || info != beside {
		t.Errorf("got %+v, beside the Store %+v, %v", info, beside, err)
	}
	sign(t, k)
	sent.want(t, "Sign", tpm2.TPMCCSign)
	lockOut(t, socket)
	if info, err = s.Inspect(t.Context()); err != nil || !info.InLockout || info.LockoutCounter != info.MaxTries {
		t.Errorf("locked out: %+v, %v", info, err)
	}
	without(t, s.Close())
	if info, err = s.Inspect(t.Context()); !errors.Is(err, errClosed) || info != (Info{}) {
		t.Errorf("closed: %+v, %v", info, err)
	}
}
