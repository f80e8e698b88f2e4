package choose

import (
	"bytes"
	"cmp"
	"context"
	"crypto"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/mecha-org/mecha-agent/gateway"
	"github.com/mecha-org/mecha-agent/keystore"
	"github.com/mecha-org/mecha-agent/keystore/disk"
	"github.com/mecha-org/mecha-agent/keystore/internal/keyfile"
	"github.com/mecha-org/mecha-agent/keystore/tpm"
)

// Config says which keystores there are.
type Config struct {
	Policy string         // Auto, TPM or Disk
	Device string         // node or socket of the TPM; "" for the first of tpm.Paths that works
	Curve  keystore.Curve // of new keys
	Record string         // file that remembers which keystore holds the machine's key; whoever removes the identity removes it
	Log    *slog.Logger   // may be nil
}

// Choice is which keystore holds the machine's key, or would hold a new one.
type Choice struct {
	Backend string // TPM or Disk; "" when neither may
	Why     string // in words, for logs and displays
	Err     error  // why no key can be made or used there, nil when it can
}

// Spare reports whether the disk stands in for a TPM that auto did not find.
func (c Choice) Spare() bool { return c.Backend == Disk && strings.Contains(c.Why, noTPM) }

// Store is the keystore of a machine: it makes keys where the policy and the
// record say, and opens a key where its file says it is, so that no change of the
// settings takes a key for a broken one. A TPM that does not work is asked anew
// with each call that needs it. A Store is safe for concurrent use.
type Store struct {
	c    Config
	log  *slog.Logger
	disk *disk.Store

	decided chan struct{} // closed when it was found out for the first time

	dialing chan struct{} // holds an element while the TPM is connected to, and after Close
	chip    *tpm.Store    // nil: not connected

	mu     sync.Mutex
	choice Choice

	close func() error
	done  chan struct{} // closed by close
}

// A TPM that hangs must not keep a machine from showing that it runs, nor from
// stopping: New and Close wait for it no longer than this.
const (
	firstWait = 3 * time.Second
	closeWait = 2 * time.Second
)

// New finds out which keystore is to be used and says so in the log. A TPM that
// does not work is no error of New, see Choice: it may come, and the disk or the
// identity can be looked at without it. One that does not answer within three
// seconds is waited for in the background, see Decided.
func New(c Config) (*Store, error) {
	files, err := disk.New(c.Curve)
	if err != nil {
		return nil, err
	}
	s := &Store{c: c, log: cmp.Or(c.Log, slog.New(slog.DiscardHandler)), disk: files,
		decided: make(chan struct{}), dialing: make(chan struct{}, 1), done: make(chan struct{})}
	s.close = sync.OnceValue(s.shut)
	if _, _, err := Choose(c.Policy, "", nil); err != nil {
		return nil, err
	}
	go func() {
		defer close(s.decided)
		s.decide(context.Background()) // Choice tells
	}()
	select {
	case <-s.decided:
	case <-time.After(firstWait):
		s.log.Warn("the TPM takes its time: going on without it so far")
	}
	return s, nil
}

// Choice returns what was found last. It does not ask the TPM. While the TPM has
// not answered New, it has no Backend and no Err.
func (s *Store) Choice() Choice {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.choice == (Choice{}) {
		return Choice{Why: "the TPM has not answered yet"}
	}
	return s.choice
}

// Decide finds out anew where a key would be made: whoever removed the machine's key
// and the record calls it, for what Choice tells. It returns when ctx ends at the
// latest.
func (s *Store) Decide(ctx context.Context) { s.decide(ctx) }

// Decided is closed when the TPM has answered New, or tpm.CommandTimeout has passed.
func (s *Store) Decided() <-chan struct{} { return s.decided }

// Close frees the TPM. Keys in it cannot be used any more. The end of the process
// frees one that hangs.
func (s *Store) Close() error { return s.close() }

func (s *Store) shut() error {
	close(s.done)
	select {
	case s.dialing <- struct{}{}: // and never taken out
	case <-time.After(closeWait):
		return nil
	}
	if s.chip == nil {
		return nil
	}
	return s.chip.Close()
}

// errClosed is the error of a Store after Close.
var errClosed = errors.New("the keystore is closed")

