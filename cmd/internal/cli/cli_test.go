package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/mecha-org/mecha-agent/gateway"
	"github.com/mecha-org/mecha-agent/settings"
)

const declined = 7

var codes = Codes{Declined: declined, Kinds: map[gateway.Kind]int{gateway.NotFound: 4, gateway.BadRequest: ExitUsage}}

// start runs a program with a leaf command, which returns err, and a command
// that holds another.
func start(t *testing.T, err error, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, talk bytes.Buffer
	p := &Program{System: System{Args: args, Stdin: strings.NewReader(""), Stdout: &out, Stderr: &talk}}
	root := &cobra.Command{Use: "prog", Version: "1.2.3"}
	p.Flags(root, "prog.yml", "a.b=c")
	leaf := &cobra.Command{Use: "leaf", Args: cobra.NoArgs, RunE: func(*cobra.Command, []string) error { return err }}
	group := &cobra.Command{Use: "group", Short: "Holds others"}
	group.AddCommand(&cobra.Command{Use: "inner NAME", Args: cobra.ExactArgs(1), RunE: func(*cobra.Command, []string) error {
		over, err := p.Overrides("prog")
		fmt.Fprintln(p.Stdout, over, p.JSON, p.SettingsFile)
		return err
	}})
	root.AddCommand(leaf, group, p.VersionCommand())
	code = p.Run(context.Background(), root, codes)
	return code, out.String(), talk.String()
}

func TestWrongUsage(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"laef", "prog: unknown command \"laef\"\nprog: hint: did you mean leaf?\n"},
		{"zzzzzzzz", "prog: unknown command \"zzzzzzzz\"\nprog: hint: prog --help lists the commands\n"},
		{"group iner", "prog: unknown command \"iner\"\nprog: hint: did you mean inner?\n"},
		{"group zzzzzzzz x", "prog: unknown command \"zzzzzzzz\"\nprog: hint: prog group --help lists the commands\n"},
		{"completion bsh", "prog: unknown command \"bsh\"\nprog: hint: did you mean bash or fish or zsh?\n"},
		{"help laef", "prog: unknown command \"laef\"\nprog: hint: did you mean leaf?\n"},
		{"help group iner", "prog: unknown command \"iner\"\nprog: hint: did you mean inner?\n"},
		{"group inner", "prog: accepts 1 arg(s), received 0\nprog: hint: prog group inner --help tells what it takes\n"},
		{"completion bash x", "prog: unknown command \"x\" for \"prog completion bash\"\nprog: hint: prog completion bash --help tells what it takes\n"},
		{"leaf --jsno", "prog: unknown flag: --jsno\nprog: hint: prog leaf --help lists its flags\n"},
		{"--jsno", "prog: unknown flag: --jsno\nprog: hint: prog --help lists its flags\n"},
		{"group --jsno", "prog: unknown flag: --jsno\nprog: hint: prog group --help lists its flags\n"},
		{"group inner x --set key", "prog: --set \"key\": want key=value\nprog: hint: prog settings lists the keys\n"},
		{"group inner x --set =value", "prog: --set \"=value\": want key=value\nprog: hint: prog settings lists the keys\n"},
	} {
		code, _, stderr := start(t, nil, strings.Fields(c.args)...)
		if code != ExitUsage || stderr != c.want {
			t.Errorf("%s: exit code %d\n%s", c.args, code, stderr)
		}
	}
}

func TestHelp(t *testing.T) {
	for args, want := range map[string]string{
		"":                 "Available Commands:",
		"help":             "Available Commands:",
		"group":            "inner ",
		"help group":       "inner ",
		"help group inner": "prog group inner NAME",
		"leaf -h":          "--set key=value   set one setting by key=value, as in --set a.b=c; repeatable",
		"completion":       "bash",
		"--version":        "1.2.3",
		"version":          "prog 1.2.3\n",
		"version --json":   "{\n  \"version\": \"1.2.3\"\n}\n",
	} {
		code, stdout, stderr := start(t, nil, strings.Fields(args)...)
		if code != ExitOK || stderr != "" || !strings.Contains(stdout, want) {
			t.Errorf("%q: exit code %d, stderr %q\n%s", args, code, stderr, stdout)
		}
	}
}

