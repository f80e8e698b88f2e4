package main

import (
	"strings"
	"testing"
)

func TestSummarise(t *testing.T) {
	const (
		pass  = `{"Action":"pass","Package":"p","Test":"TestA","Elapsed":0.1}` + "\n"
		fail  = `{"Action":"output","Package":"p","Test":"TestB","Output":"b_test.go:1: broken\n"}` + "\n" + `{"Action":"fail","Package":"p","Test":"TestB"}` + "\n"
		skip  = `{"Action":"output","Package":"p","Test":"TestC","Output":"c_test.go:1: no TPM\n"}` + "\n" + `{"Action":"skip","Package":"p","Test":"TestC"}` + "\n"
		build = `{"ImportPath":"p","Action":"build-output","Output":"p.go:1: undefined: x\n"}` + "\n" + `{"ImportPath":"p","Action":"build-fail"}` + "\n"
		ended = `{"Action":"fail","Package":"p"}` + "\n"
	)
	for _, tt := range []struct {
		name, in string
		ci, ok   bool
		says     string
	}{
		{"all pass", pass, true, true, "tests: 1 passed, 0 failed, 0 skipped"},
		{"one fails", pass + fail, false, false, "broken"},
		{"a skip at home", pass + skip, false, true, "no TPM"},
		{"a skip in CI", pass + skip, true, false, "1 skipped"},
		{"does not build", pass + build, false, false, "undefined: x"},
		{"the package fails outside its tests", pass + ended, false, false, "fail"},
		{"nothing ran", "", false, false, "0 passed"},
	} {
		var out strings.Builder
		counts, ok := summarise(strings.NewReader(tt.in), &out, tt.ci)
		if ok != tt.ok || !strings.Contains(out.String(), tt.says) || !strings.Contains(out.String(), "tests: "+counts+"\n") {
			t.Errorf("%s: got %v, %q and %q", tt.name, ok, counts, out.String())
		}
	}
}
