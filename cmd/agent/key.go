package main

import (
	"cmp"
	"context"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/mecha-org/mecha-agent/cmd/internal/cli"
	"github.com/mecha-org/mecha-agent/gateway"
	"github.com/mecha-org/mecha-agent/identity"
	"github.com/mecha-org/mecha-agent/keystore"
	"github.com/mecha-org/mecha-agent/keystore/choose"
	"github.com/mecha-org/mecha-agent/keystore/tpm"
	"github.com/mecha-org/mecha-agent/settings"
)

// keyLimit bounds the key command, whatever the TPM does.
const keyLimit = 15 * time.Second

func (a *app) keyCommand() *cobra.Command {
	var public bool
	c := &cobra.Command{Use: "key", Short: "Print where this machine's key lives, and what it is", Args: cobra.NoArgs,
		Long: `key prints which keystore holds the machine's key and why, its fingerprint as an
operator sees it (SHA-256 of the SubjectPublicKeyInfo), its file, its public half,
and whether it works. Of a TPM it prints device, maker, product, firmware, the
revision of the specification, and the lockout counter. A key that is being made
and that no gateway has certified stands there as "pending".

It reads files and asks the TPM itself: an agent need not run, and may. It changes
nothing and takes 15 seconds at most. It looks with the rights of its user: run it
as the user of the agent, "sudo -u USER mecha-agent key".

A key that does not work is printed as far as its file tells; the reason follows
on standard error and the exit code is 1. Without a key it prints where one would
be made, and the exit code is 7.

With --public it prints the public key alone, in PEM, and asks no TPM.

With --json it prints state ("usable", "unusable", "none", or "unknown" when the
files cannot be looked at), backend, reason, fingerprint, curve, file (where
other programs look), stored (where it lies), public_key (PEM), tpm (device,
manufacturer, maker, product, firmware, revision, lockout_counter, max_tries,
recovery_seconds, in_lockout), pending (backend, fingerprint, curve, stored,
public_key, error), error, hint. What is not known is left out.`,
		RunE: func(c *cobra.Command, _ []string) error {
			if public && a.JSON {
				return cli.Usage(errors.New("--public prints PEM, which is no JSON"), "leave out one of the two: --json has it as public_key")
			}
			cfg, _, err := a.load()
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(c.Context(), keyLimit)
			defer cancel()
			if public {
				return a.printPublic(ctx, cfg)
			}
			return a.printKey(lookAtKey(ctx, cfg))
		}}
	c.Flags().BoolVar(&public, "public", false, "print the public key alone, in PEM")
	c.AddCommand(a.rotateCommand())
	return c
}

// keyReport is what key prints; as JSON with these names.
type keyReport struct {
	State       string      `json:"state"`
	Backend     string      `json:"backend,omitempty"`
	Reason      string      `json:"reason,omitempty"`
	Fingerprint string      `json:"fingerprint,omitempty"`
	Curve       string      `json:"curve,omitempty"`
	File        string      `json:"file,omitempty"`
	Stored      string      `json:"stored,omitempty"`
	PublicKey   string      `json:"public_key,omitempty"`
	TPM         *tpmReport  `json:"tpm,omitempty"`
	Pending     *pendingKey `json:"pending,omitempty"`
	Error       string      `json:"error,omitempty"`
	Hint        string      `json:"hint,omitempty"`
}

// States of a keyReport.
const (
	keyUsable   = "usable"
	keyUnusable = "unusable"
	keyNone     = "none"
	keyUnknown  = "unknown"
)

// pendingKey is a key that no gateway has certified yet.
type pendingKey struct {
	Backend     string `json:"backend,omitempty"`
	Fingerprint string `json:"fingerprint,omitempty"`
	Curve       string `json:"curve,omitempty"`
	Stored      string `json:"stored"`
	PublicKey   string `json:"public_key,omitempty"`
	Error       string `json:"error,omitempty"`
}

// lookAtKey finds out what is known of the machine's key. With an error, which has
// its exit code, the report holds what was found nevertheless. The end of ctx bounds
// what the TPM may take.
func lookAtKey(ctx context.Context, cfg settings.Agent) (r keyReport, err error) {
	defer func() {
		if err != nil {
			if errors.Is(err, fs.ErrPermission) && !errors.Is(err, tpm.ErrPermission) {
				r.State = keyUnknown
			}
			err = whoMay(err, cfg, "key")
			r.Error, r.Hint = err.Error(), gateway.HintOf(err)
		}
	}()
	r.State = keyUnknown
	files, err := identity.Find(identityPaths(cfg.Provisioning.Paths))
	if err != nil {
		return r, err
	}
	r.State = keyUnusable
	r.Pending = lookAtPending(ctx, files.Pending)
	recorded, because, recordErr := choose.Recorded(recordOf(cfg))
	if files.Key == "" {
		r.State = keyNone
		return r, r.toBeMade(ctx, cfg.Keystore, recorded, recordErr)
	}
	r.Stored, r.Backend = files.Key, recorded
	if r.File = cfg.Provisioning.Paths.Machine.PrivateKey; !sameFile(r.File, files.Key) {
		r.File = files.Key // the link to it is missing
	}
	pub, info, err := choose.Read(ctx, files.Key)
	if err != nil {
		return r, cli.Fail(cli.ExitFailure, err, "")
	}
	r.Backend, r.Fingerprint, r.Curve = info.Backend, info.Fingerprint, string(info.Curve)
	if r.PublicKey, err = publicPEM(pub); err != nil {
		return r, err
	}
	var found tpmFound
	if info.Backend == choose.TPM {
		found = askTPM(ctx, cfg.Keystore, files.Key)
		r.TPM = found.report
	}
	_, why, err := choose.Choose(cfg.Keystore.Backend, info.Backend, found.connecting)
	if r.Reason = why; why != "" && because != "" && recorded == info.Backend {
		r.Reason += "; when it was made: " + because
	}
	if err = cmp.Or(err, found.opening); err != nil {
		return r, cli.Fail(cli.ExitFailure, err, "")
	}
	r.State = keyUsable
	return r, nil
}

