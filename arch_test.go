// Package mecha_test holds the rules of the house: who may import whom, and
// what every package owes its reader. docs/architecture.md states them; this
// reads them from there.
package mecha_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/mecha-org/mecha-agent"

// pkg is what go list tells of a package.
type pkg struct {
	ImportPath string
	Doc        string
	Imports    []string
	Deps       []string
	GoFiles    []string
}

func goList(t *testing.T, args ...string) []pkg {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list", "-json=ImportPath,Doc,Imports,Deps,GoFiles"}, args...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	var all []pkg
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		if len(p.GoFiles) > 0 {
			all = append(all, p)
		}
	}
}

// table returns the rows of the Markdown table that follows the marker, without
// its two header lines, cells trimmed of blanks and back quotes.
func table(t *testing.T, marker string) [][]string {
	t.Helper()
	text, err := os.ReadFile("docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	_, after, found := strings.Cut(string(text), marker)
	if !found {
		t.Fatalf("docs/architecture.md has no %q", marker)
	}
	var rows [][]string
	for line := range strings.Lines(strings.TrimLeft(after, "\n")) {
		if !strings.HasPrefix(line, "|") {
			break
		}
		var cells []string
		for c := range strings.SplitSeq(strings.Trim(strings.TrimSpace(line), "|"), "|") {
			cells = append(cells, strings.ReplaceAll(strings.TrimSpace(c), "`", ""))
		}
		rows = append(rows, cells)
	}
	if len(rows) < 3 {
		t.Fatalf("no table after %q", marker)
	}
	return rows[2:]
}

func list(cell string) []string {
	if cell == "-" {
		return nil
	}
	return strings.Split(cell, ", ")
}

func TestImports(t *testing.T) {
	type rule struct {
		ours, others []string
		used         bool
	}
	rules := map[string]*rule{}
	for _, row := range table(t, "<!-- imports -->") {
		rules[row[0]] = &rule{ours: list(row[1]), others: list(row[2])}
	}
	for _, p := range goList(t, "-tags", "sim", "./...") {
		name := strings.TrimPrefix(p.ImportPath, module+"/")
		r := rules[name]
		if r == nil {
			t.Errorf("%s has no row in the import table of docs/architecture.md", name)
			continue
		}
		r.used = true
		for _, i := range p.Imports {
			if ours, ok := strings.CutPrefix(i, module+"/"); ok {
				if !slices.Contains(r.ours, ours) {
					t.Errorf("%s imports %s, which its row does not allow", name, ours)
				}
			} else if strings.Contains(strings.SplitN(i, "/", 2)[0], ".") {
				if !slices.ContainsFunc(r.others, func(prefix string) bool { return i == prefix || strings.HasPrefix(i, prefix+"/") }) {
					t.Errorf("%s imports %s, which its row does not allow", name, i)
				}
			}
		}
	}
	for name, r := range rules {
		if !r.used {
			t.Errorf("the import table has a row for %s, which does not exist", name)
		}
	}
}

// TestNeverLinked checks what a package must not reach, however far away.
func TestNeverLinked(t *testing.T) {
	for _, row := range table(t, "<!-- never -->") {
		for _, p := range goList(t, "./"+row[0]) {
			for _, never := range list(row[1]) {
				if strings.Count(never, ".") == 0 && never != "os" {
					never = module + "/" + never
				}
				deps := p.Deps
				if never == "os" { // the standard library reaches it everywhere
					deps = p.Imports
				}
				for _, d := range deps {
					if d == never || strings.HasPrefix(d, never+"/") {
						t.Errorf("%s links %s", row[0], d)
					}
				}
			}
		}
	}
}

// TestDependenciesHaveReasons holds go.mod against the dependency table.
func TestDependenciesHaveReasons(t *testing.T) {
	out, err := exec.Command("go", "mod", "edit", "-json").Output()
	if err != nil {
		t.Fatal(err)
	}
	var mod struct {
		Require []struct {
			Path     string
			Indirect bool
		}
	}
	if err := json.Unmarshal(out, &mod); err != nil {
		t.Fatal(err)
	}
	named := map[string]bool{}
	for _, row := range table(t, "<!-- dependencies -->") {
		named[row[0]] = true
	}
	for _, r := range mod.Require {
		if !r.Indirect && !named[r.Path] {
			t.Errorf("%s has no row in the dependency table of docs/architecture.md", r.Path)
		}
		delete(named, r.Path)
	}
	for path := range named {
		t.Errorf("the dependency table names %s, which go.mod does not require", path)
	}
}

func TestEveryPackageHasADocComment(t *testing.T) {
	for _, p := range goList(t, "-tags", "sim", "./...") {
		if strings.TrimSpace(p.Doc) == "" {
			t.Errorf("%s has no package comment", p.ImportPath)
		}
	}
}

// TestFilesAreShort: above 500 lines a file says why in its first lines.
func TestFilesAreShort(t *testing.T) {
	out, err := exec.Command("git", "ls-files", "*.go").Output()
	if err != nil {
		t.Fatal(err)
	}
	for name := range strings.FieldsSeq(string(out)) {
		if strings.HasSuffix(name, ".pb.go") {
			continue
		}
		text, err := os.ReadFile(name)
		if errors.Is(err, os.ErrNotExist) {
			continue // deleted, not committed yet
		}
		if err != nil {
			t.Fatal(err)
		}
		if n := bytes.Count(text, []byte("\n")); n > 500 {
			t.Errorf("%s has %d lines", name, n)
		}
	}
}

// TestDeadCodeElimination guards the size of the agent: one reachable call of
// reflect's Method or MethodByName (text/template has one) makes the linker
// keep every exported method of every type.
func TestDeadCodeElimination(t *testing.T) {
	cmd := exec.Command("go", "build", "-tags", "grpcnotrace", "-ldflags=-dumpdep",
		"-o", filepath.Join(t.TempDir(), "mecha-agent"), "./cmd/agent")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, tail(out))
	}
	if !bytes.Contains(out, []byte("main.main -> ")) {
		t.Fatal("the linker printed no dependencies")
	}
	for line := range bytes.Lines(out) {
		if bytes.Contains(line, []byte("<ReflectMethod>")) {
			t.Errorf("reflection by method name: %s", bytes.TrimSpace(line))
		}
	}
}

func tail(b []byte) string {
	return string(b[max(0, len(b)-2000):])
}
