package clitest

import (
	"fmt"
	"os"
	"os/exec"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/mecha-org/mecha-agent/internal/rerun"
)

// Main is testscript.Main for the one program that a package tests: it puts the
// program into $PATH under its name. Under an emulator too, where testscript's
// copy of the test's program would be one that the kernel cannot read.
func Main(m *testing.M, name string, main func()) {
	testscript.Main(programs{m, name}, map[string]func(){name: main})
}

type programs struct {
	*testing.M
	name string
}

// Run runs the tests. By then testscript has set $PATH up.
func (p programs) Run() int {
	if os.Getenv(rerun.Emulator) != "" {
		if err := p.emulate(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	return p.M.Run()
}

func (p programs) emulate() error {
	script, err := rerun.Script()
	if err != nil {
		return err
	}
	path, err := exec.LookPath(p.name)
	if err != nil {
		return fmt.Errorf("finding testscript's copy: %w", err)
	}
	// Removed first: it may share its blocks or its inode with the original.
	if err := os.Remove(path); err != nil {
		return err
	}
	return os.WriteFile(path, script, 0o755)
}
