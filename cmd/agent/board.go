package main

import (
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/mecha-org/mecha-agent/board"
)

func (a *app) printBoard(b board.Board) error {
	d := b.Describe()
	if a.JSON {
		return a.PrintJSON(d)
	}
	w := tabwriter.NewWriter(a.Stdout, 0, 0, 2, ' ', 0)
	for _, r := range []struct{ name, value string }{
		{"board", d.Name}, {"vendor", d.Vendor}, {"model", d.Model}, {"soc", d.SoC}, {"revision", d.Revision},
		{"serial", d.Serial}, {"architecture", d.Architecture}, {"display", d.Display}, {"leds", d.LEDs}, {"button", d.Button},
		{"missing", strings.Join(d.Missing, "\n\t")},
	} {
		if r.value != "" {
			fmt.Fprintf(w, "%s\t%s\n", r.name, r.value)
		}
	}
	return w.Flush()
}
