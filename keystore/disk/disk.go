// Package disk is the keystore for machines without a security chip: ECDSA keys
// as PKCS#8 PEM (RFC 5958, RFC 7468 section 10) in files of mode 0600 inside
// folders of mode 0700. It also reads SEC 1 PEM (RFC 5915). Whoever can read the file has the key: a thief of the
// SD card, root, a backup. Keys are not erased from memory after use.
package disk

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"

	"github.com/mecha-org/mecha-agent/keystore"
	"github.com/mecha-org/mecha-agent/keystore/internal/keyfile"
)

// Backend is what Info.Backend says of keys of this package.
const Backend = "disk"

// Store makes, opens and deletes key files. It holds no state and is safe for
// concurrent use.
type Store struct {
	curve keystore.Curve
}

// New returns a Store that makes keys on curve. It opens keys on either curve.
func New(curve keystore.Curve) (*Store, error) {
	if curveOf(curve) == nil {
		return nil, fmt.Errorf("curve %q: want %s or %s", curve, keystore.P256, keystore.P384)
	}
	return &Store{curve: curve}, nil
}

// Create makes a key at path, and the folders above it with mode 0700 where
// they are missing. It returns keystore.ErrExists when anything at all stands
// at path, and keystore.ErrExposed when others may write the folder, or one above
// it that is not sticky. When it
// returns without an error, key and folders are on stable storage.
func (s *Store) Create(ctx context.Context, path string) (keystore.Key, error) {
	k, err := s.create(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("creating key: %w", err)
	}
	return k, nil
}

func (s *Store) create(ctx context.Context, path string) (*key, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	dir, err := keyfile.OpenNew(path)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	priv, err := ecdsa.GenerateKey(curveOf(s.curve), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("generating: %w", err)
	}
	text, err := encode(priv)
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := dir.Install(text); err != nil {
		return nil, err
	}
	return newKey(priv, path)
}

// Open reads the key at path. The permissions are checked on the very file that
// is then read. It returns keystore.ErrNotExist when nothing stands there;
// keystore.ErrExposed when others can read the file or write its folder, or
// either belongs to somebody who is neither us nor root; keystore.ErrDamaged
// when it is empty, cut short or not a regular file (a symbolic link is not
// followed); keystore.ErrWrongKind when it holds another kind of key.
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
	text, err := keyfile.Read(path, maxFile)
	if err != nil {
		return nil, err
	}
	priv, err := parse(text)
	if err != nil {
		return nil, explain(err, path)
	}
	return newKey(priv, path)
}

// Delete overwrites the file with zeros and unlinks it, also when Open would
// refuse it. It returns keystore.ErrNotExist when nothing stands at path and
// keystore.ErrDamaged, removing nothing, when that is not a regular file.
//
// Overwriting says nothing about flash memory, copy-on-write file systems and
// snapshots: those may keep the old blocks. Revoke the certificate as well.
func (s *Store) Delete(ctx context.Context, path string) error {
	err := ctx.Err()
	if err == nil {
		err = keyfile.Remove(path)
	}
	if err != nil {
		return fmt.Errorf("deleting key: %w", err)
	}
	return nil
}

func curveOf(c keystore.Curve) elliptic.Curve {
	switch c {
	case keystore.P256:
		return elliptic.P256()
	case keystore.P384:
		return elliptic.P384()
	}
	return nil
}

var _ keystore.Store = (*Store)(nil)
