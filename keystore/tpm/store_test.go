package tpm

import (
	"context"
	"crypto"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-tpm/tpm2"

	"github.com/mecha-org/mecha-agent/gateway"
	"github.com/mecha-org/mecha-agent/keystore"
	"github.com/mecha-org/mecha-agent/keystore/tpm/tpmtest"
)

// shipped is a TPM as its maker ships it, owned is one that was given a storage root
// key too.
func shipped(t testing.TB) *tpmtest.TPM {
	chip, _ := tpmtest.Prepared(t)
	return chip
}

func owned(t testing.TB) *tpmtest.TPM {
	chip := shipped(t)
	persist(t, chip.Socket, srkTemplate())
	return chip
}

// The number of commands is what a user waits for.
func TestCommands(t *testing.T) {
	made := []tpm2.TPMCC{
		tpm2.TPMCCCreatePrimary, // the storage root key
		tpm2.TPMCCStartAuthSession, tpm2.TPMCCCreateLoaded,
	}
	certificate := []tpm2.TPMCC{tpm2.TPMCCGetCapability, tpm2.TPMCCNVReadPublic, tpm2.TPMCCNVRead, tpm2.TPMCCNVRead}
	for _, c := range []struct {
		name     string
		start    func(t testing.TB) *tpmtest.TPM
		create   []tpm2.TPMCC
		remember []tpm2.TPMCC // which TPM it is
		close    int          // what Close flushes
	}{
		{"a new TPM", func(t testing.TB) *tpmtest.TPM { return tpmtest.New(t) }, made, []tpm2.TPMCC{
			tpm2.TPMCCGetCapability, tpm2.TPMCCCreatePrimary, tpm2.TPMCCFlushContext, // there is no certificate: the endorsement key's Name
		}, 2},
		{"with endorsement keys", shipped, made, certificate, 2},
		{"with a storage root key too", owned, made[1:], certificate, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, sent := newRecorded(t, Config{Path: c.start(t).Socket})
			sent.want(t, "New", tpm2.TPMCCReadPublic)
			path := newKeyPath(t)
			k := create(t, s, path)
			sent.want(t, "Create", c.create...)
			sign(t, k)
			sent.want(t, "Sign", tpm2.TPMCCSign)
			sign(t, k)
			sent.want(t, "Sign", append([]tpm2.TPMCC{tpm2.TPMCCSign}, c.remember...)...)
			for range 2 {
				sign(t, k)
				sent.want(t, "Sign", tpm2.TPMCCSign)
			}
			without(t, k.Close())
			sent.want(t, "Close", tpm2.TPMCCFlushContext)
			again, err := s.Open(t.Context(), path)
			without(t, err)
			sent.want(t, "Open", tpm2.TPMCCLoad)
			sign(t, again)
			sent.want(t, "Sign", tpm2.TPMCCSign)
			without(t, again.Close())
			sent.want(t, "Close", tpm2.TPMCCFlushContext)
			without(t, s.Close())
			sent.want(t, "Close of the Store", slices.Repeat([]tpm2.TPMCC{tpm2.TPMCCFlushContext}, c.close)...)
		})
	}
}

// With evidence no key is made twice, and nothing is asked twice.
func TestEvidenceCommands(t *testing.T) {
	for _, c := range []struct {
		name     string
		start    func(t testing.TB) *tpmtest.TPM
		identity []tpm2.TPMCC
		activate []tpm2.TPMCC
		close    int
	}{
		{"a new TPM", func(t testing.TB) *tpmtest.TPM { return tpmtest.New(t) }, []tpm2.TPMCC{
			tpm2.TPMCCGetCapability,                         // certificates: there is none
			tpm2.TPMCCFlushContext, tpm2.TPMCCCreatePrimary, // the parent makes room for the endorsement key
			tpm2.TPMCCCreatePrimary, // the attestation key
		}, []tpm2.TPMCC{
			tpm2.TPMCCStartAuthSession, tpm2.TPMCCPolicySecret, tpm2.TPMCCActivateCredential, tpm2.TPMCCFlushContext,
		}, 2},
		{"with endorsement keys", shipped, []tpm2.TPMCC{
			tpm2.TPMCCGetCapability, tpm2.TPMCCNVReadPublic, tpm2.TPMCCNVRead, tpm2.TPMCCNVRead,
			tpm2.TPMCCFlushContext, tpm2.TPMCCReadPublic, tpm2.TPMCCCreatePrimary,
		}, []tpm2.TPMCC{tpm2.TPMCCActivateCredential}, 2},
		{"with a storage root key too", owned, []tpm2.TPMCC{
			tpm2.TPMCCGetCapability, tpm2.TPMCCNVReadPublic, tpm2.TPMCCNVRead, tpm2.TPMCCNVRead,
			tpm2.TPMCCReadPublic, tpm2.TPMCCCreatePrimary,
		}, []tpm2.TPMCC{tpm2.TPMCCActivateCredential}, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, sent := newRecorded(t, Config{Path: c.start(t).Socket})
			k := create(t, s, newKeyPath(t))
			sign(t, k)
			sent.take()
			_, ek, ak, err := s.AttestIdentity(t.Context())
			without(t, err)
			sent.want(t, "AttestIdentity", c.identity...)
			_, _, _, err = s.AttestIdentity(t.Context())
			without(t, err)
			sent.want(t, "again")
			sign(t, k)
			sent.want(t, "Sign", tpm2.TPMCCSign)
			credential, secret := seal(t, ek, ak, []byte("content"))
			_, err = s.Activate(t.Context(), credential, secret)
			without(t, err)
			sent.want(t, "Activate", c.activate...)
			_, _, _, err = s.Certify(t.Context(), k, nil)
			without(t, err)
			sent.want(t, "Certify", tpm2.TPMCCCertify, tpm2.TPMCCFlushContext)
			sign(t, k)
			sent.want(t, "Sign", tpm2.TPMCCSign)
			without(t, s.Close())
			sent.want(t, "Close", slices.Repeat([]tpm2.TPMCC{tpm2.TPMCCFlushContext}, c.close)...)
		})
	}
}

