// Package sqlite keeps the gateway's store in one SQLite file. Every write is a
// transaction that is on stable storage when the method returns (write-ahead
// log, synchronous=FULL); writes go through one connection, reads through a few
// others that a write never holds up (https://www.sqlite.org/wal.html). Several
// processes may have the same file open.
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"sync"
	"time"

	driver "modernc.org/sqlite"

	"github.com/mecha-org/mecha-agent/gateway/store"
)

// readers is how many connections read at the same time. Reading is bound by
// the processor, and boards that run a gateway have four cores at most.
const readers = 4

// busyTimeout is how long a write waits for another process's, in milliseconds.
const busyTimeout = "5000"

// walPatience is how long Open tries to switch a new file to the write-ahead log.
const walPatience = 5 * time.Second

// Store is a store.Store in one file.
type Store struct {
	w, r   *sql.DB // one writer, some readers
	writes statements
	reads  statements
	close  func() error
}

var _ store.Store = (*Store)(nil)

// statements are prepared once for each text.
type statements map[string]*sql.Stmt

// Open opens the database at path and brings its tables up to date; a missing
// file is made with mode 0600, a missing folder with 0700. The error wraps
// ErrNewer, ErrForeign, ErrCorrupt, ErrReadOnly or ErrExposed where one of them
// says it, and carries a hint.
func Open(ctx context.Context, path string) (*Store, error) {
	s, err := open(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("opening store %s: %w", path, explain(ctx, err))
	}
	return s, nil
}

func open(ctx context.Context, path string) (_ *Store, err error) {
	if path == "" {
		return nil, errors.New("no path given")
	}
	path, err = filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	if err := prepareFile(path); err != nil {
		return nil, err
	}
	s := &Store{}
	s.close = sync.OnceValue(s.closeAll)
	defer func() {
		if err != nil {
			s.Close()
		}
	}()
	if s.w, err = connect(path, 1, "_txlock", "immediate"); err != nil {
		return nil, err
	}
	if err := migrate(ctx, s.w, migrations); err != nil {
		return nil, err
	}
	// Only now: switching to the write-ahead log writes to the file, and until
	// migrate has looked it may be somebody else's.
	if err := useWAL(ctx, s.w); err != nil {
		return nil, err
	}
	if s.r, err = connect(path, readers, "_query_only", "1"); err != nil {
		return nil, err
	}
	if s.writes, err = prepare(ctx, s.w, writeQueries()); err != nil {
		return nil, err
	}
	if s.reads, err = prepare(ctx, s.r, readQueries()); err != nil {
		return nil, err
	}
	return s, nil
}

// connect returns a pool of at most n connections, each with the settings that
// durability rests on: they are part of the name, so that a connection that
// database/sql opens anew has them too.
func connect(path string, n int, extra ...string) (*sql.DB, error) {
	q := url.Values{
		"_busy_timeout": {busyTimeout},
		"_foreign_keys": {"1"},
		"_synchronous":  {"FULL"},
		"_defensive":    {"1"}, // no SQL can damage the file
		"_dqs":          {"0"}, // "x" is never a string
		"_error_rc":     {"1"}, // texts of errors that belong to the error
	}
	for i := 0; i+1 < len(extra); i += 2 {
		q.Set(extra[i], extra[i+1])
	}
	name := url.URL{Scheme: "file", Path: path, RawQuery: q.Encode()}
	c, err := driver.NewConnector(name.String())
	if err != nil {
		return nil, err
	}
	db := sql.OpenDB(c)
	db.SetMaxOpenConns(n)
	db.SetMaxIdleConns(n)
	return db, nil
}

// useWAL switches the file to the write-ahead log, where it stays. The switch
// needs the file alone, and SQLite does not wait for that as it waits for other
// locks: two processes that open a new file together are told busy at once.
func useWAL(ctx context.Context, db *sql.DB) error {
	var mode string
	pause := time.NewTicker(20 * time.Millisecond)
	defer pause.Stop()
	for begin := time.Now(); ; {
		err := db.QueryRowContext(ctx, "PRAGMA journal_mode = WAL").Scan(&mode)
		if err == nil {
			break
		}
		if !isBusy(err) || time.Since(begin) > walPatience {
			return fmt.Errorf("switching to the write-ahead log: %w", err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("switching to the write-ahead log: %w", ctx.Err())
		case <-pause.C:
		}
	}
	if mode != "wal" {
		return fmt.Errorf("switching to the write-ahead log: the journal mode stays %q", mode)
	}
	return nil
}

func prepare(ctx context.Context, db *sql.DB, queries []string) (statements, error) {
	st := statements{}
	for _, q := range queries {
		p, err := db.PrepareContext(ctx, q)
		if err != nil {
			return nil, fmt.Errorf("preparing a statement: %w", err)
		}
		st[q] = p
	}
	return st, nil
}

// Close writes the log back into the database file and closes it.
func (s *Store) Close() error { return s.close() }

// closeAll closes the readers first: the last connection to go, the writer,
// folds the log into the file and deletes it.
func (s *Store) closeAll() error {
	var errs []error
	for _, db := range []*sql.DB{s.r, s.w} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("closing store: %w", err)
	}
	return nil
}

// write runs f in a transaction that holds the write lock from its first
// statement on (BEGIN IMMEDIATE), so that what f read is still so when it writes.
func (s *Store) write(ctx context.Context, step string, f func(t tx) error) error {
	err := func() error {
		t, err := s.w.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer t.Rollback()
		if err := f(tx{ctx: ctx, tx: t, st: s.writes}); err != nil {
			return err
		}
		return t.Commit()
	}()
	if err != nil {
		return fmt.Errorf("%s: %w", step, explain(ctx, err))
	}
	return nil
}

// tx is a write transaction with its prepared statements.
type tx struct {
	ctx context.Context
	tx  *sql.Tx
	st  statements
}

func (t tx) row(query string, args ...any) *sql.Row {
	return t.tx.StmtContext(t.ctx, t.st[query]).QueryRowContext(t.ctx, args...)
}

func (t tx) exec(query string, args ...any) (int64, error) {
	res, err := t.tx.StmtContext(t.ctx, t.st[query]).ExecContext(t.ctx, args...)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}
