// Testsum reads the output of go test -json and prints what a person wants of
// it: a line a package, all that a failed test said, every skipped test with
// its reason, and the counts. It exits with 1 when a test failed, when one was
// skipped in CI, or when none ran. With -counts the counts go to a file too.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
)

// event is one line of go test -json, see go doc test2json.
type event struct {
	Action, Package, Test, Output, ImportPath string
	Elapsed                                   float64
}

func main() {
	file := flag.String("counts", "", "write the counts to this `file` as well")
	flag.Parse()
	counts, ok := summarise(os.Stdin, os.Stdout, os.Getenv("CI") != "")
	if *file != "" {
		if err := os.WriteFile(*file, []byte(counts), 0o600); err != nil {
			fmt.Fprintln(os.Stderr, "testsum:", err)
			ok = false
		}
	}
	if !ok {
		os.Exit(1)
	}
}

// summarise returns the counts in words, and whether all is well.
func summarise(in io.Reader, out io.Writer, ci bool) (counts string, ok bool) {
	var passed, failed, skipped int
	said := map[string][]string{} // by package and test
	packageFailed := false
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e event
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			fmt.Fprintln(out, lines.Text()) // not from a test: a build error
			continue
		}
		key := e.Package + " " + e.Test
		switch e.Action {
		case "output":
			said[key] = append(said[key], e.Output)
		case "build-output":
			fmt.Fprint(out, e.Output)
		case "build-fail":
			packageFailed = true
		case "pass", "fail", "skip":
			if e.Test == "" && e.Action == "skip" {
				continue // a package without tests
			}
			if e.Test == "" {
				fmt.Fprintf(out, "%-5s %6.1fs  %s\n", e.Action, e.Elapsed, e.Package)
				if e.Action == "fail" {
					packageFailed = true
					fmt.Fprint(out, strings.Join(said[key], ""))
				}
				continue
			}
			switch e.Action {
			case "pass":
				passed++
			case "fail":
				failed++
				fmt.Fprint(out, strings.Join(said[key], ""))
			case "skip":
				skipped++
				fmt.Fprint(out, strings.Join(said[key], ""))
			}
			delete(said, key)
		}
	}
	counts = fmt.Sprintf("%d passed, %d failed, %d skipped", passed, failed, skipped)
	fmt.Fprintln(out, "tests:", counts)
	if ci && skipped > 0 {
		fmt.Fprintln(out, "a test was skipped, which CI does not take")
	}
	return counts, lines.Err() == nil && !packageFailed && failed == 0 && passed > 0 && !(ci && skipped > 0)
}