// tpm returns the keystore of the TPM, connected to. Connecting goes on when ctx
// ends, for whoever asks next.
func (s *Store) tpm(ctx context.Context) (*tpm.Store, error) {
	select {
	case s.dialing <- struct{}{}:
	case <-s.done:
		return nil, errClosed
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting for the TPM: %w", ctx.Err())
	}
	if chip := s.chip; chip != nil {
		<-s.dialing
		return chip, nil
	}
	type result struct {
		chip *tpm.Store
		err  error
	}
	dialled := make(chan result, 1)
	go func() {
		chip, err := tpm.New(tpm.Config{Path: s.c.Device, Curve: s.c.Curve, Log: s.log})
		s.chip = chip
		<-s.dialing
		dialled <- result{chip, err}
	}()
	select {
	case r := <-dialled:
		return r.chip, r.err
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting for the TPM: %w", ctx.Err())
	}
}

// decide returns where a new key is to be made, and whether that is recorded.
func (s *Store) decide(ctx context.Context) (c Choice, recorded bool) {
	before, because, err := Recorded(s.c.Record)
	if err != nil {
		return s.note(Choice{Why: err.Error(), Err: err}), false
	}
	var tpmErr error
	if s.c.Policy != Disk && before != Disk {
		_, tpmErr = s.tpm(ctx)
		// A stop says nothing of the TPM: no key goes to the disk because of it.
		if err := ctx.Err(); err != nil {
			return Choice{Err: fmt.Errorf("waiting for the TPM: %w", err)}, before != ""
		}
		if errors.Is(tpmErr, errClosed) {
			return Choice{Err: errClosed}, before != ""
		}
	}
	backend, why, err := Choose(s.c.Policy, before, tpmErr)
	if err != nil {
		return s.note(Choice{Backend: before, Why: err.Error(), Err: err}), before != ""
	}
	if because != "" {
		why += "; when it was made: " + because
	}
	return s.note(Choice{Backend: backend, Why: why}), before != ""
}

// note remembers a choice, and says it when it is another one.
func (s *Store) note(c Choice) Choice {
	s.mu.Lock()
	defer s.mu.Unlock()
	same := c.Backend == s.choice.Backend && c.Why == s.choice.Why
	s.choice = c
	switch {
	case same:
	case c.Err != nil:
		s.log.Warn("the keystore cannot be used", "keystore", c.Backend, "error", c.Err, "hint", gateway.HintOf(c.Err))
	default:
		s.log.Info("keystore chosen", "keystore", c.Backend, "why", c.Why)
	}
	return c
}

// Create makes a key where the policy and the record say. The first one is
// recorded before it is made: a power cut in between leaves a record and no key,
// never a key that a later start knows nothing of. Errors are ErrGone, ErrChanged,
// and those of the keystore.
func (s *Store) Create(ctx context.Context, path string) (keystore.Key, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	c, recorded := s.decide(ctx)
	if c.Err != nil {
		return nil, c.Err
	}
	if !recorded {
		if err := s.record(c); err != nil {
			return nil, fmt.Errorf("recording the choice of keystore: %w", err)
		}
	}
	k, err := s.create(ctx, c.Backend, path)
	if err != nil && !recorded {
		err = errors.Join(err, s.forget())
	}
	if err != nil {
		return nil, err
	}
	return k, nil
}

func (s *Store) create(ctx context.Context, backend, path string) (keystore.Key, error) {
	if backend == Disk {
		return s.disk.Create(ctx, path)
	}
	chip, err := s.tpm(ctx)
	if err != nil {
		return nil, err
	}
	return chip.Create(ctx, path)
}

// Open opens the key at path where its file says that it is. A file that does not
// say is read by the keystore of the record, so that damage is named. A policy that
// wants another keystore gives ErrChanged, a TPM that does not work ErrGone; else
// the errors are those of the keystore.
func (s *Store) Open(ctx context.Context, path string) (keystore.Key, error) {
	k, err := s.open(ctx, path)
	if err != nil {
		return nil, err
	}
	if c := s.Choice(); c.Err != nil || c.Backend != k.Info().Backend {
		s.note(Choice{Backend: k.Info().Backend, Why: inUse})
	}
	return k, nil
}

