package keyfile

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/mecha-org/mecha-agent/keystore"
)

// Beside is a file that goes down with a key's: it is there when the key is.
type Beside struct {
	Suffix string // put to the name of the key's file
	Text   []byte
}

// Install writes text to a temporary file, syncs it, gives it its name without
// replacing anything, and syncs the folder. Files beside it are synced at the same
// time and named before, in place of what a key that is gone left there. After an
// error nothing is left. It returns keystore.ErrExists when the name is taken.
func (d *Folder) Install(text []byte, beside ...Beside) (err error) {
	names, texts := []string{}, [][]byte{}
	for _, b := range beside {
		names, texts = append(names, d.base+b.Suffix), append(texts, b.Text)
	}
	names, texts = append(names, d.base), append(texts, text)
	temps, err := d.write(names, texts)
	if err != nil {
		return err
	}
	key := len(names) - 1
	named := 0
	defer func() {
		if err != nil {
			d.unlink(names[:named])
			d.unlink(temps[named:])
		}
	}()
	for ; named < key; named++ {
		if err := d.replace(temps[named], names[named]); err != nil {
			return err
		}
	}
	if err := d.name(temps[key]); err != nil {
		return err
	}
	named++
	return d.sync()
}

// Replace puts text in place of the file, and a power cut leaves one or the other,
// whole; which of them is not certain, for the folder is not synced.
func (d *Folder) Replace(text []byte) error {
	temps, err := d.write([]string{d.base}, [][]byte{text})
	if err != nil {
		return err
	}
	if err := d.replace(temps[0], d.base); err != nil {
		d.unlink(temps)
		return err
	}
	return nil
}

// write writes temporary files for those with the names, and syncs all of them at
// once: a journal that commits one takes the others along. After an error nothing
// is left.
func (d *Folder) write(names []string, texts [][]byte) (temps []string, err error) {
	var files []*os.File
	defer func() {
		for _, f := range files {
			err = errors.Join(err, f.Close())
		}
		if err != nil {
			d.unlink(temps)
		}
	}()
	for i, name := range names {
		temp := "." + name + "." + rand.Text() + ".tmp"
		fd, err := unix.Openat(d.fd(), temp, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, modeFile)
		if err != nil {
			return temps, fmt.Errorf("creating a file in %s: %w", d.f.Name(), err)
		}
		f := os.NewFile(uintptr(fd), temp)
		temps, files = append(temps, temp), append(files, f)
		if err := f.Chmod(modeFile); err != nil { // whatever the umask took away
			return temps, fmt.Errorf("setting the mode of the file: %w", err)
		}
		if _, err := f.Write(texts[i]); err != nil {
			return temps, fmt.Errorf("writing: %w", err)
		}
	}
	var all sync.WaitGroup
	failed := make([]error, len(files))
	for i, f := range files[1:] {
		all.Go(func() { failed[i+1] = f.Sync() })
	}
	failed[0] = files[0].Sync()
	all.Wait()
	if err := errors.Join(failed...); err != nil {
		return temps, fmt.Errorf("syncing: %w", err)
	}
	return temps, nil
}

func (d *Folder) unlink(names []string) {
	for _, name := range names {
		unix.Unlinkat(d.fd(), name, 0)
	}
}

func (d *Folder) replace(temp, name string) error {
	if err := unix.Renameat(d.fd(), temp, d.fd(), name); err != nil {
		return fmt.Errorf("naming the file: %w", err)
	}
	return nil
}

// name renames temp to the key's name unless that is taken.
func (d *Folder) name(temp string) error {
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
