package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/mecha-org/mecha-agent/cmd/internal/cli"
	"github.com/mecha-org/mecha-agent/gateway"
	provisioningpb "github.com/mecha-org/mecha-agent/proto/provisioning"
)

// claimTimeout is how long "provision" waits for a person to claim the code.
const claimTimeout = 15 * time.Minute

func (a *app) provisionCommand() *cobra.Command {
	c := a.clientCommand("provision [CODE]", "Get the identity, with the code on the panel or a fresh one", cobra.MaximumNArgs(1),
		func(ctx context.Context, d daemonClient, args []string) error {
			if len(args) == 1 {
				return a.provisionOnce(ctx, d, args[0])
			}
			return a.provisionAndWait(ctx, d)
		})
	c.Long = `Without a code: make a fresh one, print it, and wait until an operator has
claimed it and the machine holds its identity.

With the code that stands on the panel: run the exchange once; exit with 5 when
no operator has claimed the code yet.`
	timeout := c.Flags().Lookup("timeout")
	_ = timeout.Value.Set(claimTimeout.String()) // a duration's own text always parses
	timeout.DefValue = claimTimeout.String()
	return c
}

func (a *app) provisionOnce(ctx context.Context, d daemonClient, code string) error {
	r, err := d.ProvisionByCode(ctx, &provisioningpb.ProvisioningRequest{Code: code})
	if err != nil {
		return err
	}
	if !r.Success {
		return notClaimed
	}
	s, err := d.Status(ctx, &provisioningpb.StatusRequest{})
	if err != nil {
		return err
	}
	return a.printProvisioned(s)
}

func (a *app) provisionAndWait(ctx context.Context, d daemonClient) error {
	s, err := d.freshCode(ctx)
	if err != nil {
		return err
	}
	if s.State == provisioningpb.State_STATE_PROVISIONED { // claimed before, and nobody was told
		return a.provisionOnce(ctx, d, s.Code)
	}
	fmt.Fprintln(a.Stderr, "code", s.Code)
	a.tellWhere(s)
	progress := newProgress(a.Stderr, cli.IsTerminal(a.Stderr), func() int { return cli.Width(a.Stderr) })
	defer progress.end()
	shown, before := s.Code, asTime(s.CertificateExpires)
	var last *provisioningpb.StatusResponse
	err = d.watch(ctx, func(s *provisioningpb.StatusResponse) (bool, error) {
		last = s
		progress.show(s)
		if s.Code != "" && s.Code != shown {
			shown = s.Code
			progress.note("there is a new code: " + shown)
			if s.ClaimUrl != "" {
				progress.note("claim it at " + s.ClaimUrl)
			}
		}
		switch s.State {
		case provisioningpb.State_STATE_PROVISIONED, provisioningpb.State_STATE_IDLE:
			return s.Step == "", nil // at rest; it may be over before the watch begins
		case provisioningpb.State_STATE_FAILED:
			return true, cli.Fail(cli.ExitFailure, errors.New(s.Error), s.Hint)
		}
		return false, nil
	})
	progress.end()
	switch {
	case gateway.KindOf(err) == gateway.Deadline: // a watch ends late only with the time of --timeout
		return &gateway.Error{Kind: gateway.Deadline, Err: errors.New("the machine did not get its identity in time"),
			Advice: "the agent goes on with it: mecha-agent status tells how far it is"}
	case err != nil:
		return err
	}
	// A machine that had an identity falls back to it when nobody claims the code.
	old := last.State == provisioningpb.State_STATE_IDLE || asTime(last.CertificateExpires).Equal(before)
	// The agent asks the gateway a last time before it gives a code up: this waits
	// for the answer. And it lets the agent know that we know.
	r, err := d.ProvisionByCode(ctx, &provisioningpb.ProvisioningRequest{Code: shown})
	switch claimed := err == nil && r.Success; {
	case old && claimed:
		if last, err = d.Status(ctx, &provisioningpb.StatusRequest{}); err != nil {
			return err
		}
	case old:
		return cli.Fail(exitNotClaimed, errors.New("no operator claimed the code before its time was over"), "run mecha-agent provision again")
	}
	return a.printProvisioned(last)
}

func (a *app) printProvisioned(s *provisioningpb.StatusResponse) error {
	if a.JSON {
		return a.PrintJSON(toJSON(s))
	}
	_, err := fmt.Fprintf(a.Stdout, "provisioned as %s until %s\n", s.MachineId, formatTime(asTime(s.CertificateExpires)))
	return err
}
