package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"

	"github.com/mecha-org/mecha-agent/board"
	"github.com/mecha-org/mecha-agent/cmd/internal/cli"
	"github.com/mecha-org/mecha-agent/gateway"
	"github.com/mecha-org/mecha-agent/gateway/client"
	"github.com/mecha-org/mecha-agent/hw"
	"github.com/mecha-org/mecha-agent/hw/oled"
	"github.com/mecha-org/mecha-agent/identity"
	"github.com/mecha-org/mecha-agent/keystore"
	"github.com/mecha-org/mecha-agent/provision"
	"github.com/mecha-org/mecha-agent/rpc"
	"github.com/mecha-org/mecha-agent/settings"
)

// This file hands the settings to the rooms of the house, a function each.

// detectBoard finds the machine that this process runs on.
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

func curve(c settings.Keystore) keystore.Curve { return keystore.Curve(c.Curve) }

func identityPaths(p settings.Paths) identity.Paths {
	return identity.Paths{Key: p.Machine.PrivateKey, CSR: p.Machine.CSR, Cert: p.Machine.Cert,
		CABundle: p.CABundle.Cert, Root: p.Root.Cert, State: p.State}
}

// openPanel makes a panel of the parts that the board has. Without a display
// the console is one, when a person sits at it.
func openPanel(b board.Board, c settings.Hardware, console io.Writer, log *slog.Logger) (*hw.Panel, error) {
	var screens []hw.Screen
	if d := b.Display; d != nil {
		o, err := oled.Open(d.Bus, d.Address, d.Controller)
		if err != nil {
			return nil, err
		}
		screens = append(screens, hw.NewDrawerScreen(o, o.Close))
	}
	if c.Console == "on" || c.Console == "auto" && len(screens) == 0 && cli.IsTerminal(console) {
		screens = append(screens, hw.NewConsole(console, cli.IsTerminal(console)))
	}
	var leds *hw.LEDs
	if b.LEDs != nil {
		leds = hw.NewLEDs(b.LEDs.Bits, b.LEDs.Strobe, c.LEDs.Pace)
	}
	return hw.NewPanel(hw.PanelConfig{Screens: screens, LEDs: leds, Log: log}), nil
}

func gatewayConfig(p settings.Provisioning, log *slog.Logger) client.Config {
	return client.Config{ServerURL: p.ServerURL, TrustFile: p.Paths.Server.Cert, RootFingerprint: p.RootFingerprint,
		AllowPlaintext: p.AllowPlaintext, Timeout: p.Timeout, UserAgent: "mecha-agent/" + cli.Version(version), Log: log}
}

func exchangeConfig(p settings.Provisioning, b board.Board, gw provision.Gateway, id *identity.Store, panel *hw.Panel, log *slog.Logger) provision.Config {
	return provision.Config{Gateway: gw, Vault: vault{id}, Sessions: id, Panel: panelView{panel, b.Button != nil}, Log: log,
		Board: gateway.Board{Vendor: b.Vendor, Model: b.Model, Serial: b.Serial, SoC: b.SoC,
			Revision: b.Revision, Architecture: b.Architecture},
		CodeLength: p.Code.Length, CodeLife: p.Code.Life, Window: p.Code.Window,
		SignURL: p.CertSignURL, CallTimeout: p.Timeout}
}

func endpoint(s settings.Server) rpc.Endpoint {
	return rpc.Endpoint{Host: s.URL, Port: s.Port, TLS: s.TLS, Cert: s.Cert, Key: s.Key, ClientCA: s.ClientCA, Socket: s.Socket}
}

func serviceConfig(x *provision.Provisioner, id *identity.Store, k settings.Keystore, b board.Board, log *slog.Logger) rpc.Config {
	return rpc.Config{Exchange: x, Keystore: k.Backend, Board: b.String(), Version: cli.Version(version), Log: log,
		Certificates: func(ctx context.Context) (rpc.Certificates, error) {
			i, err := id.Load(ctx)
			if errors.Is(err, identity.ErrNone) {
				return rpc.Certificates{}, nil
			}
			return rpc.Certificates{Cert: i.CertPEM, Bundle: i.BundlePEM, Root: i.RootPEM}, err
		}}
}

// watchButton starts an exchange on every press. A button that cannot be watched
// is no reason to leave a machine without its identity: the log says so, and
// codes come by request.
func watchButton(ctx context.Context, b board.Board, x *provision.Provisioner, log *slog.Logger) error {
	if err := hw.Button(ctx, b.Button, func(hw.Press) { x.Press() }); err != nil {
		log.Warn("going on without the button", "error", err)
	}
	return nil
}

// vault says in the exchange's words that the disk or the clock is at fault, not
// the answer: the claim is kept then, and tried again.
type vault struct{ *identity.Store }

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

// panelView shows the exchange's status on the board's panel.
type panelView struct {
	panel  *hw.Panel
	button bool // the board has one
}

var modes = map[provision.State]hw.Mode{
	provision.Idle:        hw.ModeIdle,
	provision.CodeShown:   hw.ModeCode,
	provision.Claimed:     hw.ModeWorking,
	provision.Signing:     hw.ModeWorking,
	provision.Provisioned: hw.ModeDone,
	provision.Failed:      hw.ModeFailed,
}

// Show implements provision.Panel.
func (p panelView) Show(s provision.Status) {
	v := hw.View{Mode: modes[s.State], Code: s.Code, Key: s.KeyFingerprint, Made: s.CodeMade, Expires: s.CodeExpires, ClaimURL: s.ClaimURL,
		Step: s.Step, MachineID: s.MachineID, Error: s.Error, Hint: s.Hint}
	switch {
	case s.State != provision.Idle && s.State != provision.Provisioned:
	case s.Step != "":
		v.Mode = hw.ModeWaiting // at work on getting a code
	case s.State == provision.Idle && !p.button:
		v.Step = "mecha-agent provision makes a code"
	}
	p.panel.Show(v)
}
