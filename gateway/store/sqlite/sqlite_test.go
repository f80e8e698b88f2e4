package sqlite_test

import (
	"path/filepath"
	"testing"

	"github.com/mecha-org/mecha-agent/gateway/store"
	"github.com/mecha-org/mecha-agent/gateway/store/sqlite"
	"github.com/mecha-org/mecha-agent/gateway/store/storetest"
)

func openAt(t *testing.T, path string) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Store {
		return openAt(t, filepath.Join(t.TempDir(), "gateway.db"))
	})
}
