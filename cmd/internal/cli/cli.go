// Package cli is what the command lines of mecha-agent and mecha-gateway share:
// the flags that every command takes, errors with an exit code and a hint,
// questions to a person, data as JSON, and the log.
package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

// System is what a process was started with.
type System struct {
	Args           []string // without the program's name
	Environ        []string // NAME=value
	Stdin          io.Reader
	Stdout, Stderr io.Writer
}

// Main calls run with this process's System and a context that SIGINT or SIGTERM
// ends, and returns what run returns: the exit code for os.Exit.
func Main(run func(context.Context, System) int) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return run(ctx, System{Args: os.Args[1:], Environ: os.Environ(), Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr})
}

// Getenv returns a variable of the environment, or "". Of two with one name the
// last one counts, as in os/exec.
func (s System) Getenv(name string) string {
	value := ""
	for _, e := range s.Environ {
		if n, v, ok := strings.Cut(e, "="); ok && n == name {
			value = v
		}
	}
	return value
}

// Program is one run of a program. Flags and Run fill in the rest of it from
// the command line.
type Program struct {
	System
	SettingsFile string // --settings, or ""
	JSON         bool   // --json: data goes out as JSON

	set []string // --set key=value
}

// Flags gives the root command the flags that every command takes. usual is
// where settings are looked for when --settings names no file, example one
// key=value of the program's own settings; help shows both.
func (p *Program) Flags(root *cobra.Command, usual, example string) {
	f := root.PersistentFlags()
	f.StringVarP(&p.SettingsFile, "settings", "s", "", "settings `file` (default "+usual+")")
	f.StringArrayVar(&p.set, "set", nil, "set one setting by `key=value`, as in --set "+example+"; repeatable")
	f.BoolVar(&p.JSON, "json", false, "print data as JSON")
}

// Run executes the command that the arguments name, prints its error and hint
// on stderr, and returns the exit code.
func (p *Program) Run(ctx context.Context, root *cobra.Command, codes Codes) int {
	root.SilenceErrors, root.SilenceUsage = true, true
	root.SetArgs(p.Args)
	root.SetIn(p.Stdin)
	root.SetOut(p.Stdout)
	root.SetErr(p.Stderr)
	root.InitDefaultCompletionCmd()
	root.InitDefaultHelpCmd()
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return Usage(err, c.CommandPath()+" --help lists its flags")
	})
	strict(root)
	err := root.ExecuteContext(ctx)
	if err != nil {
		p.complain(root.Name(), err)
	}
	return codes.of(err)
}

// Overrides returns what --set says, by dotted key. Name is the program's, for
// the hint.
func (p *Program) Overrides(name string) (map[string]string, error) {
	over := make(map[string]string)
	for _, s := range p.set {
		key, value, ok := strings.Cut(s, "=")
		if !ok || key == "" {
			return nil, Usage(fmt.Errorf("--set %q: want key=value", s), name+" settings lists the keys")
		}
		over[key] = value
	}
	return over, nil
}
