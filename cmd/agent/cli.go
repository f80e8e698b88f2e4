package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/mecha-org/mecha-agent/gateway"
	"github.com/mecha-org/mecha-agent/settings"
)

// version is set by the Makefile.
var version = ""

// system is what the process was started with.
type system struct {
	args, environ  []string
	root           fs.FS // of the file system, for finding out which board this is
	stdin          io.Reader
	stdout, stderr io.Writer
}

// The exit codes; help prints them.
const (
	exitOK = iota
	exitFailure
	exitUsage
	exitNoAgent
	exitNoGateway
	exitNotClaimed
	exitBusy
	exitWrongState
	exitDeclined
	exitTimeout
)

const exitCodes = `Exit codes:
  0  done
  1  failed
  2  wrong usage or settings
  3  the agent is not running, or its socket is not ours to use
  4  the gateway cannot be reached
  5  no operator has claimed the code yet
  6  another request is running
  7  wrong state: no such code, or no identity
  8  declined at the prompt
  9  took too long`

// exitError is an error with an exit code of its own.
type exitError struct {
	error
	code int
	hint string
}

func (e exitError) Hint() string  { return e.hint }
func (e exitError) Unwrap() error { return e.error }

// run is the whole program but for the process: it returns the exit code.
func run(ctx context.Context, sys system) int {
	a := &app{system: sys}
	root := a.command()
	root.SetArgs(sys.args)
	root.SetIn(sys.stdin)
	root.SetOut(sys.stdout)
	root.SetErr(sys.stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	fmt.Fprintln(sys.stderr, "mecha-agent:", strings.ReplaceAll(err.Error(), "\n", "\nmecha-agent: "))
	if hint := gateway.HintOf(err); hint != "" {
		fmt.Fprintln(sys.stderr, "mecha-agent: hint:", hint)
	}
	return exitCode(err)
}

// exitCode maps an error to the list that help prints.
func exitCode(err error) int {
	var own exitError
	var bad *settings.Error
	switch {
	case errors.As(err, &own):
		return own.code
	case errors.As(err, &bad):
		return exitUsage
	}
	switch gateway.KindOf(err) {
	case gateway.Unreachable:
		return exitNoGateway
	case gateway.Pending:
		return exitNotClaimed
	case gateway.AlreadyRunning:
		return exitBusy
	case gateway.Precondition, gateway.NotFound:
		return exitWrongState
	case gateway.Deadline:
		return exitTimeout
	case gateway.BadRequest:
		return exitUsage
	}
	return exitFailure
}

// app holds the flags that several commands share.
type app struct {
	system
	settingsFile string
	set          []string // --set key=value
	address      string
	json         bool
}

func (a *app) command() *cobra.Command {
	root := &cobra.Command{
		Use:   "mecha-agent",
		Short: "Give this machine its identity",
		Long: `mecha-agent shows a short code on the board's panel. Its owner types the code at
the gateway, and a moment later the machine holds a private key that never
leaves it and a certificate that the fleet trusts.

"mecha-agent run" is the daemon; the other commands talk to it.

` + exitCodes,
		SilenceErrors: true,
		SilenceUsage:  true,
		Version:       versionText(),
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error {
		return exitError{err, exitUsage, "mecha-agent --help lists commands and flags"}
	})
	root.SuggestionsMinimumDistance = 2
	f := root.PersistentFlags()
	f.StringVarP(&a.settingsFile, "settings", "s", "", "settings `file` (default ~/.mecha/agent/settings.yml, then /etc/mecha/settings.yml)")
	f.StringArrayVar(&a.set, "set", nil, "set one setting, as in --set provisioning.server_url=https://gw:3000; repeatable")
	f.BoolVar(&a.json, "json", false, "print data as JSON")
	root.AddCommand(a.runCommand(), a.statusCommand(), a.pingCommand(), a.codeCommand(), a.provisionCommand(),
		a.deprovisionCommand(), a.boardCommand(), a.settingsCommand(), a.versionCommand())
	usage(root)
	return root
}

// usage makes wrong arguments of every command exit with 2 and a hint.
func usage(c *cobra.Command) {
	if check := c.Args; check != nil {
		c.Args = func(c *cobra.Command, args []string) error {
			if err := check(c, args); err != nil {
				return exitError{err, exitUsage, c.CommandPath() + " --help tells what it takes"}
			}
			return nil
		}
	}
	for _, sub := range c.Commands() {
		usage(sub)
	}
	if c.HasSubCommands() && c.Args == nil {
		c.Args = cobra.ArbitraryArgs
		c.RunE = func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return c.Help()
			}
			advice := "mecha-agent --help lists the commands"
			if near := c.SuggestionsFor(args[0]); len(near) > 0 {
				advice = "did you mean " + strings.Join(near, " or ") + "?"
			}
			return exitError{fmt.Errorf("unknown command %q", args[0]), exitUsage, advice}
		}
	}
}

// load reads the settings with the flags on top.
func (a *app) load() (settings.Agent, settings.Report, error) {
	overrides := map[string]string{}
	for _, s := range a.set {
		key, value, ok := strings.Cut(s, "=")
		if !ok {
			return settings.Agent{}, settings.Report{}, exitError{fmt.Errorf("--set %q has no =", s), exitUsage,
				"write --set key=value, as in --set server.port=3002"}
		}
		overrides[key] = value
	}
	return settings.LoadAgent(settings.Source{File: a.settingsFile, Environ: a.environ, Home: a.home(), Overrides: overrides})
}

func (a *app) home() string {
	for _, e := range a.environ {
		if h, ok := strings.CutPrefix(e, "HOME="); ok {
			return h
		}
	}
	return "/root" // a service without HOME is root's
}

func (a *app) settingsCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "settings",
		Short: "Print the effective settings and where each comes from",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			cfg, report, err := a.load()
			if err != nil {
				return err
			}
			if report.File != "" && !a.json {
				fmt.Fprintln(a.stderr, "file:", report.File)
			}
			return report.Print(a.stdout, cfg, a.json)
		},
	}
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if a.json {
				return printJSON(a.stdout, map[string]string{"version": versionText()})
			}
			_, err := fmt.Fprintln(a.stdout, "mecha-agent", versionText())
			return err
		},
	}
}

// versionText is what the Makefile set, else what Go recorded of the module.
func versionText() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// isTerminal says whether a person sits at the stream.
func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
