package tpm

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-tpm/tpm2"

	"github.com/mecha-org/mecha-agent/gateway"
	"github.com/mecha-org/mecha-agent/keystore"
	"github.com/mecha-org/mecha-agent/keystore/tpm/tpmtest"
)

// Five power cuts in the middle of use: no key of ours counts them as failed
// tries, and the key works on.
func TestPowerCuts(t *testing.T) {
	chip := tpmtest.New(t)
	s := newTestStore(t, Config{Path: chip.Socket})
	k := create(t, s, newKeyPath(t))
	var all sync.WaitGroup
	stop := make(chan struct{})
	signed := make(chan struct{}, 1)
	for range 2 {
		all.Go(func() {
			digest := sha256.Sum256([]byte("text"))
			for {
				select {
				case <-stop:
					return
				default:
				}
				// An error is fine while the power is off; a wrong signature is not.
				if _, err := k.Sign(nil, digest[:], crypto.SHA256); err == nil {
					select {
					case signed <- struct{}{}:
					default:
					}
				} else if !errors.Is(err, ErrGone) && !errors.Is(err, ErrGarbage) {
					t.Errorf("in the middle of a power cut: %v", err)
				}
			}
		})
	}
	for range 5 {
		<-signed
		<-signed
		chip.Kill()
		chip.On()
	}
	close(stop)
	all.Wait()
	sign(t, k)
	info, err := Inspect(t.Context(), chip.Socket)
	without(t, err)
	if info.LockoutCounter != 0 || info.InLockout {
		t.Errorf("the power cuts count: %+v", info)
	}
}

// A manager that evicts: the key, its parent or the session is gone, and the next
// signature finds out and works.
func TestEvicted(t *testing.T) {
	for _, first := range []uint32{transientFirst, sessionFirst} {
		socket := tpmtest.Start(t)
		s := newTestStore(t, Config{Path: socket})
		k := create(t, s, newKeyPath(t))
		c := raw(t, socket)
		all, err := handles(c, first)
		without(t, err)
		if len(all) == 0 {
			t.Fatal("nothing is loaded")
		}
		for _, h := range all {
			flush(c, h)
		}
		sign(t, k)
	}
}

// clear is what tpm2_clear does.
func clearTPM(t testing.TB, socket string) {
	t.Helper()
	_, err := tpm2.Clear{AuthHandle: tpm2.AuthHandle{Handle: tpm2.TPMRHLockout, Auth: tpm2.PasswordAuth(nil)}}.Execute(raw(t, socket))
	without(t, err)
}

func setOwnerPassword(t testing.TB, socket, was, is string) {
	t.Helper()
	_, err := tpm2.HierarchyChangeAuth{
		AuthHandle: tpm2.AuthHandle{Handle: tpm2.TPMRHOwner, Auth: tpm2.PasswordAuth([]byte(was))},
		NewAuth:    tpm2.TPM2BAuth{Buffer: []byte(is)}}.Execute(raw(t, socket))
	without(t, err)
}

// change writes a file anew with the same mode.
func change(t testing.TB, path string, f func([]byte) []byte) {
	t.Helper()
	text, err := os.ReadFile(path)
	without(t, err)
	without(t, os.WriteFile(path, f(bytes.Clone(text)), 0o600))
}

