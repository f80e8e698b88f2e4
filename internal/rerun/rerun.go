// Package rerun starts the program of a test once more, for the tests that need
// a process to kill, to interrupt, or to type at.
//
// It knows the one case that os/exec cannot: an emulator such as qemu-user runs
// the test (go test -exec), and the kernel refuses what the test starts with
// "exec format error", because only the emulator can read its own program. The
// kernel's way out, binfmt_misc, has to be set up by the administrator of the
// machine, so tests do not count on it.
package rerun

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Emulator is the variable of the environment that names the emulator which runs
// the tests, with its arguments separated by blanks, as go test -exec takes it:
//
//	export MECHA_EMULATOR='qemu-arm-static -cpu arm1176'
//	GOARCH=arm GOARM=6 go test -exec "$MECHA_EMULATOR" ./...
//
// It is empty where the machine runs them itself. The emulator has to understand
// qemu-user's option -0, which sets argv[0].
const Emulator = "MECHA_EMULATOR"

// Line is the command line that starts the program of this test again with the
// name and the arguments: its first word is an absolute path. The name, which the
// program sees as os.Args[0], counts only under an emulator; otherwise whoever
// starts the line sets it (os/exec by Cmd.Args).
func Line(name string, args ...string) ([]string, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("finding the test's own program: %w", err)
	}
	line := strings.Fields(os.Getenv(Emulator))
	if len(line) > 0 {
		// A test may start the line elsewhere, and without a PATH.
		if line[0], err = exec.LookPath(line[0]); err == nil {
			line[0], err = filepath.Abs(line[0])
		}
		if err != nil {
			return nil, fmt.Errorf("finding the emulator of $%s: %w", Emulator, err)
		}
		line = append(line, "-0", name)
	}
	return append(append(line, program), args...), nil
}

// Command is exec.CommandContext with the program of this test. What keeps it
// from being found is told by its Start, as for any other command.
func Command(ctx context.Context, args ...string) *exec.Cmd {
	line, err := Line(os.Args[0], args...)
	if err != nil {
		return &exec.Cmd{Path: os.Args[0], Args: append(os.Args[:1:1], args...), Err: err}
	}
	return exec.CommandContext(ctx, line[0], line[1:]...)
}

// Script is a program for /bin/sh that starts the program of this test again
// under an emulator, handing on its own name and arguments. Whatever looks for a
// program in $PATH can start it.
func Script() ([]byte, error) {
	line, err := Line("\x00")
	if err != nil {
		return nil, err
	}
	for i, word := range line {
		line[i] = "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
	}
	text := strings.Replace(strings.Join(line, " "), "'\x00'", `"$0"`, 1)
	return []byte("#!/bin/sh\nexec " + text + " \"$@\"\n"), nil
}
