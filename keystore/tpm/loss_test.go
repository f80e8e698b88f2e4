package tpm

import (
	"bytes"
	"context"
	"crypto"
	"crypto/sha256"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-tpm/tpm2"

	"github.com/mecha-org/mecha-agent/keystore"
	"github.com/mecha-org/mecha-agent/keystore/tpm/tpmtest"
)

// More keys than the TPM has room for take turns.
func TestManyKeys(t *testing.T) {
	s := newTestStore(t, Config{Path: tpmtest.Start(t)})
	var keys []keystore.Key
	for range 5 {
		keys = append(keys, create(t, s, newKeyPath(t)))
	}
	var all sync.WaitGroup
	for _, k := range keys {
		all.Go(func() {
			digest := sha256.Sum256([]byte(k.Info().Path))
			for range 4 {
				if _, err := k.Sign(nil, digest[:], crypto.SHA256); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	sign(t, keys[0])
}

// Two programs that share a TPM without a resource manager get in each other's
// way, and both work.
func TestTwoStores(t *testing.T) {
	socket := tpmtest.Start(t)
	a, b := newTestStore(t, Config{Path: socket}), newTestStore(t, Config{Path: socket})
	one, two, three := create(t, a, newKeyPath(t)), create(t, b, newKeyPath(t)), create(t, b, newKeyPath(t))
	for range 3 {
		sign(t, one)
		sign(t, two)
		sign(t, three)
	}
}

// What a program that was killed left in the TPM is taken away.
func TestLeftovers(t *testing.T) {
	socket := tpmtest.Start(t)
	path := newKeyPath(t)
	for range 5 {
		s, err := New(Config{Path: socket, Curve: keystore.P256})
		without(t, err)
		var k keystore.Key
		if _, err = os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
			k, err = s.Create(t.Context(), path)
		} else {
			k, err = s.Open(t.Context(), path)
		}
		without(t, err)
		sign(t, k) // and neither k nor s is closed
		s.end()
	}
}

// The log tells of a TPM that lost what was loaded, once; not of one in which
// nothing was, however often it is tried.
func TestLossIsLogged(t *testing.T) {
	for name, c := range map[string]struct {
		fault func(t *testing.T, chip *tpmtest.TPM)
		fresh bool // by a store that has loaded nothing
		want  int
	}{
		"started anew":        {func(_ *testing.T, chip *tpmtest.TPM) { chip.Kill(); chip.On() }, false, 1},
		"another TPM":         {func(_ *testing.T, chip *tpmtest.TPM) { chip.Swap() }, true, 0},
		"cleared, no EK left": {func(t *testing.T, chip *tpmtest.TPM) { clearTPM(t, chip.Socket) }, true, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			chip, _ := tpmtest.Prepared(t)
			path := newKeyPath(t)
			earlier(t, chip, path, ekHandleRSA) // which other TPMs have not, nor cleared ones
			var log bytes.Buffer
			cfg := Config{Path: chip.Socket, Log: slog.New(slog.NewTextHandler(&log, nil))}
			s := newTestStore(t, cfg)
			k, err := s.Open(t.Context(), path)
			without(t, err)
			c.fault(t, chip)
			if c.fresh {
				without(t, k.Close())
				s = newTestStore(t, cfg)
			}
			for range 3 {
				if k, err := s.Open(t.Context(), path); (err == nil) == c.fresh {
					t.Errorf("opening: %v, %v", k, err)
				}
			}
			if got := strings.Count(log.String(), "lost what was loaded"); got != c.want {
				t.Errorf("said %d times, want %d:\n%s", got, c.want, log.String())
			}
		})
	}
}

// A signature that cannot be costs no loaded key its place.
func TestClosedKeyForgetsNothing(t *testing.T) {
	s, sent := newRecorded(t, Config{Path: tpmtest.Start(t)})
	closed, k := create(t, s, newKeyPath(t)), create(t, s, newKeyPath(t))
	without(t, closed.Close())
	sent.take()
	if _, err := closed.Sign(nil, make([]byte, 32), crypto.SHA256); !errors.Is(err, errKeyClosed) {
		t.Errorf("got %v", err)
	}
	sign(t, k)
	if got := sent.take(); !slices.Equal(got, []tpm2.TPMCC{tpm2.TPMCCSign}) {
		t.Errorf("sent %v", got)
	}
}

// Close of a store whose TPM hangs ends what waits for it.
func TestStoreCloseHung(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		to := &silent{exchanger: &replay{answers: [][]byte{
			reply(tpm2.TPMRCHandle), // no persistent storage root key
		}}}
		s, err := newStore(Config{Path: "tpm", Curve: keystore.P256}, func(string) (exchanger, error) { return to, nil })
		without(t, err)
		to.until = make(chan struct{})
		done := make(chan error)
		go func() {
			_, err := (&key{store: s, r: &resident{blob: blob{parent: tpm2.TPMRHOwner}}}).Sign(nil, make([]byte, 32), crypto.SHA256)
			done <- err
		}()
		synctest.Wait()
		begin := time.Now()
		without(t, s.Close())
		if took := time.Since(begin); took > 2*closeTimeout {
			t.Errorf("closing took %v", took)
		}
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		close(to.until)
	})
}
