package main

import (
	"cmp"
	"context"
	"io/fs"

	"github.com/spf13/cobra"

	"github.com/mecha-org/mecha-agent/cmd/internal/cli"
	"github.com/mecha-org/mecha-agent/gateway"
	"github.com/mecha-org/mecha-agent/settings"
)

// The exit codes of the agent's own, after those of package cli.
const (
	exitNoAgent = cli.ExitUsage + 1 + iota
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

var exits = cli.Codes{Declined: exitDeclined, Kinds: map[gateway.Kind]int{
	gateway.BadRequest:     cli.ExitUsage,
	gateway.Unreachable:    exitNoGateway,
	gateway.Pending:        exitNotClaimed,
	gateway.AlreadyRunning: exitBusy,
	gateway.Precondition:   exitWrongState,
	gateway.NotFound:       exitWrongState,
	gateway.Deadline:       exitTimeout,
}}

// run is the whole program but for the process: it returns the exit code. The
// root of the file system tells which board this is.
func run(ctx context.Context, sys cli.System, root fs.FS) int {
	a := &app{Program: cli.Program{System: sys}, root: root}
	return a.Run(ctx, a.command(), exits)
}

// app is what the commands share.
type app struct {
	cli.Program
	root    fs.FS
	address string // of the agent; "" is what the settings say
	machine string // who answers there, over TLS; "" is without TLS
}

func (a *app) command() *cobra.Command {
	root := &cobra.Command{
		Use:   "mecha-agent",
		Short: "Give this machine its identity",
		Long: `mecha-agent shows a short code on the board's panel. Its owner types the code at
the gateway, and a moment later the machine holds a private key that never
leaves it and a certificate that the fleet trusts.

"mecha-agent run" is the daemon; most of the other commands talk to it.

` + exitCodes,
		Version: cli.Version(version),
	}
	a.Flags(root, "~/.mecha/agent/settings.yml, then /etc/mecha/settings.yml", "provisioning.server_url=https://gw:3000")
	root.AddCommand(a.runCommand(), a.statusCommand(), a.pingCommand(), a.codeCommand(), a.provisionCommand(),
		a.deprovisionCommand(), a.keyCommand(), a.signCommand(), a.boardCommand(), a.doctorCommand(), a.VersionCommand(),
		a.SettingsCommand(func() (any, settings.Report, error) { return a.load() }))
	return root
}

// load reads the settings with the flags on top.
func (a *app) load() (settings.Agent, settings.Report, error) {
	over, err := a.Overrides("mecha-agent")
	if err != nil {
		return settings.Agent{}, settings.Report{}, err
	}
	return settings.LoadAgent(settings.Source{File: a.SettingsFile, Environ: a.Environ, Overrides: over,
		Home: cmp.Or(a.Getenv("HOME"), "/root")}) // a service without HOME is root's
}
