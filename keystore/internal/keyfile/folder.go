// Package keyfile puts files that hold keys, or what a security chip needs to
// find them, on stable storage and takes them away: nobody else may read them or
// put others in their place, and a power cut leaves a whole file or none.
package keyfile

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/mecha-org/mecha-agent/keystore"
)

// Permissions of a key file and of the folders that are made for it.
const (
	modeFile   = 0o600
	modeFolder = 0o700
)

// Folder is the open folder of a key. Everything goes through its descriptor,
// so that nobody can swap the folder between a check and a use.
type Folder struct {
	f       *os.File
	path    string // of the key
	base    string // its last element
	exposed error  // of the way to the folder, or nil
}

// Open opens the folder that path lies in. It returns keystore.ErrNotExist when
// there is none.
func Open(path string) (*Folder, error) {
	base := filepath.Base(path)
	if path == "" || base == "." || base == ".." || base == string(filepath.Separator) {
		return nil, fmt.Errorf("%q is not the path of a file", path)
	}
	f, exposed, err := walk(filepath.Dir(path))
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil, fmt.Errorf("%w: %s", keystore.ErrNotExist, path)
	case err != nil:
		return nil, err
	}
	return &Folder{f: f, path: path, base: base, exposed: exposed}, nil
}

// OpenNew is Open for a key that is to be made: it makes the folders that are
// missing (MakeFolders), and returns keystore.ErrExposed as RefuseWritable does and
// keystore.ErrExists when anything at all stands at path.
func OpenNew(path string) (*Folder, error) {
	if err := MakeFolders(filepath.Dir(path)); err != nil {
		return nil, err
	}
	d, err := Open(path)
	if err != nil {
		return nil, err
	}
	err = d.RefuseWritable()
	if err == nil && d.Exists() {
		err = fmt.Errorf("%w: %s", keystore.ErrExists, path)
	}
	if err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

// Read is Folder.Read of the file at path.
func Read(path string, max int) ([]byte, error) {
	d, err := Open(path)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	return d.Read(max)
}

// Remove is Folder.Remove of the file at path.
func Remove(path string) error {
	d, err := Open(path)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Remove()
}

// Close frees the descriptor.
func (d *Folder) Close() error { return d.f.Close() }

func (d *Folder) fd() int { return int(d.f.Fd()) }

func (d *Folder) sync() error {
	if err := d.f.Sync(); err != nil {
		return fmt.Errorf("syncing folder: %w", err)
	}
	return nil
}

// Exists says whether anything at all stands at the path.
func (d *Folder) Exists() bool {
	var st unix.Stat_t
	return unix.Fstatat(d.fd(), d.base, &st, unix.AT_SYMLINK_NOFOLLOW) == nil
}

// RefuseWritable returns keystore.ErrExposed when somebody else could put a file
// of his own in the key's place, here or in a folder above. For the folder itself
// the sticky bit is no excuse.
func (d *Folder) RefuseWritable() error {
	var st unix.Stat_t
	if err := unix.Fstat(d.fd(), &st); err != nil {
		return fmt.Errorf("%s: %w", d.f.Name(), err)
	}
	if err := refuseOwner(d.f.Name(), st.Uid); err != nil {
		return err
	}
	if mode := st.Mode & 0o777; mode&0o022 != 0 {
		return WithHint(
			fmt.Errorf("%w: its folder %s has mode %04o, so that others can replace it", keystore.ErrExposed, d.f.Name(), mode),
			"run: chmod go-w "+Quote(d.f.Name()))
	}
	return d.exposed
}

// Read returns the file's content, at most max bytes of it. What it checks is
// checked on the very descriptor that is read from. It returns
// keystore.ErrNotExist; keystore.ErrExposed when others can read the file or write
// its folder, or either belongs to somebody who is neither us nor root;
// keystore.ErrDamaged when it is too long or not a regular file (a symbolic link
// is not followed).
func (d *Folder) Read(max int) ([]byte, error) {
	// O_NONBLOCK: opening a FIFO would wait for a writer.
	fd, err := unix.Openat(d.fd(), d.base, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	switch {
	case errors.Is(err, unix.ENOENT):
		return nil, fmt.Errorf("%w: %s", keystore.ErrNotExist, d.path)
	case errors.Is(err, unix.ELOOP), errors.Is(err, unix.ENXIO): // symbolic link, socket
		return nil, notRegular(d.path)
	case err != nil:
		return nil, fmt.Errorf("%s: %w", d.path, err)
	}
	f := os.NewFile(uintptr(fd), d.path)
	defer f.Close()
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, fmt.Errorf("%s: %w", d.path, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, notRegular(d.path)
	}
	if err := d.RefuseWritable(); err != nil {
		return nil, err
	}
	if err := refuseOwner(d.path, st.Uid); err != nil {
		return nil, err
	}
	if mode := st.Mode & 0o777; mode&0o077 != 0 {
		return nil, WithHint(
			fmt.Errorf("%w: %s has mode %04o", keystore.ErrExposed, d.path, mode),
			"run: chmod 600 "+Quote(d.path)+" (and make a new key when somebody may have read this one)")
	}
	text, err := io.ReadAll(io.LimitReader(f, int64(max)+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("reading: %w", err)
	case len(text) > max:
		return nil, WithHint(fmt.Errorf("%w: %s is longer than %d bytes", keystore.ErrDamaged, d.path, max), hintDamaged(d.path))
	}
	return text, nil
}

// overwrite fills the file with zeros, as far as it can.
func (d *Folder) overwrite() {
	fd, err := unix.Openat(d.fd(), d.base, unix.O_WRONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	f := os.NewFile(uintptr(fd), d.path)
	defer f.Close()
	st, err := f.Stat()
	if err != nil || !st.Mode().IsRegular() {
		return
	}
	zeros := make([]byte, 4096)
	for left := st.Size(); left > 0; {
		n, err := f.Write(zeros[:min(left, int64(len(zeros)))])
		if err != nil {
			return
		}
		left -= int64(n)
	}
	_ = f.Sync() // the unlink that follows decides
}

// Remove overwrites the file with zeros and unlinks it, also when Read would
// refuse it. It returns keystore.ErrNotExist when nothing stands there and
// keystore.ErrDamaged, removing nothing, when that is not a regular file.
func (d *Folder) Remove() error {
	var st unix.Stat_t
	err := unix.Fstatat(d.fd(), d.base, &st, unix.AT_SYMLINK_NOFOLLOW)
	switch {
	case errors.Is(err, unix.ENOENT):
		return fmt.Errorf("%w: %s", keystore.ErrNotExist, d.path)
	case err != nil:
		return fmt.Errorf("%s: %w", d.path, err)
	case st.Mode&unix.S_IFMT != unix.S_IFREG:
		return notRegular(d.path)
	}
	// A file that cannot be overwritten (a full copy-on-write file system, mode
	// 0400) must go all the same, so the outcome is that of the unlink.
	d.overwrite()
	if err := unix.Unlinkat(d.fd(), d.base, 0); err != nil {
		return fmt.Errorf("unlinking %s: %w", d.path, err)
	}
	return d.sync()
}
