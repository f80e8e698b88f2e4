// Mecha-gateway is the API gateway and certificate authority of a fleet, one
// binary: "serve" answers devices and operators, the other commands are the
// operator's tool over the gateway's HTTP API.
package main

import (
	"os"

	"github.com/mecha-org/mecha-agent/cmd/internal/cli"
)

// version is set by the linker: -ldflags "-X main.version=1.2.3".
var version string

func main() { os.Exit(cli.Main(run)) }
