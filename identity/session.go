package identity

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/mecha-org/mecha-agent/gateway"
)

// maxSession bounds the session file, in bytes.
const maxSession = 64 << 10

// sessionFile is a gateway.Session on disk, where the device code must stand in
// clear: it is a credential of this device, as its key is, and lives for minutes.
type sessionFile struct {
	Code                    string    `json:"code"`
	DeviceCode              string    `json:"device_code,omitempty"`
	Expires                 time.Time `json:"expires"`
	IntervalMS              int64     `json:"interval_ms"`
	VerificationURI         string    `json:"verification_uri,omitempty"`
	VerificationURIComplete string    `json:"verification_uri_complete,omitempty"`
}

// SaveSession remembers an announced code over a restart, in a file of mode
// 0600. The zero Session forgets it.
func (s *Store) SaveSession(ctx context.Context, session gateway.Session) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.writable(ctx); err != nil {
		return err
	}
	path := s.state(sessionName)
	if session == (gateway.Session{}) {
		if !exists(path) {
			return nil
		}
		return storing("forgetting the session", errors.Join(s.disk.remove(path), s.disk.syncDir(s.p.State)))
	}
	text, err := encodeSession(session)
	if err != nil {
		return fmt.Errorf("saving the session: %w", err)
	}
	if err := s.disk.replaceFile(path, text, modeSecret); err != nil {
		s.unsettled = s.settle(ctx) != nil
		return storing("saving the session", err)
	}
	return nil
}

// LoadSession returns the session saved last, also an expired one. A file that
// is damaged is removed and counts as none: another code is made in a second.
func (s *Store) LoadSession(ctx context.Context) (gateway.Session, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.usable(ctx); err != nil {
		return gateway.Session{}, err
	}
	path := s.state(sessionName)
	text, err := readBounded(path)
	if errors.Is(err, fs.ErrNotExist) || exists(s.state(removingName)) {
		return gateway.Session{}, nil
	}
	if err != nil {
		return gateway.Session{}, storing("reading the session", err)
	}
	session, err := decodeSession(text)
	if err != nil {
		return gateway.Session{}, storing("removing a damaged session", errors.Join(s.disk.remove(path), s.disk.syncDir(s.p.State)))
	}
	return session, nil
}

func encodeSession(session gateway.Session) ([]byte, error) {
	text, err := json.Marshal(sessionFile{
		Code:                    session.Code,
		DeviceCode:              session.DeviceCode.Reveal(),
		Expires:                 session.Expires.UTC(),
		IntervalMS:              session.Interval.Milliseconds(),
		VerificationURI:         session.VerificationURI,
		VerificationURIComplete: session.VerificationURIComplete,
	})
	if err == nil && len(text) > maxSession {
		err = fmt.Errorf("longer than %d bytes", maxSession)
	}
	return text, err
}

// decodeSession reads what encodeSession writes. Its error never repeats the text.
func decodeSession(text []byte) (gateway.Session, error) {
	var f sessionFile
	if len(text) > maxSession || json.Unmarshal(text, &f) != nil {
		return gateway.Session{}, errors.New("not a session file")
	}
	code, err := gateway.ParseCode(f.Code)
	if err != nil || code != f.Code {
		return gateway.Session{}, errors.New("the code is damaged")
	}
	// Beyond these years the time is no session's, and past 9999 not even JSON's.
	if year := f.Expires.UTC().Year(); year < 1970 || year > 9000 || f.IntervalMS < 0 || f.IntervalMS > int64(24*time.Hour/time.Millisecond) {
		return gateway.Session{}, errors.New("a time is damaged")
	}
	return gateway.Session{
		Code:                    f.Code,
		DeviceCode:              gateway.Secret(f.DeviceCode),
		Expires:                 f.Expires.UTC(),
		Interval:                time.Duration(f.IntervalMS) * time.Millisecond,
		VerificationURI:         f.VerificationURI,
		VerificationURIComplete: f.VerificationURIComplete,
	}, nil
}
