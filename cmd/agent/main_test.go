package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// asAgent, when it is in the environment, makes the test binary be mecha-agent:
// some tests need a process that they can kill.
const asAgent = "BE_MECHA_AGENT"

func TestMain(m *testing.M) {
	if os.Getenv(asAgent) != "" {
		os.Exit(mainCode())
	}
	testscript.Main(m, map[string]func(){"mecha-agent": func() { os.Exit(mainCode()) }})
}

func mainCode() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return run(ctx, system{args: os.Args[1:], environ: os.Environ(), root: os.DirFS("/"),
		stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{Dir: "testdata", RequireExplicitExec: true})
}
