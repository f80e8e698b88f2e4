package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/mecha-org/mecha-agent/board"
	"github.com/mecha-org/mecha-agent/board/host"
	"github.com/mecha-org/mecha-agent/cmd/internal/cli"
	"github.com/mecha-org/mecha-agent/gateway"
	"github.com/mecha-org/mecha-agent/gateway/client"
	"github.com/mecha-org/mecha-agent/hw"
	"github.com/mecha-org/mecha-agent/identity"
	"github.com/mecha-org/mecha-agent/provision"
	"github.com/mecha-org/mecha-agent/rpc"
	"github.com/mecha-org/mecha-agent/settings"
)

// This file hands the settings to the rooms of the house, a function each.

// openMachine finds the machine that root is of and connects what is wired to it
// through h; nil connects nothing. When the board refuses the wiring, what it is
// comes back beside the error.
func openMachine(ctx context.Context, root fs.FS, c settings.Agent, h board.Host) (board.Board, error) {
	b, err := detectBoard(root, c.Hardware)
	if err != nil {
		return b, err
	}
	if err := b.Wire(ctx, wiring(c.Hardware, hardwareState(c)), h); err != nil {
		return b, cli.Usage(err, "")
	}
	return b, nil
}

// restoreLights gives back the board's own lights that a crash left taken. Only the
// daemon may do so: they may be in use.
func restoreLights(c settings.Agent, log *slog.Logger) {
	if err := host.New().RestoreLEDs(hardwareState(c)); err != nil {
		log.Warn("giving back the lights of the last run", "error", err, "hint", gateway.HintOf(err))
	}
}

// detectBoard finds the machine that root is of.
func detectBoard(root fs.FS, c settings.Hardware) (board.Board, error) {
	if c.Board != "auto" && c.Board != "generic" {
		return board.Board{}, cli.Usage(fmt.Errorf("hardware.board: this program knows no board %q", c.Board),
			`set hardware.board to "auto"; the simulated board "sim" needs a program built with -tags sim`)
	}
	for key := range c.Options {
		return board.Board{}, cli.Usage(fmt.Errorf("hardware.options: this board takes no option %q", key), "remove it")
	}
	return board.Detect(root)
}

// hardwareState is the folder for what must be put back after a crash, beside that
// of the identity.
func hardwareState(c settings.Agent) string {
	return filepath.Join(filepath.Dir(c.Provisioning.Paths.State), "hardware")
}

func identityPaths(p settings.Paths) identity.Paths {
	return identity.Paths{Key: p.Machine.PrivateKey, CSR: p.Machine.CSR, Cert: p.Machine.Cert,
		CABundle: p.CABundle.Cert, Root: p.Root.Cert, State: p.State}
}

func gatewayConfig(p settings.Provisioning, log *slog.Logger) client.Config {
	return client.Config{ServerURL: p.ServerURL, TrustFile: p.Paths.Server.Cert, RootFingerprint: p.RootFingerprint,
		AllowPlaintext: p.AllowPlaintext, Timeout: p.Timeout, UserAgent: "mecha-agent/" + cli.Version(version), Log: log}
}

func exchangeConfig(p settings.Provisioning, b board.Board, gw provision.Gateway, keys keystores, id *identity.Store, panel *hw.Panel, log *slog.Logger) provision.Config {
	return provision.Config{Gateway: gw, Vault: vault{id, keys}, Sessions: id, Attester: attester{keys, id},
		Panel: panelView{panel, b.Button != nil, keys}, Log: log,
		Board: gateway.Board{Vendor: b.Vendor, Model: b.Model, Serial: b.Serial, SoC: b.SoC,
			Revision: b.Revision, Architecture: b.Architecture},
		CodeLength: p.Code.Length, CodeLife: p.Code.Life, Window: p.Code.Window,
		SignURL: p.CertSignURL, CallTimeout: p.Timeout}
}

func endpoint(s settings.Server, id *identity.Store, log *slog.Logger) rpc.Endpoint {
	return rpc.Endpoint{Host: s.URL, Port: s.Port, TLS: s.TLS, Cert: s.Cert, Key: s.Key, ClientCA: s.ClientCA, Socket: s.Socket,
		Machine: served{id}, Log: log}
}

func serviceConfig(x *provision.Provisioner, id *identity.Store, keys keystores, b board.Board, trouble func() []string, log *slog.Logger) rpc.Config {
	return rpc.Config{Exchange: x, Keystore: keys.where, Board: b.String(), Version: cli.Version(version), Log: log,
		Trouble: func() []string { return append(trouble(), keys.trouble()...) },
		Certificates: func(ctx context.Context) (rpc.Certificates, error) {
			i, err := id.Load(ctx)
			if errors.Is(err, identity.ErrNone) {
				return rpc.Certificates{}, nil
			}
			return rpc.Certificates{Cert: i.CertPEM, Bundle: i.BundlePEM, Root: i.RootPEM}, err
		}}
}

// vault says in the exchange's words that the disk or the clock is at fault, not
// the answer: the claim is kept then, and tried again.
type vault struct {
	*identity.Store
	keys keystores
}

// removedWait is how long a removal waits for the TPM to say whether it would take
// the next key.
const removedWait = 3 * time.Second

// Remove implements provision.Vault.
func (v vault) Remove(ctx context.Context) ([]string, error) {
	removed, err := v.Store.Remove(ctx)
	ctx, cancel := context.WithTimeout(ctx, removedWait)
	defer cancel()
	v.keys.Decide(ctx) // of the old key nothing is told any more
	return removed, err
}

// Commit implements provision.Vault.
func (v vault) Commit(ctx context.Context, machineID, csrPEM string, answer gateway.Issued) error {
	err := v.Store.Commit(ctx, machineID, csrPEM, answer)
	switch {
	case errors.Is(err, identity.ErrStorage):
		return fmt.Errorf("%w: %w", provision.ErrStorage, err)
	case errors.Is(err, identity.ErrClock):
		return fmt.Errorf("%w: %w", provision.ErrClock, err)
	}
	return err
}
