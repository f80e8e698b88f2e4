package host

import (
	"io"
	"os"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// watch is the open file of a device whose events are waited for. Waits end with a
// deadline of the file, so that between events nothing runs.
//
// One goroutine waits at a time; halt, open, shut and ioctl may come from others.
type watch struct {
	mu     sync.Mutex
	file   *os.File // nil: not opened yet, or gone
	halted bool     // until the next open
}

// open makes f the file, closes the one before, which ends a wait on it, and
// forgets a halt. A file that cannot be waited on is closed and refused.
func (w *watch) open(f *os.File) error {
	if err := f.SetReadDeadline(time.Time{}); err != nil {
		f.Close()
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.file != nil {
		w.file.Close()
	}
	w.file, w.halted = f, false
	return nil
}

// next reads events into b. It waits for them until the deadline; the zero one
// never passes. What is there already is read even when the deadline has passed.
//
// os.ErrDeadlineExceeded says that nothing came in time, or that halt was called,
// now or before. Any other error means that the device is gone: the file is closed.
func (w *watch) next(b []byte, deadline time.Time) (int, error) {
	w.mu.Lock()
	f := w.file
	if f == nil || w.halted {
		defer w.mu.Unlock()
		if f == nil {
			return 0, os.ErrClosed
		}
		return 0, os.ErrDeadlineExceeded
	}
	n, err := readNow(f, b)
	if err == unix.EAGAIN {
		// Before mu is released, so that halt's deadline comes after this one.
		err = f.SetReadDeadline(deadline)
		w.mu.Unlock()
		if err == nil {
			n, err = f.Read(b)
		}
	} else {
		w.mu.Unlock()
	}
	switch {
	case err == nil && n > 0:
		return n, nil
	case err == nil:
		err = io.EOF
	case os.IsTimeout(err):
		return 0, os.ErrDeadlineExceeded
	}
	w.drop(f)
	return 0, err
}

// readNow reads what is there. os.File does not even look once a deadline has
// passed.
func readNow(f *os.File, b []byte) (n int, err error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return 0, err
	}
	var errno error
	err = raw.Control(func(fd uintptr) {
		for {
			if n, errno = unix.Read(int(fd), b); errno != unix.EINTR {
				return
			}
		}
	})
	if err != nil {
		return 0, err
	}
	return max(n, 0), errno
}

// halt ends a wait, and those that begin before the next open.
func (w *watch) halt() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.halted = true
	if w.file != nil {
		// It cannot fail: open has tried it.
		w.file.SetReadDeadline(time.Unix(1, 0))
	}
}

// ioctl asks the device. An error means that it is gone: the file is closed.
func (w *watch) ioctl(call ioctl, request uint, arg unsafe.Pointer) error {
	w.mu.Lock()
	f := w.file
	w.mu.Unlock()
	if f == nil {
		return os.ErrClosed
	}
	err := call.on(f, request, arg)
	if err != nil {
		w.drop(f)
	}
	return err
}

// drop closes f, unless another has taken its place.
func (w *watch) drop(f *os.File) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.file == f {
		f.Close()
		w.file = nil
	}
}

// shut closes the file. A wait ends.
func (w *watch) shut() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.file == nil {
		return nil
	}
	err := w.file.Close()
	w.file = nil
	return err
}

// until is the deadline of a wait of d; a negative d is a wait without end.
func until(d time.Duration) time.Time {
	if d < 0 {
		return time.Time{}
	}
	return time.Now().Add(d)
}
