// Package tpmtest starts software TPMs for tests: swtpm, of the Debian packages
// swtpm and swtpm-tools, which scripts/deps.sh installs.
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

// TPM is a software TPM that a test can kill and start again.
type TPM struct {
	Socket string // the Unix socket where it answers, dead or alive

	t       testing.TB
	program string
	dir     string   // of its memory
	serve   []string // options that name descriptor 3, where it listens
	listens *net.UnixListener
	log     bytes.Buffer
	cmd     *exec.Cmd // nil while it is off
}

// Start starts a TPM that is new and belongs to nobody, and returns its socket.
// The end of the test ends it.
//
// Without swtpm the test is skipped; in CI (the variable CI is set) it fails.
func Start(t testing.TB) (socket string) {
	t.Helper()
	return New(t).Socket
}

// New is Start for a test that cuts the power.
func New(t testing.TB) *TPM {
	t.Helper()
	s := off(t, nil, commands)
	s.On()
	return s
}

// need finds a program, or ends the test.
func need(t testing.TB, name string) (path string) {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil && os.Getenv("CI") != "" {
		t.Fatalf("%v: scripts/deps.sh installs it", err)
	} else if err != nil {
		t.Skipf("%v: scripts/deps.sh installs it", err)
	}
	return path
}

// memory is the file where swtpm keeps what survives a power cut.
const memory = "tpm2-00.permall"

// What may be served on descriptor 3 (swtpm(8)): a TPM's commands, or the control
// channel, over which QEMU does what a mainboard does to a TPM and asks for the
// other one.
var (
	commands = []string{"--server", "type=unixio,fd=3", "--flags", "not-need-init,startup-clear"}
	control  = []string{"--ctrl", "type=unixio,fd=3"}
)

// off makes a TPM that remembers state and was not started yet.
func off(t testing.TB, state []byte, serve []string) *TPM {
	t.Helper()
	program := need(t, "swtpm")
	dir := Folder(t)
	if state != nil {
		if err := os.WriteFile(filepath.Join(dir, memory), state, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// swtpm accepts on a socket that is there already, so that nobody has to
	// wait for it: who connects early is served when it is up.
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, "tpm.sock"), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	s := &TPM{Socket: filepath.Join(dir, "tpm.sock"), t: t, program: program, dir: dir, serve: serve, listens: l}
	t.Cleanup(func() {
		s.Kill()
		l.Close()
		if t.Failed() {
			t.Logf("swtpm: %s", &s.log)
		}
	})
	return s
}

// On starts it, with what it remembers.
func (s *TPM) On() {
	s.t.Helper()
	inherited, err := s.listens.File()
	if err != nil {
		s.t.Fatal(err)
	}
	defer inherited.Close()
	s.cmd = exec.Command(s.program, append([]string{"socket", "--tpm2", "--tpmstate", "dir=" + s.dir}, s.serve...)...)
	s.cmd.ExtraFiles = []*os.File{inherited} // descriptor 3
	s.cmd.Stdout, s.cmd.Stderr = &s.log, &s.log
	s.cmd.WaitDelay = 5 * time.Second
	if err := s.cmd.Start(); err != nil {
		s.t.Fatalf("starting swtpm: %v", err)
	}
}

// Kill ends it with SIGKILL, as a power cut would. Who connects then waits until
// it is on again.
func (s *TPM) Kill() {
	if s.cmd == nil {
		return
	}
	s.cmd.Process.Kill()
	s.cmd.Wait()
	s.cmd = nil
}

// Swap puts another TPM behind the same socket: a new one.
func (s *TPM) Swap() {
	s.t.Helper()
	s.Kill()
	if err := os.Remove(filepath.Join(s.dir, memory)); err != nil {
		s.t.Fatal(err)
	}
	s.On()
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
