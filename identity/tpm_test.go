package identity

import (
	"crypto/ecdsa"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mecha-org/mecha-agent/gateway"
	"github.com/mecha-org/mecha-agent/keystore"
	"github.com/mecha-org/mecha-agent/keystore/choose"
	"github.com/mecha-org/mecha-agent/keystore/tpm"
	"github.com/mecha-org/mecha-agent/keystore/tpm/tpmtest"
)

// newTPMBench is a bench whose keys are in a TPM.
func newTPMBench(t *testing.T, p pki, socket string) *bench {
	t.Helper()
	b := newBench(t, p)
	keys, err := choose.New(choose.Config{Policy: choose.Auto, Device: socket, Curve: keystore.P256,
		Record: filepath.Join(b.paths.State, KeystoreName)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { keys.Close() })
	b.keys = keys
	return b
}

// whole asserts that a key in a folder opens, and that it is known which TPM made it.
func (b *bench) whole(t *testing.T, when, folder string) *ecdsa.PublicKey {
	t.Helper()
	path := filepath.Join(b.paths.State, folder, keyName)
	k, err := b.keys.Open(t.Context(), path)
	if err != nil {
		t.Fatalf("%s: %v", when, err)
	}
	defer k.Close()
	if k.Info().Backend != choose.TPM || !exists(path+tpm.OriginSuffix) {
		t.Errorf("%s: the key is in %s; the word of its TPM is there: %t", when, k.Info().Backend, exists(path+tpm.OriginSuffix))
	}
	return k.Public().(*ecdsa.PublicKey)
}

// TestCommitCrashWithTPM cuts the power at every step of Commit: the old key or the
// new one is in use, the pending one is kept, and each has what belongs to it.
func TestCommitCrashWithTPM(t *testing.T) {
	ca, socket := newPKI(t), tpmtest.Start(t)
	for _, sc := range []scene{scenes[0], scenes[1]} {
		for _, l := range []loss{lossNone, lossEntries} {
			t.Run(sc.name+", "+l.String(), func(t *testing.T) {
				olds, news := 0, 0
				for n := 1; ; n++ {
					b := newTPMBench(t, ca, socket)
					sc.set(t, b)
					s := b.open(t, nil)
					key, err := s.Key(t.Context())
					if err != nil {
						t.Fatal(err)
					}
					pub := key.Public().(*ecdsa.PublicKey)
					csr, answer := ca.issue(t, "machine-1", key)
					s.Close()
					s, ok := crash(t, b, n, l, func(s *Store) error { return s.Commit(t.Context(), "machine-1", csr, answer) }, func(string) {})
					if !ok {
						break
					}
					id, _, err := s.Current(t.Context())
					if err != nil {
						t.Fatalf("step %d: %v", n, err)
					}
					if id == "machine-1" {
						news++
						if got := b.whole(t, "the new identity", currentOf(t, b)); !got.Equal(pub) {
							t.Errorf("step %d: it has another key", n)
						}
					} else {
						olds++
						if id != "" {
							b.whole(t, "the old identity", currentOf(t, b))
						}
						if got := b.whole(t, "the identity in the making", pendingName); !got.Equal(pub) {
							t.Errorf("step %d: the pending key is another one", n)
						}
					}
					b.provision(t, s, "machine-2")
					b.whole(t, "the next identity", currentOf(t, b))
					if _, err := s.Remove(t.Context()); err != nil {
						t.Errorf("step %d: %v", n, err)
					}
					left, err := os.ReadDir(b.paths.State)
					if err != nil || len(left) != 1 || left[0].Name() != lockName {
						t.Errorf("step %d: removed, and left are %v, %v", n, left, err)
					}
					s.Close()
				}
				if olds < 8 || news < 1 && !(sc.name == "fresh" && l == lossEntries) {
					t.Errorf("%d crashes left the old identity and %d the new one", olds, news)
				}
			})
		}
	}
}

func currentOf(t *testing.T, b *bench) string {
	t.Helper()
	folder, err := os.Readlink(filepath.Join(b.paths.State, currentName))
	if err != nil {
		t.Fatal(err)
	}
	return folder
}

// TestTPMKeyCutShort: of a key that was being made, what a power cut leaves is no
// hindrance to the next.
func TestTPMKeyCutShort(t *testing.T) {
	b := newTPMBench(t, newPKI(t), tpmtest.Start(t))
	pending := filepath.Join(b.paths.State, pendingName)
	err := errors.Join(os.MkdirAll(pending, 0o700),
		os.WriteFile(filepath.Join(pending, keyName+tpm.OriginSuffix), []byte("{\"key\":"), 0o600),
		os.WriteFile(filepath.Join(pending, "."+keyName+".ABC.tmp"), nil, 0o600))
	if err != nil {
		t.Fatal(err)
	}
	s := b.open(t, nil)
	defer s.Close()
	b.provision(t, s, "machine-1")
	b.whole(t, "the identity", currentOf(t, b))
	if left, _ := filepath.Glob(filepath.Join(b.paths.State, "*", ".*")); left != nil {
		t.Errorf("left over: %v", left)
	}
}

// TestTPMKeyLost: a pending key that no TPM knows is made anew, and the key of an
// identity is not; what the keystore says of it reaches who asks.
func TestTPMKeyLost(t *testing.T) {
	chip := tpmtest.New(t)
	b := newTPMBench(t, newPKI(t), chip.Socket)
	s := b.open(t, nil)
	defer s.Close()
	b.provision(t, s, "machine-1")
	old, err := s.Key(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	lost := old.Public().(*ecdsa.PublicKey)
	s.Close()
	before := b.view(t)
	chip.Swap()

	b.keys.(*choose.Store).Close()
	b2 := *b
	b2.keys, err = choose.New(choose.Config{Policy: choose.Auto, Device: chip.Socket, Curve: keystore.P256,
		Record: filepath.Join(b.paths.State, KeystoreName)})
	if err != nil {
		t.Fatal(err)
	}
	defer b2.keys.(*choose.Store).Close()
	s = b2.open(t, nil)
	defer s.Close()
	_, err = s.Load(t.Context())
	if errors.Is(err, ErrDamaged) || !errors.Is(err, tpm.ErrReplaced) || !errors.Is(err, keystore.ErrLost) ||
		!strings.HasPrefix(err.Error(), "key of the identity: ") {
		t.Errorf("loading: %v", err)
	}
	if got := gateway.HintOf(err); got != "put the TPM of this machine back, or provision the machine anew" {
		t.Errorf("hint %q", got)
	}
	if got := b.view(t); got != before {
		t.Errorf("the paths show %s, and showed %s", got, before)
	}
	fresh, err := s.Key(t.Context())
	if err != nil || fresh.Public().(*ecdsa.PublicKey).Equal(lost) {
		t.Errorf("the next key: %v", err)
	}
	if got := b.view(t); got != before {
		t.Errorf("with a key in the making the paths show %s, and showed %s", got, before)
	}
}
