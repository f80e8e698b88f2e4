package keyfile

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/mecha-org/mecha-agent/keystore"
)

// maxLinks is how many symbolic links one path may go through, as in the kernel
// (path_resolution(7)).
const maxLinks = 40

// walk opens a folder, step by step from the root, and says as exposed who could
// lead the way elsewhere: whoever owns a folder or a link above it, or may write
// one. In a sticky folder only an entry's owner may move it, and that is checked
// with the entry; a link is followed when it is ours or root's.
func walk(path string) (dir *os.File, exposed, err error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, nil, err
	}
	fail := func(err error) (*os.File, error, error) {
		return nil, nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	open := func(at int, name string) (int, error) {
		return unix.Openat(at, name, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	}
	fd, err := open(unix.AT_FDCWD, "/")
	if err != nil {
		return fail(err)
	}
	defer func() { unix.Close(fd) }()
	step := func(name string) error {
		next, err := open(fd, name)
		if err == nil {
			unix.Close(fd)
			fd = next
		}
		return err
	}

	at := "/"
	ahead := elements(abs)
	for links := 0; len(ahead) > 0; {
		name := ahead[0]
		ahead = ahead[1:]
		if exposed == nil {
			exposed = refuseAncestor(fd, at)
		}
		var st unix.Stat_t
		if err := unix.Fstatat(fd, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return fail(err)
		}
		if st.Mode&unix.S_IFMT != unix.S_IFLNK {
			if err := step(name); err != nil {
				return fail(err)
			}
			at = filepath.Join(at, name)
			continue
		}
		if links++; links > maxLinks {
			return fail(unix.ELOOP)
		}
		if exposed == nil {
			exposed = refuseOwner(filepath.Join(at, name), st.Uid)
		}
		target := make([]byte, unix.PathMax)
		n, err := unix.Readlinkat(fd, name, target)
		if err != nil {
			return fail(err)
		}
		if n > 0 && target[0] == '/' {
			if err := step("/"); err != nil {
				return fail(err)
			}
			at = "/"
		}
		ahead = append(elements(string(target[:n])), ahead...)
	}
	last, err := unix.Openat(fd, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fail(err)
	}
	return os.NewFile(uintptr(last), path), exposed, nil
}

// refuseAncestor returns ErrExposed when somebody else could replace what lies in
// a folder above the key's.
func refuseAncestor(fd int, path string) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if err := refuseOwner(path, st.Uid); err != nil {
		return err
	}
	if mode := st.Mode & 0o7777; mode&0o022 != 0 && mode&unix.S_ISVTX == 0 {
		return WithHint(
			fmt.Errorf("%w: %s above it has mode %04o, so that others can replace what lies in it", keystore.ErrExposed, path, mode),
			"run: chmod go-w "+Quote(path))
	}
	return nil
}

// elements are the parts of a path, without those that lead nowhere.
func elements(path string) []string {
	var e []string
	for part := range strings.SplitSeq(path, "/") {
		if part != "" && part != "." {
			e = append(e, part)
		}
	}
	return e
}

// MakeFolders is os.MkdirAll with mode 0700 that also syncs the parent of each
// folder it makes, so that a power cut cannot take away the path to the key.
func MakeFolders(path string) error {
	if st, err := os.Stat(path); err == nil {
		if !st.IsDir() {
			return fmt.Errorf("%s: %w", path, unix.ENOTDIR)
		}
		return nil
	}
	parent := filepath.Dir(path)
	if parent != path {
		if err := MakeFolders(parent); err != nil {
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
