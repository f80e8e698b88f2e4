package tpm

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"github.com/mecha-org/mecha-agent/keystore"
	"github.com/mecha-org/mecha-agent/keystore/internal/keyfile"
)

// Create makes a key at path, and the folders above it with mode 0700 where they
// are missing. It returns keystore.ErrExists when anything at all stands at path,
// keystore.ErrExposed when others may write the folder or one above it, ErrOwnerAuth,
// or what is wrong with the TPM. When it returns without an error, the key's file
// is on stable storage, and so is the one that says where it comes from.
func (s *Store) Create(ctx context.Context, path string) (keystore.Key, error) {
	k, err := s.create(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("creating key in TPM %s: %w", s.chip.path, err)
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
	var r *resident
	err = s.do(ctx, func(t transport.TPM) (err error) {
		r, err = s.generate(t)
		return err
	})
	if err != nil {
		return nil, err
	}
	k, err := s.key(r, path)
	if err != nil {
		return nil, err
	}
	if err = ctx.Err(); err == nil {
		s.files.Lock()
		if err = r.install(dir); err == nil {
			r.path = path
			if r.unknown() {
				s.unknown = append(s.unknown, r)
			}
		}
		s.files.Unlock()
	}
	if err != nil {
		return nil, errors.Join(err, k.Close())
	}
	return k, nil
}

// generate makes a key. Which TPM made it costs as much as the key where that has
// to be found out: it is written down later, see Store.remember.
func (s *Store) generate(t transport.TPM) (*resident, error) {
	c := s.chip
	p, handle, err := c.newParent(t)
	if err != nil {
		return nil, err
	}
	session, err := c.auth(t, p)
	if err != nil {
		return nil, err
	}
	r, err := c.create(t, p, session, keyTemplate(s.curve))
	if err != nil {
		return nil, err
	}
	r.blob.parent = handle
	if r.name, err = nameOf(r.blob.public); err != nil {
		return nil, err
	}
	r.origin = &origin{Key: r.name.Buffer, SRK: p.name.Buffer}
	if e := c.ek; e != nil && e.here {
		r.origin.EK, r.origin.EKFrom = e.id, e.from
	}
	c.settle(t)
	return r, nil
}

func nameOf(public tpm2.TPM2BPublic) (tpm2.TPM2BName, error) {
	area, err := public.Contents()
	if err != nil {
		return tpm2.TPM2BName{}, err
	}
	n, err := tpm2.ObjectName(area)
	if err != nil {
		return tpm2.TPM2BName{}, err
	}
	return *n, nil
}

// install puts the files of a new key down, the key last: it is there when all is.
func (r *resident) install(dir *keyfile.Folder) error {
	key, err := r.blob.encode()
	if err != nil {
		return err
	}
	from, err := r.origin.encode()
	if err != nil {
		return err
	}
	return dir.Install(key, keyfile.Beside{Suffix: OriginSuffix, Text: from})
}
