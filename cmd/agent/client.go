package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/mecha-org/mecha-agent/cmd/internal/cli"
	"github.com/mecha-org/mecha-agent/gateway"
	provisioningpb "github.com/mecha-org/mecha-agent/proto/provisioning"
)

// callTimeout bounds one question to the agent, which itself may ask the gateway.
const callTimeout = time.Minute

// clientCommand is a command that asks the running agent.
func (a *app) clientCommand(use, short string, args cobra.PositionalArgs, do func(ctx context.Context, d daemonClient, args []string) error) *cobra.Command {
	timeout := callTimeout
	c := &cobra.Command{Use: use, Short: short, Args: args,
		RunE: func(c *cobra.Command, args []string) error {
			ctx, cancel := context.WithTimeout(c.Context(), timeout)
			defer cancel()
			d, err := a.dial(ctx)
			if err != nil {
				return err
			}
			defer d.Close()
			return do(ctx, d, args)
		}}
	c.Flags().StringVar(&a.address, "address", "", "`address` of the agent, unix:/path or host:port (default from the settings)")
	c.Flags().StringVar(&a.machine, "machine", "", "`ID` of the machine at --address: ask it over TLS, as this machine")
	c.Flags().DurationVar(&timeout, "timeout", timeout, "how long to wait")
	return c
}

// statusJSON is what --json prints of a status. Times are RFC 3339.
type statusJSON struct {
	State              string     `json:"state"`
	Step               string     `json:"step,omitempty"`
	Provisioned        bool       `json:"provisioned"`
	MachineID          string     `json:"machine_id,omitempty"`
	CertificateExpires *time.Time `json:"certificate_expires,omitempty"`
	Code               string     `json:"code,omitempty"`
	CodeExpires        *time.Time `json:"code_expires,omitempty"`
	ClaimURL           string     `json:"claim_url,omitempty"`
	KeyFingerprint     string     `json:"key_fingerprint,omitempty"`
	Error              string     `json:"error,omitempty"`
	Hint               string     `json:"hint,omitempty"`
	Unattested         string     `json:"unattested,omitempty"`
	Keystore           string     `json:"keystore"`
	KeystoreReason     string     `json:"keystore_reason,omitempty"`
	Board              string     `json:"board"`
	Version            string     `json:"version"`
	Trouble            []string   `json:"trouble,omitempty"`
}

func toJSON(s *provisioningpb.StatusResponse) statusJSON {
	when := func(t *timestamppb.Timestamp) *time.Time {
		if t == nil {
			return nil
		}
		u := t.AsTime()
		return &u
	}
	return statusJSON{stateText(s.State), s.Step, s.Provisioned, s.MachineId, when(s.CertificateExpires), s.Code, when(s.CodeExpires),
		s.ClaimUrl, s.KeyFingerprint, s.Error, s.Hint, s.Unattested, s.Keystore, s.KeystoreReason, s.Board, s.Version, s.Trouble}
}

// stateText is the contract's state as a person reads it: "code shown".
func stateText(s provisioningpb.State) string {
	return strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(s.String(), "STATE_"), "_", " "))
}

func (a *app) printStatus(s *provisioningpb.StatusResponse) error {
	if a.JSON {
		return a.PrintJSON(toJSON(s))
	}
	w := tabwriter.NewWriter(a.Stdout, 0, 0, 2, ' ', 0)
	row := func(name, value string) {
		if value != "" && value != "-" {
			fmt.Fprintf(w, "%s\t%s\n", name, value)
		}
	}
	row("state", stateText(s.State))
	row("step", s.Step)
	row("provisioned", map[bool]string{true: "yes", false: "no"}[s.Provisioned])
	row("machine id", s.MachineId)
	row("certificate until", formatTime(asTime(s.CertificateExpires)))
	row("code", s.Code)
	row("code until", formatTime(asTime(s.CodeExpires)))
	row("claim at", s.ClaimUrl)
	row("key", s.KeyFingerprint)
	row("error", s.Error)
	row("hint", s.Hint)
	row("no proof", s.Unattested)
	row("keystore", cmp.Or(s.Keystore, "none")+why(s.KeystoreReason))
	row("board", s.Board)
	row("version", s.Version)
	for _, part := range s.Trouble {
		row("trouble", part)
	}
	return w.Flush()
}

// why puts a reason behind what it is for.
func why(reason string) string {
	if reason == "" {
		return ""
	}
	return " (" + reason + ")"
}

func asTime(t *timestamppb.Timestamp) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.AsTime()
}

