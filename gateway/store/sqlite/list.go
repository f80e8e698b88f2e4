package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// list returns all rows of a query.
func list[T any](ctx context.Context, st *sql.Stmt, step string, scan func(scanner) (T, error), args ...any) ([]T, error) {
	all, err := func() (all []T, err error) {
		rows, err := st.QueryContext(ctx, args...)
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, rows.Close()) }()
		for rows.Next() {
			v, err := scan(rows)
			if err != nil {
				return nil, err
			}
			all = append(all, v)
		}
		return all, rows.Err()
	}()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", step, explain(ctx, err))
	}
	return all, nil
}
