package sqlite

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// prepareFile makes the folder and an empty file when they are missing, and
// takes the file away from others. SQLite gives its -wal and -shm files the mode
// of the database.
//
// An existing file is never opened here: closing it would drop the locks that
// another handle of this process has on it (fcntl(2), "advisory record locks").
func prepareFile(path string) error {
	dir := filepath.Dir(path)
	switch info, err := os.Stat(dir); {
	case errors.Is(err, fs.ErrNotExist):
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return readOnly(err, dir)
		}
		if err := syncDir(filepath.Dir(dir)); err != nil {
			return err
		}
	case err != nil:
		return readOnly(err, dir)
	case info.Mode().Perm()&0o002 != 0 && info.Mode()&fs.ModeSticky == 0:
		return hinted(ErrExposed, fmt.Sprintf("chmod o-w %s, then see who wrote there", dir))
	}

	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	switch {
	case err == nil:
		if err := f.Close(); err != nil {
			return err
		}
		return syncDir(dir)
	case !errors.Is(err, fs.ErrExist):
		return readOnly(err, dir)
	}
	for _, p := range []string{path, path + "-wal", path + "-shm"} {
		if err := closeToOthers(p); err != nil {
			return err
		}
	}
	return nil
}

// closeToOthers sets mode 0600 on a file that others may read, such as a backup
// that was copied back. It holds hashes of random secrets only, so that nothing
// is lost by what they saw.
func closeToOthers(path string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return readOnly(err, filepath.Dir(path))
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is no regular file", path)
	case info.Mode().Perm()&0o077 == 0:
		return nil
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return hinted(fmt.Errorf("%w: %w", ErrExposed, err), "chmod 600 "+path+" as its owner")
	}
	return nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
