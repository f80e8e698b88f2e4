package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/mecha-org/mecha-agent/board"
	"github.com/mecha-org/mecha-agent/board/host"
	"github.com/mecha-org/mecha-agent/cmd/agent/internal/doctor"
	"github.com/mecha-org/mecha-agent/cmd/internal/cli"
	"github.com/mecha-org/mecha-agent/gateway/client"
	"github.com/mecha-org/mecha-agent/keystore/choose"
	provisioningpb "github.com/mecha-org/mecha-agent/proto/provisioning"
	"github.com/mecha-org/mecha-agent/settings"
)

func (a *app) doctorCommand() *cobra.Command {
	return &cobra.Command{Use: "doctor", Short: "Find out why something does not work", Args: cobra.NoArgs,
		Long: `doctor checks, in this order: the settings, what they wire, the devices that the
wiring uses, the I2C bus of the header, the display, the button, the TPM, the
clock, the folder of the state, the identity, the running agent, the name of the
gateway, and the gateway itself. Each check is "ok", "warn" (worth a look), "fail"
(keeps the agent from its work) or "skip" (does not apply, or could not be looked
at), and says what mends it.

It changes nothing and takes 15 seconds at most. It looks with the rights of its
user: run it as the user of the agent, "sudo -u USER mecha-agent doctor".

With --json it prints "failed", the number of checks that failed, and "checks", a
list of name, result, found and mend, of which mend may be "".

The exit code is 0 when no check fails, and 1 when one does, also when that is the
one of the settings.`,
		RunE: func(c *cobra.Command, _ []string) error { return a.doctor(c.Context()) }}
}

func (a *app) doctor(ctx context.Context) error {
	subject, env := a.examine(ctx)
	defer closeSoon(subject.Board)
	findings := doctor.Run(ctx, subject, env, a.waiting())
	if err := a.printFindings(findings); err != nil {
		return err
	}
	if n := doctor.Failed(findings); n > 0 {
		return cli.Fail(cli.ExitFailure, fmt.Errorf("%d of %d checks failed", n, len(findings)), "")
	}
	return nil
}

// examine collects what the checks look at. What fails here is for them to say.
func (a *app) examine(ctx context.Context) (doctor.Subject, doctor.Env) {
	cfg, report, err := a.load()
	s := doctor.Subject{Settings: cfg, File: report.File, SettingsErr: err}
	env := doctor.System()
	env.Root, env.Ping, env.Agent = a.root, pinger(cfg), a.askAgent
	if err != nil {
		return s, env
	}
	env.Key = choose.Read
	record := &doctor.Recorder{Host: host.New()}
	s.Board, s.BoardErr = openBoard(ctx, a.root, onlooker(cfg), record)
	s.Devices, s.SpareLight = record.Devices, wiring(cfg.Hardware, "").SpareLight()
	return s, env
}

// pinger asks the gateway as the exchange would.
func pinger(cfg settings.Agent) func(context.Context) error {
	return func(ctx context.Context) error {
		gw, err := client.New(gatewayConfig(cfg.Provisioning, slog.New(slog.DiscardHandler)))
		if err != nil {
			return err
		}
		defer gw.Close()
		return gw.Ping(ctx)
	}
}

// askAgent asks the running agent what it is doing. Its code stays out of it.
func (a *app) askAgent(ctx context.Context) (doctor.Agent, error) {
	d, err := a.dial(ctx)
	if err != nil {
		return doctor.Agent{}, err
	}
	defer d.Close()
	s, err := d.Status(ctx, &provisioningpb.StatusRequest{})
	if err != nil {
		return doctor.Agent{}, err
	}
	return doctor.Agent{State: stateText(s.State), Error: s.Error, Hint: s.Hint, Trouble: s.Trouble}, nil
}

// closeSoon gives the board back, and does not wait for a bus that hangs: the end
// of the process frees it.
func closeSoon(b board.Board) {
	done := make(chan struct{})
	go func() { defer close(done); b.Close() }()
	select {
	case <-done:
	case <-time.After(time.Second):
	}
}

// waiting tells a person at the terminal which checks are left; nobody else.
func (a *app) waiting() func([]string) {
	if !cli.IsTerminal(a.Stderr) {
		return nil
	}
	return func(names []string) { drawWaiting(a.Stderr, names) }
}

// drawWaiting draws over the line before; the last one leaves it empty.
func drawWaiting(w io.Writer, names []string) {
	text := eraseLine
	if len(names) > 0 {
		text += "waiting for " + strings.Join(names, ", ")
		text = text[:min(len(text), len(eraseLine)+79)]
	}
	fmt.Fprint(w, text)
}

// findingsJSON is what doctor --json prints.
type findingsJSON struct {
	Failed int              `json:"failed"`
	Checks []doctor.Finding `json:"checks"`
}

func (a *app) printFindings(list []doctor.Finding) error {
	if a.JSON {
		return a.PrintJSON(findingsJSON{doctor.Failed(list), list})
	}
	w := tabwriter.NewWriter(a.Stdout, 0, 0, 2, ' ', 0)
	for _, f := range list {
		name, result := f.Name, string(f.Result)
		for line := range strings.Lines(f.Found) {
			fmt.Fprintf(w, "%s\t%s\t%s\n", name, result, cli.Clean(strings.TrimSpace(line)))
			name, result = "", ""
		}
		if f.Mend != "" && f.Result != doctor.OK {
			fmt.Fprintf(w, "\t\thint: %s\n", cli.Clean(f.Mend))
		}
	}
	return w.Flush()
}