// Each fault has an error and a remedy of its own, and takes nothing away: what
// can be mended is mended here, and the key works again.
func TestFaults(t *testing.T) {
	type scene struct {
		chip *tpmtest.TPM
		path string
	}
	half := func(text []byte) []byte { return text[:len(text)/2] }
	restore := func(t *testing.T, s scene, text []byte) {
		without(t, os.WriteFile(s.path, text, 0o600))
	}
	for _, c := range []struct {
		name  string
		fault func(t *testing.T, s scene)
		want  error
		words string // in the error
		hint  string
		mend  func(t *testing.T, s scene, text []byte) // nil: it is lost
	}{
		{"cleared", func(t *testing.T, s scene) { clearTPM(t, s.chip.Socket) },
			ErrCleared, "", "provision the machine anew", nil},
		{"cleared, no origin", func(t *testing.T, s scene) {
			clearTPM(t, s.chip.Socket)
			without(t, os.Remove(s.path+OriginSuffix))
		}, keystore.ErrDamaged, "cleared or replaced", "provision the machine anew", nil},
		{"another TPM", func(t *testing.T, s scene) { s.chip.Swap() },
			ErrReplaced, "", "put the TPM of this machine back", nil},
		{"swapped for a key of this TPM", func(t *testing.T, s scene) { swapFile(t, s.path, s.chip.Socket) },
			ErrSwapped, "", "restore the file", restore},
		{"swapped for a key of another TPM", func(t *testing.T, s scene) { swapFile(t, s.path, tpmtest.Start(t)) },
			ErrSwapped, "", "restore the file", restore},
		{"swapped, no origin", func(t *testing.T, s scene) {
			swapFile(t, s.path, tpmtest.Start(t))
			without(t, os.Remove(s.path+OriginSuffix))
		}, keystore.ErrDamaged, "cleared or replaced", "restore the file", restore},
		{"truncated", func(t *testing.T, s scene) { change(t, s.path, half) },
			keystore.ErrDamaged, "no complete PEM block", "restore the file", restore},
		{"private part altered", func(t *testing.T, s scene) {
			change(t, s.path, func(text []byte) []byte {
				b, err := decode(text)
				without(t, err)
				b.private.Buffer[len(b.private.Buffer)-1] ^= 1
				text, err = b.encode()
				without(t, err)
				return text
			})
		}, keystore.ErrDamaged, "TPM_RC_INTEGRITY", "restore the file", restore},
		{"owner password", func(t *testing.T, s scene) { setOwnerPassword(t, s.chip.Socket, "", "secret") },
			ErrOwnerAuth, "", "tpm2_changeauth", func(t *testing.T, s scene, _ []byte) { setOwnerPassword(t, s.chip.Socket, "secret", "") }},
		{"on the disk", func(t *testing.T, s scene) {
			change(t, s.path, func([]byte) []byte { return []byte("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n") })
		}, keystore.ErrWrongKind, "PRIVATE KEY", "keystore.backend to disk", restore},
		{"exposed", func(t *testing.T, s scene) { without(t, os.Chmod(s.path, 0o644)) },
			keystore.ErrExposed, "0644", "chmod 600", func(t *testing.T, s scene, _ []byte) { without(t, os.Chmod(s.path, 0o600)) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := scene{tpmtest.New(t), newKeyPath(t)}
			used(t, newTestStore(t, Config{Path: s.chip.Socket}), s.path)
			text, err := os.ReadFile(s.path)
			without(t, err)
			origin, err := os.ReadFile(s.path + OriginSuffix)
			without(t, err)
			c.fault(t, s)
			after, err := os.ReadFile(s.path)
			without(t, err)
			store := newTestStore(t, Config{Path: s.chip.Socket})
			_, err = store.Open(t.Context(), s.path)
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.words) || !strings.Contains(err.Error(), s.path) {
				t.Fatalf("got %v, want %v", err, c.want)
			}
			for _, other := range []error{ErrCleared, ErrReplaced, ErrSwapped, ErrOwnerAuth, ErrLockout, keystore.ErrDamaged} {
				if other != c.want && errors.Is(err, other) {
					t.Errorf("%v is also %v", err, other)
				}
			}
			if hint := gateway.HintOf(err); !strings.Contains(hint, c.hint) {
				t.Errorf("hint %q, want %q", hint, c.hint)
			}
			if now, err := os.ReadFile(s.path); err != nil || !bytes.Equal(now, after) {
				t.Errorf("Open changed the file: %v", err)
			}
			if c.mend == nil {
				return
			}
			c.mend(t, s, text)
			without(t, os.WriteFile(s.path+OriginSuffix, origin, 0o600))
			k, err := store.Open(t.Context(), s.path)
			without(t, err)
			sign(t, k)
			without(t, k.Close())
		})
	}
}

// swapFile puts a key of the TPM at socket in the file's place.
func swapFile(t *testing.T, path, socket string) {
	other := newKeyPath(t)
	without(t, create(t, newTestStore(t, Config{Path: socket}), other).Close())
	text, err := os.ReadFile(other)
	without(t, err)
	change(t, path, func([]byte) []byte { return text })
}

// The TPM is cleared while the key is at work: the next signature says so.
func TestClearedAtWork(t *testing.T) {
	socket := tpmtest.Start(t)
	k := create(t, newTestStore(t, Config{Path: socket}), newKeyPath(t))
	sign(t, k)
	clearTPM(t, socket)
	_, err := k.Sign(nil, make([]byte, 32), crypto.SHA256)
	if !errors.Is(err, ErrCleared) || gateway.HintOf(err) == "" {
		t.Errorf("got %v", err)
	}
}

// A persistent storage root key needs no password of the owner.
func TestOwnerPasswordAndPersistentParent(t *testing.T) {
	socket := tpmtest.Start(t)
	persist(t, socket, srkTemplate())
	setOwnerPassword(t, socket, "", "secret")
	k := create(t, newTestStore(t, Config{Path: socket}), newKeyPath(t))
	sign(t, k)
}

// A new key with a password of the owner: nothing is left behind.
func TestCreateWithOwnerPassword(t *testing.T) {
	socket := tpmtest.Start(t)
	setOwnerPassword(t, socket, "", "secret")
	path := newKeyPath(t)
	_, err := newTestStore(t, Config{Path: socket}).Create(t.Context(), path)
	if !errors.Is(err, ErrOwnerAuth) || !strings.Contains(gateway.HintOf(err), "docs/tpm.md") {
		t.Errorf("got %v, hint %q", err, gateway.HintOf(err))
	}
	if left, _ := os.ReadDir(filepath.Dir(path)); len(left) != 0 {
		t.Errorf("Create left %v", left)
	}
}

