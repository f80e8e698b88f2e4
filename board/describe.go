package board

import (
	"fmt"

	"periph.io/x/conn/v3/gpio"
)

// Description is a Board in words and numbers, for `mecha-agent board` and
// whoever reads its JSON. Fields are always there; what is not known is empty.
type Description struct {
	Name         string              `json:"name"`
	Vendor       string              `json:"vendor"`
	Model        string              `json:"model"`
	SoC          string              `json:"soc"`
	Revision     string              `json:"revision"`
	Serial       string              `json:"serial"`
	Architecture string              `json:"architecture"`
	Display      *DisplayDescription `json:"display"` // null: none
	LEDs         *LEDsDescription    `json:"leds"`    // null: none
	Button       string              `json:"button"`  // name of the line; empty: none
	Missing      []string            `json:"missing"` // never null
}

// DisplayDescription says where a display is and what drives it.
type DisplayDescription struct {
	Bus        string `json:"bus"`
	Address    string `json:"address"` // "0x3c"
	Controller string `json:"controller"`
}

// LEDsDescription names the lines of the code LEDs.
type LEDsDescription struct {
	Bits   []string `json:"bits"` // most significant first
	Strobe string   `json:"strobe"`
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
		d.Display = &DisplayDescription{
			Address:    fmt.Sprintf("0x%02x", b.Display.Address),
			Controller: b.Display.Controller,
		}
		if b.Display.Bus != nil {
			d.Display.Bus = b.Display.Bus.String()
		}
	}
	if b.LEDs != nil {
		d.LEDs = &LEDsDescription{Bits: []string{}, Strobe: lineName(b.LEDs.Strobe)}
		for _, p := range b.LEDs.Bits {
			d.LEDs.Bits = append(d.LEDs.Bits, lineName(p))
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
		return ""
	}
	return p.Name()
}
