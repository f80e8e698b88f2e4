package sqlite

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"
)

// applicationID marks the file as ours (PRAGMA application_id): "Mech".
const applicationID = 0x4d656368

//go:embed migrations/*.sql
var migrations embed.FS

// migrate brings the tables from the version in the file (PRAGMA user_version)
// to the newest in fsys, each step in a transaction of its own. It writes the
// version even when there is nothing to do, so that a file that cannot be
// written is found at the start, and not at the first claim. (Asking for the
// write lock would not find it: on such a file SQLite reads on without it.)
func migrate(ctx context.Context, db *sql.DB, fsys fs.FS) error {
	steps, err := loadSteps(fsys)
	if err != nil {
		return err
	}
	if err := checkPages(ctx, db); err != nil {
		return err
	}
	for {
		more, err := migrateOnce(ctx, db, steps)
		if err != nil || !more {
			return err
		}
	}
}

// loadSteps returns the texts of migrations/NNNN_name.sql, number 1 first.
func loadSteps(fsys fs.FS) ([]string, error) {
	names, err := fs.Glob(fsys, "migrations/*.sql") // sorted
	if err != nil {
		return nil, err
	}
	steps := make([]string, len(names))
	for i, name := range names {
		number, _, _ := strings.Cut(path.Base(name), "_")
		if n, err := strconv.Atoi(number); err != nil || n != i+1 {
			return nil, fmt.Errorf("migration %s stands where number %d should", name, i+1)
		}
		text, err := fs.ReadFile(fsys, name)
		if err != nil {
			return nil, err
		}
		steps[i] = string(text)
	}
	return steps, nil
}

// checkPages reads every page once, so that damage is found before it spreads.
func checkPages(ctx context.Context, db *sql.DB) error {
	var verdict string
	if err := db.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&verdict); err != nil {
		return fmt.Errorf("checking the database: %w", err)
	}
	if verdict != "ok" {
		return hinted(fmt.Errorf("%w: %s", ErrCorrupt, verdict), hintCorrupt)
	}
	return nil
}

func migrateOnce(ctx context.Context, db *sql.DB, steps []string) (more bool, err error) {
	t, err := db.BeginTx(ctx, nil)
	if err != nil {
		return false, err
	}
	defer t.Rollback()
	version, err := checkOwner(ctx, t)
	if err != nil {
		return false, err
	}
	if version > len(steps) {
		return false, hinted(fmt.Errorf("%w: its tables have version %d, this program knows up to %d", ErrNewer, version, len(steps)),
			"start the newer mecha-gateway again, or restore the backup made before it was installed")
	}
	step := ""
	if more = version < len(steps); more {
		step = steps[version]
		version++
	}
	// A PRAGMA takes no parameters; both are part of the transaction.
	marks := fmt.Sprintf("PRAGMA user_version = %d; PRAGMA application_id = %d", version, applicationID)
	if _, err := t.ExecContext(ctx, step+"\n;"+marks); err != nil {
		return false, fmt.Errorf("migrating to version %d: %w", version, err)
	}
	if err := t.Commit(); err != nil {
		return false, fmt.Errorf("migrating to version %d: %w", version, err)
	}
	return more, nil
}

// checkOwner returns the version of a file that is ours or empty.
func checkOwner(ctx context.Context, t *sql.Tx) (version int, err error) {
	var app, tables int
	for query, to := range map[string]*int{
		"PRAGMA user_version":                &version,
		"PRAGMA application_id":              &app,
		"SELECT count(*) FROM sqlite_schema": &tables,
	} {
		if err := t.QueryRowContext(ctx, query).Scan(to); err != nil {
			return 0, err
		}
	}
	empty := app == 0 && version == 0 && tables == 0
	if app != applicationID && !empty {
		return 0, hinted(ErrForeign, "give the gateway a file of its own")
	}
	return version, nil
}
