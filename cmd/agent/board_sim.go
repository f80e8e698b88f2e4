//go:build sim

package main

import (
	"context"
	"io/fs"
	"maps"

	"github.com/mecha-org/mecha-agent/board"
	"github.com/mecha-org/mecha-agent/board/sim"
	"github.com/mecha-org/mecha-agent/settings"
)

// openBoard returns the simulated board when the settings ask for it, else the
// machine that this process runs on, its parts opened by h.
func openBoard(ctx context.Context, root fs.FS, c settings.Agent, h board.Host) (board.Board, error) {
	if c.Hardware.Board == "sim" {
		return sim.Open(ctx, c.Hardware.Options)
	}
	return openMachine(ctx, root, c, h)
}

// onlooker is the settings for who looks at the board while an agent may have it:
// the simulated board's control socket is the agent's.
func onlooker(c settings.Agent) settings.Agent {
	if c.Hardware.Board != "sim" {
		return c
	}
	c.Hardware.Options = maps.Clone(c.Hardware.Options)
	delete(c.Hardware.Options, sim.OptionControl)
	return c
}
