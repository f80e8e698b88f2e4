package identity

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/mecha-org/mecha-agent/keystore"
)

// settle finishes or takes back what a crash, or an error, left half done:
//
//	removing            the removal is finished
//	temporary files     removed
//	adopting/           removed: the originals still stand
//	gen > current       not switched to: an adopted one is removed (the originals
//	                    still stand), a new one becomes pending/ again, so that
//	                    its key is kept
//	gen < current       switched away from: its key is deleted, then the rest
//	pending/            everything but the key and what is its keystore's is removed
//	no switch           the folders of the files are synced
//
// It changes nothing that a reader of the configured paths sees, except that a
// removal goes on. It may itself be cut short anywhere and run again.
func (s *Store) settle(ctx context.Context) error {
	if exists(s.state(removingName)) {
		_, err := s.finishRemoval(ctx)
		return err
	}
	current, err := s.current()
	if err != nil {
		return err
	}
	list, err := s.generations()
	if err != nil {
		return storing("cleaning up", err)
	}
	if err := s.removeTemps(); err != nil {
		return storing("cleaning up", err)
	}
	if current == 0 {
		if err := s.syncAncestors(); err != nil {
			return storing("cleaning up", err)
		}
	}
	var left []int
	for _, n := range list {
		if n != current {
			left = append(left, n)
		}
	}
	adopting := exists(s.state(adoptingName))
	if len(left) > 0 || adopting {
		// What we see may have been renamed a moment before a kill and not be on
		// stable storage: no generation goes before the switch away from it is.
		if err := s.disk.syncDir(s.p.State); err != nil {
			return storing("cleaning up", err)
		}
	}
	var errs []error
	if adopting {
		errs = append(errs, s.drop(ctx, s.state(adoptingName)))
	}
	slices.Sort(left)
	for _, n := range left {
		dir := s.gen(n)
		if n > current && !exists(filepath.Join(dir, adoptedName)) && !exists(s.state(pendingName, keyName)) {
			errs = append(errs, s.takeBack(dir))
			continue
		}
		errs = append(errs, s.drop(ctx, dir))
	}
	errs = append(errs, s.cleanPending())
	return storing("cleaning up", errors.Join(errs...))
}

// syncAncestors syncs the folders above the files, as far as they are there: a
// process that was killed between making one and syncing its parent leaves a
// folder that we see and a power cut takes away. After the first switch all of
// them have been synced.
func (s *Store) syncAncestors() error {
	done := map[string]bool{}
	for _, path := range append([]string{s.p.State}, s.parents()...) {
		for dir := filepath.Dir(path); !done[dir]; path, dir = dir, filepath.Dir(dir) {
			if !exists(path) {
				continue
			}
			done[dir] = true
			// A folder that we may not even open is none that we made anything in.
			if err := s.disk.syncDir(dir); err != nil && !errors.Is(err, fs.ErrPermission) {
				return err
			}
		}
	}
	return nil
}

// removeTemps removes what the replace functions leave when they are cut short.
func (s *Store) removeTemps() error {
	paths := []string{s.state(sessionName) + tempSuffix, s.state(removingName) + tempSuffix, linkTemp(s.state(currentName))}
	for _, sl := range s.slots {
		paths = append(paths, linkTemp(sl.path))
	}
	for _, path := range paths {
		if err := s.disk.removeIfThere(path); err != nil {
			return err
		}
	}
	return nil
}

// takeBack makes a generation that was not switched to the pending one again.
func (s *Store) takeBack(dir string) error {
	if err := s.disk.removeTree(s.state(pendingName)); err != nil { // has no key
		return err
	}
	if err := s.disk.rename(dir, s.state(pendingName)); err != nil {
		return err
	}
	return s.disk.syncDir(s.p.State)
}

func (s *Store) cleanPending() error {
	entries, err := os.ReadDir(s.state(pendingName))
	if err != nil {
		return nil // there is none
	}
	for _, e := range entries {
		if e.Name() == keyName || strings.HasPrefix(e.Name(), keyName+".") { // the keystore's
			continue
		}
		if err := s.disk.removeTree(s.state(pendingName, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// drop deletes a generation, its key first. A key that its keystore cannot
// delete is reported, and its file removed all the same. There is no sync: the
// keystore's deletion is durable, and what a power cut brings back of the rest is
// dropped again.
func (s *Store) drop(ctx context.Context, dir string) error {
	keyErr := s.deleteKey(ctx, filepath.Join(dir, keyName))
	return errors.Join(keyErr, s.disk.removeTree(dir))
}

// deleteKey deletes the key at path through its keystore; none is no error. It
// runs to its end although ctx is cancelled: half a removal helps nobody.
func (s *Store) deleteKey(ctx context.Context, path string) error {
	if !exists(path) {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), keyTimeout)
	defer cancel()
	err := s.disk.do(step{op: "key", path: path}, func() error { return s.keys.Delete(ctx, path) })
	if errors.Is(err, keystore.ErrNotExist) {
		return nil
	}
	return err
}
