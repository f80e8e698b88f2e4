package identity

import (
	"errors"
	"io/fs"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// hinted is an error that a person can mend.
type hinted struct {
	err  error
	hint string
}

func (e *hinted) Error() string { return e.err.Error() }
func (e *hinted) Unwrap() error { return e.err }

// Hint returns what a person can do about it.
func (e *hinted) Hint() string { return e.hint }

// storageError is an ErrStorage with what was being done and, for the usual
// causes, a hint.
type storageError struct {
	doing string
	err   error
}

// storing wraps an error of the file system; nil stays nil.
func storing(doing string, err error) error {
	var known *storageError
	if err == nil || errors.As(err, &known) {
		return err
	}
	return &storageError{doing: doing, err: err}
}

func (e *storageError) Error() string {
	return ErrStorage.Error() + ": " + e.doing + ": " + e.err.Error()
}

func (e *storageError) Unwrap() []error { return []error{ErrStorage, e.err} }

// Hint returns what a person can do about a full disk, a read-only file system
// or missing permissions. Other causes may carry a hint of their own.
func (e *storageError) Hint() string {
	where := "the state folder"
	var p *fs.PathError
	if errors.As(e.err, &p) {
		where = filepath.Dir(p.Path)
	}
	for _, c := range []struct {
		errno unix.Errno
		hint  string
	}{
		{unix.ENOSPC, "the disk is full: free some space on the file system of " + where + " and try again"},
		{unix.EDQUOT, "the disk quota is used up: free some space on the file system of " + where + " and try again"},
		{unix.EROFS, "the file system of " + where + " is read-only: look for disk errors (dmesg) and mount it read-write"},
		{unix.EACCES, "give the user that the agent runs as the right to write " + where},
		{unix.EPERM, "give the user that the agent runs as the right to write " + where},
		{unix.EIO, "the disk reports errors: look at dmesg and replace it"},
	} {
		if errors.Is(e.err, c.errno) {
			return c.hint
		}
	}
	return ""
}
