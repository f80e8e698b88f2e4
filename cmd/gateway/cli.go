package main

import (
	"context"
	"maps"
	"strings"

	"github.com/spf13/cobra"

	"github.com/mecha-org/mecha-agent/cmd/internal/cli"
	"github.com/mecha-org/mecha-agent/gateway"
	"github.com/mecha-org/mecha-agent/settings"
)

// The exit codes of the gateway's own, after those of package cli.
const (
	exitRefused = cli.ExitUsage + 1 + iota
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

var exits = cli.Codes{Declined: exitDeclined, Kinds: map[gateway.Kind]int{
	gateway.BadRequest:   cli.ExitUsage,
	gateway.Unauthorized: exitRefused,
	gateway.TooMany:      exitRefused,
	gateway.NotFound:     exitNotFound,
	gateway.Unreachable:  exitUnreachable,
	gateway.Deadline:     exitUnreachable,
}}

// run is the whole program but for the process: it returns the exit code.
func run(ctx context.Context, sys cli.System) int {
	a := &app{Program: cli.Program{System: sys}}
	return a.Run(ctx, a.command(), exits)
}

// app is what the commands share.
type app struct {
	cli.Program
	data string // --data, or ""
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
		Version: cli.Version(version),
	}
	a.Flags(root, "/etc/mecha/gateway.yml", "codes.life=5m")
	root.PersistentFlags().StringVar(&a.data, "data", "", "`folder` of database, CA and admin.key (default ~/.mecha/gateway)")
	root.AddCommand(a.serveCommand(), a.claimCommand(), a.machinesCommand(), a.revokeCommand(), a.keysCommand(), a.VersionCommand(),
		a.SettingsCommand(func() (any, settings.Report, error) { return a.load(nil) }))
	return root
}

// load reads the settings; flags are dotted keys and values on top of --set.
func (a *app) load(flags map[string]string) (settings.Gateway, settings.Report, error) {
	over, err := a.Overrides("mecha-gateway")
	if err != nil {
		return settings.Gateway{}, settings.Report{}, err
	}
	if a.data != "" {
		over["data"] = a.data
	}
	maps.Copy(over, flags)
	src := settings.Source{File: a.SettingsFile, Home: a.Getenv("HOME"), Overrides: over}
	for _, e := range a.Environ { // the API key is no setting
		if name, _, _ := strings.Cut(e, "="); name != envKeyID && name != envKeySecret {
			src.Environ = append(src.Environ, e)
		}
	}
	return settings.LoadGateway(src)
}