func (a *app) statusCommand() *cobra.Command {
	var watch bool
	c := a.clientCommand("status", "Print what the agent is doing", cobra.NoArgs, func(ctx context.Context, d daemonClient, _ []string) error {
		s, err := d.Status(ctx, &provisioningpb.StatusRequest{})
		if err != nil {
			return err
		}
		return a.printStatus(s)
	})
	once := c.RunE
	c.RunE = func(c *cobra.Command, args []string) error {
		if !watch {
			return once(c, args)
		}
		d, err := a.dial(c.Context())
		if err != nil {
			return err
		}
		defer d.Close()
		err = d.watch(c.Context(), func(s *provisioningpb.StatusResponse) (bool, error) {
			if a.JSON {
				return false, a.PrintJSONLine(toJSON(s))
			}
			_, err := fmt.Fprintln(a.Stdout, statusLine(s))
			return false, err
		})
		if c.Context().Err() != nil {
			return nil // Ctrl-C is how a watch ends
		}
		return err
	}
	c.Flags().BoolVarP(&watch, "watch", "w", false, "go on printing each change, a line each, until Ctrl-C")
	return c
}

// statusLine is a status in one line.
func statusLine(s *provisioningpb.StatusResponse) string {
	parts := []string{time.Now().Format("15:04:05"), stateText(s.State)}
	for _, p := range []struct{ name, value string }{{"code", s.Code}, {"machine", s.MachineId}, {"error", s.Error}} {
		if p.value != "" {
			parts = append(parts, p.name+" "+p.value)
		}
	}
	return strings.Join(parts, "  ")
}

// watch calls each with every status until it says that it is done.
func (d daemonClient) watch(ctx context.Context, each func(*provisioningpb.StatusResponse) (done bool, err error)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := d.WatchStatus(ctx, &provisioningpb.StatusRequest{})
	if err != nil {
		return explain(err, nil)
	}
	for {
		s, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return cli.Fail(exitNoAgent, errors.New("the agent stopped"), "start it with: mecha-agent run")
		}
		if err != nil {
			return explain(err, stream.Trailer())
		}
		if done, err := each(s); done || err != nil {
			return err
		}
	}
}

func (a *app) pingCommand() *cobra.Command {
	return a.clientCommand("ping", "Ask whether the gateway can be reached", cobra.NoArgs, func(ctx context.Context, d daemonClient, _ []string) error {
		r, err := d.Ping(ctx, &provisioningpb.PingRequest{})
		if err != nil {
			return err
		}
		if a.JSON {
			return a.PrintJSON(map[string]string{"code": r.Code, "message": r.Message})
		}
		_, err = fmt.Fprintln(a.Stdout, r.Code)
		return err
	})
}

func (a *app) codeCommand() *cobra.Command {
	return a.clientCommand("code", "Make a fresh code and show it", cobra.NoArgs, func(ctx context.Context, d daemonClient, _ []string) error {
		s, err := d.freshCode(ctx)
		if err != nil {
			return err
		}
		if a.JSON {
			return a.PrintJSON(toJSON(s))
		}
		if _, err := fmt.Fprintln(a.Stdout, s.Code); err != nil {
			return err
		}
		a.tellWhere(s)
		return nil
	})
}

// freshCode asks for a code and returns it with all that belongs to it.
func (d daemonClient) freshCode(ctx context.Context) (*provisioningpb.StatusResponse, error) {
	r, err := d.GenerateCode(ctx, &provisioningpb.GenerateCodeRequest{})
	if err != nil {
		return nil, err
	}
	s, err := d.Status(ctx, &provisioningpb.StatusRequest{})
	if err != nil {
		return nil, err
	}
	s.Code = r.Code
	return s, nil
}

func (a *app) tellWhere(s *provisioningpb.StatusResponse) {
	if s.ClaimUrl != "" {
		fmt.Fprintln(a.Stderr, "claim it at", s.ClaimUrl)
	}
	if s.KeyFingerprint != "" {
		fmt.Fprintln(a.Stderr, "its key is", s.KeyFingerprint)
	}
	if s.CodeExpires != nil {
		fmt.Fprintln(a.Stderr, "it stands until", formatTime(asTime(s.CodeExpires)))
	}
}

func (a *app) deprovisionCommand() *cobra.Command {
	var yes bool
	c := a.clientCommand("deprovision", "Remove key and certificates from this machine", cobra.NoArgs,
		func(ctx context.Context, d daemonClient, _ []string) error {
			r, err := d.Deprovision(ctx, &provisioningpb.Empty{})
			if err != nil {
				return err
			}
			if a.JSON {
				return a.PrintJSON(map[string]bool{"success": r.Success})
			}
			_, err = fmt.Fprintln(a.Stdout, "deprovisioned")
			return err
		})
	remove := c.RunE
	c.RunE = func(c *cobra.Command, args []string) error {
		if !yes { // before the time of the call begins
			if err := a.Confirm(c.Context(), "Remove key and certificates for good?"); err != nil {
				return err
			}
		}
		return remove(c, args)
	}
	c.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return c
}

// notClaimed is the answer to "provision CODE" while nobody said yes.
var notClaimed = &gateway.Error{Kind: gateway.Pending, Err: errors.New("no operator has claimed the code yet"),
	Advice: "claim it at the gateway, then try again; without a code, mecha-agent provision waits for the claim"}
