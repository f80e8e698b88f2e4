package disk

import (
	"crypto/rand"
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

// folder is the open folder of a key. Everything goes through its descriptor,
// so that nobody can swap the folder between a check and a use.
type folder struct {
	f    *os.File
	path string // of the key
	base string // its last element
}

func openFolder(path string) (*folder, error) {
	base := filepath.Base(path)
	if path == "" || base == "." || base == ".." || base == string(filepath.Separator) {
		return nil, fmt.Errorf("%q is not the path of a file", path)
	}
	f, err := os.OpenFile(filepath.Dir(path), os.O_RDONLY|unix.O_DIRECTORY, 0)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil, fmt.Errorf("%w: %s", keystore.ErrNotExist, path)
	case err != nil:
		return nil, err
	}
	return &folder{f: f, path: path, base: base}, nil
}

// Close frees the descriptor.
func (d *folder) Close() error { return d.f.Close() }

func (d *folder) fd() int { return int(d.f.Fd()) }

func (d *folder) sync() error {
	if err := d.f.Sync(); err != nil {
		return fmt.Errorf("syncing folder: %w", err)
	}
	return nil
}

func (d *folder) exists() bool {
	var st unix.Stat_t
	return unix.Fstatat(d.fd(), d.base, &st, unix.AT_SYMLINK_NOFOLLOW) == nil
}

// refuseWritable returns ErrExposed when somebody else could put a file of his
// own in the key's place. The sticky bit is no excuse.
func (d *folder) refuseWritable() error {
	var st unix.Stat_t
	if err := unix.Fstat(d.fd(), &st); err != nil {
		return fmt.Errorf("%s: %w", d.f.Name(), err)
	}
	if err := refuseOwner(d.f.Name(), st.Uid); err != nil {
		return err
	}
	if mode := st.Mode & 0o777; mode&0o022 != 0 {
		return &hinted{
			err:  fmt.Errorf("%w: its folder %s has mode %04o, so that others can replace it", keystore.ErrExposed, d.f.Name(), mode),
			hint: "run: chmod go-w " + quote(d.f.Name()),
		}
	}
	return nil
}

// read returns the file's content after the checks of Open, all of them on the
// descriptor that is read from.
func (d *folder) read() ([]byte, error) {
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
	if err := d.refuseWritable(); err != nil {
		return nil, err
	}
	if err := refuseOwner(d.path, st.Uid); err != nil {
		return nil, err
	}
	if mode := st.Mode & 0o777; mode&0o077 != 0 {
		return nil, &hinted{
			err:  fmt.Errorf("%w: %s has mode %04o", keystore.ErrExposed, d.path, mode),
			hint: "run: chmod 600 " + quote(d.path) + " (and make a new key when somebody may have read this one)",
		}
	}
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("reading: %w", err)
	case len(text) > maxFile:
		return nil, explain(fmt.Errorf("%w: it is longer than %d bytes", keystore.ErrDamaged, maxFile), d.path)
	}
	return text, nil
}

// install writes text to a temporary file, syncs it, gives it its name without
// replacing anything, and syncs the folder. After an error nothing is left.
func (d *folder) install(text []byte) (err error) {
	temp := "." + d.base + "." + rand.Text() + ".tmp"
	fd, err := unix.Openat(d.fd(), temp, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, modeFile)
	if err != nil {
		return fmt.Errorf("creating a file in %s: %w", d.f.Name(), err)
	}
	f := os.NewFile(uintptr(fd), temp)
	defer f.Close()
	named := temp
	defer func() {
		if err != nil {
			unix.Unlinkat(d.fd(), named, 0)
		}
	}()
	if err := f.Chmod(modeFile); err != nil { // whatever the umask took away
		return fmt.Errorf("setting the mode of the file: %w", err)
	}
	if _, err := f.Write(text); err != nil {
		return fmt.Errorf("writing: %w", err)
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("syncing: %w", err)
	}
	if err := d.name(temp); err != nil {
		return err
	}
	named = d.base
	return d.sync()
}

// name renames temp to the key's name unless that is taken.
func (d *folder) name(temp string) error {
	err := unix.Renameat2(d.fd(), temp, d.fd(), d.base, unix.RENAME_NOREPLACE)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) {
		// The file system (NFS, older overlays) or kernel has no such flag; a hard
		// link never replaces either.
		if err = unix.Linkat(d.fd(), temp, d.fd(), d.base, 0); err == nil {
			return unix.Unlinkat(d.fd(), temp, 0)
		}
	}
	switch {
	case errors.Is(err, unix.EEXIST):
		return fmt.Errorf("%w: %s", keystore.ErrExists, d.path)
	case err != nil:
		return fmt.Errorf("naming the file: %w", err)
	}
	return nil
}

// overwrite fills the file with zeros, as far as it can.
func (d *folder) overwrite() {
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

// makeFolders is os.MkdirAll with mode 0700 that also syncs the parent of each
// folder it makes, so that a power cut cannot take away the path to the key.
func makeFolders(path string) error {
	if st, err := os.Stat(path); err == nil {
		if !st.IsDir() {
			return fmt.Errorf("%s: %w", path, unix.ENOTDIR)
		}
		return nil
	}
	parent := filepath.Dir(path)
	if parent != path {
		if err := makeFolders(parent); err != nil {
			return err
		}
	}
	if err := os.Mkdir(path, modeFolder); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	f, err := os.Open(parent)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Sync(); err != nil {
		return fmt.Errorf("syncing folder: %w", err)
	}
	return nil
}
