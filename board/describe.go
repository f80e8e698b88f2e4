package board

import (
	"fmt"
	"strings"

	"periph.io/x/conn/v3/gpio"
)

// Description is a Board in words and numbers, for `mecha-agent board` and
// whoever reads its JSON. Fields are always there; what is not known is empty.
type Description struct {
	Name         string   `json:"name"`
	Vendor       string   `json:"vendor"`
	Model        string   `json:"model"`
	SoC          string   `json:"soc"`
	Revision     string   `json:"revision"`
	Serial       string   `json:"serial"`
	Architecture string   `json:"architecture"`
	Display      string   `json:"display"` // "ssd1306-128x64 at 0x3c of I2C1"
	LEDs         string   `json:"leds"`    // the lines, most significant first: "A B C D E, strobe F"
	Button       string   `json:"button"`  // the line
	Missing      []string `json:"missing"` // never null
}

// Describe returns the board without its parts.
func (b Board) Describe() Description {
	d := Description{
		Name:         b.Name,
		Vendor:       b.Vendor,
		Model:        b.Model,
		SoC:          b.SoC,
		Revision:     b.Revision,
		Serial:       b.Serial,
		Architecture: b.Architecture,
		Missing:      append([]string{}, b.Missing...),
	}
	if b.Display != nil {
		d.Display = fmt.Sprintf("%s at 0x%02x", b.Display.Controller, b.Display.Address)
		if b.Display.Bus != nil {
			d.Display += " of " + b.Display.Bus.String()
		}
	}
	if b.LEDs != nil {
		var names []string
		for _, p := range b.LEDs.Bits {
			names = append(names, lineName(p))
		}
		d.LEDs = strings.Join(names, " ")
		if b.LEDs.Strobe != nil {
			d.LEDs += ", strobe " + lineName(b.LEDs.Strobe)
		}
	}
	if b.Button != nil {
		d.Button = b.Button.Name()
	}
	return d
}

// lineName asks for Name, not String: periph's character-device lines print a
// page of JSON for the latter.
func lineName(p gpio.PinOut) string {
	if p == nil {
		return "-"
	}
	return p.Name()
}
