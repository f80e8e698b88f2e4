package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/mecha-org/mecha-agent/gateway"
	"github.com/mecha-org/mecha-agent/settings"
)

// terminal returns both ends of one, 80 columns wide: what a person's keyboard
// and screen are, and what a program has for its streams.
func terminal(t *testing.T) (person, program *os.File) {
	t.Helper()
	open := func(name string) *os.File {
		f, err := os.OpenFile(name, os.O_RDWR|unix.O_NOCTTY, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f
	}
	person = open("/dev/ptmx")
	fd := int(person.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 80}); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetUint32(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	return person, open(fmt.Sprintf("/dev/pts/%d", n))
}

func TestTerminal(t *testing.T) {
	_, program := terminal(t)
	if !IsTerminal(program) || Width(program) != 80 {
		t.Errorf("a terminal is one: %t, %d columns", IsTerminal(program), Width(program))
	}
	file, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, other := range []any{file, &bytes.Buffer{}, nil} {
		if IsTerminal(other) || Width(other) != 0 {
			t.Errorf("%T is a terminal: %t, %d columns", other, IsTerminal(other), Width(other))
		}
	}
}

func TestConfirm(t *testing.T) {
	for typed, yes := range map[string]bool{
		"y\n": true, "Y\n": true, "yes\n": true, " YES \n": true,
		"\n": false, "n\n": false, "no\n": false, "yesterday\n": false, "\x04": false, // Ctrl-D: the end of input
	} {
		person, program := terminal(t)
		var talk bytes.Buffer
		p := &Program{System: System{Stdin: program, Stderr: &talk}}
		if _, err := person.WriteString(typed); err != nil {
			t.Fatal(err)
		}
		err := p.Confirm(t.Context(), "Sure?")
		if yes != (err == nil) || !yes && codes.of(err) != declined {
			t.Errorf("%q: %v", typed, err)
		}
		if talk.String() != "Sure? [y/N] " {
			t.Errorf("%q: asked %q", typed, talk.String())
		}
	}
}

func TestConfirmInterrupted(t *testing.T) {
	_, program := terminal(t)
	var talk bytes.Buffer
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := (&Program{System: System{Stdin: program, Stderr: &talk}}).Confirm(ctx, "Sure?")
	if codes.of(err) != declined || !strings.HasSuffix(talk.String(), "\n") {
		t.Errorf("%v, after %q", err, talk.String())
	}
}

func TestConfirmWithoutAPerson(t *testing.T) {
	var talk bytes.Buffer
	err := (&Program{System: System{Stdin: strings.NewReader("y\n"), Stderr: &talk}}).Confirm(t.Context(), "Sure?")
	if codes.of(err) != ExitUsage || gateway.HintOf(err) != "give --yes" || errors.Is(err, errDeclined) || talk.Len() > 0 {
		t.Errorf("%v, hint %q, after %q", err, gateway.HintOf(err), talk.String())
	}
}

func TestPrintJSON(t *testing.T) {
	var out bytes.Buffer
	p := &Program{System: System{Stdout: &out}}
	for _, print := range []func(any) error{p.PrintJSON, p.PrintJSONLine} {
		if err := print(map[string]string{"url": "http://gw/?a=1&b=<2>"}); err != nil {
			t.Fatal(err)
		}
	}
	if want := "{\n  \"url\": \"http://gw/?a=1&b=<2>\"\n}\n{\"url\":\"http://gw/?a=1&b=<2>\"}\n"; out.String() != want {
		t.Errorf("got %s", out.String())
	}
}

func TestLogGoesToStderr(t *testing.T) {
	person, program := terminal(t)
	c := settings.Logging{Enabled: true, Level: "warn"}
	var stderr bytes.Buffer
	for _, p := range []*Program{{System: System{Stderr: &stderr}}, {System: System{Stderr: program}}} {
		log, done, err := p.OpenLog(c)
		if err != nil {
			t.Fatal(err)
		}
		log.Info("not asked for")
		log.Warn("hello")
		done()
	}
	if got := stderr.String(); !strings.HasPrefix(got, `{"time":`) || !strings.Contains(got, `"msg":"hello"`) || strings.Contains(got, "asked") {
		t.Errorf("to a pipe: %s", got)
	}
	screen := make([]byte, 1000)
	n, err := person.Read(screen)
	if got := string(screen[:n]); err != nil || !strings.HasPrefix(got, "time=") || !strings.Contains(got, "msg=hello") {
		t.Errorf("to a terminal: %s, %v", got, err)
	}
}

func TestLogGoesToItsFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a", "b", "agent.log")
	var stderr bytes.Buffer
	p := &Program{System: System{Stderr: &stderr}}
	for range 2 {
		log, done, err := p.OpenLog(settings.Logging{Enabled: true, Level: "info", Path: path})
		if err != nil {
			t.Fatal(err)
		}
		log.Info("hello")
		done()
	}
	text, err := os.ReadFile(path)
	if err != nil || strings.Count(string(text), `"msg":"hello"`) != 2 || stderr.Len() > 0 {
		t.Errorf("%s, %v, on stderr %q", text, err, stderr.String())
	}
	for name, mode := range map[string]os.FileMode{path: 0o640, filepath.Dir(path): 0o750} {
		if info, err := os.Stat(name); err != nil || info.Mode().Perm()&^mode != 0 {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
}

func TestNoLog(t *testing.T) {
	var stderr bytes.Buffer
	p := &Program{System: System{Stderr: &stderr}}
	log, done, err := p.OpenLog(settings.Logging{Path: "/nowhere/at/all"})
	if err != nil {
		t.Fatal(err)
	}
	log.Error("hello")
	done()
	if stderr.Len() > 0 {
		t.Errorf("got %s", stderr.String())
	}
	if _, _, err := p.OpenLog(settings.Logging{Enabled: true, Level: "loud"}); err == nil || !strings.Contains(err.Error(), "logging.level") {
		t.Errorf("a level that is none: %v", err)
	}
	if _, _, err := p.OpenLog(settings.Logging{Enabled: true, Level: "info", Path: "/dev/null/x.log"}); err == nil || !strings.Contains(err.Error(), "opening the log") {
		t.Errorf("a folder that is none: %v", err)
	}
}
