package tpm

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"

	"github.com/mecha-org/mecha-agent/keystore"
)

// recorder counts commands on their way to a TPM, and the time that they take.
type recorder struct {
	mu   sync.Mutex
	sent []tpm2.TPMCC
	took time.Duration
}

type recording struct {
	exchanger
	by *recorder
}

func (r recording) exchange(ctx context.Context, command []byte) ([]byte, error) {
	begin := time.Now()
	response, err := r.exchanger.exchange(ctx, command)
	r.by.mu.Lock()
	defer r.by.mu.Unlock()
	if len(response) < headerSize || tpm2.TPMRC(binary.BigEndian.Uint32(response[6:])) != tpm2.TPMRCRetry { // put aside: it will come again
		r.by.sent = append(r.by.sent, tpm2.TPMCC(binary.BigEndian.Uint32(command[6:])))
	}
	r.by.took += time.Since(begin)
	return response, err
}

func (r *recorder) dial(path string) (exchanger, error) {
	to, err := dial(path)
	return recording{to, r}, err
}

// take returns what was sent since it was last called.
func (r *recorder) take() []tpm2.TPMCC {
	r.mu.Lock()
	defer r.mu.Unlock()
	sent := r.sent
	r.sent = nil
	return sent
}

// want fails the test when other commands were sent since it was last asked.
func (r *recorder) want(t testing.TB, what string, cc ...tpm2.TPMCC) {
	t.Helper()
	if got := r.take(); !slices.Equal(got, cc) {
		t.Errorf("%s: %v, want %v", what, got, cc)
	}
}

func newTestStore(t testing.TB, cfg Config) *Store {
	t.Helper()
	s, _ := newRecorded(t, cfg)
	return s
}

func newRecorded(t testing.TB, cfg Config) (*Store, *recorder) {
	t.Helper()
	if cfg.Curve == "" {
		cfg.Curve = keystore.P256
	}
	r := &recorder{}
	s, err := newStore(cfg, r.dial)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, r
}

func newKeyPath(t testing.TB) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "keys")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "key.pem")
}

func create(t testing.TB, s *Store, path string) keystore.Key {
	t.Helper()
	k, err := s.Create(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { k.Close() })
	return k
}

// sign signs and verifies.
func sign(t testing.TB, k keystore.Key) {
	t.Helper()
	digest := sha256.Sum256([]byte(rand.Text()))
	sig, err := k.Sign(nil, digest[:], crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	if !ecdsa.VerifyASN1(k.Public().(*ecdsa.PublicKey), digest[:], sig) {
		t.Fatal("the signature does not verify")
	}
}

// raw is a connection beside that of a Store.
func raw(t testing.TB, path string) *conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	to, err := dial(path)
	if err != nil {
		t.Fatal(err)
	}
	c := newConn(ctx, path, to)
	t.Cleanup(func() { c.Close() })
	return c
}

// without fails the test on an error.
func without(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
