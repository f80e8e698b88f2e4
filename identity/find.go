package identity

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// Files are what matters of an identity to those who only look, by path; each is
// "" when there is none.
type Files struct {
	Key, Cert string // in use
	Pending   string // the key of the identity in the making
}

// Find returns where the files of the identity lie. It opens none of them and takes
// no lock, so that it may be called beside the agent: what it names can be gone a
// moment later. Files of another program at the configured paths count as in use,
// as for Load, which may find that they make no identity. Errors are ErrDamaged and
// those of the file system.
func Find(p Paths) (Files, error) {
	p, err := p.absolute()
	if err != nil {
		return Files{}, fmt.Errorf("identity paths: %w", err)
	}
	s := &Store{p: p, slots: p.slots()}
	if _, err := os.Lstat(s.state(currentName)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Files{}, fmt.Errorf("looking for the identity: %w", err)
	}
	var files Files
	if path := s.state(pendingName, keyName); exists(path) {
		files.Pending = path
	}
	f, err := s.find()
	switch {
	case errors.Is(err, ErrNone):
		return files, nil
	case err != nil:
		return files, err
	}
	files.Key, files.Cert = f.paths[keyName], f.paths[certName]
	return files, nil
}
