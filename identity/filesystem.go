package identity

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// step is one change to the file system.
type step struct {
	op   string // mkdir, create, write, sync, rename, symlink, remove, syncdir, key
	path string
	from string // with rename: the name before
}

// fileSystem makes every change to the file system, step by step. before, when set,
// sees each step first and may refuse it: tests cut the power there.
type fileSystem struct {
	before func(step) error
}

// do runs one step. Its errors are always *fs.PathError, whatever os returns.
func (d fileSystem) do(s step, f func() error) error {
	var err error
	if d.before != nil {
		err = d.before(s)
	}
	if err == nil {
		err = f()
	}
	if err == nil {
		return nil
	}
	switch e := err.(type) { // not a wrapped one: what a keystore says is kept
	case *fs.PathError:
		err = e.Err
	case *os.LinkError:
		err = e.Err
	}
	return &fs.PathError{Op: s.op, Path: s.path, Err: err}
}

// writeFile writes a file that must not exist, and syncs it. The folder is left
// to the caller.
func (d fileSystem) writeFile(path string, data []byte, perm os.FileMode) (err error) {
	var f *os.File
	err = d.do(step{op: "create", path: path}, func() (err error) {
		if f, err = os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, perm); err != nil {
			return err
		}
		return f.Chmod(perm) // whatever the umask took away
	})
	if f != nil {
		defer func() { err = errors.Join(err, f.Close()) }()
	}
	if err != nil {
		return err
	}
	if err := d.do(step{op: "write", path: path}, func() error { _, err := f.Write(data); return err }); err != nil {
		return err
	}
	return d.do(step{op: "sync", path: path}, f.Sync)
}

// replaceFile puts a file in place of another by rename.
func (d fileSystem) replaceFile(path string, data []byte, perm os.FileMode) error {
	temp := path + tempSuffix
	if err := d.removeIfThere(temp); err != nil {
		return err
	}
	if err := d.writeFile(temp, data, perm); err != nil {
		return err
	}
	if err := d.rename(temp, path); err != nil {
		return err
	}
	return d.syncDir(filepath.Dir(path))
}

// replaceLink puts a symbolic link in place of whatever file stands at path, by
// rename. The folder is left to the caller.
func (d fileSystem) replaceLink(target, path string) error {
	temp := linkTemp(path)
	if err := d.removeIfThere(temp); err != nil {
		return err
	}
	if err := d.do(step{op: "symlink", path: temp}, func() error { return os.Symlink(target, temp) }); err != nil {
		return err
	}
	return d.rename(temp, path)
}

const tempSuffix = ".new"

// linkTemp is the name a link has before it takes its place. It is always the
// same, so that what a crash leaves is found; the lock sees to it that there is
// one writer.
func linkTemp(path string) string {
	return filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".mecha"+tempSuffix)
}

func (d fileSystem) rename(from, to string) error {
	return d.do(step{op: "rename", path: to, from: from}, func() error { return os.Rename(from, to) })
}

func (d fileSystem) remove(path string) error {
	return d.do(step{op: "remove", path: path}, func() error { return os.Remove(path) })
}

func (d fileSystem) removeIfThere(path string) error {
	if !exists(path) {
		return nil
	}
	return d.remove(path)
}

// removeTree removes a folder and everything in it; nothing there is no error.
func (d fileSystem) removeTree(path string) error {
	st, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if st.IsDir() {
		entries, err := os.ReadDir(path)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if err := d.removeTree(filepath.Join(path, e.Name())); err != nil {
				return err
			}
		}
	}
	return d.remove(path)
}

func (d fileSystem) syncDir(path string) error {
	return d.do(step{op: "syncdir", path: path}, func() error {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		return f.Sync()
	})
}

// mkdirAll makes missing folders with mode 0700 and syncs the parent of each.
func (d fileSystem) mkdirAll(path string) error {
	if st, err := os.Stat(path); err == nil {
		if !st.IsDir() {
			return &fs.PathError{Op: "mkdir", Path: path, Err: unix.ENOTDIR}
		}
		return nil
	}
	parent := filepath.Dir(path)
	if parent != path {
		if err := d.mkdirAll(parent); err != nil {
			return err
		}
	}
	if err := d.do(step{op: "mkdir", path: path}, func() error { return os.Mkdir(path, 0o700) }); err != nil {
		return err
	}
	return d.syncDir(parent)
}

// exists reports whether anything stands at path, be it a dangling link.
func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
