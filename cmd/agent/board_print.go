package main

import (
	"cmp"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/mecha-org/mecha-agent/board"
	"github.com/mecha-org/mecha-agent/cmd/internal/cli"
	displays "github.com/mecha-org/mecha-agent/hw/screen"
)

func (a *app) printBoard(b board.Board) error {
	d := b.Describe()
	if a.JSON {
		return a.PrintJSON(d)
	}
	w := tabwriter.NewWriter(a.Stdout, 0, 0, 2, ' ', 0)
	row := func(name string, values ...string) {
		for _, v := range values {
			if v != "" {
				fmt.Fprintf(w, "%s\t%s\n", name, cli.Clean(v))
				name = ""
			}
		}
	}
	row("board", d.Name)
	row("vendor", d.Vendor)
	row("model", d.Model)
	row("soc", d.SoC)
	row("revision", d.Revision)
	row("serial", d.Serial)
	row("architecture", d.Architecture)
	row("mac", d.MAC)
	row("header", d.Header)
	row("gpio", chipTexts(d.Chips)...)
	row("i2c", busTexts(d.I2C)...)
	row("spi", busTexts(d.SPI)...)
	row("lights on board", lightTexts(d.Onboard))
	row("keys", keyTexts(d.Keys)...)
	row("tpm", d.TPM)
	row("display", d.Display)
	row("leds", d.LEDs)
	row("button", d.Button)
	row("documentation", d.Sheet)
	row("missing", d.Missing...)
	return w.Flush()
}

func chipTexts(chips []board.ChipDescription) (texts []string) {
	for _, c := range chips {
		s := cmp.Or(c.Device, "no driver")
		if c.Label != "" {
			s += ", " + c.Label
		}
		if c.Lines > 0 {
			s += fmt.Sprintf(", %d lines", c.Lines)
		}
		if c.Used > 0 {
			s += fmt.Sprintf(", %d in use", c.Used)
		}
		texts = append(texts, s)
	}
	return texts
}

// busTexts leaves out what has no device, of which a SoC has many, unless it is on
// the header; their number stands at the end.
func busTexts(buses []board.BusDescription) (texts []string) {
	off := 0
	for _, b := range buses {
		if b.Device == "" && !b.Header {
			off++
			continue
		}
		s := cmp.Or(b.Device, "no device")
		if name := cmp.Or(b.Alias, b.Node); name != "" {
			s += ", " + name
		}
		if b.Header {
			s += ", on the header"
		}
		texts = append(texts, s)
	}
	if off > 0 {
		texts = append(texts, fmt.Sprintf("%d more without a device", off))
	}
	return texts
}

func lightTexts(lights []board.LEDDescription) string {
	var texts []string
	for _, l := range lights {
		if l.Trigger != "" && l.Trigger != "none" {
			l.Name += " (" + l.Trigger + ")"
		}
		texts = append(texts, l.Name)
	}
	return strings.Join(texts, ", ")
}

func keyTexts(keys []board.KeyDescription) (texts []string) {
	for _, k := range keys {
		texts = append(texts, fmt.Sprintf("%s, code %d, %s", cmp.Or(k.Name, "no label"), k.Code, cmp.Or(k.Device, "no driver")))
	}
	return texts
}

// displayJSON is a display that can be wired, for --displays --json.
type displayJSON struct {
	Name      string   `json:"name"`
	Width     int      `json:"width"`
	Height    int      `json:"height"`
	Unit      string   `json:"unit"`      // of width and height: "pixels" or "characters"
	Addresses []string `json:"addresses"` // 7 bits, "0x3c"
	Sheet     string   `json:"sheet"`
}

// printDisplays lists the displays that hardware.display.controller can name.
func (a *app) printDisplays() error {
	var list []displayJSON
	for _, c := range displays.Controllers() {
		var at []string
		for _, addr := range c.Addresses {
			at = append(at, fmt.Sprintf("%#02x", addr))
		}
		list = append(list, displayJSON{c.Name, c.Width, c.Height, c.Unit, at, c.Sheet})
	}
	if a.JSON {
		return a.PrintJSON(list)
	}
	w := tabwriter.NewWriter(a.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tSIZE\tADDRESSES\tDATA SHEET")
	for _, d := range list {
		fmt.Fprintf(w, "%s\t%dx%d %s\t%s\t%s\n", d.Name, d.Width, d.Height, d.Unit, strings.Join(d.Addresses, " "), d.Sheet)
	}
	return w.Flush()
}
