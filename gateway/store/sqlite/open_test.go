package sqlite_test

import (
	"database/sql"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"

	_ "modernc.org/sqlite"

	"github.com/mecha-org/mecha-agent/gateway"
	"github.com/mecha-org/mecha-agent/gateway/store"
	"github.com/mecha-org/mecha-agent/gateway/store/sqlite"
)

// rawDo runs SQL on a file behind the store's back.
func rawDo(t *testing.T, path, query string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(query); err != nil {
		t.Fatal(err)
	}
}

// refused checks that path is refused with want and a hint, and that the
// attempt changed nothing in the file.
func refused(t *testing.T, path string, want error) {
	t.Helper()
	before, _ := os.ReadFile(path)
	s, err := sqlite.Open(t.Context(), path)
	if err == nil {
		s.Close()
		t.Fatal("it was opened")
	}
	if !errors.Is(err, want) {
		t.Errorf("error %v, want %v", err, want)
	}
	if gateway.HintOf(err) == "" {
		t.Errorf("error %v has no hint", err)
	}
	if after, _ := os.ReadFile(path); string(after) != string(before) {
		t.Error("the file was changed")
	}
}

func addKey(t *testing.T, s *sqlite.Store, id string) {
	t.Helper()
	if err := s.AddAPIKey(t.Context(), store.APIKey{ID: id, Created: start}); err != nil {
		t.Fatal(err)
	}
}

func TestModes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "var", "lib")
	path := filepath.Join(dir, "gateway.db")
	s := openAt(t, path)
	addKey(t, s, "k")
	check := func() {
		t.Helper()
		for p, want := range map[string]fs.FileMode{dir: 0o700, path: 0o600, path + "-wal": 0o600, path + "-shm": 0o600} {
			info, err := os.Stat(p)
			if err != nil {
				t.Fatal(err)
			}
			if got := info.Mode().Perm(); got != want {
				t.Errorf("%s has mode %v, want %v", filepath.Base(p), got, want)
			}
		}
	}
	check()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path + "-wal"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the log is still there after Close: %v", err)
	}

	// A backup copied back under a usual umask.
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	addKey(t, openAt(t, path), "k2")
	check()
}

func TestOddPath(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a b?mode=memory#c%20d&é.db")
	s := openAt(t, path)
	addKey(t, s, "k")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Size() == 0 {
		t.Fatalf("the file by its name: %v", err)
	}
	if has, err := openAt(t, path).HasAPIKeys(t.Context()); err != nil || !has {
		t.Fatalf("after opening again: %v, %v", has, err)
	}
	if _, err := sqlite.Open(t.Context(), ""); err == nil {
		t.Error("an empty path was opened")
	}
}

// TestOpenTogether opens one missing file from many goroutines.
func TestOpenTogether(t *testing.T) {
	path := filepath.Join(t.TempDir(), "gateway.db")
	var wg sync.WaitGroup
	for range 24 {
		wg.Go(func() {
			s, err := sqlite.Open(t.Context(), path)
			if err != nil {
				t.Error(err)
				return
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

func TestCorrupt(t *testing.T) {
	whole := filepath.Join(t.TempDir(), "whole.db")
	s := openAt(t, whole)
	for i := range 200 {
		addKey(t, s, string(rune('a'+i%26))+string(rune('a'+i/26)))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	fill := func(from, to int) []byte {
		b := []byte(string(good))
		for i := from; i < to; i++ {
			b[i] = 0xa5
		}
		return b
	}
	for name, bad := range map[string][]byte{
		"not a database":   []byte("-----BEGIN CERTIFICATE-----\nthis is another file, and it is long enough to be looked at\n-----END CERTIFICATE-----\n"),
		"header":           fill(0, 100),
		"first page":       fill(100, 400),
		"tables' pages":    fill(4096, len(good)),
		"last page":        fill(len(good)-4096, len(good)),
		"cut in the midst": good[:len(good)/2],
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "gateway.db")
			if err := os.WriteFile(path, bad, 0o600); err != nil {
				t.Fatal(err)
			}
			refused(t, path, sqlite.ErrCorrupt)
		})
	}
}

func TestNewer(t *testing.T) {
	path := filepath.Join(t.TempDir(), "gateway.db")
	if err := openAt(t, path).Close(); err != nil {
		t.Fatal(err)
	}
	rawDo(t, path, "PRAGMA user_version = 99")
	refused(t, path, sqlite.ErrNewer)
}

func TestForeign(t *testing.T) {
	path := filepath.Join(t.TempDir(), "gateway.db")
	rawDo(t, path, "CREATE TABLE bookmarks (url TEXT)")
	refused(t, path, sqlite.ErrForeign)
	other := filepath.Join(t.TempDir(), "gateway.db")
	rawDo(t, other, "PRAGMA application_id = 1; PRAGMA user_version = 2")
	refused(t, other, sqlite.ErrForeign)
}

// TestEmptyFile opens what a power cut right after the making of the file leaves.
func TestEmptyFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "gateway.db")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	addKey(t, openAt(t, path), "k")
}

func TestExposedFolder(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	refused(t, filepath.Join(dir, "gateway.db"), sqlite.ErrExposed)
}

func TestLocked(t *testing.T) {
	path := filepath.Join(t.TempDir(), "gateway.db")
	s := openAt(t, path)
	db, err := sql.Open("sqlite", path+"?_txlock=immediate")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	held, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Rollback()
	// Reading goes on while another process writes.
	if _, err := s.HasAPIKeys(t.Context()); err != nil {
		t.Errorf("reading beside a writer: %v", err)
	}
	if _, err := held.Exec("INSERT INTO api_keys VALUES ('theirs', '', zeroblob(32), 0)"); err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() { done <- s.AddAPIKey(t.Context(), store.APIKey{ID: "ours", Created: start}) }()
	if err := held.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Errorf("a write after another process's: %v", err)
	}
	for _, id := range []string{"theirs", "ours"} {
		if _, err := s.APIKey(t.Context(), id); err != nil {
			t.Errorf("key %s: %v", id, err)
		}
	}
}
