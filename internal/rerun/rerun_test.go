package rerun_test

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/mecha-org/mecha-agent/internal/rerun"
)

// child is in the environment of the programs that the tests start. They print
// how they were called; "wait" is for those that are to be killed.
const child = "RERUN_TEST_CHILD"

func TestMain(m *testing.M) {
	switch os.Getenv(child) {
	case "":
		os.Exit(m.Run())
	case "wait":
		defer io.Copy(io.Discard, os.Stdin)
	}
	fmt.Printf("%q %d", append([]string{filepath.Base(os.Args[0])}, os.Args[1:]...), os.Getpid())
	if os.Getenv(child) != "wait" {
		os.Exit(7)
	}
}

// words are arguments that a shell would take apart.
var words = []string{"", "a b", "it's", `"$0"`, "-0", "*"}

func TestCommand(t *testing.T) {
	cmd := rerun.Command(t.Context(), words...)
	cmd.Env = append(os.Environ(), child+"=echo")
	out, err := cmd.Output()
	want := fmt.Sprintf("%q %d", append([]string{filepath.Base(os.Args[0])}, words...), cmd.ProcessState.Pid())
	if string(out) != want || cmd.ProcessState.ExitCode() != 7 {
		t.Errorf("got %s, %v; want %s and exit code 7", out, err, want)
	}
}

// TestScript: what the script starts is named as the script, gets its arguments,
// is the process that the caller started, and needs no PATH.
func TestScript(t *testing.T) {
	name := filepath.Join(t.TempDir(), "mecha's agent")
	text, err := rerun.Script()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, text, 0o700); err != nil {
		t.Fatal(err)
	}
	cmd := rerun.Command(t.Context()) // only to have its Env and pipes
	cmd.Path, cmd.Args, cmd.Env = name, append([]string{name}, words...), []string{child + "=echo"}
	out, err := cmd.Output()
	own := filepath.Base(name)
	if os.Getenv(rerun.Emulator) == "" {
		own = filepath.Base(os.Args[0]) // sh cannot give another name
	}
	want := fmt.Sprintf("%q %d", append([]string{own}, words...), cmd.ProcessState.Pid())
	if string(out) != want || cmd.ProcessState.ExitCode() != 7 {
		t.Errorf("got %s, %v; want %s and exit code 7", out, err, want)
	}
}

// TestKill: the process is the program, or what emulates it, and no third one
// that would leave the program behind.
func TestKill(t *testing.T) {
	cmd := rerun.Command(t.Context())
	cmd.Env = append(os.Environ(), child+"=wait")
	if _, err := cmd.StdinPipe(); err != nil { // open until it is killed
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 1)); err != nil {
		t.Error(err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Error(err)
	}
	if _, err := io.Copy(io.Discard, out); err != nil { // ends with the last writer
		t.Error(err)
	}
	err = cmd.Wait()
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
		t.Errorf("the child ended with %v", err)
	}
}

func TestEmulator(t *testing.T) {
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	emulator := filepath.Join(dir, "emulator")
	if err := os.WriteFile(emulator, []byte("#!/bin/sh\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir)
	for _, tt := range []struct {
		value string
		want  []string
	}{
		{"", []string{program, "-v", "x"}},
		{" ", []string{program, "-v", "x"}},
		{"emulator", []string{emulator, "-0", "me", program, "-v", "x"}},
		{"emulator -cpu arm1176", []string{emulator, "-cpu", "arm1176", "-0", "me", program, "-v", "x"}},
		{emulator, []string{emulator, "-0", "me", program, "-v", "x"}},
	} {
		t.Setenv(rerun.Emulator, tt.value)
		if line, err := rerun.Line("me", "-v", "x"); err != nil || !slices.Equal(line, tt.want) {
			t.Errorf("%q: %q, %v; want %q", tt.value, line, err, tt.want)
		}
	}
	t.Setenv(rerun.Emulator, "another")
	if err := rerun.Command(t.Context()).Run(); err == nil || !strings.Contains(err.Error(), "$MECHA_EMULATOR") {
		t.Errorf("an emulator that is not there: %v", err)
	}
	if text, err := rerun.Script(); err == nil {
		t.Errorf("an emulator that is not there: %s", text)
	}
}
