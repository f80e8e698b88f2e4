package identity

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mecha-org/mecha-agent/gateway"
	"github.com/mecha-org/mecha-agent/keystore"
	"github.com/mecha-org/mecha-agent/provision"
)

var (
	_ provision.Vault    = (*Store)(nil)
	_ provision.Sessions = (*Store)(nil)
)

func TestLayout(t *testing.T) {
	b := newBench(t, newPKI(t))
	s := b.open(t, nil)
	defer s.Close()
	for n, id := range []string{"machine-1", "machine-2"} {
		b.provision(t, s, id)
		b.tidy(t, s)
		for i, sl := range b.paths.slots() {
			to, err := os.Readlink(sl.path)
			if want := filepath.Join(b.paths.State, "current", []string{"key.pem", "csr.pem", "machine.pem", "ca_bundle.pem", "root.pem"}[i]); err != nil || filepath.IsAbs(to) || filepath.Join(filepath.Dir(sl.path), to) != want {
				t.Errorf("%s points to %s, want %s (%v)", sl.path, to, want, err)
			}
			st, err := os.Stat(sl.path)
			if err != nil || st.Mode() != []os.FileMode{0o600, 0o644, 0o644, 0o644, 0o644}[i] {
				t.Errorf("%s has mode %v (%v)", sl.path, st.Mode(), err)
			}
		}
		for _, dir := range []string{b.paths.State, s.gen(n + 1)} {
			if st, err := os.Stat(dir); err != nil || st.Mode().Perm() != 0o700 {
				t.Errorf("%s has mode %v (%v)", dir, st.Mode(), err)
			}
		}
		got, notAfter, err := s.Current(t.Context())
		if err != nil || got != id || !notAfter.Equal(noon.Add(90*24*time.Hour)) {
			t.Errorf("Current() = %q, %v, %v", got, notAfter, err)
		}
	}
}

func TestKeyStaysUntilCommit(t *testing.T) {
	b := newBench(t, newPKI(t))
	s := b.open(t, nil)
	key := func() *ecdsa.PublicKey {
		t.Helper()
		k, err := s.Key(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return k.Public().(*ecdsa.PublicKey)
	}
	first := key()
	if !key().Equal(first) {
		t.Error("the second call made another key")
	}
	s.Close()
	s = b.open(t, nil)
	defer func() { s.Close() }()
	if !key().Equal(first) {
		t.Error("the key did not survive a restart")
	}
	b.provision(t, s, "machine-1")
	signer, err := s.Signer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !signer.Public().(*ecdsa.PublicKey).Equal(first) {
		t.Error("the identity has another key than the pending one")
	}
	if _, err := signer.Sign(rand.Reader, make([]byte, 32), crypto.SHA256); err != nil {
		t.Error(err)
	}
	signer.Close()
	if key().Equal(first) {
		t.Error("the next identity would have the same key")
	}
	if _, err := s.Remove(t.Context()); err != nil {
		t.Fatal(err)
	}
	if key().Equal(first) {
		t.Error("Remove kept the key")
	}
}

func TestDamagedPendingKeyIsMadeAnew(t *testing.T) {
	for name, text := range map[string]string{"empty": "", "garbage": "hello", "another kind": "-----BEGIN RSA PRIVATE KEY-----\nMA==\n-----END RSA PRIVATE KEY-----\n"} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, newPKI(t))
			dir := filepath.Join(b.paths.State, pendingName)
			if err := errors.Join(os.MkdirAll(dir, 0o700), os.WriteFile(filepath.Join(dir, keyName), []byte(text), 0o600)); err != nil {
				t.Fatal(err)
			}
			s := b.open(t, nil)
			defer s.Close()
			b.provision(t, s, "machine-1")
		})
	}
	b := newBench(t, newPKI(t)) // exposed is not damaged: a person must look
	dir := filepath.Join(b.paths.State, pendingName)
	if err := errors.Join(os.MkdirAll(dir, 0o700), os.WriteFile(filepath.Join(dir, keyName), nil, 0o644), os.Chmod(b.paths.State, 0o700)); err != nil {
		t.Fatal(err)
	}
	s := b.open(t, nil)
	defer s.Close()
	if _, err := s.Key(t.Context()); !errors.Is(err, keystore.ErrExposed) || !strings.Contains(gateway.HintOf(err), "chmod") {
		t.Errorf("exposed pending key: %v, want ErrExposed", err)
	}
}

