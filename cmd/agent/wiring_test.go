package main

import (
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/mecha-org/mecha-agent/gateway"
	"github.com/mecha-org/mecha-agent/gateway/gatewaytest"
	"github.com/mecha-org/mecha-agent/identity"
	"github.com/mecha-org/mecha-agent/keystore"
	"github.com/mecha-org/mecha-agent/keystore/disk"
	"github.com/mecha-org/mecha-agent/provision"
)

// TestVaultTellsWhatTimeMends: a certificate that is not valid yet is told from
// one that never will be, and is taken once its time has come.
func TestVaultTellsWhatTimeMends(t *testing.T) {
	keys, err := disk.New(keystore.Curve("P-256"))
	if err != nil {
		t.Fatal(err)
	}
	at := func(name string) string { return filepath.Join(t.TempDir(), name) }
	store, err := identity.Open(t.Context(), identity.Paths{Key: at("key"), CSR: at("csr"), Cert: at("cert"),
		CABundle: at("bundle"), Root: at("root"), State: at("state")}, keys)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	key, err := store.Key(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "machine-1"}}, key)
	if err != nil {
		t.Fatal(err)
	}
	csr := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))
	now := time.Now()
	ca, err := gatewaytest.NewCA("Test", now)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		made  time.Time
		clock bool
		want  error
	}{
		{now.Add(time.Hour), true, provision.ErrClock},
		{now.AddDate(-1, 0, 0), false, identity.ErrUnverified},
		{now, false, nil},
	} {
		answer, err := ca.Machine(key.Public(), "machine-1", c.made)
		if err != nil {
			t.Fatal(err)
		}
		err = vault{store}.Commit(t.Context(), "machine-1", csr, answer)
		if !errors.Is(err, c.want) || errors.Is(err, provision.ErrClock) != c.clock || c.clock && gateway.HintOf(err) == "" {
			t.Errorf("made at %v: error %v", c.made, err)
		}
	}
}
