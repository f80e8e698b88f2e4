package tpm

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/google/go-tpm/tpm2/transport"

	"github.com/mecha-org/mecha-agent/keystore"
	"github.com/mecha-org/mecha-agent/keystore/internal/keyfile"
)

// Backend is what Info.Backend says of keys of this package.
const Backend = "tpm"

// Config says which TPM and which keys.
type Config struct {
	Path  string         // device node or Unix socket of the TPM; "" for the first of Paths that works
	Curve keystore.Curve // of new keys
	Log   *slog.Logger   // nil for none
}

// Store makes, opens and deletes keys that a TPM alone can use. Their files hold
// what the TPM needs to load them. A Store is safe for concurrent use; the TPM
// does one thing at a time.
type Store struct {
	curve keystore.Curve
	log   *slog.Logger
	ctx   context.Context // ends with Close
	end   context.CancelFunc
	turn  chan struct{} // holds an element while nobody uses the chip
	chip  *chip
	close func() error

	files   sync.Mutex  // held while files of keys are written
	unknown []*resident // see remember
}

// New connects to a TPM and asks it one thing, so that one which does not work is
// known at once: within CommandTimeout. Errors are those of Open and codes of the
// TPM. Close frees what the Store holds.
func New(cfg Config) (*Store, error) {
	if cfg.Curve != keystore.P256 && cfg.Curve != keystore.P384 {
		return nil, fmt.Errorf("curve %q: want %s or %s", cfg.Curve, keystore.P256, keystore.P384)
	}
	return newStore(cfg, dial)
}

func newStore(cfg Config, dial func(string) (exchanger, error)) (*Store, error) {
	paths := []string{cfg.Path}
	if cfg.Path == "" {
		paths = Paths()
	}
	var first error
	for _, path := range paths {
		s, err := connect(cfg, path, dial)
		if err == nil {
			return s, nil
		}
		if first == nil || errors.Is(first, ErrNone) {
			first = fmt.Errorf("opening TPM %s: %w", path, err)
		}
	}
	return nil, first
}

func connect(cfg Config, path string, dial func(string) (exchanger, error)) (*Store, error) {
	log := cfg.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	ctx, end := context.WithCancel(context.Background())
	s := &Store{curve: cfg.Curve, log: log, ctx: ctx, end: end, turn: make(chan struct{}, 1),
		chip: &chip{ctx: ctx, path: path, dial: dial, log: log}}
	s.close = sync.OnceValue(s.shut)
	s.turn <- struct{}{}
	bound, cancel := context.WithTimeout(ctx, CommandTimeout)
	defer cancel()
	err := s.do(bound, func(t transport.TPM) error {
		_, err := s.chip.root(t) // which Create wants to know; a TPM that failed does not answer it
		return err
	})
	if err != nil {
		_ = s.Close() // the reason is known
		return nil, err
	}
	return s, nil
}

// Path returns the device node or socket of the TPM.
func (s *Store) Path() string { return s.chip.path }

// Close frees what the Store has loaded into the TPM, and ends what its keys are
// doing. They cannot be used after it.
func (s *Store) Close() error { return s.close() }

func (s *Store) shut() error {
	defer s.end()
	ctx, cancel := context.WithTimeout(s.ctx, closeTimeout)
	defer cancel()
	select {
	case <-s.turn: // and never given back
	case <-ctx.Done():
		s.end() // who waits for a TPM that hangs gives up, and the turn with it
		<-s.turn
	}
	return s.chip.close()
}

// errClosed is the error of a Store after Close.
var errClosed = errors.New("the TPM keystore is closed")

// do is chip.do when it is our turn.
func (s *Store) do(ctx context.Context, f func(transport.TPM) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)()
	select {
	case <-s.turn:
	case <-ctx.Done():
		if s.ctx.Err() != nil {
			return errClosed
		}
		return late(ctx)
	}
	defer func() { s.turn <- struct{}{} }()
	return s.chip.do(ctx, f)
}

// Open reads the key at path and loads it. It returns keystore.ErrNotExist,
// keystore.ErrExposed, keystore.ErrDamaged or keystore.ErrWrongKind for what is
// wrong with the file; ErrCleared, ErrReplaced, ErrSwapped, ErrLockout or
// ErrOwnerAuth for a TPM that works and will not load it; else the errors of
// package function Open.
func (s *Store) Open(ctx context.Context, path string) (keystore.Key, error) {
	k, err := s.open(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("opening key: %w", err)
	}
	return k, nil
}

func (s *Store) open(ctx context.Context, path string) (*key, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	r, err := read(path, s.log)
	if err != nil {
		return nil, err
	}
	r.path = path
	err = s.do(ctx, func(t transport.TPM) error {
		_, err := s.chip.load(t, r)
		return err
	})
	switch {
	case errors.Is(err, keystore.ErrDamaged):
		return nil, keyfile.Damaged(err, path)
	case err != nil:
		return nil, fmt.Errorf("%s in TPM %s: %w", path, s.chip.path, err)
	}
	s.note(r)
	s.remember(ctx)
	return s.key(r, path)
}

// Delete overwrites and unlinks the key's files, also when Open would refuse them;
// it does not need the TPM. Without the file nobody can load the key: the TPM
// keeps nothing of it. It returns keystore.ErrNotExist when nothing stands at path
// and keystore.ErrDamaged, removing nothing, when that is not a regular file.
func (s *Store) Delete(ctx context.Context, path string) error { return Delete(ctx, path) }

// Delete is Store.Delete without a TPM. It takes away keys of the disk keystore
// just as well: their files are files.
func Delete(ctx context.Context, path string) error {
	if err := remove(ctx, path); err != nil {
		return fmt.Errorf("deleting key: %w", err)
	}
	return nil
}

func remove(ctx context.Context, path string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	err := keyfile.Remove(path)
	if err != nil && !errors.Is(err, keystore.ErrNotExist) {
		return err
	}
	return errors.Join(err, removeOrigin(path))
}

var _ keystore.Store = (*Store)(nil)