// lockOut tries wrong passwords until the TPM takes none any more.
func lockOut(t testing.TB, socket string) {
	t.Helper()
	c := raw(t, socket)
	template := keyTemplate(keystore.P256)
	template.ObjectAttributes.NoDA = false
	key, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHOwner,
		InSensitive: tpm2.TPM2BSensitiveCreate{Sensitive: &tpm2.TPMSSensitiveCreate{UserAuth: tpm2.TPM2BAuth{Buffer: []byte("right")}}},
		InPublic:    tpm2.New2B(template)}.Execute(c)
	without(t, err)
	defer flush(c, key.ObjectHandle)
	for range 100 {
		_, err := tpm2.Sign{
			KeyHandle: tpm2.AuthHandle{Handle: key.ObjectHandle, Name: key.Name, Auth: tpm2.PasswordAuth([]byte("wrong"))},
			Digest:    tpm2.TPM2BDigest{Buffer: make([]byte, 32)},
			InScheme: tpm2.TPMTSigScheme{Scheme: tpm2.TPMAlgECDSA,
				Details: tpm2.NewTPMUSigScheme(tpm2.TPMAlgECDSA, &tpm2.TPMSSchemeHash{HashAlg: tpm2.TPMAlgSHA256})},
			Validation: tpm2.TPMTTKHashCheck{Tag: tpm2.TPMSTHashCheck},
		}.Execute(c)
		if errors.Is(err, tpm2.TPMRCLockout) {
			return
		}
		if !errors.Is(err, tpm2.TPMRCAuthFail) {
			t.Fatal(err)
		}
	}
	t.Fatal("the TPM takes wrong passwords for ever")
}

// A lockout does not touch our keys. One that openssl made is protected, and
// refused until the lockout is over.
func TestLockout(t *testing.T) {
	socket := tpmtest.Start(t)
	s := newTestStore(t, Config{Path: socket})
	ours, theirs := newKeyPath(t), newKeyPath(t)
	guarded(t, s, theirs)
	k := create(t, s, ours)
	other, err := s.Open(t.Context(), theirs)
	without(t, err)
	sign(t, other)
	without(t, other.Close()) // three places are all there are
	lockOut(t, socket)
	sign(t, k)
	other, err = s.Open(t.Context(), theirs)
	without(t, err)
	defer other.Close()
	_, err = other.Sign(nil, make([]byte, 32), crypto.SHA256)
	if !errors.Is(err, ErrLockout) || !strings.Contains(gateway.HintOf(err), "tpm2_dictionarylockout") {
		t.Errorf("got %v, hint %q", err, gateway.HintOf(err))
	}
	// TPM2_DictionaryAttackLockReset, which go-tpm does not have, with the empty
	// password of the lockout hierarchy.
	answer, err := raw(t, socket).Send([]byte("\x80\x02\x00\x00\x00\x1b\x00\x00\x01\x39\x40\x00\x00\x0a" +
		"\x00\x00\x00\x09\x40\x00\x00\x09\x00\x00\x00\x00\x00"))
	without(t, err)
	if code := binary.BigEndian.Uint32(answer[6:]); code != 0 {
		t.Fatalf("ending the lockout: 0x%x", code)
	}
	sign(t, other)
}

// guarded puts a key with dictionary-attack protection at path.
func guarded(t testing.TB, s *Store, path string) {
	t.Helper()
	c := raw(t, s.Path())
	srk, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHOwner, InPublic: tpm2.New2B(srkTemplate())}.Execute(c)
	without(t, err)
	defer flush(c, srk.ObjectHandle)
	template := keyTemplate(keystore.P256)
	template.ObjectAttributes.NoDA = false
	r, err := tpm2.Create{ParentHandle: &tpm2.NamedHandle{Handle: srk.ObjectHandle, Name: srk.Name}, InPublic: tpm2.New2B(template)}.Execute(c)
	without(t, err)
	text, err := blob{parent: tpm2.TPMRHOwner, public: r.OutPublic, private: r.OutPrivate}.encode()
	without(t, err)
	without(t, os.WriteFile(path, text, 0o600))
}

// What is known of a key's origin helps to name faults. When it is gone or
// nonsense the key works all the same.
func TestOriginLost(t *testing.T) {
	s := newTestStore(t, Config{Path: tpmtest.Start(t)})
	path := newKeyPath(t)
	without(t, create(t, s, path).Close())
	for name, text := range map[string]string{"empty": "", "not JSON": "hello", "no names": "{}", "not hexadecimal": `{"key":"x","srk":"x"}`,
		"too long": strings.Repeat(" ", maxOrigin+1)} {
		without(t, os.WriteFile(path+OriginSuffix, []byte(text), 0o600))
		if _, err := readOrigin(path); !errors.Is(err, keystore.ErrDamaged) {
			t.Errorf("%s: %v, want ErrDamaged", name, err)
		}
		k, err := s.Open(t.Context(), path)
		without(t, err)
		sign(t, k)
		without(t, k.Close())
	}
	without(t, os.Remove(path+OriginSuffix))
	k, err := s.Open(t.Context(), path)
	without(t, err)
	sign(t, k)
	without(t, k.Close())
}
