package main

import (
	"bytes"
	"context"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/mecha-org/mecha-agent/cmd/internal/cli"
)

// TestStopAtStart: an agent that is told to stop before it has started has not
// failed; one that could not have started has.
func TestStopAtStart(t *testing.T) {
	for set, c := range map[string]struct {
		code int
		want string
	}{
		"keystore.backend=disk": {cli.ExitOK, `"msg":"stopped","while":`},
		"hardware.board=none":   {cli.ExitUsage, "this program knows no board"},
	} {
		t.Run(set, func(t *testing.T) {
			dir := t.TempDir()
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			var out bytes.Buffer
			code := run(ctx, cli.System{Stdin: strings.NewReader(""), Stdout: &out, Stderr: &out, Environ: []string{"HOME=" + dir},
				Args: []string{"run", "--set", "provisioning.server_url=https://gateway.invalid", "--set", "server.url=",
					"--set", "server.socket=" + filepath.Join(dir, "agent.sock"), "--set", set}}, fstest.MapFS{})
			if code != c.code || !strings.Contains(out.String(), c.want) {
				t.Errorf("exit code %d, want %d and %s\n%s", code, c.code, c.want, out.String())
			}
		})
	}
}
