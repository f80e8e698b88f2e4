package main

import (
	"flag"
	"testing"

	"github.com/mecha-org/mecha-agent/cmd/internal/clitest"
)

var update = flag.Bool("update", false, "rewrite the manual pages in dist/man")

func TestManualPages(t *testing.T) { clitest.ManualPages(t, (&app{}).command(), *update) }
