package identity

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// slot is one of the five files: where other programs look, and what it is
// called in a generation.
type slot struct {
	path string
	name string
	mode os.FileMode
}

// slots returns the five files, the key first.
func (p Paths) slots() []slot {
	return []slot{
		{p.Key, keyName, modeSecret},
		{p.CSR, csrName, modePublic},
		{p.Cert, certName, modePublic},
		{p.CABundle, bundleName, modePublic},
		{p.Root, rootName, modePublic},
	}
}

// absolute checks the paths and makes them independent of the working folder.
func (p Paths) absolute() (Paths, error) {
	seen := map[string]bool{}
	for _, path := range []*string{&p.State, &p.Key, &p.CSR, &p.Cert, &p.CABundle, &p.Root} {
		if *path == "" {
			return p, errors.New("one of them is empty")
		}
		abs, err := filepath.Abs(*path)
		if err != nil {
			return p, err
		}
		*path = abs
		if seen[abs] {
			return p, fmt.Errorf("%s is used twice", abs)
		}
		seen[abs] = true
		if path != &p.State && strings.HasPrefix(abs, p.State+string(filepath.Separator)) {
			return p, fmt.Errorf("%s lies in the state folder", abs)
		}
	}
	return p, nil
}

// standing is what stands at a configured path.
type standing uint8

const (
	absent  standing = iota
	ours             // our symbolic link
	regular          // a file of another program
	foreign          // a link elsewhere, a folder, a device: not to be touched
)

// parents returns the folders of the configured paths, each once.
func (s *Store) parents() []string {
	var dirs []string
	for _, sl := range s.slots {
		if dir := filepath.Dir(sl.path); !slices.Contains(dirs, dir) {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

// target is where the configured path points: through the switch.
func (s *Store) target(sl slot) string { return s.state(currentName, sl.name) }

// linkText is what the link at the configured path says. It is relative, so that
// an SD card that is mounted elsewhere still shows the identity. The kernel
// resolves it from where the link really lies (path_resolution(7)), so links
// among the parents are followed first.
func (s *Store) linkText(sl slot) (string, error) {
	from, err := filepath.EvalSymlinks(filepath.Dir(sl.path))
	if err != nil {
		return "", err
	}
	state, err := filepath.EvalSymlinks(s.p.State)
	if err != nil {
		return "", err
	}
	return filepath.Rel(from, filepath.Join(state, currentName, sl.name))
}

// pointAt makes the configured path our link, in place of what stands there.
func (s *Store) pointAt(sl slot) error {
	text, err := s.linkText(sl)
	if err != nil {
		return err
	}
	return s.disk.replaceLink(text, sl.path)
}

// look says what stands at a configured path.
func (s *Store) look(sl slot) (standing, error) {
	st, err := os.Lstat(sl.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return absent, nil
	case err != nil:
		return foreign, err
	case st.Mode().IsRegular():
		return regular, nil
	case st.Mode()&fs.ModeSymlink == 0:
		return foreign, nil
	}
	to, err := os.Readlink(sl.path)
	if err != nil {
		return foreign, err
	}
	if !filepath.IsAbs(to) {
		from, err := filepath.EvalSymlinks(filepath.Dir(sl.path))
		if err != nil {
			return foreign, err
		}
		to = filepath.Join(from, to)
	}
	if to == s.target(sl) {
		return ours, nil
	}
	// The state folder by another name: a link among its parents.
	if filepath.Base(to) == sl.name && filepath.Base(filepath.Dir(to)) == currentName {
		a, errA := os.Stat(filepath.Dir(filepath.Dir(to)))
		b, errB := os.Stat(s.p.State)
		if errA == nil && errB == nil && os.SameFile(a, b) {
			return ours, nil
		}
	}
	return foreign, nil
}

// lookAll looks at all five and refuses what is not ours to replace.
func (s *Store) lookAll() ([]standing, error) {
	list := make([]standing, len(s.slots))
	for i, sl := range s.slots {
		w, err := s.look(sl)
		if err != nil {
			return nil, err
		}
		if w == foreign {
			return nil, refuse(sl.path)
		}
		list[i] = w
	}
	return list, nil
}

// refuse is the error for something at a configured path that we did not make.
func refuse(path string) error {
	what := "something that is no regular file"
	st, err := os.Lstat(path)
	if err == nil && st.IsDir() {
		what = "a folder"
	}
	if to, err := os.Readlink(path); err == nil {
		what = "a symbolic link to " + to
	}
	return &hinted{
		err:  &fs.PathError{Op: "replace", Path: path, Err: fmt.Errorf("it is %s, which the agent has not made", what)},
		hint: "move it away, or set another path in the settings (provisioning.paths)",
	}
}
