package identity

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/mecha-org/mecha-agent/gateway"
	"github.com/mecha-org/mecha-agent/keystore"
)

const provisionAnew = "provision the machine anew; until that has succeeded nothing is removed"

// Load verifies the identity on disk and returns it: the key opens, the
// certificate is for it and leads to the root. An expired certificate is
// returned like any other, and the clock of a board that starts in the past does
// no harm: the chain is judged at the time of its making.
//
// The error wraps ErrNone when there is no identity, also when files of another
// program stand at the configured paths that make none (the text says why); it
// wraps ErrDamaged, with a hint, when there should be one. Errors of the keystore
// that mean "cannot be asked now", "exposed" or "lost" (the TPM was cleared or
// exchanged, the files are sound) are returned as they are, with its hint.
func (s *Store) Load(ctx context.Context) (Identity, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.usable(ctx); err != nil {
		return Identity{}, err
	}
	id, key, err := s.load(ctx)
	if err != nil {
		return Identity{}, err
	}
	return id, key.Close()
}

// Current returns the machine id and the end of the certificate in use. Without
// an identity it returns "" and no error; for the other errors see Load.
func (s *Store) Current(ctx context.Context) (machineID string, notAfter time.Time, err error) {
	id, err := s.Load(ctx)
	if errors.Is(err, ErrNone) {
		return "", time.Time{}, nil
	}
	return id.MachineID, id.NotAfter, err
}

// Signer returns the key of the identity in use, to be closed by the caller. It
// verifies as Load does, and returns the same errors.
func (s *Store) Signer(ctx context.Context) (keystore.Key, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.usable(ctx); err != nil {
		return nil, err
	}
	_, key, err := s.load(ctx)
	return key, err
}

// found is where the identity in use lies.
type found struct {
	paths   map[string]string // by name in a generation
	adopted bool              // of another program: may be anything
}

func (s *Store) load(ctx context.Context) (Identity, keystore.Key, error) {
	f, err := s.find()
	if err != nil {
		return Identity{}, nil, err
	}
	id, key, err := s.read(ctx, f)
	switch {
	case err == nil:
		return id, key, nil
	case ctx.Err() != nil:
		return Identity{}, nil, ctx.Err()
	case f.adopted:
		// Another program's files that are no identity of our kind (RSA, the chain
		// as JSON) are no reason to call the machine broken.
		return Identity{}, nil, &hinted{
			err:  fmt.Errorf("%w: the files at the configured paths make none: %w", ErrNone, err),
			hint: provisionAnew,
		}
	}
	return Identity{}, nil, err
}

func (s *Store) find() (found, error) {
	f := found{paths: map[string]string{}}
	n, err := s.current()
	if err != nil {
		return f, err
	}
	if n != 0 {
		for _, sl := range s.slots {
			f.paths[sl.name] = filepath.Join(s.gen(n), sl.name)
		}
		f.adopted = exists(filepath.Join(s.gen(n), adoptedName))
		return f, nil
	}
	f.adopted = true
	for _, sl := range s.slots {
		f.paths[sl.name] = sl.path
		standing, err := s.look(sl)
		if (sl.name == keyName || sl.name == certName) && (err != nil || standing != regular) {
			return f, ErrNone
		}
	}
	return f, nil
}

func (s *Store) read(ctx context.Context, f found) (Identity, keystore.Key, error) {
	var text [3]string
	for i, name := range []string{certName, rootName, bundleName} {
		data, err := readBounded(f.paths[name])
		if err != nil {
			return Identity{}, nil, damaged(err)
		}
		text[i] = string(data)
	}
	c, err := parseChain(gateway.Issued{Cert: text[0], RootCert: text[1], CABundle: text[2:]})
	if err != nil {
		return Identity{}, nil, damaged(err)
	}
	key, err := s.keys.Open(ctx, f.paths[keyName])
	switch {
	case errors.Is(err, keystore.ErrNotExist), useless(err) && !errors.Is(err, keystore.ErrLost):
		return Identity{}, nil, damaged(err)
	case err != nil: // nothing is wrong with the files; the keystore knows what is, and what to do
		return Identity{}, nil, fmt.Errorf("key of the identity: %w", err)
	}
	id, err := c.check(c.leaf.Subject.CommonName, key.Public(), c.issued())
	if err != nil {
		return Identity{}, nil, damaged(errors.Join(err, key.Close()))
	}
	return id, key, nil
}

func damaged(err error) error {
	return &hinted{err: fmt.Errorf("%w: %w", ErrDamaged, err), hint: provisionAnew}
}
