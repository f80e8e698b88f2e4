package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/mecha-org/mecha-agent/board"
	"github.com/mecha-org/mecha-agent/board/host"
	"github.com/mecha-org/mecha-agent/cmd/internal/cli"
	"github.com/mecha-org/mecha-agent/gateway"
	"github.com/mecha-org/mecha-agent/settings"
)

// boardOptions are the flags of the board command.
type boardOptions struct {
	root             string
	pinout, displays bool
}

func (a *app) boardCommand() *cobra.Command {
	var o boardOptions
	c := &cobra.Command{Use: "board", Short: "Print which board this is and what is on it", Args: cobra.NoArgs,
		Long: `board prints what this machine says of itself, what the tables add to it, and
which parts of the panel the settings wire. What was looked for and is not there
stands in "missing", with the reason.

With --root it is another machine: a folder with that machine's /sys and /proc,
copied. Nothing is opened then, and the settings are compared with what the
folder tells.

When the settings do not fit the board, the board is printed all the same, the
problems follow on standard error, and the exit code is 2.

The fields of --json are always there: texts are "" and lists [] when nothing is
known. They are name, vendor, model, soc, revision, serial, architecture,
compatible, mac, sheet, header, pins, gpio_chips, i2c, spi, onboard_leds, keys,
tpm, display, leds, button, missing; with --displays a list of name, width,
height, unit, addresses, sheet.`,
		RunE: func(c *cobra.Command, _ []string) error {
			switch {
			case o.displays && (o.pinout || o.root != ""):
				return cli.Usage(errors.New("--displays lists what this program knows, not what a board has"), "give it alone")
			case o.pinout && a.JSON:
				return cli.Usage(errors.New("--pinout draws a picture, which has no JSON"), "leave out one of the two")
			case o.displays:
				return a.printDisplays()
			}
			cfg, _, err := a.load()
			if err != nil {
				return err
			}
			return a.showBoard(c.Context(), cfg, o)
		}}
	c.Flags().StringVar(&o.root, "root", "", "`folder` with another machine's /sys and /proc")
	c.Flags().BoolVar(&o.pinout, "pinout", false, "draw the header, and what the settings put on which pin")
	c.Flags().BoolVar(&o.displays, "displays", false, "list the displays that can be wired")
	return c
}

// showBoard prints the board, also one that refuses the wiring of the settings.
func (a *app) showBoard(ctx context.Context, cfg settings.Agent, o boardOptions) error {
	b, err := a.lookAtBoard(ctx, cfg, o.root)
	var refused *board.WiringError
	if err != nil && !errors.As(err, &refused) {
		return err
	}
	defer b.Close()
	if !o.pinout {
		return cmp.Or(a.printBoard(b), err)
	}
	if _, failed := fmt.Fprint(a.Stdout, b.Pinout(wiring(cfg.Hardware, ""))); failed != nil {
		return failed
	}
	if err != nil { // its picture was printed just now
		return cli.Usage(errors.New(err.Error()), gateway.HintOf(err))
	}
	return nil
}

// lookAtBoard returns this machine, or the one whose /sys and /proc are in the
// folder root.
func (a *app) lookAtBoard(ctx context.Context, cfg settings.Agent, root string) (board.Board, error) {
	if root == "" {
		return openBoard(ctx, a.root, onlooker(cfg), host.New())
	}
	// Not os.DirFS: an absolute link in the copy would lead to this machine's files.
	r, err := os.OpenRoot(root)
	if err != nil {
		return board.Board{}, cli.Usage(fmt.Errorf("--root: %w", err), "give the folder that holds sys and proc of the machine")
	}
	defer r.Close()
	return openMachine(ctx, r.FS(), cfg, nil)
}