func (s *Store) open(ctx context.Context, path string) (keystore.Key, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	kind, err := kindOf(path)
	if err != nil {
		return nil, fmt.Errorf("opening key: %w", err)
	}
	if kind == "" {
		if kind, _, err = Recorded(s.c.Record); err != nil || kind == "" {
			kind = Disk
		}
	}
	var chip *tpm.Store
	if kind == TPM {
		if chip, err = s.tpm(ctx); ctx.Err() != nil && err != nil {
			return nil, err
		}
	}
	if _, _, err := Choose(s.c.Policy, kind, err); err != nil {
		s.note(Choice{Backend: kind, Why: err.Error(), Err: err})
		return nil, err
	}
	if kind == TPM {
		return chip.Open(ctx, path)
	}
	return s.disk.Open(ctx, path)
}

// Read returns the public key whose file is at path, and what is known about it,
// without a TPM: one that is gone, or at work for somebody else, is no hindrance. It
// makes the checks of Open on the file, and returns its errors.
func Read(ctx context.Context, path string) (crypto.PublicKey, keystore.Info, error) {
	kind, err := kindOf(path)
	if err != nil {
		return nil, keystore.Info{}, fmt.Errorf("reading key: %w", err)
	}
	if kind == TPM {
		return tpm.ReadInfo(path)
	}
	files, err := disk.New(keystore.P256) // it opens all
	if err != nil {
		return nil, keystore.Info{}, err
	}
	k, err := files.Open(ctx, path)
	if err != nil {
		return nil, keystore.Info{}, err
	}
	defer k.Close()
	return k.Public(), k.Info(), nil
}

// maxFile bounds what is read of a file to tell its kind, in bytes.
const maxFile = 64 << 10

// kindOf returns where the key lives whose file is at path: TPM, Disk, or "" when
// the file does not say.
func kindOf(path string) (string, error) {
	dir, err := keyfile.Open(path)
	if err != nil {
		return "", err
	}
	defer dir.Close()
	text, err := dir.Read(maxFile)
	switch {
	case errors.Is(err, keystore.ErrDamaged): // what stands there is for the keystore to name
		return "", nil
	case err != nil:
		return "", err
	case bytes.Contains(text, []byte("-----BEGIN TSS2 PRIVATE KEY-----")):
		return TPM, nil
	case bytes.Contains(text, []byte("PRIVATE KEY-----")):
		return Disk, nil
	}
	return "", nil
}

// Delete overwrites and unlinks the files of the key at path, of whichever
// keystore. It needs no TPM: without its file nobody can load a key.
func (s *Store) Delete(ctx context.Context, path string) error { return tpm.Delete(ctx, path) }

// ErrNoTPM says that the machine's key is in no TPM.
var ErrNoTPM = errors.New("the machine's key is in no TPM")

// attester returns the TPM if the machine's key is there.
func (s *Store) attester(ctx context.Context) (keystore.Attester, error) {
	switch c := s.Choice(); {
	case c.Err != nil:
		return nil, c.Err
	case c.Backend != TPM:
		return nil, ErrNoTPM
	}
	return s.tpm(ctx)
}

// AttestIdentity implements keystore.Attester. It returns ErrNoTPM for keys on the
// disk, as its companions do.
func (s *Store) AttestIdentity(ctx context.Context) (ekCerts [][]byte, ekPublic, akPublic []byte, err error) {
	a, err := s.attester(ctx)
	if err != nil {
		return nil, nil, nil, err
	}
	return a.AttestIdentity(ctx)
}

// Activate implements keystore.Attester.
func (s *Store) Activate(ctx context.Context, credential, secret []byte) ([]byte, error) {
	a, err := s.attester(ctx)
	if err != nil {
		return nil, err
	}
	return a.Activate(ctx, credential, secret)
}

// Certify implements keystore.Attester.
func (s *Store) Certify(ctx context.Context, key keystore.Key, qualifying []byte) (keyPublic, attest, signature []byte, err error) {
	a, err := s.attester(ctx)
	if err != nil {
		return nil, nil, nil, err
	}
	return a.Certify(ctx, key, qualifying)
}

var (
	_ keystore.Store    = (*Store)(nil)
	_ keystore.Attester = (*Store)(nil)
)
