// Package clitest holds what the tests of both programs' command lines share.
package clitest

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

const manFolder = "../../dist/man"

// ManualPages holds the pages in dist/man against the commands below root, a
// page each, and fails for a page of no command. With update it writes them.
// It expects to run in the folder of a program.
func ManualPages(t *testing.T, root *cobra.Command, update bool) {
	t.Helper()
	old, err := filepath.Glob(filepath.Join(manFolder, root.Name()+"*"))
	if err != nil {
		t.Fatal(err)
	}
	stale := map[string]bool{}
	for _, name := range old {
		stale[name] = true
	}
	compareManual(t, root, stale, update)
	for name := range stale {
		if !update {
			t.Errorf("%s is of no command", name)
		} else if err := os.Remove(name); err != nil {
			t.Error(err)
		}
	}
}

// compareManual compares the pages of a command and those below it, and takes
// them out of stale. They have neither date nor version, which would make them
// differ from day to day.
func compareManual(t *testing.T, c *cobra.Command, stale map[string]bool, update bool) {
	t.Helper()
	c.DisableAutoGenTag = true
	var page bytes.Buffer
	if err := doc.GenMan(c, &doc.GenManHeader{Date: &time.Time{}, Source: "Mecha-Agent", Manual: "Mecha-Agent"}, &page); err != nil {
		t.Fatal(err)
	}
	want := strings.Replace(page.String(), `"Jan 0001"`, `""`, 1)
	name := filepath.Join(manFolder, strings.ReplaceAll(c.CommandPath(), " ", "-")+".1")
	delete(stale, name)
	if update {
		if err := os.WriteFile(name, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(name); err != nil || string(got) != want {
		t.Errorf("%s is not what the command says (%v); go test -run Manual -update rewrites it", name, err)
	}
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() {
			compareManual(t, sub, stale, update)
		}
	}
}