// What evidence would need is let go of when the gateway does not ask for any.
func TestEvidenceUnasked(t *testing.T) {
	socket := tpmtest.Start(t)
	s, sent := newRecorded(t, Config{Path: socket})
	k := create(t, s, newKeyPath(t))
	sign(t, k)
	_, _, _, err := s.AttestIdentity(t.Context())
	without(t, err)
	for range evidenceSignatures {
		sign(t, k)
	}
	sent.take()
	sign(t, k)
	sent.want(t, "Sign", tpm2.TPMCCFlushContext, tpm2.TPMCCFlushContext, tpm2.TPMCCSign)
	if left, err := handles(raw(t, socket), transientFirst); err != nil || len(left) != 1 {
		t.Errorf("loaded %x, %v, want the key alone", left, err)
	}
	prove(t, s) // and evidence can be had all the same
}

// After Close nothing of ours is in the TPM.
func TestCloseFrees(t *testing.T) {
	socket := tpmtest.Start(t)
	s, err := New(Config{Path: socket, Curve: keystore.P256})
	without(t, err)
	k := create(t, s, newKeyPath(t))
	sign(t, k)
	c := raw(t, socket)
	for _, open := range []bool{true, false} {
		for _, first := range []uint32{transientFirst, sessionFirst} {
			left, err := handles(c, first)
			without(t, err)
			if (len(left) > 0) != open {
				t.Errorf("open %v: loaded %x", open, left)
			}
		}
		if open {
			without(t, s.Close())
		}
	}
	digest := make([]byte, 32)
	if _, err := k.Sign(nil, digest, crypto.SHA256); !errors.Is(err, errClosed) {
		t.Errorf("a key of a closed store: %v", err)
	}
	if _, err := s.Open(t.Context(), k.Info().Path); !errors.Is(err, errClosed) {
		t.Errorf("a closed store: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("closing again: %v", err)
	}
}

// Delete takes both files away.
func TestDelete(t *testing.T) {
	s := newTestStore(t, Config{Path: tpmtest.Start(t)})
	path := newKeyPath(t)
	without(t, create(t, s, path).Close())
	left, err := os.ReadDir(filepath.Dir(path))
	without(t, err)
	if len(left) != 2 {
		t.Fatalf("Create made %v", left)
	}
	for _, e := range left {
		if st, err := e.Info(); err != nil || st.Mode() != 0o600 {
			t.Errorf("%s: mode %v, %v", e.Name(), st.Mode(), err)
		}
	}
	without(t, s.Delete(t.Context(), path))
	if left, _ = os.ReadDir(filepath.Dir(path)); len(left) != 0 {
		t.Errorf("Delete left %v", left)
	}
}

func TestNewErrors(t *testing.T) {
	for _, curve := range []keystore.Curve{"", "P-521"} {
		if _, err := New(Config{Path: "/dev/null", Curve: curve}); err == nil || !strings.Contains(err.Error(), "P-384") {
			t.Errorf("curve %q: %v", curve, err)
		}
	}
	missing := filepath.Join(t.TempDir(), "tpmrm0")
	_, err := New(Config{Path: missing, Curve: keystore.P256})
	if !errors.Is(err, ErrNone) || gateway.HintOf(err) == "" || !strings.Contains(err.Error(), missing) {
		t.Errorf("no TPM: %v, hint %q", err, gateway.HintOf(err))
	}
}

// old is a TPM of before revision 1.38.
type old struct{ exchanger }

func (o old) exchange(ctx context.Context, command []byte) ([]byte, error) {
	if tpm2.TPMCC(binary.BigEndian.Uint32(command[6:])) == tpm2.TPMCCCreateLoaded {
		return reply(tpm2.TPMRCCommandCode), nil
	}
	return o.exchanger.exchange(ctx, command)
}

func TestWithoutCreateLoaded(t *testing.T) {
	s, err := newStore(Config{Path: tpmtest.Start(t), Curve: keystore.P256}, func(path string) (exchanger, error) {
		to, err := dial(path)
		return old{to}, err
	})
	without(t, err)
	path := newKeyPath(t)
	k := create(t, s, path)
	sign(t, k)
	without(t, k.Close())
	k, err = s.Open(t.Context(), path)
	without(t, err)
	sign(t, k)
	without(t, s.Close())
}

// Behind the kernel's resource manager a connection holds what a signature needs
// and no more. (The name of the node says that one is there; here none is.)
func TestManaged(t *testing.T) {
	socket := tpmtest.Start(t)
	node := filepath.Join(filepath.Dir(socket), "tpmrm0")
	without(t, os.Symlink(socket, node))
	s := newTestStore(t, Config{Path: node})
	path := newKeyPath(t)
	k := create(t, s, path)
	one := func(what string) {
		t.Helper()
		left, err := handles(raw(t, socket), transientFirst)
		without(t, err)
		if len(left) != 1 {
			t.Errorf("%s: loaded %x, want the key alone", what, left)
		}
	}
	one("created")
	sign(t, k)
	without(t, k.Close())
	k, err := s.Open(t.Context(), path)
	without(t, err)
	one("opened")
	sign(t, k)
	without(t, k.Close())
	prove(t, s)
	one("proved")
}
