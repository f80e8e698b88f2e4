//go:build !sim

package main

import (
	"context"
	"io/fs"

	"github.com/mecha-org/mecha-agent/board"
	"github.com/mecha-org/mecha-agent/settings"
)

// openBoard returns the machine that this process runs on, its parts opened by h.
func openBoard(ctx context.Context, root fs.FS, c settings.Agent, h board.Host) (board.Board, error) {
	return openMachine(ctx, root, c, h)
}

// onlooker is the settings for who looks at the board while an agent may have it.
func onlooker(c settings.Agent) settings.Agent { return c }
