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
			s, err := a.provision(ctx, d, args)
			if err != nil {
				return err
			}
			return a.printProvisioned(s)
		})
	c.Long = `Without a code: make a fresh one, print it, and wait until an operator has
claimed it and the machine holds its identity.

With the code that stands on the panel: run the exchange once; exit with 5 when
no operator has claimed the code yet.`
	waitForClaim(c)
	return c
}

// waitForClaim gives a command the time that a person needs.
func waitForClaim(c *cobra.Command) {
	timeout := c.Flags().Lookup("timeout")
	_ = timeout.Value.Set(claimTimeout.String()) // a duration's own text always parses
	timeout.DefValue = claimTimeout.String()
}

func (a *app) provision(ctx context.Context, d daemonClient, args []string) (*provisioningpb.StatusResponse, error) {
	if len(args) == 1 {
		return d.provisionOnce(ctx, args[0])
	}
	return a.exchange(ctx, d, "mecha-agent provision")
}

// provisionOnce asks once whether the code is claimed, and returns the status with
// the identity.
func (d daemonClient) provisionOnce(ctx context.Context, code string) (*provisioningpb.StatusResponse, error) {
	r, err := d.ProvisionByCode(ctx, &provisioningpb.ProvisioningRequest{Code: code})
	if err != nil {
		return nil, err
	}
	if !r.Success {
		return nil, notClaimed
	}
	return d.Status(ctx, &provisioningpb.StatusRequest{})
}

// exchange has a fresh code made, tells it, waits until it is claimed, and returns
// the status with the new identity. Again is the command to run when nobody did.
func (a *app) exchange(ctx context.Context, d daemonClient, again string) (*provisioningpb.StatusResponse, error) {
	s, err := d.freshCode(ctx)
	if err != nil {
		return nil, err
	}
	if s.State == provisioningpb.State_STATE_PROVISIONED { // claimed before, and nobody was told
		return d.provisionOnce(ctx, s.Code)
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
		return nil, &gateway.Error{Kind: gateway.Deadline, Err: errors.New("the machine did not get its identity in time"),
			Advice: "the agent goes on with it: mecha-agent status tells how far it is"}
	case err != nil:
		return nil, err
	}
	// A machine that had an identity falls back to it when nobody claims the code.
	old := last.State == provisioningpb.State_STATE_IDLE || asTime(last.CertificateExpires).Equal(before)
	// The agent asks the gateway a last time before it gives a code up: this waits
	// for the answer. And it lets the agent know that we know.
	r, err := d.ProvisionByCode(ctx, &provisioningpb.ProvisioningRequest{Code: shown})
	switch claimed := err == nil && r.Success; {
	case old && claimed:
		if last, err = d.Status(ctx, &provisioningpb.StatusRequest{}); err != nil {
			return nil, err
		}
	case old:
		return nil, cli.Fail(exitNotClaimed, errors.New("no operator claimed the code before its time was over"), "run "+again+" again")
	}
	return last, nil
}

func (a *app) printProvisioned(s *provisioningpb.StatusResponse) error {
	if a.JSON {
		return a.PrintJSON(toJSON(s))
	}
	_, err := fmt.Fprintf(a.Stdout, "provisioned as %s until %s\n", s.MachineId, formatTime(asTime(s.CertificateExpires)))
	return err
}
