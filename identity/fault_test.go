package identity

import (
	"crypto/ecdsa"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/mecha-org/mecha-agent/gateway"
	"github.com/mecha-org/mecha-agent/internal/rerun"
)

// TestCommitFaults lets the file system fail at every step of Commit, once or
// from there on, and asserts that the old identity is as it was, that the error
// says so, and that the same store commits when the fault is gone.
func TestCommitFaults(t *testing.T) {
	ca := newPKI(t)
	for _, sc := range scenes {
		for _, f := range []struct {
			err  error
			once bool
			hint string
		}{
			{unix.ENOSPC, false, "full"},
			{unix.EROFS, false, "read-only"},
			{unix.EIO, true, "dmesg"},
		} {
			if f.err == unix.EROFS && sc.name != "second identity" {
				continue // fails at the same steps as a full disk
			}
			t.Run(fmt.Sprintf("%s, %v, once %v", sc.name, f.err, f.once), func(t *testing.T) {
				t.Parallel()
				failed := 0
				for n := 1; ; n++ {
					b := newBench(t, ca)
					sc.set(t, b)
					p := &power{t: t, err: f.err, once: f.once}
					s := b.open(t, p.step)
					key, err := s.Key(t.Context())
					if err != nil {
						t.Fatal(err)
					}
					pub := key.Public().(*ecdsa.PublicKey)
					csr, answer := ca.issue(t, "machine-1", key)
					before, after := b.view(t), b.expect(t, csr, answer)

					p.at = p.steps + n
					err = s.Commit(t.Context(), "machine-1", csr, answer)
					hit := p.steps >= p.at
					p.at, p.dead = 0, false
					if err != nil {
						failed++
						var path *fs.PathError
						if !errors.Is(err, ErrStorage) || !errors.Is(err, f.err) || !errors.As(err, &path) || !strings.Contains(gateway.HintOf(err), f.hint) {
							t.Fatalf("step %d: %v (hint %q), want ErrStorage, a path and a hint", n, err, gateway.HintOf(err))
						}
						if got := b.view(t); got != before {
							t.Fatalf("step %d: the old identity is not as it was: %s, was %s", n, got, before)
						}
						again, err := s.Key(t.Context())
						if err != nil || !again.Public().(*ecdsa.PublicKey).Equal(pub) {
							t.Fatalf("step %d: the pending key is another one (%v)", n, err)
						}
						err = s.Commit(t.Context(), "machine-1", csr, answer)
						if err != nil {
							t.Fatalf("step %d: the second Commit: %v", n, err)
						}
					}
					if got := b.view(t); got != after {
						t.Fatalf("step %d: the paths show %s, want %s", n, got, after)
					}
					if err := s.writable(t.Context()); err != nil { // what it left over goes
						t.Fatal(err)
					}
					b.tidy(t, s)
					s.Close()
					p.cut(lossNone)
					if !hit {
						break
					}
				}
				if failed < 10 {
					t.Errorf("Commit failed %d times only", failed)
				}
			})
		}
	}
}

// TestFaultsElsewhere lets the other methods run into a read-only file system.
func TestFaultsElsewhere(t *testing.T) {
	b := newBench(t, newPKI(t))
	provisioned(t, b)
	before := b.view(t)
	s := b.open(t, func(step) error { return unix.EROFS })
	defer s.Close()
	for name, call := range map[string]func() error{
		"Key":         func() error { _, err := s.Key(t.Context()); return err },
		"Remove":      func() error { _, err := s.Remove(t.Context()); return err },
		"SaveSession": func() error { return s.SaveSession(t.Context(), session()) },
	} {
		err := call()
		if !errors.Is(err, ErrStorage) || !strings.Contains(gateway.HintOf(err), "read-only") {
			t.Errorf("%s: %v (hint %q), want ErrStorage with a hint", name, err, gateway.HintOf(err))
		}
	}
	if b.view(t) != before {
		t.Error("the identity changed")
	}
	if id, _, err := s.Current(t.Context()); err != nil || id != "machine-0" {
		t.Errorf("Current() = %q, %v", id, err)
	}
	s.disk = fileSystem{}
	b.provision(t, s, "machine-1")
}

