package ca

import (
	"errors"
	"os"
	"syscall"
	"time"
)

// lockWait is how long Open waits for another process that opens the same CA.
// Making one takes some milliseconds.
const lockWait = 5 * time.Second

// lock keeps other processes from making a CA in the same folder at the same
// time. The lock ends with the process, whatever becomes of it (flock(2)).
func (d dir) lock() (unlock func(), err error) {
	f, err := os.Open(d.path)
	if err != nil {
		return nil, err
	}
	for end := time.Now().Add(lockWait); ; time.Sleep(10 * time.Millisecond) {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		switch {
		case err == nil:
			return func() { f.Close() }, nil
		case !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR):
			f.Close()
			return nil, err
		case time.Now().After(end):
			f.Close()
			return nil, hinted(ErrBusy, "see which other mecha-gateway uses "+d.path)
		}
	}
}
