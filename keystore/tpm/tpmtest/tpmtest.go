// Package tpmtest starts software TPMs for tests: swtpm, of the Debian package of
// that name, which scripts/deps.sh installs.
package tpmtest

import (
	"bytes"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// Start starts a TPM that is new and belongs to nobody, and returns the Unix
// socket where it answers. The end of the test ends it.
//
// Without swtpm the test is skipped; in CI (the variable CI is set) it fails.
func Start(t testing.TB) (socket string) {
	t.Helper()
	program, err := exec.LookPath("swtpm")
	if err != nil && os.Getenv("CI") != "" {
		t.Fatalf("%v: scripts/deps.sh installs it", err)
	} else if err != nil {
		t.Skipf("%v: scripts/deps.sh installs it", err)
	}
	dir := Folder(t)
	socket = filepath.Join(dir, "tpm.sock")
	// swtpm accepts on a socket that is there already, so that nobody has to
	// wait for it: who connects early is served when it is up.
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	inherited, err := l.(*net.UnixListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer inherited.Close()

	var log bytes.Buffer
	cmd := exec.Command(program, "socket", "--tpm2", "--tpmstate", "dir="+dir,
		"--server", "type=unixio,fd=3", "--flags", "not-need-init,startup-clear")
	cmd.ExtraFiles = []*os.File{inherited} // descriptor 3
	cmd.Stdout, cmd.Stderr = &log, &log
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Start(); err != nil {
		t.Fatalf("starting swtpm: %v", err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		l.Close()
		if t.Failed() {
			t.Logf("swtpm: %s", &log)
		}
	})
	return socket
}

// Folder is t.TempDir with a path short enough for a Unix socket, which takes 107
// bytes.
func Folder(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "tpm")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}