// TestRemoveGoesOn: a fault on the way does not stop Remove, and the next one
// finishes it.
func TestRemoveGoesOn(t *testing.T) {
	ca := newPKI(t)
	for n := 1; ; n++ {
		b := newBench(t, ca)
		provisioned(t, b)
		p := &power{t: t, at: n, err: unix.EIO, once: true}
		s := b.open(t, p.step)
		_, err := s.Remove(t.Context())
		p.cut(lossNone)
		if p.steps < n {
			s.Close()
			if n < 15 {
				t.Errorf("Remove took %d steps only", n-1)
			}
			break
		}
		if !errors.Is(err, ErrStorage) || !errors.Is(err, unix.EIO) {
			t.Errorf("step %d: %v, want ErrStorage", n, err)
		}
		if n > 1 && b.view(t) != (view{}) {
			t.Errorf("step %d: Remove left %s", n, b.view(t))
		}
		if _, err := s.Remove(t.Context()); err != nil {
			t.Errorf("step %d: second Remove: %v", n, err)
		}
		if entries, _ := os.ReadDir(b.paths.State); len(entries) != 1 {
			t.Errorf("step %d: left %v", n, entries)
		}
		s.Close()
	}
}

// inNamespace is set in the child that TestRealFaults starts.
const inNamespace = "IDENTITY_TEST_MOUNT"

// TestRealFaults fills a real file system of 64 KiB, and remounts it read-only,
// in a mount namespace of its own. Where the kernel gives none to this user the
// injected faults above are all there is.
func TestRealFaults(t *testing.T) {
	if dir := os.Getenv(inNamespace); dir != "" {
		realFaults(t, dir)
		return
	}
	again, err := rerun.Line(os.Args[0], "-test.run=^TestRealFaults$", "-test.v")
	if err != nil {
		t.Fatal(err)
	}
	// By util-linux's program, because qemu-user knows no clone into a namespace.
	cmd := exec.CommandContext(t.Context(), "unshare", append([]string{"--map-root-user", "--mount"}, again...)...)
	cmd.Env = append(os.Environ(), inNamespace+"="+t.TempDir())
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	switch {
	case err != nil && !errors.As(err, &exit), strings.HasPrefix(string(out), "unshare: "):
		lacks(t, fmt.Sprintf("no user namespace here (%v)\n%s", err, out))
	case strings.Contains(string(out), "no mount here"):
		lacks(t, "no mounts in a user namespace here")
	case err != nil:
		t.Errorf("%v\n%s", err, out)
	case !strings.Contains(string(out), "--- PASS: TestRealFaults"):
		t.Errorf("the child ran nothing:\n%s", out)
	}
}

func realFaults(t *testing.T, dir string) {
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=64k,mode=700"); err != nil {
		t.Fatalf("no mount here: %v", err)
	}
	defer unix.Unmount(dir, unix.MNT_DETACH)
	ca := newPKI(t)
	b := benchIn(t, ca, dir)
	provisioned(t, b)
	before := b.view(t)
	s := b.open(t, nil)
	defer s.Close()
	key, err := s.Key(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	csr, answer := ca.issue(t, "machine-1", key)
	fail := func(want unix.Errno, hint string) {
		t.Helper()
		err := s.Commit(t.Context(), "machine-1", csr, answer)
		if !errors.Is(err, ErrStorage) || !errors.Is(err, want) || !strings.Contains(gateway.HintOf(err), hint) {
			t.Errorf("Commit: %v (hint %q), want ErrStorage and %v", err, gateway.HintOf(err), want)
		}
		if b.view(t) != before {
			t.Error("the old identity is not as it was")
		}
		if id, _, err := s.Current(t.Context()); err != nil || id != "machine-0" {
			t.Errorf("Current() = %q, %v", id, err)
		}
	}

	// Full but for two pages: Commit fails in the midst of its files.
	ballast := filepath.Join(dir, "ballast")
	f, err := os.Create(ballast)
	if err != nil {
		t.Fatal(err)
	}
	page := make([]byte, 4096)
	size := int64(0)
	for err == nil {
		_, err = f.Write(page)
		size += int64(len(page))
	}
	if err := errors.Join(f.Truncate(size-3*int64(len(page))), f.Close()); err != nil {
		t.Fatal(err)
	}
	fail(unix.ENOSPC, "full")
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}

	if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	fail(unix.EROFS, "read-only")
	s.Close()
	s = b.open(t, nil) // also a fresh process can say who the machine is
	fail(unix.EROFS, "read-only")
	if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_REMOUNT, "size=64k"); err != nil {
		t.Fatal(err)
	}
	if err := s.Commit(t.Context(), "machine-1", csr, answer); err != nil {
		t.Errorf("when the fault is gone: %v", err)
	}
	b.tidy(t, s)
}

// lacks skips a test on a laptop that cannot run it, and fails it in CI.
func lacks(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatal(what)
	}
	t.Skip(what + ": only injected faults were tried")
}
