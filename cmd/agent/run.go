package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/mecha-org/mecha-agent/board/host"
	"github.com/mecha-org/mecha-agent/cmd/internal/cli"
	"github.com/mecha-org/mecha-agent/gateway/client"
	"github.com/mecha-org/mecha-agent/identity"
	"github.com/mecha-org/mecha-agent/provision"
	"github.com/mecha-org/mecha-agent/rpc"
	"github.com/mecha-org/mecha-agent/settings"
)

func (a *app) runCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "run",
		Short: "Run the agent (the daemon)",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, report, err := a.load()
			if err != nil {
				return err
			}
			log, closeLog, err := a.OpenLog(cfg.Logging)
			if err != nil {
				return err
			}
			defer closeLog()
			if len(report.Ignored) > 0 {
				log.Info("settings of other services are left to them", "file", report.File, "ignored", strings.Join(report.Ignored, ", "))
			}
			err = a.daemon(c.Context(), cfg, log)
			if c.Context().Err() != nil && errors.Is(err, context.Canceled) {
				log.Info("stopped", "while", err)
				return nil // as it was told to
			}
			return err
		},
	}
}

// daemon is the data flow: settings, board, keystore, identity, panel, gateway,
// exchange, and the service that other programs ask.
func (a *app) daemon(ctx context.Context, cfg settings.Agent, log *slog.Logger) error {
	machine, err := openBoard(ctx, a.root, cfg, host.New())
	if err != nil {
		return fmt.Errorf("finding the board: %w", err)
	}
	defer machine.Close()
	log.Info("starting", "version", cli.Version(version), "board", machine.String(), "missing", strings.Join(machine.Missing, "; "))

	keys, err := openKeystores(cfg, log)
	if err != nil {
		return fmt.Errorf("opening the keystore: %w", err)
	}
	defer keys.Close()
	id, err := identity.Open(ctx, identityPaths(cfg.Provisioning.Paths), keys)
	if err != nil {
		return fmt.Errorf("opening the identity: %w", err)
	}
	defer id.Close()
	if err := keys.usable(ctx, cfg.Keystore, id); err != nil {
		return err
	}
	restoreLights(cfg, log) // no other agent runs: the identity is locked

	panel, err := openPanel(&machine, cfg.Hardware, a.Stdout, log)
	if err != nil {
		return fmt.Errorf("opening the panel: %w", err)
	}
	gw, err := client.New(gatewayConfig(cfg.Provisioning, log))
	if err != nil {
		return err
	}
	defer gw.Close()
	exchange, err := provision.New(exchangeConfig(cfg.Provisioning, machine, gw, keys, id, panel, log))
	if err != nil {
		return err
	}
	button := newTouch(machine, cfg.Hardware.Button, exchange, panel, log)
	listeners, err := rpc.Listen(ctx, endpoint(cfg.Server, id, log))
	if err != nil {
		return err
	}
	for _, l := range listeners {
		log.Info("listening", "network", l.Addr().Network(), "address", l.Addr().String())
	}

	all, ctx := errgroup.WithContext(ctx)
	all.Go(func() error { return panel.Run(ctx) })
	all.Go(func() error { return exchange.Run(ctx) })
	all.Go(func() error { return button.run(ctx) })
	all.Go(func() error {
		return rpc.Serve(ctx, serviceConfig(exchange, id, keys, machine, button.trouble, log), listeners...)
	})
	err = all.Wait()
	log.Info("stopped")
	return err
}
