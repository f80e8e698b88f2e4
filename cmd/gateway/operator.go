package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/mecha-org/mecha-agent/cmd/internal/cli"
	"github.com/mecha-org/mecha-agent/gateway"
	"github.com/mecha-org/mecha-agent/gateway/client"
)

// operatorTimeout bounds one call to the gateway.
const operatorTimeout = 30 * time.Second

// pageSize is how many machines are asked for at a time.
const pageSize = 500

// connection is how the operator's commands find and trust the gateway.
type connection struct {
	server, keyFile, fingerprint, caFile string
}

func (c *connection) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&c.server, "server", "", "`URL` of the gateway (default from the settings)")
	f.StringVar(&c.keyFile, "key-file", "", "`file` with the API key (default admin.key in the data folder)")
	f.StringVar(&c.fingerprint, "root-fingerprint", "", "trust the gateway by the SHA-256 of its root, in `hex`")
	f.StringVar(&c.caFile, "ca-file", "", "trust the gateway by the roots in a PEM `file`")
}

// operator returns a client for the gateway that flags and settings name.
func (a *app) operator(c connection) (*client.Operator, error) {
	s, _, err := a.load(nil)
	if err != nil {
		return nil, err
	}
	if c.server == "" {
		c.server = s.URL
	}
	if c.server == "" {
		return nil, cli.Usage(fmt.Errorf("the settings do not say where the gateway is"),
			"give --server https://host:port")
	}
	if c.caFile != "" {
		if _, err := os.Stat(c.caFile); err != nil { // the client takes a missing file for "none"
			return nil, cli.Usage(fmt.Errorf("reading --ca-file: %w", err), "")
		}
	} else if c.fingerprint == "" && s.TLS.Mode == "own" {
		c.caFile = filepath.Join(s.Data, rootFile) // beside the gateway itself; elsewhere there is no such file
	}
	id, secret, err := a.apiKey(c.keyFile, s.Data)
	if err != nil {
		return nil, err
	}
	return client.NewOperator(client.Config{
		ServerURL:       c.server,
		TrustFile:       c.caFile,
		RootFingerprint: c.fingerprint,
		Timeout:         operatorTimeout,
		UserAgent:       "mecha-gateway/" + cli.Version(version),
	}, id, secret)
}

func (a *app) apiKey(file, data string) (string, gateway.Secret, error) {
	id, secret := a.Getenv(envKeyID), a.Getenv(envKeySecret)
	switch {
	case file != "":
		return readKeyFile(file)
	case id != "" && secret != "":
		return id, gateway.Secret(secret), nil
	case id != "" || secret != "":
		return "", "", cli.Usage(fmt.Errorf("%s and %s go together, one of them is missing", envKeyID, envKeySecret), "")
	}
	return readKeyFile(filepath.Join(data, adminKeyFile))
}

// ask runs a command of the operator.
func (a *app) ask(c *connection, do func(ctx context.Context, o *client.Operator, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		o, err := a.operator(*c)
		if err != nil {
			return err
		}
		defer o.Close()
		return do(cmd.Context(), o, args)
	}
}

func (a *app) claimCommand() *cobra.Command {
	var c connection
	var yes bool
	cmd := &cobra.Command{
		Use:   "claim CODE",
		Short: "Say yes to the machine that shows a code",
		Long: `Claim shows what stands behind a code and, after a yes, lets that machine have
its certificate. Compare model, serial and key fingerprint with the machine in
front of you: what a machine says of itself is not proven, only its key is, and the
maker of its TPM where it says so.`,
		Example: "  mecha-gateway claim ABC-123",
		Args:    cobra.ExactArgs(1),
		RunE: a.ask(&c, func(ctx context.Context, o *client.Operator, args []string) error {
			p, err := o.Find(ctx, args[0])
			if err != nil {
				return err
			}
			a.show(p)
			if !yes {
				if err := a.Confirm(ctx, "Claim this machine?"); err != nil {
					return err
				}
			}
			claim, err := o.Claim(ctx, args[0], p.KeyFingerprint)
			if err != nil {
				return err
			}
			if a.JSON {
				return a.PrintJSON(struct {
					gateway.ClaimPayload
					Board          gateway.Board       `json:"board"`
					KeyFingerprint string              `json:"keyFingerprint"`
					Attestation    gateway.Attestation `json:"attestation,omitempty"` // once the TPM has proven itself
					TPM            gateway.TPM         `json:"tpm,omitzero"`
				}{gateway.ClaimPayload(claim), p.Board, p.KeyFingerprint, p.Attestation, p.TPM})
			}
			_, err = fmt.Fprintf(a.Stdout, "machine %s\nrequest %d\n", cli.Clean(claim.MachineID), claim.RequestID)
			return err
		}),
	}
	c.flags(cmd)
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return cmd
}

// show prints what a person has to compare; it is talk, not data.
func (a *app) show(p gateway.PendingRequest) {
	line := func(name, value string) {
		if value == "" {
			value = "(not told)"
		}
		fmt.Fprintf(a.Stderr, "%-12s %s\n", name, cli.Clean(value))
	}
	line("model", strings.TrimSpace(p.Board.Vendor+" "+p.Board.Model))
	line("serial", p.Board.Serial)
	if p.KeyFingerprint == "" {
		fmt.Fprintln(a.Stderr, "key          none: nobody announced this code, and whoever asks first will be the machine")
	} else {
		line("key", p.KeyFingerprint)
	}
	if text := tpmText(p); text != "" {
		line("TPM", text)
	}
	fmt.Fprintf(a.Stderr, "%-12s %s\n", "expires", p.Expires.Local().Format(time.DateTime))
}

