package tpm

import (
	"testing"

	"github.com/mecha-org/mecha-agent/keystore"
	"github.com/mecha-org/mecha-agent/keystore/keystoretest"
	"github.com/mecha-org/mecha-agent/keystore/tpm/tpmtest"
)

func newTestStore(t testing.TB, cfg Config) *Store {
	t.Helper()
	if cfg.Curve == "" {
		cfg.Curve = keystore.P256
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestConformance(t *testing.T) {
	for _, c := range []keystore.Curve{keystore.P256, keystore.P384} {
		t.Run(string(c), func(t *testing.T) {
			socket := tpmtest.Start(t)
			keystoretest.Run(t, func(t *testing.T) keystore.Store { return newTestStore(t, Config{Path: socket, Curve: c}) })
		})
	}
}
