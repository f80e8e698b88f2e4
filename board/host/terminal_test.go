package host

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// pseudo opens a terminal: the side of the screen, and the path of the other.
func pseudo(t *testing.T) (screen *os.File, path string) {
	t.Helper()
	screen, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { screen.Close() })
	raw, err := screen.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var number int
	var failed error
	err = raw.Control(func(fd uintptr) {
		if failed = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0); failed == nil {
			number, failed = unix.IoctlGetInt(int(fd), unix.TIOCGPTN)
		}
	})
	if err := errors.Join(err, failed); err != nil {
		t.Fatal(err)
	}
	return screen, fmt.Sprintf("/dev/pts/%d", number)
}

func TestTerminal(t *testing.T) {
	screen, path := pseudo(t)
	term := New().Terminal(path)
	if columns, rows := term.Size(); columns != 80 || rows != 24 {
		t.Errorf("a size that is not set: %d by %d", columns, rows)
	}
	raw, err := screen.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var failed error
	if err := raw.Control(func(fd uintptr) {
		failed = unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &unix.Winsize{Col: 132, Row: 50})
	}); err != nil || failed != nil {
		t.Fatal(err, failed)
	}
	if columns, rows := term.Size(); columns != 132 || rows != 50 {
		t.Errorf("%d by %d, want 132 by 50", columns, rows)
	}
	if _, err := term.Write([]byte("7K3 QMZ\n")); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 32)
	n, err := screen.Read(got)
	if text := string(got[:n]); err != nil || text != "7K3 QMZ\r\n" {
		t.Errorf("%q, %v", text, err)
	}
	if err := errors.Join(term.Close(), term.Close()); err != nil {
		t.Error(err)
	}
	if _, err := term.Write([]byte("x")); !errors.Is(err, os.ErrClosed) {
		t.Errorf("written after Close: %v", err)
	}
}

// TestTerminalStopped has a line that nobody reads: the write ends, and the next
// one tries anew.
func TestTerminalStopped(t *testing.T) {
	screen, path := pseudo(t)
	term := New().Terminal(path)
	defer term.Close()
	term.limit = 20 * time.Millisecond
	much := bytes.Repeat([]byte("."), 1<<20)
	for range 2 {
		_, err := term.Write(much)
		if err == nil || !strings.Contains(err.Error(), "takes no more output") || hintOf(err) == "" {
			t.Fatalf("%v, hint %q", err, hintOf(err))
		}
	}
	go func() { // until the screen is closed
		sink := make([]byte, 1<<16)
		for {
			if _, err := screen.Read(sink); err != nil {
				return
			}
		}
	}()
	term.limit = 10 * time.Second
	if _, err := term.Write([]byte("again\n")); err != nil {
		t.Error(err)
	}
}

func TestNoTerminal(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	term := New().Terminal(file)
	if _, err := term.Write([]byte("x")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := term.Write([]byte("x"))
	if err == nil || !strings.Contains(err.Error(), "is no terminal") || hintOf(err) == "" {
		t.Errorf("a file: %v", err)
	}
	if got, err := os.ReadFile(file); err != nil || string(got) != "precious" {
		t.Errorf("the file holds %q, %v", got, err)
	}
	if columns, rows := term.Size(); columns != 80 || rows != 24 {
		t.Errorf("%d by %d", columns, rows)
	}
}
