//go:build !sim

package main

import (
	"context"
	"io/fs"

	"github.com/mecha-org/mecha-agent/board"
	"github.com/mecha-org/mecha-agent/settings"
)

// openBoard returns the machine that this process runs on.
func openBoard(ctx context.Context, root fs.FS, c settings.Agent) (board.Board, error) {
	return openMachine(ctx, root, c)
}
