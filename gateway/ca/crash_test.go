package ca

import (
	"crypto/elliptic"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// crashed is what a test's step panics with: nothing after it happens, no
// deferred clean-up of a file either.
type crashed string

// openUntil opens a CA and crashes before step n, counted from 0. It returns the
// steps that were taken, and whether it came to the end.
func openUntil(t *testing.T, path string, n int) (steps []string, done bool) {
	t.Helper()
	defer func() {
		if r := recover(); r != nil {
			if _, ok := r.(crashed); !ok {
				panic(r)
			}
		}
	}()
	d := dir{path: path, before: func(step string) {
		if len(steps) == n {
			panic(crashed(step))
		}
		steps = append(steps, step)
	}}
	if _, err := open(d, testOptions()); err != nil {
		t.Fatal(err)
	}
	return steps, true
}

// losePower does to a file under way what a power cut may do to what was never
// synced: it is empty, or half of it is there.
func losePower(t *testing.T, path string, keep int) {
	t.Helper()
	parts, err := filepath.Glob(filepath.Join(path, "*"+temporary))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range parts {
		text, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, text[:len(text)*keep/100], 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestCrash stops the first start before every one of its steps, and the second
// start before every one of its own: the third has a whole CA, and what was
// complete after a crash is never replaced.
func TestCrash(t *testing.T) {
	total := 0
	for n := 0; ; n++ {
		path := filepath.Join(t.TempDir(), "ca")
		steps, done := openUntil(t, path, n)
		if done {
			total = len(steps)
			break
		}
		losePower(t, path, 50*(n%3))
		kept := complete(contents(t, path))
		for m := range 6 { // the second start, cut short as well
			if _, done := openUntil(t, path, m); done {
				break
			}
			for name, text := range kept {
				if now := contents(t, path)[name]; now != text {
					t.Fatalf("crash before step %d and %d: %s was replaced", n, m, name)
				}
			}
			kept = complete(contents(t, path))
		}
		l, err := Open(path, testOptions())
		if err != nil {
			t.Fatalf("after a crash before step %d, behind %q: %v", n, last(steps), err)
		}
		all := contents(t, path)
		for name, text := range kept {
			if all[name] != text {
				t.Errorf("after a crash before step %d, behind %q: %s was replaced", n, last(steps), name)
			}
		}
		if len(all) != len(allFiles) {
			t.Errorf("after a crash before step %d: %d files", n, len(all))
		}
		cert := sign(t, l, newCSR(t, elliptic.P256()), "m", now)
		if err := cert.CheckSignatureFrom(l.intermediate); err != nil {
			t.Error(err)
		}
	}
	if total < 5*6 {
		t.Errorf("a first start has %d steps: some were not counted", total)
	}
}

func complete(files map[string]string) map[string]string {
	for name := range files {
		if strings.HasSuffix(name, temporary) {
			delete(files, name)
		}
	}
	return files
}

func last(steps []string) string {
	if len(steps) == 0 {
		return "nothing"
	}
	return steps[len(steps)-1]
}

// TestOrder reads the steps of a first start: a file is on stable storage before
// it gets its name, its name before the next file is begun, and each file
// before those that rest on it.
func TestOrder(t *testing.T) {
	steps, _ := openUntil(t, filepath.Join(t.TempDir(), "ca"), -1)
	want := []string{"mkdir"}
	for _, name := range allFiles {
		want = append(want, "remove "+name+temporary)
	}
	for _, name := range allFiles {
		for _, step := range []string{"create", "write", "chmod", "sync", "rename", "sync folder after"} {
			want = append(want, step+" "+name)
		}
	}
	if fmt.Sprint(steps) != fmt.Sprint(want) {
		t.Errorf("steps\n%q, want\n%q", steps, want)
	}
	// A start with everything in place changes nothing.
	path := filepath.Join(t.TempDir(), "ca")
	openUntil(t, path, -1)
	steps, _ = openUntil(t, path, -1)
	for _, step := range steps {
		if !strings.HasPrefix(step, "remove ") {
			t.Errorf("a second start takes the step %q", step)
		}
	}
}