// tpmText is what an operator is told of a machine's TPM before the claim. The
// TPM itself has to prove the rest before it gets a certificate that says so.
func tpmText(p gateway.PendingRequest) string {
	t := p.TPM
	who := "EK " + t.EKFingerprint
	if t.EKSerial != "" {
		who += ", certificate " + t.EKSerial
	}
	switch {
	case p.Attestation == gateway.TPMProven:
		return "proven maker " + t.Maker + " (" + who + ")"
	case p.Attestation == gateway.TPMUnproven:
		return "recorded, not proven: " + t.Reason + " (" + who + ")"
	case p.Attestation == gateway.SoftwareKey && t.Reason != "":
		return "claimed, not taken for one: " + t.Reason
	case p.Attestation == gateway.SoftwareKey:
		return "none: a software key"
	}
	return "" // nobody asks
}

func (a *app) machinesCommand() *cobra.Command {
	var c connection
	cmd := &cobra.Command{
		Use:   "machines",
		Short: "List the machines",
		Args:  cobra.NoArgs,
		RunE: a.ask(&c, func(ctx context.Context, o *client.Operator, _ []string) error {
			var all []gateway.Machine
			for after := ""; ; {
				page, err := o.Machines(ctx, after, pageSize)
				if err != nil {
					return err
				}
				all = append(all, page...)
				if len(page) < pageSize || page[len(page)-1].ID <= after {
					break
				}
				after = page[len(page)-1].ID
			}
			if a.JSON {
				return a.PrintJSON(gateway.NewMachinesPayload(all))
			}
			return a.table(all)
		}),
	}
	c.flags(cmd)
	return cmd
}

func (a *app) table(all []gateway.Machine) error {
	w := tabwriter.NewWriter(a.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "MACHINE\tMODEL\tSERIAL\tSTATE\tKEY\tCERTIFICATE UNTIL")
	for _, m := range all {
		state, until := "claimed", "-"
		if !m.CertificateExpires.IsZero() {
			state, until = "provisioned", m.CertificateExpires.UTC().Format(time.RFC3339)
		}
		if !m.Revoked.IsZero() {
			state = "revoked"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", cli.Clean(m.ID), orDash(m.Board.Model), orDash(m.Board.Serial), state,
			orDash(string(m.Attestation)), until)
	}
	return w.Flush()
}

func (a *app) revokeCommand() *cobra.Command {
	var c connection
	var yes bool
	cmd := &cobra.Command{
		Use:   "revoke MACHINE",
		Short: "Revoke every certificate of a machine, for good",
		Args:  cobra.ExactArgs(1),
		RunE: a.ask(&c, func(ctx context.Context, o *client.Operator, args []string) error {
			if !yes {
				if err := a.Confirm(ctx, "Revoke machine "+cli.Clean(args[0])+" for good?"); err != nil {
					return err
				}
			}
			at, err := o.Revoke(ctx, args[0])
			if err != nil {
				return err
			}
			if a.JSON {
				return a.PrintJSON(struct {
					MachineID string    `json:"machineId"`
					Revoked   time.Time `json:"revoked"`
				}{args[0], at.UTC()})
			}
			_, err = fmt.Fprintf(a.Stdout, "revoked %s at %s\n", cli.Clean(args[0]), at.UTC().Format(time.RFC3339))
			return err
		}),
	}
	c.flags(cmd)
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return cmd
}

func (a *app) keysCommand() *cobra.Command {
	keys := &cobra.Command{
		Use:   "keys",
		Short: "Operators' API keys",
	}
	var c connection
	var out string
	add := &cobra.Command{
		Use:   "new NAME",
		Short: "Make an API key for an operator or a program",
		Long: `New makes an API key. The secret is told this once: --out writes it to a file that
only you can read and that --key-file takes.`,
		Args: cobra.ExactArgs(1),
		RunE: a.ask(&c, func(ctx context.Context, o *client.Operator, args []string) error {
			if out != "" { // before the gateway makes a key whose secret would be lost
				if err := reserveFile(out); err != nil {
					return err
				}
			}
			id, secret, err := o.NewAPIKey(ctx, args[0])
			switch {
			case err != nil:
				if out != "" {
					os.Remove(out) // reserved, and empty
				}
				return err
			case out != "":
				if err := writeKeyFile(out, id, secret); err != nil {
					return fmt.Errorf("writing the API key %s: %w", id, err)
				}
				if a.JSON {
					return a.PrintJSON(map[string]string{"id": id, "file": out})
				}
				_, err = fmt.Fprintf(a.Stdout, "id   %s\nfile %s\n", id, out)
			case a.JSON:
				return a.PrintJSON(apiKey{id, secret.Reveal()})
			default:
				_, err = fmt.Fprintf(a.Stdout, "id     %s\nsecret %s\n", id, secret.Reveal())
			}
			return err
		}),
	}
	c.flags(add)
	add.Flags().StringVar(&out, "out", "", "write the key to `file`, and do not print its secret")
	keys.AddCommand(add)
	return keys
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return cli.Clean(s)
}
