package identity

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"encoding/pem"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/mecha-org/mecha-agent/gateway"
	"github.com/mecha-org/mecha-agent/keystore"
)

// Key returns the key of the identity in the making. The first call makes it;
// later calls, also of later processes, return the same until Commit or Remove.
// A pending key that is damaged, of another kind or lost with its TPM is worth
// nothing yet: it is discarded and made anew. The Store closes the key: in Commit, Remove and Close.
func (s *Store) Key(ctx context.Context) (crypto.Signer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.writable(ctx); err != nil {
		return nil, err
	}
	err := s.openPending(ctx)
	if useless(err) {
		if err := s.disk.removeTree(s.state(pendingName)); err != nil {
			return nil, storing("discarding a damaged key", err)
		}
		err = keystore.ErrNotExist
	}
	if errors.Is(err, keystore.ErrNotExist) {
		err = s.createPending(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("key of the new identity: %w", err)
	}
	return s.pending, nil
}

// useless says whether err means that a key will never work: it is damaged, of a
// kind that no keystore takes, or of hardware that forgot it or is not here.
func useless(err error) bool {
	return errors.Is(err, keystore.ErrDamaged) || errors.Is(err, keystore.ErrWrongKind) || errors.Is(err, keystore.ErrLost)
}

func (s *Store) openPending(ctx context.Context) (err error) {
	if s.pending == nil {
		var k keystore.Key
		if k, err = s.keys.Open(ctx, s.state(pendingName, keyName)); err == nil {
			s.pending = k
		}
	}
	return err
}

func (s *Store) createPending(ctx context.Context) error {
	err := s.disk.mkdirAll(s.state(pendingName))
	if err == nil { // also when a process was killed before mkdirAll synced it
		err = s.disk.syncDir(s.p.State)
	}
	if err != nil {
		return storing("making a key", err)
	}
	path := s.state(pendingName, keyName)
	var k keystore.Key
	err = s.disk.do(step{op: "key", path: path}, func() (err error) {
		k, err = s.keys.Create(ctx, path)
		return err
	})
	switch {
	case ctx.Err() != nil && err != nil:
		return ctx.Err()
	case err != nil:
		return storing("making a key", err)
	}
	s.pending = k
	return nil
}

// Commit verifies the answer in full (see Verify), stores it as a generation
// with the pending key, switches to it and removes the old generation. Files of
// another program at the configured paths are adopted first. After an error,
// which wraps ErrUnverified or ErrStorage, the old identity is as it was and the
// pending key is kept. After success the key that Key returned is closed: Signer
// opens it anew.
func (s *Store) Commit(ctx context.Context, machineID string, csrPEM string, answer gateway.Issued) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.writable(ctx); err != nil {
		return err
	}
	if err := s.openPending(ctx); err != nil {
		return fmt.Errorf("key of the new identity: %w", err)
	}
	id, err := Verify(machineID, s.pending.Public(), answer, s.now())
	if err != nil {
		return err
	}
	csr, err := verifyCSR(csrPEM, s.pending.Public())
	if err != nil {
		return err
	}
	old, err := s.adopt(ctx)
	if err == nil {
		err = s.install(ctx, id, csr)
	}
	if err != nil && s.undo(ctx, old) {
		return err
	}
	// From here on the new identity stands, whatever happens: an error would say
	// the opposite, and what is left over now goes with the next call.
	s.unsettled = s.closePending() != nil || s.settle(ctx) != nil
	return nil
}

// verifyCSR returns the request as it is stored.
func verifyCSR(text string, pub crypto.PublicKey) (string, error) {
	csr, err := gateway.ParseCSR(text)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrUnverified, err)
	}
	if k, ok := csr.PublicKey.(*ecdsa.PublicKey); !ok || !k.Equal(pub) {
		return "", fmt.Errorf("%w: certificate signing request: it is for another key", ErrUnverified)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: csr.Raw})), nil
}

// install writes the generation and switches to it.
func (s *Store) install(ctx context.Context, id Identity, csr string) error {
	bundle := id.BundlePEM
	if bundle == "" {
		// The root signed the certificate itself. A bundle without a certificate
		// is an error to openssl and others; the root in it changes no verdict.
		bundle = id.RootPEM
	}
	files := map[string]string{csrName: csr, certName: id.CertPEM, bundleName: bundle, rootName: id.RootPEM}
	pending := s.state(pendingName)
	for _, sl := range s.slots {
		if sl.name == keyName {
			continue
		}
		path := filepath.Join(pending, sl.name)
		if err := s.disk.removeIfThere(path); err != nil {
			return storing("writing files", err)
		}
		if err := s.disk.writeFile(path, []byte(files[sl.name]), sl.mode); err != nil {
			return storing("writing files", err)
		}
	}
	if err := s.disk.syncDir(pending); err != nil {
		return storing("writing files", err)
	}
	if err := s.link(); err != nil {
		return storing("linking the configured paths", err)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return storing("switching to the new identity", s.switchTo(pending))
}

// link makes the configured paths point through the switch where nothing stands
// yet. Until the switch they show what they showed: nothing.
func (s *Store) link() error {
	list, err := s.lookAll()
	if err != nil {
		return err
	}
	for i, sl := range s.slots {
		if list[i] != absent {
			continue
		}
		if err := s.disk.mkdirAll(filepath.Dir(sl.path)); err != nil {
			return err
		}
		if err := s.pointAt(sl); err != nil {
			return err
		}
	}
	return s.syncParents()
}

// syncParents syncs the folders of the configured paths, also for links that an
// earlier process made just before it was killed.
func (s *Store) syncParents() error {
	for _, dir := range s.parents() {
		if err := s.disk.syncDir(dir); err != nil {
			return err
		}
	}
	return nil
}

// switchTo makes a folder, complete and synced, the current generation.
func (s *Store) switchTo(dir string) error {
	n, err := s.nextGen()
	if err != nil {
		return err
	}
	if err := s.disk.rename(dir, s.gen(n)); err != nil {
		return err
	}
	if err := s.disk.syncDir(s.p.State); err != nil {
		return err
	}
	return s.point(n)
}

// point sets the switch. The rename in it is the moment of the change.
func (s *Store) point(n int) error {
	defer s.change()
	if err := s.disk.replaceLink(filepath.Base(s.gen(n)), s.state(currentName)); err != nil {
		return err
	}
	return s.disk.syncDir(s.p.State)
}

// undo takes back a Commit that failed: the switch, should it have been set (only
// the sync after it can have failed then), and what was written. It reports
// whether the old identity stands; when the switch cannot be set back either, the
// new one does, whole and verified.
func (s *Store) undo(ctx context.Context, old int) bool {
	s.unsettled = true
	now, err := s.current()
	if err == nil && now != old {
		if old != 0 {
			err = s.point(old)
		} else if err = s.disk.remove(s.state(currentName)); err == nil {
			s.change()
			err = s.disk.syncDir(s.p.State)
		}
		if err != nil {
			now, err = s.current()
			return err != nil || now == old
		}
	}
	if err == nil {
		s.unsettled = s.settle(ctx) != nil
	}
	return true
}
