package tpm

import (
	"context"
	"crypto"
	"errors"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-tpm/tpm2"

	"github.com/mecha-org/mecha-agent/gateway"
	"github.com/mecha-org/mecha-agent/keystore"
	"github.com/mecha-org/mecha-agent/keystore/tpm/tpmtest"
)

// The emulator's socket refuses: the key says so, and works when it is back.
func TestRefused(t *testing.T) {
	chip := tpmtest.New(t)
	s := newTestStore(t, Config{Path: chip.Socket})
	k := create(t, s, newKeyPath(t))
	away := chip.Socket + ".away"
	without(t, os.Rename(chip.Socket, away))
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: chip.Socket, Net: "unix"})
	without(t, err)
	l.SetUnlinkOnClose(false)
	l.Close()
	for range 2 {
		_, err := k.Sign(nil, make([]byte, 32), crypto.SHA256)
		if !errors.Is(err, ErrGone) || !strings.Contains(gateway.HintOf(err), "start the TPM emulator") {
			t.Errorf("got %v, hint %q", err, gateway.HintOf(err))
		}
	}
	without(t, os.Rename(away, chip.Socket))
	sign(t, k)
}

// silent is a TPM that stops answering when told so.
type silent struct {
	exchanger
	until chan struct{} // nil while it answers
}

func (s *silent) exchange(ctx context.Context, command []byte) ([]byte, error) {
	if s.until != nil {
		<-s.until // whatever ctx says, as a device of the kernel
	}
	return s.exchanger.exchange(ctx, command)
}

// replay stands in for a TPM inside a synctest bubble, where no real one answers:
// it says what a real one said to the same commands' codes in the same order.
type replay struct{ answers [][]byte }

func (r *replay) exchange(context.Context, []byte) ([]byte, error) {
	if len(r.answers) == 0 {
		return reply(tpm2.TPMRCFailure), nil
	}
	next := r.answers[0]
	r.answers = r.answers[1:]
	return next, nil
}

func (*replay) close() error { return nil }

// A TPM that hangs costs a signature CommandTimeout, not more, and nothing else
// waits for ever; when it wakes up it is asked anew.
func TestHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		to := &silent{exchanger: &replay{answers: [][]byte{
			reply(tpm2.TPMRCHandle), // no persistent storage root key
		}}}
		s, err := newStore(Config{Path: "tpm", Curve: keystore.P256}, func(string) (exchanger, error) { return to, nil })
		without(t, err)
		k := &key{store: s, r: &resident{blob: blob{parent: tpm2.TPMRHOwner}}}
		to.until = make(chan struct{})
		begin := time.Now()
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() {
				_, err := k.Sign(nil, make([]byte, 32), crypto.SHA256)
				if !errors.Is(err, ErrHung) || gateway.HintOf(err) == "" {
					t.Errorf("got %v", err)
				}
				if took := time.Since(begin); took > CommandTimeout {
					t.Errorf("took %v", took)
				}
			})
		}
		all.Wait()
		begin = time.Now()
		if _, err := k.Sign(nil, make([]byte, 32), crypto.SHA256); !errors.Is(err, ErrHung) {
			t.Errorf("still silent: %v", err)
		}
		without(t, k.Close())
		if took := time.Since(begin); took > CommandTimeout+closeTimeout {
			t.Errorf("took %v", took)
		}
		close(to.until)
		synctest.Wait()
		to.until = nil
		awake := &key{store: s, r: k.r}
		if _, err := awake.Sign(nil, make([]byte, 32), crypto.SHA256); !errors.Is(err, tpm2.TPMRCFailure) {
			t.Errorf("awake: got %v, want what it answers", err)
		}
		without(t, s.Close())
	})
}

// A socket that takes everything and says nothing: the caller's context decides.
func TestSilentSocket(t *testing.T) {
	chip := tpmtest.New(t)
	s := newTestStore(t, Config{Path: chip.Socket})
	path := newKeyPath(t)
	without(t, create(t, s, path).Close())
	chip.Kill() // who connects now waits
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := s.Open(ctx, path); !errors.Is(err, ErrHung) || gateway.HintOf(err) == "" {
		t.Errorf("got %v", err)
	}
	chip.On()
	k, err := s.Open(t.Context(), path)
	without(t, err)
	sign(t, k)
	without(t, k.Close())
}
