package main

import (
	"cmp"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/mecha-org/mecha-agent/cmd/internal/cli"
	"github.com/mecha-org/mecha-agent/gateway"
	identitypb "github.com/mecha-org/mecha-agent/proto/identity"
	provisioningpb "github.com/mecha-org/mecha-agent/proto/provisioning"
)

func (a *app) rotateCommand() *cobra.Command {
	c := a.clientCommand("rotate", "Give this machine a new key and certificate", cobra.NoArgs,
		func(ctx context.Context, d daemonClient, _ []string) error { return a.rotate(ctx, d) })
	c.Long = `rotate has the agent make a new key in the keystore of the old one, prints a code,
and waits until an operator has claimed it and the machine holds a certificate for
the new key. Until then the old key and certificate stay in use, and when nobody
claims the code, they stay for good. Then the old key is deleted.

It is also the way back for a machine whose key is damaged, or whose TPM was
cleared or replaced. A machine that has no identity is refused with exit code 7:
mecha-agent provision gives it one.

The old certificate counts until it ends or is revoked at the gateway.

With --json: old_key_fingerprint, which is left out when the old key could not be
read, key_fingerprint, old_machine_id, machine_id, certificate_expires.`
	waitForClaim(c)
	return c
}

// rotated is what rotate prints; as JSON with these names.
type rotated struct {
	OldFingerprint string    `json:"old_key_fingerprint,omitempty"`
	Fingerprint    string    `json:"key_fingerprint"`
	OldMachineID   string    `json:"old_machine_id,omitempty"`
	MachineID      string    `json:"machine_id"`
	Expires        time.Time `json:"certificate_expires"`
}

// rotate goes through the exchange for a machine that has an identity, or should.
func (a *app) rotate(ctx context.Context, d daemonClient) error {
	if _, err := d.Status(ctx, &provisioningpb.StatusRequest{}); err != nil {
		return err // nobody there, and no word about the key
	}
	old, err := d.certified(ctx)
	switch {
	case gateway.KindOf(err) == gateway.NotFound:
		return cli.Fail(exitWrongState, errors.New("this machine has no key to be replaced"), "mecha-agent provision gives it an identity")
	case ctx.Err() != nil:
		return err
	case err != nil:
		fmt.Fprintln(a.Stderr, "the key in use cannot be used:", cli.Clean(err.Error()))
		old.fingerprint = a.fingerprintOfFile(ctx)
	}
	// A code that was claimed a moment ago, and nobody was told, comes back as done:
	// what it gave the machine is the key that is to be replaced.
	for range 2 {
		s, err := a.exchange(ctx, d, "mecha-agent key rotate")
		if err != nil {
			return err
		}
		now, err := d.certified(ctx)
		if err != nil {
			return fmt.Errorf("reading the new certificate: %w", err)
		}
		if now.fingerprint != old.fingerprint {
			return a.printRotated(rotated{old.fingerprint, now.fingerprint, old.machineID, now.machineID, asTime(s.CertificateExpires)})
		}
	}
	return cli.Fail(cli.ExitFailure, errors.New("the agent kept its key"), "mecha-agent status tells what it is doing")
}

func (a *app) printRotated(r rotated) error {
	if a.JSON {
		return a.PrintJSON(r)
	}
	if r.OldMachineID != "" {
		fmt.Fprintf(a.Stderr, "the old certificate counts until it ends: mecha-gateway revoke %s\n", cli.Clean(r.OldMachineID))
	}
	_, err := fmt.Fprintf(a.Stdout, "old key %s\nnew key %s\nprovisioned as %s until %s\n",
		cmp.Or(r.OldFingerprint, "unknown"), r.Fingerprint, r.MachineID, formatTime(r.Expires))
	return err
}

// certificate is what matters of one.
type certificate struct{ machineID, fingerprint string }

// certified asks the agent for the certificate in use. Without an identity the
// error's kind is NotFound.
func (d daemonClient) certified(ctx context.Context) (certificate, error) {
	r, err := identitypb.NewIdentityServiceClient(d.conn).GetMachineCert(ctx, &identitypb.GetMachineCertRequest{})
	if err != nil {
		return certificate{}, err
	}
	block, _ := pem.Decode([]byte(r.PublicCert))
	if block == nil {
		return certificate{}, errors.New("the agent's certificate is no PEM")
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return certificate{}, fmt.Errorf("the agent's certificate: %w", err)
	}
	sum, err := gateway.Fingerprint(cert.PublicKey)
	return certificate{r.CommonName, sum}, err
}

// fingerprintOfFile reads what the files say of a key that cannot be used; "" when
// they say nothing, or are another machine's.
func (a *app) fingerprintOfFile(ctx context.Context) string {
	if a.address != "" {
		return ""
	}
	cfg, _, err := a.load()
	if err != nil {
		return ""
	}
	_, _, info, err := keyInUse(ctx, cfg)
	if err != nil {
		return ""
	}
	return info.Fingerprint
}
