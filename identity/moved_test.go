package identity

import (
	"os"
	"path/filepath"
	"testing"
)

// TestMovedTree: the identity is whole on a card that is mounted elsewhere, and
// also when a folder on the way to a configured path is a link.
func TestMovedTree(t *testing.T) {
	b := newBench(t, newPKI(t))
	base := filepath.Join(t.TempDir(), "card")
	real := filepath.Join(base, "data", "deep")
	if err := os.MkdirAll(real, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("data/deep", filepath.Join(base, "etc")); err != nil {
		t.Fatal(err)
	}
	b.paths = Paths{State: filepath.Join(base, "state"), Key: filepath.Join(base, "etc", "key.pem"), CSR: filepath.Join(base, "etc", "csr.pem"),
		Cert: filepath.Join(base, "certs", "machine.pem"), CABundle: filepath.Join(base, "certs", "bundle.pem"), Root: filepath.Join(base, "certs", "root.pem")}
	provisioned(t, b)
	moved := filepath.Join(filepath.Dir(base), "mnt")
	if err := os.Rename(base, moved); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"etc/key.pem", "data/deep/csr.pem", "certs/machine.pem", "certs/bundle.pem", "certs/root.pem"} {
		if text, err := os.ReadFile(filepath.Join(moved, name)); err != nil || len(text) == 0 {
			t.Errorf("%s: %d bytes, %v", name, len(text), err)
		}
	}
	if err := os.Rename(moved, base); err != nil {
		t.Fatal(err)
	}
	s := b.open(t, nil)
	defer s.Close()
	b.provision(t, s, "machine-2")
}
