package identity

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// maxAdopted bounds a file of another program, in bytes. The original agent's
// largest is its CA bundle, a JSON array of some certificates.
const maxAdopted = 1 << 20

// adopt takes over files that another program left at the configured paths. All
// that is seen there is copied into a generation, unverified; the switch is set
// to it; then each file gives way to its link. A reader sees the same contents
// at every moment, and no file goes before its copy is on stable storage. It
// returns the generation in use afterwards, the one to fall back to.
func (s *Store) adopt(ctx context.Context) (int, error) {
	current, err := s.current()
	if err != nil {
		return 0, err
	}
	list, err := s.lookAll()
	if err != nil {
		return current, storing("looking at the configured paths", err)
	}
	strangers, same := 0, true
	for i, sl := range s.slots {
		if list[i] == regular {
			strangers++
			same = same && s.sameAsCurrent(sl) == nil
		}
	}
	if strangers == 0 {
		return current, nil
	}
	if err := ctx.Err(); err != nil {
		return current, err
	}
	// An adoption that was cut short after its switch has all the copies.
	if !same || current == 0 {
		if err := s.copyShown(list); err != nil {
			return current, storing("keeping a copy of the files at the configured paths", err)
		}
		if err := s.switchTo(s.state(adoptingName)); err != nil {
			// Whether the switch is set or not, a reader sees the same.
			now, _ := s.current()
			return now, storing("keeping a copy of the files at the configured paths", err)
		}
	}
	if current, err = s.current(); err != nil {
		return current, err
	}
	if err := s.disk.syncDir(s.p.State); err != nil { // see settle
		return current, storing("linking the configured paths", err)
	}
	for i, sl := range s.slots {
		if list[i] != regular {
			continue
		}
		if err := s.sameAsCurrent(sl); err != nil {
			return current, storing("linking the configured paths", err)
		}
		if err := s.pointAt(sl); err != nil {
			return current, storing("linking the configured paths", err)
		}
	}
	return current, nil // the links are synced before the next switch, see link
}

// sameAsCurrent is nil when the current generation holds a copy of the file.
func (s *Store) sameAsCurrent(sl slot) error {
	there, err := readBounded(sl.path)
	if err != nil {
		return err
	}
	copied, err := readBounded(s.target(sl))
	if err != nil {
		return err
	}
	if !bytes.Equal(there, copied) {
		return &hinted{
			err:  &fs.PathError{Op: "replace", Path: sl.path, Err: errors.New("it was changed while it was copied")},
			hint: "see which other program writes there, stop it and try again",
		}
	}
	return nil
}

// copyShown writes what the configured paths show now into the adopting folder.
func (s *Store) copyShown(list []standing) error {
	dir := s.state(adoptingName)
	if err := s.disk.removeTree(dir); err != nil {
		return err
	}
	if err := s.disk.mkdirAll(dir); err != nil {
		return err
	}
	for i, sl := range s.slots {
		if list[i] == absent {
			continue
		}
		data, err := readBounded(sl.path)
		if errors.Is(err, fs.ErrNotExist) { // our link, which shows nothing
			continue
		}
		if err != nil {
			return err
		}
		if err := s.disk.writeFile(filepath.Join(dir, sl.name), data, sl.mode); err != nil {
			return err
		}
	}
	if err := s.disk.writeFile(filepath.Join(dir, adoptedName), nil, modePublic); err != nil {
		return err
	}
	return s.disk.syncDir(dir)
}

func readBounded(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxAdopted+1))
	if err == nil && len(data) > maxAdopted {
		err = &fs.PathError{Op: "read", Path: path, Err: fmt.Errorf("longer than %d bytes", maxAdopted)}
	}
	return data, err
}
