package identity

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// TestFind looks beside an open store, whose lock it must not need.
func TestFind(t *testing.T) {
	b := newBench(t, newPKI(t))
	find := func(want Files) {
		t.Helper()
		if got, err := Find(b.paths); err != nil || got != want {
			t.Errorf("got %+v, %v, want %+v", got, err, want)
		}
	}
	find(Files{})
	s := b.open(t, nil)
	defer s.Close()
	find(Files{})
	if _, err := s.Key(t.Context()); err != nil {
		t.Fatal(err)
	}
	pending := filepath.Join(b.paths.State, pendingName, keyName)
	find(Files{Pending: pending})
	b.provision(t, s, "m")
	first := Files{Key: filepath.Join(s.gen(1), keyName), Cert: filepath.Join(s.gen(1), certName)}
	find(first)
	if _, err := s.Key(t.Context()); err != nil {
		t.Fatal(err)
	}
	first.Pending = pending
	find(first)
	b.provision(t, s, "m2")
	find(Files{Key: filepath.Join(s.gen(2), keyName), Cert: filepath.Join(s.gen(2), certName)})

	if err := os.RemoveAll(s.gen(2)); err != nil { // there should be one
		t.Fatal(err)
	}
	find(Files{Key: filepath.Join(s.gen(2), keyName), Cert: filepath.Join(s.gen(2), certName)})
	if _, err := s.Remove(t.Context()); err != nil {
		t.Fatal(err)
	}
	find(Files{})
}

func TestFindOfAnotherProgram(t *testing.T) {
	b := newBench(t, newPKI(t))
	for _, path := range []string{b.paths.Key, b.paths.Cert} {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("anything"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := Find(b.paths); err != nil || got != (Files{Key: b.paths.Key, Cert: b.paths.Cert}) {
		t.Errorf("got %+v, %v", got, err)
	}
	if err := os.Remove(b.paths.Cert); err != nil {
		t.Fatal(err)
	}
	if got, err := Find(b.paths); err != nil || got != (Files{}) {
		t.Errorf("a key alone: got %+v, %v", got, err)
	}
}

func TestFindFails(t *testing.T) {
	b := newBench(t, newPKI(t))
	b.paths.State = filepath.Join(filepath.Dir(b.paths.State), "file", "state")
	if err := os.WriteFile(filepath.Dir(b.paths.State), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var at *fs.PathError
	if got, err := Find(b.paths); !errors.As(err, &at) || got != (Files{}) {
		t.Errorf("a state folder that is none: got %+v, %v", got, err)
	}
	b.paths.State = t.TempDir()
	if err := os.Symlink("elsewhere", filepath.Join(b.paths.State, currentName)); err != nil {
		t.Fatal(err)
	}
	if _, err := Find(b.paths); !errors.Is(err, ErrDamaged) {
		t.Errorf("a switch that is none: got %v", err)
	}
	if _, err := Find(Paths{}); err == nil {
		t.Error("no paths, no error")
	}
}
