package identity

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
)

// Remove takes the identity away and returns the paths of what it removed. First
// goes the switch, so that no reader finds half an identity; then the keys; then
// the rest, also what another program left at the configured paths. It goes on
// after an error and joins them; what is not ours to remove (see Commit) is such
// an error. Without an identity it does nothing. When it is cut short, the next
// Remove, Open, Key or Commit finishes it. A cancelled ctx stops it before the
// first step only.
func (s *Store) Remove(ctx context.Context) ([]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.usable(ctx); err != nil {
		return nil, err
	}
	if !s.anything() {
		return nil, nil
	}
	s.unsettled = true
	if err := s.markRemoving(); err != nil {
		return nil, storing("removing the identity", err)
	}
	removed, err := s.finishRemoval(ctx)
	s.unsettled = exists(s.state(removingName))
	return removed, err
}

// anything reports whether there is something to remove.
func (s *Store) anything() bool {
	for _, name := range []string{currentName, removingName, pendingName, adoptingName, sessionName, KeystoreName} {
		if exists(s.state(name)) {
			return true
		}
	}
	for _, sl := range s.slots {
		if exists(sl.path) {
			return true
		}
	}
	list, err := s.generations()
	return err != nil || len(list) > 0
}

// markRemoving takes the switch away and leaves word of the removal, both by one
// rename: the switch itself becomes the mark.
func (s *Store) markRemoving() error {
	defer s.change()
	var err error
	switch {
	case exists(s.state(currentName)):
		err = s.disk.rename(s.state(currentName), s.state(removingName))
	case !exists(s.state(removingName)):
		err = s.disk.replaceFile(s.state(removingName), nil, modeSecret)
	}
	return errors.Join(err, s.disk.syncDir(s.p.State))
}

// removal collects what was removed and what went wrong.
type removal struct {
	s      *Store
	gone   []string
	failed []error
}

func (r *removal) note(path string, err error) {
	if err != nil {
		r.failed = append(r.failed, err)
		return
	}
	r.gone = append(r.gone, path)
}

// key deletes a key through its keystore. When that cannot, the file goes all
// the same: the error stays, because a chip may still hold the key.
func (r *removal) key(ctx context.Context, path string) {
	if !exists(path) {
		return
	}
	err := r.s.deleteKey(ctx, path)
	if exists(path) {
		err = errors.Join(err, r.s.disk.removeTree(path))
	}
	r.note(path, err)
}

func (r *removal) tree(path string) {
	if exists(path) {
		r.note(path, r.s.disk.removeTree(path))
	}
}

// finishRemoval does the removal whose mark is set, and takes the mark away when
// nothing stands any more.
func (s *Store) finishRemoval(ctx context.Context) ([]string, error) {
	defer s.change()
	r := &removal{s: s}
	if err := s.closePending(); err != nil {
		r.failed = append(r.failed, err)
	}
	var refused []error
	what := make([]standing, len(s.slots))
	for i, sl := range s.slots {
		w, err := s.look(sl)
		if err != nil {
			r.failed = append(r.failed, err)
		} else if w == foreign {
			refused = append(refused, refuse(sl.path))
		}
		what[i] = w
	}
	if what[0] == regular {
		r.key(ctx, s.p.Key)
	}
	folders, err := s.folders()
	if err != nil {
		r.failed = append(r.failed, err)
	}
	for _, dir := range folders {
		r.key(ctx, filepath.Join(dir, keyName))
	}
	r.tree(s.state(sessionName))
	if !slices.ContainsFunc(folders, func(dir string) bool { return exists(filepath.Join(dir, keyName)) }) {
		r.tree(s.state(KeystoreName)) // there is no key that it speaks of
	}
	for i, sl := range s.slots {
		if what[i] == regular || what[i] == ours {
			r.tree(sl.path)
		}
	}
	for _, dir := range folders {
		r.tree(dir)
	}
	for _, dir := range s.parents() {
		r.syncDir(dir)
	}
	if err := s.removeTemps(); err != nil {
		r.failed = append(r.failed, err)
	}
	r.syncDir(s.p.State)
	if len(r.failed) == 0 {
		if err := s.disk.remove(s.state(removingName)); err != nil {
			r.failed = append(r.failed, err)
		}
		r.syncDir(s.p.State)
	}
	if err := errors.Join(append(refused, r.failed...)...); err != nil {
		return r.gone, storing("removing the identity", fmt.Errorf("not all of it went: %w", err))
	}
	return r.gone, nil
}

// folders returns the folders that may hold a key.
func (s *Store) folders() ([]string, error) {
	list, err := s.generations()
	var dirs []string
	for _, n := range list {
		dirs = append(dirs, s.gen(n))
	}
	for _, name := range []string{pendingName, adoptingName} {
		if exists(s.state(name)) {
			dirs = append(dirs, s.state(name))
		}
	}
	return dirs, err
}

// syncDir syncs a folder that is there.
func (r *removal) syncDir(path string) {
	if exists(path) {
		if err := r.s.disk.syncDir(path); err != nil {
			r.failed = append(r.failed, err)
		}
	}
}
