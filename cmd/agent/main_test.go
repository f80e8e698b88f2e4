package main

import (
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/mecha-org/mecha-agent/cmd/internal/clitest"
)

// asAgent, when it is in the environment, makes the test binary be mecha-agent:
// some tests need a process that they can kill.
const asAgent = "BE_MECHA_AGENT"

func TestMain(m *testing.M) {
	if os.Getenv(asAgent) != "" {
		main()
	}
	clitest.Main(m, "mecha-agent", main)
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{Dir: "testdata", RequireExplicitExec: true})
}
