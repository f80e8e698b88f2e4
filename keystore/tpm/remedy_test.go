package tpm

import (
	"crypto"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mecha-org/mecha-agent/gateway"
	"github.com/mecha-org/mecha-agent/internal/rerun"
	"github.com/mecha-org/mecha-agent/keystore/tpm/tpmtest"
)

// tool runs a command of tpm2-tools, as hints and docs/tpm.md write it.
func tool(t *testing.T, socket, line string) {
	t.Helper()
	words := strings.Fields(line)
	if _, err := exec.LookPath(words[0]); err != nil && os.Getenv("CI") != "" {
		t.Fatalf("%v: scripts/deps.sh installs it", err)
	} else if err != nil {
		t.Skipf("%v: scripts/deps.sh installs it", err)
	}
	self, err := os.Executable()
	without(t, err)
	cmd := exec.CommandContext(t.Context(), words[0], words[1:]...)
	cmd.Env = append(os.Environ(), proxyVar+"="+socket, "TPM2TOOLS_TCTI=cmd:"+strings.TrimSpace(os.Getenv(rerun.Emulator)+" "+self))
	cmd.Dir = filepath.Dir(socket) // some leave a file for the next
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", line, err, out)
	}
}

// command takes the command out of a hint.
func command(t *testing.T, err error, name string) string {
	t.Helper()
	hint := gateway.HintOf(err)
	begin := strings.Index(hint, name)
	if begin < 0 {
		t.Fatalf("hint %q of %v names no %s", hint, err, name)
	}
	line := hint[begin:]
	if end := strings.IndexAny(line, "();"); end >= 0 {
		line = line[:end]
	}
	return strings.TrimSpace(line)
}

// The remedies that the hints name do what they say.
func TestRemedies(t *testing.T) {
	t.Run("owner password", func(t *testing.T) {
		socket := tpmtest.Start(t)
		setOwnerPassword(t, socket, "", "PASSWORD")
		s := newTestStore(t, Config{Path: socket})
		path := newKeyPath(t)
		_, err := s.Create(t.Context(), path)
		tool(t, socket, command(t, err, "tpm2_changeauth"))
		sign(t, create(t, s, path))
	})
	t.Run("persistent root key", func(t *testing.T) {
		socket := tpmtest.Start(t)
		setOwnerPassword(t, socket, "", "PASSWORD")
		text, err := os.ReadFile("../../docs/tpm.md")
		without(t, err)
		done := 0
		for line := range strings.Lines(string(text)) {
			if line = strings.TrimSpace(line); strings.HasPrefix(line, "tpm2_createprimary ") || strings.HasPrefix(line, "tpm2_evictcontrol ") {
				tool(t, socket, strings.ReplaceAll(line, "'", ""))
				flushAll(t, socket) // which a resource manager would do
				done++
			}
		}
		if done != 2 {
			t.Fatalf("docs/tpm.md has %d commands, want 2", done)
		}
		sign(t, create(t, newTestStore(t, Config{Path: socket}), newKeyPath(t)))
	})
	t.Run("lockout", func(t *testing.T) {
		socket := tpmtest.Start(t)
		s := newTestStore(t, Config{Path: socket})
		path := newKeyPath(t)
		guarded(t, s, path)
		lockOut(t, socket)
		k, err := s.Open(t.Context(), path)
		without(t, err)
		_, err = k.Sign(nil, make([]byte, 32), crypto.SHA256)
		if !errors.Is(err, ErrLockout) {
			t.Fatal(err)
		}
		tool(t, socket, command(t, err, "tpm2_dictionarylockout"))
		sign(t, k)
		without(t, k.Close())
	})
}

func flushAll(t *testing.T, socket string) {
	t.Helper()
	c := raw(t, socket)
	all, err := handles(c, transientFirst)
	without(t, err)
	for _, h := range all {
		flush(c, h)
	}
}