// TestCommitRefuses: what does not verify changes nothing.
func TestCommitRefuses(t *testing.T) {
	ca := newPKI(t)
	b := newBench(t, ca)
	provisioned(t, b)
	s := b.open(t, nil)
	defer s.Close()
	csr, answer := ca.issue(t, "machine-1", newECKey(t, elliptic.P256()))
	if err := s.Commit(t.Context(), "machine-1", csr, answer); !errors.Is(err, keystore.ErrNotExist) {
		t.Errorf("Commit before Key: %v, want ErrNotExist", err)
	}
	key, err := s.Key(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	before := b.view(t)
	ours, good := ca.issue(t, "machine-1", key)
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for name, c := range map[string]struct {
		ctx     context.Context
		id, csr string
		answer  gateway.Issued
		want    error
	}{
		"answer for another key":  {t.Context(), "machine-1", ours, answer, ErrUnverified},
		"request for another key": {t.Context(), "machine-1", csr, good, ErrUnverified},
		"another machine":         {t.Context(), "machine-2", ours, good, ErrUnverified},
		"no root":                 {t.Context(), "machine-1", ours, gateway.Issued{Cert: good.Cert}, ErrUnverified},
		"cancelled":               {cancelled, "machine-1", ours, good, context.Canceled},
	} {
		if err := s.Commit(c.ctx, c.id, c.csr, c.answer); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
		if b.view(t) != before {
			t.Errorf("%s: the old identity changed", name)
		}
	}
	if err := s.Commit(t.Context(), "machine-1", ours, good); err != nil {
		t.Error(err)
	}
}

// TestRootSignsDirectly: the bundle file is never without a certificate.
func TestRootSignsDirectly(t *testing.T) {
	ca := newPKI(t)
	b := newBench(t, ca)
	s := b.open(t, nil)
	defer s.Close()
	key, err := s.Key(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	csr, _ := ca.issue(t, "m", key)
	root := encodeCerts(ca.root.cert)
	answer := gateway.Issued{Cert: encodeCerts(machine(t, "m", ca.root, key.Public())), RootCert: root}
	if err := s.Commit(t.Context(), "m", csr, answer); err != nil {
		t.Fatal(err)
	}
	if got := b.view(t); got[3] != root || got[4] != root {
		t.Errorf("the paths show %s", got)
	}
	if id, err := s.Load(t.Context()); err != nil || id.BundlePEM != "" || id.RootPEM != root {
		t.Errorf("Load() = %+v, %v", id, err)
	}
}

func TestForeignPaths(t *testing.T) {
	for name, put := range map[string]func(path string) error{
		"link elsewhere": func(path string) error { return os.Symlink("/etc/hostname", path) },
		"dangling link":  func(path string) error { return os.Symlink("nowhere", path) },
		"folder":         func(path string) error { return os.Mkdir(path, 0o755) },
	} {
		t.Run(name, func(t *testing.T) {
			ca := newPKI(t)
			b := newBench(t, ca)
			legacy(t, b, 0, 2)
			if err := put(b.paths.Root); err != nil {
				t.Fatal(err)
			}
			before, err := os.ReadFile(b.paths.Key)
			if err != nil {
				t.Fatal(err)
			}
			s := b.open(t, nil)
			defer s.Close()
			key, err := s.Key(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			csr, answer := ca.issue(t, "m", key)
			err = s.Commit(t.Context(), "m", csr, answer)
			var path *fs.PathError // by which provision knows that the answer was good
			if !errors.Is(err, ErrStorage) || !errors.As(err, &path) || !strings.Contains(err.Error(), b.paths.Root) || !strings.Contains(gateway.HintOf(err), "move it away") {
				t.Errorf("Commit: %v (hint %q), want ErrStorage with the path", err, gateway.HintOf(err))
			}
			if after, err := os.ReadFile(b.paths.Key); err != nil || string(after) != string(before) {
				t.Errorf("Commit changed a file: %v", err)
			}
			removed, err := s.Remove(t.Context())
			if !errors.Is(err, ErrStorage) || !strings.Contains(err.Error(), b.paths.Root) {
				t.Errorf("Remove: %v, want ErrStorage with the path", err)
			}
			if !exists(b.paths.Root) || exists(b.paths.Key) || exists(b.paths.Cert) || len(removed) < 3 {
				t.Errorf("Remove did not go on, or removed what is not ours: %v", removed)
			}
			if err := os.Remove(b.paths.Root); err != nil {
				t.Fatal(err)
			}
			b.provision(t, s, "m")
		})
	}
}

// TestStateByAnotherName: links made through an alias of the state folder are ours.
func TestStateByAnotherName(t *testing.T) {
	b := newBench(t, newPKI(t))
	provisioned(t, b)
	alias := b.paths.State + "-alias"
	if err := os.Symlink(b.paths.State, alias); err != nil {
		t.Fatal(err)
	}
	b.paths.State = alias
	s := b.open(t, nil)
	defer s.Close()
	b.provision(t, s, "machine-1")
}

func TestOneProcess(t *testing.T) {
	b := newBench(t, newPKI(t))
	s := b.open(t, nil)
	_, err := Open(t.Context(), b.paths, b.keys)
	if !errors.Is(err, ErrLocked) || !strings.Contains(gateway.HintOf(err), "running") {
		t.Errorf("second Open: %v (hint %q), want ErrLocked", err, gateway.HintOf(err))
	}
	if err := errors.Join(s.Close(), s.Close()); err != nil {
		t.Error(err)
	}
	again, err := Open(t.Context(), b.paths, b.keys)
	if err != nil {
		t.Fatalf("after Close: %v", err)
	}
	again.Close()
	for name, call := range map[string]func() error{
		"Key":         func() error { _, err := s.Key(t.Context()); return err },
		"Commit":      func() error { return s.Commit(t.Context(), "", "", gateway.Issued{}) },
		"Load":        func() error { _, err := s.Load(t.Context()); return err },
		"Signer":      func() error { _, err := s.Signer(t.Context()); return err },
		"Remove":      func() error { _, err := s.Remove(t.Context()); return err },
		"SaveSession": func() error { return s.SaveSession(t.Context(), gateway.Session{}) },
		"LoadSession": func() error { _, err := s.LoadSession(t.Context()); return err },
	} {
		if err := call(); !errors.Is(err, ErrClosed) {
			t.Errorf("%s after Close: %v, want ErrClosed", name, err)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	b := newBench(t, newPKI(t))
	for name, change := range map[string]func(*Paths){
		"empty path":    func(p *Paths) { p.CSR = "" },
		"no state":      func(p *Paths) { p.State = "" },
		"same twice":    func(p *Paths) { p.Root = p.CABundle },
		"inside state":  func(p *Paths) { p.Key = filepath.Join(p.State, "current", "key.pem") },
		"state in file": func(p *Paths) { p.State = "/proc/version/state" },
	} {
		p := b.paths
		change(&p)
		if s, err := Open(t.Context(), p, b.keys); err == nil {
			s.Close()
			t.Errorf("%s: no error", name)
		}
	}
	if err := os.MkdirAll(b.paths.State, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(b.paths.State, 0o770); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), b.paths, b.keys); !errors.Is(err, ErrStorage) || !strings.Contains(gateway.HintOf(err), "chmod 700") {
		t.Errorf("state folder that the group writes: %v (hint %q)", err, gateway.HintOf(err))
	}
}

// recorder is a keystore that remembers what was deleted through it.
type recorder struct {
	keystore.Store
	deleted []string
}

func (r *recorder) Delete(ctx context.Context, path string) error {
	r.deleted = append(r.deleted, path)
	return r.Store.Delete(ctx, path)
}

// TestKeysGoThroughTheKeystore: a key may be more than its file.
func TestKeysGoThroughTheKeystore(t *testing.T) {
	b := newBench(t, newPKI(t))
	keys := &recorder{Store: b.keys}
	b.keys = keys
	want := func(when string, paths ...string) {
		t.Helper()
		if strings.Join(keys.deleted, "\n") != strings.Join(paths, "\n") {
			t.Errorf("%s: deleted %v, want %v", when, keys.deleted, paths)
		}
		keys.deleted = nil
	}
	legacy(t, b, 0)
	s := b.open(t, nil)
	defer s.Close()
	b.provision(t, s, "machine-1")
	want("adopted and replaced", filepath.Join(s.gen(1), keyName))
	b.provision(t, s, "machine-2")
	want("replaced", filepath.Join(s.gen(2), keyName))
	legacy(t, b, 0)
	if _, err := s.Key(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Remove(t.Context()); err != nil {
		t.Fatal(err)
	}
	want("removed", b.paths.Key, filepath.Join(s.gen(3), keyName), s.state(pendingName, keyName))
}

// TestAdoptedCopyIsNoPendingKey: a copy that was not switched to is dropped.
func TestAdoptedCopyIsNoPendingKey(t *testing.T) {
	b := newBench(t, newPKI(t))
	legacy(t, b, 0)
	before := b.view(t)
	s := b.open(t, nil)
	list, err := s.lookAll()
	if err := errors.Join(err, s.copyShown(list), os.Rename(s.state(adoptingName), s.gen(1)), s.Close()); err != nil {
		t.Fatal(err)
	}
	s = b.open(t, nil)
	defer s.Close()
	if exists(s.gen(1)) || exists(s.state(pendingName)) || b.view(t) != before {
		t.Error("the copy was not dropped, or became the pending key")
	}
}

// TestChangedWhileAdopted: a file that another program writes after it was copied
// is not replaced.
func TestChangedWhileAdopted(t *testing.T) {
	ca := newPKI(t)
	b := newBench(t, ca)
	legacy(t, b, 0, 2)
	s := b.open(t, nil)
	defer s.Close()
	key, err := s.Key(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	csr, answer := ca.issue(t, "m", key)
	s.disk.before = func(st step) error {
		if st.op == "rename" && st.from == s.state(adoptingName) {
			return os.WriteFile(b.paths.Cert, []byte("written meanwhile"), 0o644)
		}
		return nil
	}
	if err := s.Commit(t.Context(), "m", csr, answer); !errors.Is(err, ErrStorage) || !errors.As(err, new(*fs.PathError)) || !strings.Contains(gateway.HintOf(err), "other program") {
		t.Errorf("Commit: %v (hint %q), want ErrStorage", err, gateway.HintOf(err))
	}
	if b.view(t)[2] != "written meanwhile" {
		t.Error("what another program wrote is lost")
	}
	s.disk.before = nil
	if err := s.Commit(t.Context(), "m", csr, answer); err != nil {
		t.Error(err)
	}
	b.tidy(t, s)
}

// TestUnfinishedRemoval: what a removal could not take yet does not count.
func TestUnfinishedRemoval(t *testing.T) {
	b := newBench(t, newPKI(t))
	provisioned(t, b)
	s := b.open(t, nil)
	defer s.Close()
	if err := s.SaveSession(t.Context(), session()); err != nil {
		t.Fatal(err)
	}
	s.disk.before = func(st step) error {
		if st.op == "remove" {
			return os.ErrPermission
		}
		return nil
	}
	if _, err := s.Remove(t.Context()); !errors.Is(err, ErrStorage) {
		t.Errorf("Remove: %v, want ErrStorage", err)
	}
	if _, err := s.Load(t.Context()); !errors.Is(err, ErrNone) {
		t.Errorf("Load: %v, want ErrNone", err)
	}
	if got, err := s.LoadSession(t.Context()); err != nil || got != (gateway.Session{}) {
		t.Errorf("LoadSession() = %v, %v, want none", got, err)
	}
	if _, err := s.Key(t.Context()); !errors.Is(err, ErrStorage) {
		t.Errorf("Key before the removal is finished: %v, want ErrStorage", err)
	}
	s.disk.before = nil
	b.provision(t, s, "machine-1")
	b.tidy(t, s)
}

func TestRemoveReports(t *testing.T) {
	b := newBench(t, newPKI(t))
	provisioned(t, b)
	s := b.open(t, nil)
	defer s.Close()
	if _, err := s.Key(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.SaveSession(t.Context(), session()); err != nil {
		t.Fatal(err)
	}
	// The CSR is gone already: Remove goes on.
	if err := os.Remove(b.paths.CSR); err != nil {
		t.Fatal(err)
	}
	removed, err := s.Remove(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	state := func(names ...string) string { return filepath.Join(append([]string{b.paths.State}, names...)...) }
	want := []string{
		state("gen-1", keyName), state(pendingName, keyName), state(sessionName),
		b.paths.Key, b.paths.Cert, b.paths.CABundle, b.paths.Root, state("gen-1"), state(pendingName),
	}
	if strings.Join(removed, "\n") != strings.Join(want, "\n") {
		t.Errorf("Remove reports\n%s\nwant\n%s", strings.Join(removed, "\n"), strings.Join(want, "\n"))
	}
	for _, path := range want {
		if exists(path) {
			t.Errorf("%s is still there", path)
		}
	}
	if id, _, err := s.Current(t.Context()); id != "" || err != nil {
		t.Errorf("Current() = %q, %v", id, err)
	}
	if _, err := s.Load(t.Context()); !errors.Is(err, ErrNone) {
		t.Errorf("Load: %v, want ErrNone", err)
	}
	if _, err := s.Signer(t.Context()); !errors.Is(err, ErrNone) {
		t.Errorf("Signer: %v, want ErrNone", err)
	}
}
