package doctor

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/mecha-org/mecha-agent/gateway/gatewaytest"
	"github.com/mecha-org/mecha-agent/identity"
	"github.com/mecha-org/mecha-agent/keystore"
	"github.com/mecha-org/mecha-agent/keystore/disk"
)

func newKeys(t *testing.T) *disk.Store {
	t.Helper()
	keys, err := disk.New(keystore.P256)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// provisioned puts an identity made at the given time in place, and spoils it.
func provisioned(t *testing.T, made time.Time, spoil func(p *patient) error) func(*patient) {
	return func(p *patient) {
		t.Helper()
		paths := p.Settings.Provisioning.Paths
		key, err := newKeys(t).Create(t.Context(), paths.Machine.PrivateKey)
		if err != nil {
			t.Fatal(err)
		}
		defer key.Close()
		ca, err := gatewaytest.NewCA("Test", made)
		if err != nil {
			t.Fatal(err)
		}
		issued, err := ca.Machine(key.Public(), "machine-1", made)
		if err != nil {
			t.Fatal(err)
		}
		err = errors.Join(os.WriteFile(paths.Machine.Cert, []byte(issued.Cert), 0o600),
			os.WriteFile(paths.Root.Cert, []byte(issued.RootCert), 0o600),
			os.WriteFile(paths.CABundle.Cert, []byte(strings.Join(issued.CABundle, "")), 0o600))
		if err == nil && spoil != nil {
			err = spoil(p)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestIdentity(t *testing.T) {
	const day = 24 * time.Hour // how long gatewaytest's certificates last
	try(t, []outcome{
		{"none", checkIdentity, nil, Skip, "none yet", "mecha-agent provision"},
		{"ends soon", checkIdentity, provisioned(t, noon, nil), Warn, "machine machine-1, certificate until 2026-06-02", "mecha-agent provision"},
		{"ended", checkIdentity, provisioned(t, noon.Add(-day-time.Hour), nil), Fail, "it has ended", "mecha-agent provision"},
		{"clock before it", checkIdentity, provisioned(t, noon.AddDate(0, 1, 0), nil), Fail, "the clock is before it", "timedatectl"},
		{"key gone", checkIdentity, provisioned(t, noon, func(p *patient) error {
			return os.Remove(p.Settings.Provisioning.Paths.Machine.PrivateKey)
		}), Fail, "no such file", "mecha-agent provision"},
		{"key exposed", checkIdentity, provisioned(t, noon, func(p *patient) error {
			return os.Chmod(p.Settings.Provisioning.Paths.Machine.PrivateKey, 0o644)
		}), Fail, "key can be read by others", "chmod"},
		{"another key", checkIdentity, provisioned(t, noon, func(p *patient) error {
			path := p.Settings.Provisioning.Paths.Machine.PrivateKey
			if err := os.Remove(path); err != nil {
				return err
			}
			key, err := newKeys(t).Create(t.Context(), path)
			return errors.Join(err, key.Close())
		}), Fail, "key", "mecha-agent provision"},
		{"root gone", checkIdentity, provisioned(t, noon, func(p *patient) error {
			return os.Remove(p.Settings.Provisioning.Paths.Root.Cert)
		}), Fail, "no such file", "mecha-agent provision"},
		{"chain broken", checkIdentity, provisioned(t, noon, func(p *patient) error {
			return os.Remove(p.Settings.Provisioning.Paths.CABundle.Cert)
		}), Fail, "does not verify", "mecha-agent provision"},
		{"no PEM", checkIdentity, provisioned(t, noon, func(p *patient) error {
			return os.WriteFile(p.Settings.Provisioning.Paths.Machine.Cert, []byte("hello"), 0o600)
		}), Fail, "holds no certificate", "mecha-agent provision"},
		{"no certificate", checkIdentity, provisioned(t, noon, func(p *patient) error {
			return os.WriteFile(p.Settings.Provisioning.Paths.Machine.Cert, []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), 0o600)
		}), Fail, "/cert: ", "mecha-agent provision"},
	})
	t.Run("well", func(t *testing.T) {
		id := identity.Identity{MachineID: "machine-1", NotBefore: noon, NotAfter: noon.Add(endsSoon + time.Hour)}
		if f := healthy(t).age(id); f.Result != OK || f.Mend != "" || !strings.HasPrefix(f.Found, "machine machine-1, certificate until 2026-07-01") {
			t.Errorf("finding %+v", f)
		}
	})
	t.Run("not ours to read", func(t *testing.T) {
		f := unread(&os.PathError{Op: "open", Path: "/key", Err: os.ErrPermission})
		if f.Result != Skip || !strings.Contains(f.Mend, "sudo -u USER") {
			t.Errorf("finding %+v", f)
		}
	})
}
