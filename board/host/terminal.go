package host

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// writeLimit bounds a write to a terminal: a serial line whose other end has
// stopped it takes nothing for as long as it likes.
const writeLimit = 5 * time.Second

// The size of a terminal that does not tell its own, as a serial line does not:
// that of the VT100.
const usualColumns, usualRows = 80, 24

// Terminal is a terminal to write to: /dev/tty1, /dev/ttyS0. Write opens it, and
// opens it again after a failure. It is left as it is set: who has started a
// getty or a console on it has given it its speed.
type Terminal struct {
	path  string
	limit time.Duration

	mu     sync.Mutex
	file   *os.File // nil: not open
	closed bool
}

// Terminal returns the terminal at path. It opens nothing.
func (h *Host) Terminal(path string) *Terminal { return &Terminal{path: path, limit: writeLimit} }

// String returns the path.
func (t *Terminal) String() string { return t.path }

// Size returns columns and rows: 80 and 24 where the terminal cannot be opened or
// does not tell.
func (t *Terminal) Size() (columns, rows int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.open() == nil {
		if raw, err := t.file.SyscallConn(); err == nil {
			_ = raw.Control(func(fd uintptr) {
				if size, err := unix.IoctlGetWinsize(int(fd), unix.TIOCGWINSZ); err == nil {
					columns, rows = int(size.Col), int(size.Row)
				}
			})
		}
	}
	if columns == 0 || rows == 0 {
		return usualColumns, usualRows
	}
	return columns, rows
}

// Write writes all of p, in five seconds at most. After an error the terminal is
// opened anew by the next call.
func (t *Terminal) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.open(); err != nil {
		return 0, fmt.Errorf("opening the terminal: %w", err)
	}
	n, err := 0, t.file.SetWriteDeadline(time.Now().Add(t.limit))
	if err == nil {
		n, err = t.file.Write(p)
	}
	if err != nil {
		t.file.Close()
		t.file = nil
		if errors.Is(err, os.ErrDeadlineExceeded) {
			err = &hinted{fmt.Errorf("%s takes no more output", t.path), "is its other end connected, and does it hold it with flow control?"}
		}
		return n, fmt.Errorf("writing to the terminal: %w", err)
	}
	return n, nil
}

func (t *Terminal) open() error {
	if t.closed {
		return os.ErrClosed
	}
	if t.file != nil {
		return nil
	}
	// It must not become the controlling terminal of this process, and a line
	// without carrier must not keep it waiting.
	f, err := os.OpenFile(t.path, os.O_WRONLY|syscall.O_NOCTTY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return explain(t.path, err)
	}
	raw, err := f.SyscallConn()
	if err == nil {
		var tty error
		err = raw.Control(func(fd uintptr) { _, tty = unix.IoctlGetTermios(int(fd), unix.TCGETS) })
		if tty != nil {
			err = &hinted{fmt.Errorf("%s is no terminal", t.path), "set hardware.console to on, off, auto or a terminal such as /dev/tty1"}
		}
	}
	if err != nil {
		f.Close()
		return err
	}
	t.file = f
	return nil
}

// Close closes the terminal. A second Close does nothing.
func (t *Terminal) Close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	if t.file == nil {
		return nil
	}
	err := t.file.Close()
	t.file = nil
	return err
}

var _ io.WriteCloser = (*Terminal)(nil)
