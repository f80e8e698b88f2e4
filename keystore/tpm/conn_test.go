package tpm

import (
	"context"
	"encoding/binary"
	"errors"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-tpm/tpm2"
)

// reply is a response of a TPM 2.0 without sessions.
func reply(code tpm2.TPMRC, body ...byte) []byte {
	b := binary.BigEndian.AppendUint16(nil, tagNoSessions)
	b = binary.BigEndian.AppendUint32(b, uint32(headerSize+len(body)))
	return append(binary.BigEndian.AppendUint32(b, uint32(code)), body...)
}

// scripted answers with one function a command.
type scripted struct {
	mu      sync.Mutex
	answers []func() ([]byte, error)
	asked   int
	closed  int
}

func (s *scripted) exchange(context.Context, []byte) ([]byte, error) {
	s.mu.Lock()
	s.asked++
	next := s.answers[0]
	s.answers = s.answers[1:]
	s.mu.Unlock()
	return next()
}

func (s *scripted) close() error {
	s.closed++
	return nil
}

func says(response []byte) func() ([]byte, error) {
	return func() ([]byte, error) { return response, nil }
}

// A TPM that has no time yet is asked again after 20 ms, 40 ms and so on.
func TestRetry(t *testing.T) {
	for _, busy := range []tpm2.TPMRC{tpm2.TPMRCRetry, tpm2.TPMRCTesting, tpm2.TPMRCYielded} {
		synctest.Test(t, func(t *testing.T) {
			s := &scripted{answers: []func() ([]byte, error){says(reply(busy)), says(reply(busy)), says(reply(0, 7))}}
			c := newConn(t.Context(), "", s)
			begin := time.Now()
			got, err := c.Send([]byte("command"))
			if err != nil || string(got) != string(reply(0, 7)) {
				t.Errorf("%v: got %x, %v", busy, got, err)
			}
			if took := time.Since(begin); took != 60*time.Millisecond || s.asked != 3 {
				t.Errorf("%v: asked %d times in %v", busy, s.asked, took)
			}
		})
	}
}

// Who always says "again" is believed in the end.
func TestRetryEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &scripted{}
		for range 20 {
			s.answers = append(s.answers, says(reply(tpm2.TPMRCRetry)))
		}
		begin := time.Now()
		got, err := newConn(t.Context(), "", s).Send([]byte("command"))
		if err != nil || string(got) != string(reply(tpm2.TPMRCRetry)) {
			t.Errorf("got %x, %v", got, err)
		}
		if took := time.Since(begin); took > 5*time.Second || s.asked != 8 {
			t.Errorf("asked %d times in %v", s.asked, took)
		}
	})
}

// A command that never ends gives ErrHung in time, and the next one waits for
// its turn: it must not read the late response. When the TPM wakes up, the
// connection works.
func TestHung(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wake := make(chan struct{})
		s := &scripted{answers: []func() ([]byte, error){
			func() ([]byte, error) { <-wake; return reply(0, 1), nil }, says(reply(0, 2)), says(reply(0, 3))}}
		c := newConn(t.Context(), "", s)
		for range 2 {
			begin := time.Now()
			_, err := c.Send([]byte("command"))
			if !errors.Is(err, ErrHung) || time.Since(begin) != CommandTimeout {
				t.Errorf("got %v after %v", err, time.Since(begin))
			}
		}
		close(wake)
		got, err := c.Send([]byte("command"))
		if err != nil || string(got) != string(reply(0, 2)) {
			t.Errorf("awake: got %x, %v", got, err)
		}
		if err := c.Close(); err != nil || s.closed != 1 {
			t.Errorf("closing: %v, closed %d times", err, s.closed)
		}
	})
}

// Close does not wait for a TPM that hangs, and closes when it wakes up.
func TestCloseHung(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wake := make(chan struct{})
		s := &scripted{answers: []func() ([]byte, error){func() ([]byte, error) { <-wake; return reply(0), nil }}}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		c := newConn(ctx, "", s)
		if _, err := c.Send(nil); !errors.Is(err, ErrHung) {
			t.Errorf("got %v", err)
		}
		begin := time.Now()
		if err := c.Close(); err != nil || time.Since(begin) != closeTimeout {
			t.Errorf("got %v after %v", err, time.Since(begin))
		}
		if s.closed != 0 {
			t.Error("closed under a running command")
		}
		close(wake)
		synctest.Wait()
		if s.closed != 1 {
			t.Errorf("closed %d times after the TPM woke up", s.closed)
		}
	})
}

func TestClosed(t *testing.T) {
	s := &scripted{}
	c := newConn(t.Context(), "", s)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Send(nil); !errors.Is(err, os.ErrClosed) || s.asked != 0 {
		t.Errorf("sending: got %v, asked %d", err, s.asked)
	}
	if err := c.Close(); !errors.Is(err, os.ErrClosed) || s.closed != 1 {
		t.Errorf("closing again: got %v, closed %d times", err, s.closed)
	}
}

// Who calls a command off learns that, and nothing bad about the TPM.
func TestCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		never := make(chan struct{})
		s := &scripted{answers: []func() ([]byte, error){func() ([]byte, error) { <-never; return nil, nil }}}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		_, err := newConn(ctx, "", s).Send(nil)
		if !errors.Is(err, context.Canceled) || errors.Is(err, ErrHung) {
			t.Errorf("got %v", err)
		}
		close(never)
	})
}

// Nobody makes us ask for 4 GB of memory.
func TestReadResponseLimit(t *testing.T) {
	for size, fine := range map[uint32]bool{headerSize - 1: false, headerSize: true, maxMessage: true, maxMessage + 1: false} {
		header := binary.BigEndian.AppendUint32([]byte("\x80\x01"), size)
		got, err := readResponse(strings.NewReader(string(header) + strings.Repeat("\x00", maxMessage)))
		if fine && (err != nil || uint32(len(got)) != size) || !fine && !errors.Is(err, ErrGarbage) {
			t.Errorf("%d bytes: got %d, %v", size, len(got), err)
		}
	}
}

func TestCheck(t *testing.T) {
	for _, c := range []struct {
		name     string
		response string
		want     error
	}{
		{"success", "\x80\x01\x00\x00\x00\x0a\x00\x00\x00\x00", nil},
		{"with sessions", "\x80\x02\x00\x00\x00\x0c\x00\x00\x00\x00\x01\x02", nil},
		{"an error is an answer too", "\x80\x01\x00\x00\x00\x0a\x00\x00\x09\x21", nil},
		{"nothing", "", ErrGarbage},
		{"header cut", "\x80\x01\x00\x00\x00\x09\x00\x00\x00", ErrGarbage},
		{"longer than it says", "\x80\x01\x00\x00\x00\x0a\x00\x00\x00\x00\x00", ErrGarbage},
		{"shorter than it says", "\x80\x01\x00\x00\x00\x0b\x00\x00\x00\x00", ErrGarbage},
		{"size beyond 31 bits", "\x80\x01\xff\xff\xff\xff\x00\x00\x00\x00", ErrGarbage},
		{"another tag", "\x80\x03\x00\x00\x00\x0a\x00\x00\x00\x00", ErrGarbage},
		{"TPM 1.2: TPM_BADTAG", "\x00\xc4\x00\x00\x00\x0a\x00\x00\x00\x1e", ErrVersion},
	} {
		if err := check([]byte(c.response)); !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
			t.Errorf("%s: got %v, want %v", c.name, err, c.want)
		}
	}
}
