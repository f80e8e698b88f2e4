// Mecha-agent gives a machine its identity: it shows a code on the board's
// panel, waits until an operator claims it at the gateway, and keeps a private
// key that never leaves the machine beside a certificate that the fleet trusts.
package main

import (
	"context"
	"os"

	"github.com/mecha-org/mecha-agent/cmd/internal/cli"
)

// version is set by the linker: -ldflags "-X main.version=1.2.3".
var version string

func main() {
	os.Exit(cli.Main(func(ctx context.Context, sys cli.System) int { return run(ctx, sys, os.DirFS("/")) }))
}