func TestSharedFlags(t *testing.T) {
	_, stdout, _ := start(t, nil, "group", "inner", "x", "--set", "a=1", "--set", "b=x=y", "--set", "a=2", "--json", "-s", "file.yml")
	if want := "map[a:2 b:x=y] true file.yml\n"; stdout != want {
		t.Errorf("got %q, want %q", stdout, want)
	}
}

func TestErrorsOfCommands(t *testing.T) {
	_, _, bad := settings.LoadAgent(settings.Source{Home: "/root", Overrides: map[string]string{"no.such.key": "1"}})
	if bad == nil {
		t.Fatal("a key that does not exist was taken")
	}
	for name, c := range map[string]struct {
		err    error
		code   int
		stderr string // "" for any
	}{
		"plain":         {errors.New("no luck"), ExitFailure, "prog: no luck\n"},
		"own code":      {fmt.Errorf("doing: %w", Fail(9, errors.New("no luck"), "try again")), 9, "prog: doing: no luck\nprog: hint: try again\n"},
		"no hint":       {Usage(errors.New("no luck"), ""), ExitUsage, "prog: no luck\n"},
		"settings":      {fmt.Errorf("loading: %w", bad), ExitUsage, ""},
		"kind":          {&gateway.Error{Kind: gateway.NotFound, Err: errors.New("gone"), Advice: "look"}, 4, "prog: gone\nprog: hint: look\n"},
		"other kind":    {&gateway.Error{Kind: gateway.Unreachable}, ExitFailure, ""},
		"own over kind": {Fail(9, &gateway.Error{Kind: gateway.NotFound}, ""), 9, ""},
		"hint below":    {Fail(9, &gateway.Error{Kind: gateway.NotFound, Advice: "look"}, ""), 9, "prog: not_found\nprog: hint: look\n"},
		"declined":      {fmt.Errorf("%w: no", errDeclined), declined, "prog: declined: no\n"},
		"two":           {errors.Join(errors.New("one"), errors.New("two\n")), ExitFailure, "prog: one\nprog: two\n"},
		"terminal":      {Usage(errors.New("a\x1b[2Jb\u202ec\u009b"), "d\ae\nf"), ExitUsage, "prog: a?[2Jb?c?\nprog: hint: d?e?f\n"},
	} {
		code, stdout, stderr := start(t, c.err, "leaf")
		if code != c.code || stdout != "" || c.stderr != "" && stderr != c.stderr {
			t.Errorf("%s: exit code %d, stdout %q, stderr %q", name, code, stdout, stderr)
		}
	}
	if cause := errors.New("cause"); !errors.Is(Fail(1, cause, ""), cause) {
		t.Error("Fail hides the cause")
	}
}

func TestGetenv(t *testing.T) {
	s := System{Environ: []string{"A=first", "AB=other", "A=last=1", "C="}}
	for name, want := range map[string]string{"A": "last=1", "AB": "other", "C": "", "D": ""} {
		if got := s.Getenv(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
}

func TestVersion(t *testing.T) {
	if got := Version("1.2.3"); got != "1.2.3" {
		t.Errorf("got %q, want what the linker set", got)
	}
	if Version("") == "" {
		t.Error("a build without a version has no name")
	}
}

func TestSettingsCommand(t *testing.T) {
	for _, json := range []bool{false, true} {
		var out, talk bytes.Buffer
		p := &Program{System: System{Stdout: &out, Stderr: &talk}, JSON: json}
		c := p.SettingsCommand(func() (any, settings.Report, error) {
			s, report, err := settings.LoadGateway(settings.Source{Home: "/root", Overrides: map[string]string{"codes.life": "7m"}})
			report.File = "there.yml"
			return s, report, err
		})
		if err := c.RunE(c, nil); err != nil {
			t.Fatal(err)
		}
		if want := map[bool]string{false: "file: there.yml\n", true: ""}[json]; talk.String() != want {
			t.Errorf("json %t: stderr %q, want %q", json, talk.String(), want)
		}
		if !strings.Contains(out.String(), "codes.life") || json != strings.HasPrefix(out.String(), "{") {
			t.Errorf("json %t: stdout\n%s", json, out.String())
		}
		failing := p.SettingsCommand(func() (any, settings.Report, error) { return nil, settings.Report{}, errDeclined })
		if err := failing.RunE(failing, nil); !errors.Is(err, errDeclined) {
			t.Errorf("got %v", err)
		}
	}
}
