package sqlite

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	driver "modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// Errors about the file itself; compare with errors.Is. Open returns them, and
// every method may, for a disk can fail at any time.
var (
	ErrNewer    = errors.New("the database was written by a newer release")
	ErrForeign  = errors.New("the database belongs to another program")
	ErrCorrupt  = errors.New("the database is damaged")
	ErrReadOnly = errors.New("the database cannot be written")
	ErrExposed  = errors.New("others can write to the database's folder")
	ErrBusy     = errors.New("another process holds the database")
	ErrFull     = errors.New("no space left for the database")
)

const hintCorrupt = "stop the gateway, keep a copy of the file with its -wal, then restore a backup or try: sqlite3 FILE .recover"

// hintError is an error that a person can mend.
type hintError struct {
	error
	hint string
}

func (e hintError) Hint() string  { return e.hint }
func (e hintError) Unwrap() error { return e.error }

func hinted(err error, hint string) error { return hintError{err, hint} }

// readOnly says of an error of the file system what to do about it.
func readOnly(err error, dir string) error {
	switch {
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return hinted(fmt.Errorf("%w: %w", ErrReadOnly, err),
			"the user of the gateway must own "+dir+" and be able to write there")
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return hinted(fmt.Errorf("%w: %w", ErrFull, err), "free some space on the disk of "+dir)
	}
	return err
}

// isBusy says whether another connection held what was needed.
func isBusy(err error) bool {
	var e *driver.Error
	return errors.As(err, &e) && e.Code()&0xff == sqlite3.SQLITE_BUSY
}

// explain gives SQLite's result codes (https://www.sqlite.org/rescode.html) our
// words and a hint. The primary code is the low byte.
func explain(ctx context.Context, err error) error {
	var e *driver.Error
	if !errors.As(err, &e) {
		return err
	}
	switch e.Code() & 0xff {
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return hinted(fmt.Errorf("%w: %w", ErrCorrupt, err), hintCorrupt)
	case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM:
		return hinted(fmt.Errorf("%w: %w", ErrReadOnly, err),
			"the user of the gateway must own the database's folder and files and be able to write them")
	case sqlite3.SQLITE_FULL:
		return hinted(fmt.Errorf("%w: %w", ErrFull, err), "free some space on the disk of the database")
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		if cause := ctx.Err(); cause != nil { // the wait for the lock was cut short
			return fmt.Errorf("%w: %w", cause, err)
		}
		return hinted(fmt.Errorf("%w: %w", ErrBusy, err), "end the program that keeps it open, such as a sqlite3 shell in a transaction")
	case sqlite3.SQLITE_INTERRUPT:
		if cause := ctx.Err(); cause != nil {
			return fmt.Errorf("%w: %w", cause, err)
		}
	}
	return err
}
