package host

import (
	"errors"
	"io"
	"os"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// pipeWatch is a watch on a pipe, and the end that events are written to.
func pipeWatch(t *testing.T) (*watch, *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	var x watch
	if err := x.open(r); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { x.shut() })
	return &x, w
}

func past() time.Time { return time.Now().Add(-time.Second) }

func TestWatchReads(t *testing.T) {
	w, events := pipeWatch(t)
	b := make([]byte, 8)
	for _, deadline := range []time.Time{{}, time.Now().Add(time.Minute), past()} {
		if _, err := events.WriteString("edge"); err != nil {
			t.Fatal(err)
		}
		if n, err := w.next(b, deadline); err != nil || string(b[:n]) != "edge" {
			t.Errorf("deadline %v: got %q, %v", deadline, b[:n], err)
		}
	}
}

func TestWatchDeadline(t *testing.T) {
	w, events := pipeWatch(t)
	for _, wait := range []time.Duration{0, time.Millisecond, 20 * time.Millisecond} {
		start := time.Now()
		if _, err := w.next(make([]byte, 8), until(wait)); err != os.ErrDeadlineExceeded {
			t.Errorf("after %v: %v", wait, err)
		}
		if took := time.Since(start); took < wait {
			t.Errorf("waited %v, want %v", took, wait)
		}
	}
	// A deadline that has passed is not the next wait's.
	go events.WriteString("edge")
	if _, err := w.next(make([]byte, 8), until(-1)); err != nil {
		t.Error(err)
	}
}

// TestWatchHalt halts waits that are about to start, and some that have: which of
// the two is the scheduler's choice, so that it is done often.
func TestWatchHalt(t *testing.T) {
	for i := range 300 {
		w, events := pipeWatch(t)
		ended := make(chan error)
		go func() {
			_, err := w.next(make([]byte, 8), until(-1))
			ended <- err
		}()
		for range i % 30 {
			runtime.Gosched()
		}
		w.halt()
		if err := <-ended; err != os.ErrDeadlineExceeded {
			t.Fatalf("round %d: %v", i, err)
		}
		// It stays, whatever comes, until the next open.
		if _, err := events.WriteString("edge"); err != nil {
			t.Fatal(err)
		}
		if _, err := w.next(make([]byte, 8), until(-1)); err != os.ErrDeadlineExceeded {
			t.Fatalf("round %d, again: %v", i, err)
		}
		events.Close()
		w.shut()
	}
}

func TestWatchOpenEndsHaltAndWait(t *testing.T) {
	w, _ := pipeWatch(t)
	w.halt()
	r, events, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer events.Close()
	if err := w.open(r); err != nil {
		t.Fatal(err)
	}
	if _, err := w.next(make([]byte, 8), until(time.Millisecond)); err != os.ErrDeadlineExceeded {
		t.Error(err)
	}
	ended := make(chan error)
	go func() {
		_, err := w.next(make([]byte, 8), until(-1))
		ended <- err
	}()
	w.shut()
	if err := <-ended; !errors.Is(err, os.ErrClosed) {
		t.Errorf("a wait on a closed file: %v", err)
	}
}

func TestWatchGone(t *testing.T) {
	w, events := pipeWatch(t)
	events.Close()
	if _, err := w.next(make([]byte, 8), until(-1)); err != io.EOF {
		t.Errorf("error %v", err)
	}
	if w.file != nil {
		t.Error("the file of a device that has gone is kept open")
	}
	if _, err := w.next(make([]byte, 8), until(-1)); err != os.ErrClosed {
		t.Errorf("error %v", err)
	}
	w.halt() // of nothing
	if err := w.shut(); err != nil {
		t.Error(err)
	}
}

// TestWatchKeepsNewFile checks that a failure of the file before does not close its
// successor.
func TestWatchKeepsNewFile(t *testing.T) {
	w, _ := pipeWatch(t)
	old := w.file
	r, events, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer events.Close()
	if err := w.open(r); err != nil {
		t.Fatal(err)
	}
	w.drop(old)
	if w.file != r {
		t.Error("the new file was closed")
	}
}

// TestWatchPollable checks that what cannot be waited for is refused: such a wait
// could not be ended.
func TestWatchPollable(t *testing.T) {
	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	var w watch
	if err := w.open(f); !errors.Is(err, os.ErrNoDeadline) {
		t.Errorf("error %v", err)
	}
	if _, err := unix.FcntlInt(f.Fd(), unix.F_GETFD, 0); err == nil {
		t.Error("the file was left open")
	}
}
