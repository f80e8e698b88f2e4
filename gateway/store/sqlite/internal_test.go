package sqlite

import (
	"database/sql"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/mecha-org/mecha-agent/gateway/store"
)

// TestSettings asks connections for what durability rests on, also one that
// database/sql had to open anew.
func TestSettings(t *testing.T) {
	s, err := Open(t.Context(), filepath.Join(t.TempDir(), "gateway.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for name, db := range map[string]*sql.DB{"writer": s.w, "readers": s.r} {
		for _, round := range []string{"first", "again"} {
			for pragma, want := range map[string]string{
				"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1", "busy_timeout": "5000",
			} {
				var got string
				if err := db.QueryRowContext(t.Context(), "PRAGMA "+pragma).Scan(&got); err != nil || got != want {
					t.Errorf("%s, %s: %s is %q, want %q (%v)", name, round, pragma, got, want, err)
				}
			}
			db.SetMaxIdleConns(0) // closes the idle ones
			db.SetMaxIdleConns(1)
		}
	}
	if _, err := s.r.ExecContext(t.Context(), "DELETE FROM machines"); err == nil {
		t.Error("a reader wrote")
	}
	if _, err := s.w.ExecContext(t.Context(), qAddCertificate, "01", "no such machine", "", 0, 0, ""); err == nil {
		t.Error("a certificate without a machine was stored")
	}
}

// TestMigrations opens a file of every former version, with rows in it.
func TestMigrations(t *testing.T) {
	steps, err := loadSteps(migrations)
	if err != nil {
		t.Fatal(err)
	}
	for from := 1; from < len(steps); from++ {
		t.Run(fmt.Sprint("from version ", from), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "gateway.db")
			raw := rawOpen(t, path)
			if err := migrate(t.Context(), raw, firstSteps(t, from)); err != nil {
				t.Fatal(err)
			}
			if got := version(t, raw); got != from {
				t.Fatalf("version %d, want %d", got, from)
			}
			if _, err := raw.Exec(`
				INSERT INTO machines VALUES ('m1', 'v', 'm', 's', 'c', 'r', 'a', 'key', 1, '01', 2, NULL);
				INSERT INTO requests (code, key_fingerprint, vendor, model, serial, soc, revision, architecture, created, expires, claimed, machine_id)
					VALUES ('ABC123', 'key', 'v', 'm', 's', 'c', 'r', 'a', 1, 9, 1, 'm1');
				INSERT INTO certificates VALUES ('01', 'm1', 'key', 1, 2, 'pem', NULL)`); err != nil {
				t.Fatal(err)
			}
			raw.Close()

			s, err := Open(t.Context(), path)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if got := version(t, s.w); got != len(steps) {
				t.Errorf("version %d after opening, want %d", got, len(steps))
			}
			if r, err := s.RequestByID(t.Context(), 1); err != nil || r.MachineID != "m1" || r.Board.SoC != "c" {
				t.Errorf("request %+v, error %v", r, err)
			}
			if ms, err := s.Machines(t.Context(), "", 9); err != nil || len(ms) != 1 || ms[0].CertificateSerial != "01" {
				t.Errorf("machines %+v, error %v", ms, err)
			}
			var index string
			if err := s.w.QueryRow("SELECT name FROM sqlite_schema WHERE name = 'machines_key'").Scan(&index); err != nil {
				t.Errorf("the index of version 2: %v", err)
			}
		})
	}
}

// TestMigrationFails breaks a later step: the file stays at the version before
// it, unchanged, and the release that wrote it opens it.
func TestMigrationFails(t *testing.T) {
	path := filepath.Join(t.TempDir(), "gateway.db")
	s, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	steps, _ := loadSteps(migrations)
	broken := firstSteps(t, len(steps))
	broken[fmt.Sprintf("migrations/%04d_broken.sql", len(steps)+1)] =
		&fstest.MapFile{Data: []byte("CREATE TABLE half (x TEXT); DROP TABLE api_keys; INSERT INTO nowhere VALUES (1)")}
	if err := migrate(t.Context(), s.w, broken); err == nil || !strings.Contains(err.Error(), "migrating to version") {
		t.Errorf("error %v does not say which migration", err)
	}
	if got := version(t, s.w); got != len(steps) {
		t.Errorf("version %d, want %d", got, len(steps))
	}
	if err := s.AddAPIKey(t.Context(), store.APIKey{ID: "k"}); err != nil {
		t.Errorf("after a migration that failed: %v", err)
	}
	s.Close()
	if s, err = Open(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	s.Close()
}

func TestMigrationNumbers(t *testing.T) {
	for _, names := range [][]string{{"0002_b"}, {"0001_a", "0003_c"}, {"0001_a", "0001_b"}, {"one"}} {
		fsys := fstest.MapFS{}
		for _, n := range names {
			fsys["migrations/"+n+".sql"] = &fstest.MapFile{}
		}
		if _, err := loadSteps(fsys); err == nil {
			t.Errorf("%v: no error", names)
		}
	}
}

// TestIndices sees to it that no query reads a whole table that grows.
func TestIndices(t *testing.T) {
	s, err := Open(t.Context(), filepath.Join(t.TempDir(), "gateway.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, q := range append(writeQueries(), readQueries()...) {
		if q == qHasAPIKeys || strings.HasPrefix(q, "INSERT") {
			continue
		}
		plan := plan(t, s.w, q)
		if strings.Contains(plan, "SCAN") && !strings.Contains(plan, "SCAN CONSTANT ROW") {
			t.Errorf("%s\nreads a whole table: %s", q, plan)
		}
	}
}

func plan(t *testing.T, db *sql.DB, query string) string {
	t.Helper()
	args := make([]any, 7) // as many as the query with the most has
	for n := 7; n >= 0; n-- {
		rows, err := db.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+query, args[:n]...)
		if err != nil {
			continue
		}
		defer rows.Close()
		var all []string
		for rows.Next() {
			var id, parent, unused int
			var detail string
			if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
				t.Fatal(err)
			}
			all = append(all, detail)
		}
		if len(all) > 0 {
			return strings.Join(all, "; ")
		}
	}
	t.Fatalf("no plan for %s", query)
	return ""
}

func rawOpen(t *testing.T, path string) *sql.DB {
	t.Helper()
	db, err := connect(path, 1, "_txlock", "immediate")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func firstSteps(t *testing.T, n int) fstest.MapFS {
	t.Helper()
	names, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		t.Fatal(err)
	}
	fsys := fstest.MapFS{}
	for _, name := range names[:n] {
		text, err := fs.ReadFile(migrations, name)
		if err != nil {
			t.Fatal(err)
		}
		fsys[name] = &fstest.MapFile{Data: text}
	}
	return fsys
}

func version(t *testing.T, db *sql.DB) (v int) {
	t.Helper()
	if err := db.QueryRow("PRAGMA user_version").Scan(&v); err != nil {
		t.Fatal(err)
	}
	return v
}
