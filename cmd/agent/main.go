// Mecha-agent gives a machine its identity: it shows a code on the board's
// panel, waits until an operator claims it at the gateway, and keeps a private
// key that never leaves the machine beside a certificate that the fleet trusts.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, system{
		args: os.Args[1:], environ: os.Environ(), root: os.DirFS("/"),
		stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr,
	})
	stop()
	os.Exit(code)
}
