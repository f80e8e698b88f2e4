package identity

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mecha-org/mecha-agent/keystore"
)

// Files of the state folder and of a generation.
const (
	lockName     = "lock"
	currentName  = "current"
	pendingName  = "pending"
	adoptingName = "adopting"
	removingName = "removing"
	sessionName  = "session.json"
	genPrefix    = "gen-"

	// KeystoreName is the file that says which keystore was chosen for the
	// machine's keys. It goes with the identity.
	KeystoreName = "keystore"

	keyName    = "key.pem"
	csrName    = "csr.pem"
	certName   = "machine.pem"
	bundleName = "ca_bundle.pem"
	rootName   = "root.pem"
	// adoptedName marks a generation that was copied from another program and
	// that nobody has verified.
	adoptedName = "adopted"
)

// Modes of the files in a generation. Certificates are public: whoever opens
// the folders to other programs (chmod 711) shares them, and never the key.
const (
	modeSecret = 0o600
	modePublic = 0o644
)

// keyTimeout bounds the deletion of a key that may no longer be cancelled.
const keyTimeout = 30 * time.Second

// Store holds the identity of the machine. It is safe for concurrent use; of
// all processes only one can have it open.
type Store struct {
	p     Paths
	keys  keystore.Store
	disk  fileSystem
	now   func() time.Time
	slots []slot

	mu        sync.Mutex
	lock      *os.File     // nil after Close
	pending   keystore.Key // nil until Key was called
	unsettled bool         // a crash or error left something behind

	next atomic.Pointer[chan struct{}] // closed at the next change
}

// Open opens the state folder, made with mode 0700 when it is missing, and
// finishes or takes back what a crash left half done. It returns ErrLocked while
// another process has it open, and ErrStorage when the folder cannot be made or
// others may write it. Leftovers that cannot be cleaned up now (a read-only file
// system) are no error here: Key, Commit and Remove try again first.
func Open(ctx context.Context, p Paths, keys keystore.Store) (*Store, error) {
	return open(ctx, p, keys, fileSystem{}, time.Now)
}

func open(ctx context.Context, p Paths, keys keystore.Store, d fileSystem, now func() time.Time) (*Store, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	p, err := p.absolute()
	if err != nil {
		return nil, fmt.Errorf("identity paths: %w", err)
	}
	s := &Store{p: p, keys: keys, disk: d, now: now, slots: p.slots()}
	s.change()
	if err := s.openState(); err != nil {
		return nil, err
	}
	if err := s.settle(ctx); err != nil {
		if ctx.Err() != nil {
			return nil, errors.Join(ctx.Err(), s.Close())
		}
		s.unsettled = true
	}
	return s, nil
}

func (s *Store) openState() error {
	if err := s.disk.mkdirAll(s.p.State); err != nil {
		return storing("making the state folder", err)
	}
	st, err := os.Stat(s.p.State)
	if err != nil {
		return storing("opening the state folder", err)
	}
	if st.Mode().Perm()&0o022 != 0 {
		return storing("opening the state folder", &hinted{
			err:  fmt.Errorf("%s has mode %04o, so that others can replace the identity", s.p.State, st.Mode().Perm()),
			hint: "run: chmod 700 '" + s.p.State + "'",
		})
	}
	path := s.state(lockName)
	f, err := os.Open(path) // for reading, so that a read-only file system will do
	if errors.Is(err, fs.ErrNotExist) {
		f, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE, modeSecret)
	}
	if err != nil {
		return storing("opening the lock", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return &hinted{
				err:  fmt.Errorf("%w: %s is held", ErrLocked, path),
				hint: "mecha-agent is running already: ask that one, or stop it first",
			}
		}
		return storing("locking", &fs.PathError{Op: "flock", Path: path, Err: err})
	}
	s.lock = f
	return nil
}

// Close closes the pending key and lets go of the lock. A second Close does
// nothing.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lock == nil {
		return nil
	}
	err := errors.Join(s.closePending(), s.lock.Close())
	s.lock = nil
	return err
}

// Changed returns a channel that is closed as soon as the identity in use is, or
// may be, another one than before the call, or none. It never waits: not for a key
// that is being made, nor for the disk. What a caller loads after the call is
// current until then.
func (s *Store) Changed() <-chan struct{} { return *s.next.Load() }

// change closes what Changed gave out. mu is held, so that whoever loads because
// of it waits until the change is done.
func (s *Store) change() {
	next := make(chan struct{})
	if last := s.next.Swap(&next); last != nil {
		close(*last)
	}
}

func (s *Store) closePending() error {
	if s.pending == nil {
		return nil
	}
	err := s.pending.Close()
	s.pending = nil
	return err
}

// usable says whether a method may go on: the store is open and ctx stands.
func (s *Store) usable(ctx context.Context) error {
	if s.lock == nil {
		return ErrClosed
	}
	return ctx.Err()
}

// writable is usable for methods that change something: leftovers go first.
func (s *Store) writable(ctx context.Context) error {
	if err := s.usable(ctx); err != nil {
		return err
	}
	if !s.unsettled {
		return nil
	}
	if err := s.settle(ctx); err != nil {
		return err
	}
	s.unsettled = false
	return nil
}

func (s *Store) state(name ...string) string {
	return filepath.Join(append([]string{s.p.State}, name...)...)
}

func (s *Store) gen(n int) string { return s.state(genPrefix + strconv.Itoa(n)) }

// current returns the number of the generation in use, 0 when there is none.
func (s *Store) current() (int, error) {
	target, err := os.Readlink(s.state(currentName))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	n, ok := genNumber(target)
	if err != nil || !ok {
		return 0, &hinted{
			err:  fmt.Errorf("%w: %s is no link to a generation", ErrDamaged, s.state(currentName)),
			hint: "look at what stands there, or deprovision the machine and provision it anew",
		}
	}
	return n, nil
}

// generations returns the numbers of the generations on disk.
func (s *Store) generations() ([]int, error) {
	entries, err := os.ReadDir(s.p.State)
	if err != nil {
		return nil, err
	}
	var list []int
	for _, e := range entries {
		if n, ok := genNumber(e.Name()); ok {
			list = append(list, n)
		}
	}
	return list, nil
}

func genNumber(name string) (int, bool) {
	digits, ok := strings.CutPrefix(name, genPrefix)
	n, err := strconv.Atoi(digits)
	return n, ok && err == nil && n > 0 && strconv.Itoa(n) == digits
}

// nextGen returns a number greater than all in use.
func (s *Store) nextGen() (int, error) {
	list, err := s.generations()
	next, currentErr := s.current()
	for _, n := range list {
		next = max(next, n)
	}
	return next + 1, errors.Join(err, currentErr)
}