// toBeMade fills in where the first key would be made, and returns that there is
// none.
func (r *keyReport) toBeMade(ctx context.Context, c settings.Keystore, recorded string, err error) error {
	var found tpmFound
	if err == nil && c.Backend != choose.Disk && recorded != choose.Disk {
		found = askTPM(ctx, c, "")
	}
	if err == nil {
		r.Backend, r.Reason, err = choose.Choose(c.Backend, recorded, found.connecting)
	}
	if err != nil {
		return cli.Fail(exitWrongState, fmt.Errorf("this machine has no key yet, and none can be made: %w", err), "")
	}
	if r.Backend == choose.TPM {
		r.TPM = found.report
	}
	return noKey
}

var noKey = cli.Fail(exitWrongState, errors.New("this machine has no key yet"), "make one: mecha-agent provision, or press the button")

// lookAtPending returns what the file of a pending key says; nil for no path.
func lookAtPending(ctx context.Context, path string) *pendingKey {
	if path == "" {
		return nil
	}
	p := &pendingKey{Stored: path}
	pub, info, err := choose.Read(ctx, path)
	if err == nil {
		p.PublicKey, err = publicPEM(pub)
	}
	if err != nil {
		p.Error = err.Error()
		return p
	}
	p.Backend, p.Fingerprint, p.Curve = info.Backend, info.Fingerprint, string(info.Curve)
	return p
}

// printPublic prints the public key of the identity in use, for pipes.
func (a *app) printPublic(ctx context.Context, cfg settings.Agent) error {
	_, pub, _, err := keyInUse(ctx, cfg)
	if err != nil {
		return whoMay(err, cfg, "key --public")
	}
	text, err := publicPEM(pub)
	if err != nil {
		return err
	}
	_, err = fmt.Fprint(a.Stdout, text)
	return err
}

// keyInUse reads the file of the key that the machine uses. Without one the error
// has exitWrongState.
func keyInUse(ctx context.Context, cfg settings.Agent) (identity.Files, crypto.PublicKey, keystore.Info, error) {
	files, err := identity.Find(identityPaths(cfg.Provisioning.Paths))
	if err == nil && files.Key == "" {
		err = noKey
	}
	if err != nil {
		return files, nil, keystore.Info{}, err
	}
	pub, info, err := choose.Read(ctx, files.Key)
	return files, pub, info, err
}

// whoMay says who may read the key, where this user may not; root may not either
// when it belongs to somebody else: the keystore trusts files of its own user alone.
func whoMay(err error, cfg settings.Agent, command string) error {
	if !errors.Is(err, fs.ErrPermission) && !errors.Is(err, keystore.ErrExposed) || errors.Is(err, tpm.ErrPermission) {
		return err
	}
	info, statErr := os.Stat(cfg.Provisioning.Paths.State)
	if statErr != nil {
		if errors.Is(err, fs.ErrPermission) {
			return cli.Fail(cli.ExitFailure, err, "run it as the user of the agent: sudo -u USER mecha-agent "+command)
		}
		return err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || int(st.Uid) == os.Geteuid() {
		return err
	}
	name := "'#" + strconv.FormatUint(uint64(st.Uid), 10) + "'"
	if u, err := user.LookupId(strconv.FormatUint(uint64(st.Uid), 10)); err == nil {
		name = u.Username
	}
	return cli.Fail(cli.ExitFailure, err, "run it as the user of the agent: sudo -u "+name+" mecha-agent "+command)
}

// recordOf is the file that says which keystore was chosen.
func recordOf(c settings.Agent) string {
	return filepath.Join(c.Provisioning.Paths.State, identity.KeystoreName)
}

func sameFile(a, b string) bool {
	x, errX := os.Stat(a)
	y, errY := os.Stat(b)
	return errX == nil && errY == nil && os.SameFile(x, y)
}

func publicPEM(pub crypto.PublicKey) (string, error) {
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return "", fmt.Errorf("encoding the public key: %w", err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})), nil
}
