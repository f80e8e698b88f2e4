package identity

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mecha-org/mecha-agent/gateway"
)

func TestSession(t *testing.T) {
	b := newBench(t, newPKI(t))
	s := b.open(t, nil)
	load := func() gateway.Session {
		t.Helper()
		got, err := s.LoadSession(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	if load() != (gateway.Session{}) {
		t.Error("a session before any was saved")
	}
	want := session()
	if err := s.SaveSession(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(b.paths.State, sessionName)
	if st, err := os.Stat(path); err != nil || st.Mode() != 0o600 {
		t.Errorf("mode %v (%v), want 0600", st.Mode(), err)
	}
	s.Close()
	s = b.open(t, nil)
	defer func() { s.Close() }()
	if got := load(); got != want || got.DeviceCode.Reveal() != "the device's secret" {
		t.Errorf("LoadSession() = %#v, want %#v", got, want)
	}
	want.Code, want.DeviceCode = "XYZ789", "" // a gateway without the announce route
	if err := s.SaveSession(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	if load() != want {
		t.Error("the second session did not replace the first")
	}
	for range 2 {
		if err := s.SaveSession(t.Context(), gateway.Session{}); err != nil {
			t.Fatal(err)
		}
		if load() != (gateway.Session{}) || exists(path) {
			t.Error("the zero session does not forget")
		}
	}
}

func TestSessionDamaged(t *testing.T) {
	for name, text := range map[string]string{
		"empty":         "",
		"cut short":     `{"code":"ABC1`,
		"null":          "null",
		"no code":       `{"expires":"2026-01-01T00:00:00Z"}`,
		"bad code":      `{"code":"abc 123","expires":"2026-01-01T00:00:00Z"}`,
		"no end":        `{"code":"ABC123"}`,
		"end of time":   `{"code":"ABC123","expires":"9999-12-31T23:59:59-01:00"}`,
		"bad interval":  `{"code":"ABC123","expires":"2026-01-01T00:00:00Z","interval_ms":-1}`,
		"long interval": `{"code":"ABC123","expires":"2026-01-01T00:00:00Z","interval_ms":9223372036854775807}`,
		"too long":      strings.Repeat(" ", maxSession) + `{"code":"ABC123","expires":"2026-01-01T00:00:00Z"}`,
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, newPKI(t))
			s := b.open(t, nil)
			defer s.Close()
			path := filepath.Join(b.paths.State, sessionName)
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			if got, err := s.LoadSession(t.Context()); err != nil || got != (gateway.Session{}) {
				t.Errorf("LoadSession() = %+v, %v, want none", got, err)
			}
			if exists(path) {
				t.Error("the damaged file is still there")
			}
		})
	}
}

// TestSessionCrash: after a crash there is the old session, the new one or, when
// forgetting, none; never an error.
func TestSessionCrash(t *testing.T) {
	ca := newPKI(t)
	first, second := session(), session()
	second.Code = "XYZ789"
	for _, next := range []gateway.Session{second, {}} {
		for _, l := range []loss{lossNone, lossData, lossEntries} {
			for n := 1; ; n++ {
				b := newBench(t, ca)
				s := b.open(t, nil)
				if err := s.SaveSession(t.Context(), first); err != nil {
					t.Fatal(err)
				}
				s.Close()
				s, ok := crash(t, b, n, l, func(s *Store) error { return s.SaveSession(t.Context(), next) }, func(string) {})
				if !ok {
					break
				}
				if got, err := s.LoadSession(t.Context()); err != nil || got != first && got != next {
					t.Errorf("%v, step %d: LoadSession() = %+v, %v", l, n, got, err)
				}
				s.Close()
			}
		}
	}
}

func FuzzDecodeSession(f *testing.F) {
	text, err := encodeSession(session())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte(`{"code":"ABC123","expires":"2026-01-01T00:00:00+02:00","interval_ms":1,"x":[]}`))
	f.Add([]byte(`{"code":"ABC123","expires":"9999-12-31T23:59:59-01:00"}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, text []byte) {
		got, err := decodeSession(text)
		if err != nil {
			if len(text) > 8 && json.Valid(text) && strings.Contains(err.Error(), string(bytes.TrimSpace(text))) {
				t.Fatalf("the error repeats the file: %v", err)
			}
			return
		}
		printed, err := encodeSession(got)
		if err != nil {
			if len(text) > maxSession/8 { // escaping makes a text up to six times as long
				return
			}
			t.Fatal(err)
		}
		again, err := decodeSession(printed)
		if err != nil || again != got || got.Interval > 24*time.Hour {
			t.Fatalf("what parsed does not print back the same: %v\n%#v\n%#v", err, got, again)
		}
	})
}
