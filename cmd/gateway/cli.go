package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/mecha-org/mecha-agent/gateway"
	"github.com/mecha-org/mecha-agent/settings"
)

// The exit codes; help prints them.
const (
	exitOK = iota
	exitFailure
	exitUsage
	exitRefused
	exitNotFound
	exitUnreachable
	exitDeclined
)

const exitCodes = `Exit codes:
  0  done
  1  failed
  2  wrong usage or settings
  3  refused by the gateway: API key wrong, or too many tries
  4  not found: code or machine unknown, or code expired
  5  the gateway cannot be reached
  6  declined at the prompt`

// exitError is an error with an exit code and a hint of its own.
type exitError struct {
	error
	code int
	hint string
}

// Hint returns what a person can do, or "".
func (e exitError) Hint() string { return e.hint }

// Unwrap returns the cause.
func (e exitError) Unwrap() error { return e.error }

// run is the whole program but for the process: it returns the exit code.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer, env []string) int {
	a := &app{environ: env, stdin: stdin, stdout: stdout, stderr: stderr}
	root := a.command()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	var own exitError
	if !a.began && !errors.As(err, &own) { // the command line was refused before any command of ours began
		err = exitError{err, exitUsage, "mecha-gateway --help lists commands and flags"}
	}
	for line := range strings.Lines(err.Error()) {
		if line = strings.TrimSpace(line); line != "" {
			fmt.Fprintln(stderr, "mecha-gateway:", line)
		}
	}
	if hint := gateway.HintOf(err); hint != "" {
		fmt.Fprintln(stderr, "mecha-gateway: hint:", hint)
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
	case gateway.BadRequest:
		return exitUsage
	case gateway.Unauthorized, gateway.TooMany:
		return exitRefused
	case gateway.NotFound:
		return exitNotFound
	case gateway.Unreachable, gateway.Deadline:
		return exitUnreachable
	}
	return exitFailure
}

// app is what the commands share.
type app struct {
	environ        []string
	stdin          io.Reader
	stdout, stderr io.Writer
	began          bool // a command of ours runs

	settingsFile string
	set          []string // --set key=value
	data         string
	json         bool
}

func (a *app) command() *cobra.Command {
	root := &cobra.Command{
		Use:   "mecha-gateway",
		Short: "The gateway that gives a fleet its identities",
		Long: `mecha-gateway answers boards that ask for their identity, and is the operator's
tool. "mecha-gateway serve" is the gateway with its certificate authority; the
other commands ask a running one over its HTTP API, with an API key: that of
--key-file, else MECHA_GATEWAY_API_KEY_ID and MECHA_GATEWAY_API_KEY_SECRET, else
admin.key in the data folder, which the first start writes.

` + exitCodes,
		SilenceErrors:     true,
		SilenceUsage:      true,
		Version:           versionText(),
		PersistentPreRunE: func(*cobra.Command, []string) error { a.began = true; return nil },
	}
	root.SetVersionTemplate("mecha-gateway {{.Version}}\n")
	f := root.PersistentFlags()
	f.StringVarP(&a.settingsFile, "settings", "s", "", "settings `file` (default /etc/mecha/gateway.yml)")
	f.StringArrayVar(&a.set, "set", nil, "set one setting, as in --set codes.life=5m; repeatable")
	f.StringVar(&a.data, "data", "", "`folder` of database, CA and admin.key (default ~/.mecha/gateway)")
	f.BoolVar(&a.json, "json", false, "print data as JSON")
	root.AddCommand(a.serveCommand(), a.claimCommand(), a.machinesCommand(), a.revokeCommand(), a.keysCommand(),
		a.settingsCommand(), a.versionCommand())
	return root
}

// load reads the settings; flags are dotted keys and values on top of --set.
func (a *app) load(flags map[string]string) (settings.Gateway, settings.Report, error) {
	over := make(map[string]string)
	for _, s := range a.set {
		key, value, ok := strings.Cut(s, "=")
		if !ok || key == "" {
			return settings.Gateway{}, settings.Report{}, exitError{errors.New("--set wants key=value"), exitUsage,
				"mecha-gateway settings lists the keys"}
		}
		over[key] = value
	}
	if a.data != "" {
		over["data"] = a.data
	}
	for key, value := range flags {
		over[key] = value
	}
	src := settings.Source{File: a.settingsFile, Home: lookup(a.environ, "HOME"), Overrides: over}
	for _, e := range a.environ { // the API key is no setting
		if name, _, _ := strings.Cut(e, "="); name != envKeyID && name != envKeySecret {
			src.Environ = append(src.Environ, e)
		}
	}
	return settings.LoadGateway(src)
}

func lookup(environ []string, name string) string {
	value := ""
	for _, e := range environ {
		if n, v, ok := strings.Cut(e, "="); ok && n == name {
			value = v // the last one counts, as in os/exec
		}
	}
	return value
}

func (a *app) settingsCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "settings",
		Short: "Print the effective settings and where each comes from",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			s, report, err := a.load(nil)
			if err != nil {
				return err
			}
			return report.Print(a.stdout, s, a.json)
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
				return a.printJSON(map[string]string{"version": versionText()})
			}
			_, err := fmt.Fprintln(a.stdout, "mecha-gateway", versionText())
			return err
		},
	}
}

func versionText() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}

func (a *app) printJSON(v any) error {
	e := json.NewEncoder(a.stdout)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// isTerminal says whether a person sits at the stream.
func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
