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
	Compatible   []string `json:"compatible"` // the most specific first; never null
	MAC          string   `json:"mac"`
	Sheet        string   `json:"sheet"`  // link to the documentation of the family
	Header       string   `json:"header"` // "40-pin header (J8)"
	Pins         int      `json:"pins"`   // on the header

	Chips   []ChipDescription `json:"gpio_chips"`   // never null
	I2C     []BusDescription  `json:"i2c"`          // never null
	SPI     []BusDescription  `json:"spi"`          // never null
	Onboard []LEDDescription  `json:"onboard_leds"` // never null
	Keys    []KeyDescription  `json:"keys"`         // never null
	TPM     string            `json:"tpm"`          // "/dev/tpmrm0"

	Display string   `json:"display"` // "ssd1306-128x64 at 0x3c of I2C1"
	LEDs    string   `json:"leds"`    // the lines, most significant first: "A B C D E, strobe F"
	Button  string   `json:"button"`  // the line
	Missing []string `json:"missing"` // never null
}

// ChipDescription is a Chip in short: line names would fill pages.
type ChipDescription struct {
	Device string `json:"device"`
	Label  string `json:"label"`
	Lines  int    `json:"lines"` // how many; 0: not known
	Named  int    `json:"named"` // how many have a name
	Used   int    `json:"used"`  // how many are held by the kernel or by a program
}

// BusDescription is a Bus.
type BusDescription struct {
	Number int    `json:"number"` // -1: not known
	Device string `json:"device"`
	Node   string `json:"node"`
	Alias  string `json:"alias"`
	Header bool   `json:"header"`
}

// LEDDescription is an LED.
type LEDDescription struct {
	Name    string `json:"name"`
	Trigger string `json:"trigger"`
}

// KeyDescription is a Key.
type KeyDescription struct {
	Name   string `json:"name"`
	Code   uint16 `json:"code"`
	Device string `json:"device"`
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
		Compatible:   append([]string{}, b.Compatible...),
		MAC:          b.MAC,
		Sheet:        b.Sheet,
		Chips:        each(b.Chips, describeChip),
		I2C:          each(b.I2C, func(x Bus) BusDescription { return BusDescription(x) }),
		SPI:          each(b.SPI, func(x Bus) BusDescription { return BusDescription(x) }),
		Onboard:      each(b.Onboard, func(x LED) LEDDescription { return LEDDescription(x) }),
		Keys:         each(b.Keys, func(x Key) KeyDescription { return KeyDescription(x) }),
		TPM:          b.TPM,
		Missing:      append([]string{}, b.Missing...),
	}
	if b.Header != nil {
		d.Header, d.Pins = b.Header.Name, len(b.Header.Pins)
	}
	if b.Display != nil {
		d.Display = fmt.Sprintf("%s at 0x%02x", b.Display.Controller, b.Display.Address)
		if b.Display.Bus != nil {
			d.Display += " of " + b.Display.Bus.String()
		}
	}
	d.LEDs = b.LEDs.describe()
	if b.Button != nil {
		d.Button = b.Button.Name()
	}
	return d
}

// each never returns nil, so that JSON has a list.
func each[A, B any](list []A, f func(A) B) []B {
	out := make([]B, 0, len(list))
	for _, a := range list {
		out = append(out, f(a))
	}
	return out
}

func describeChip(c Chip) ChipDescription {
	d := ChipDescription{Device: c.Device, Label: c.Label, Lines: len(c.Lines)}
	for _, l := range c.Lines {
		if l.Name != "" {
			d.Named++
		}
		if l.Used {
			d.Used++
		}
	}
	return d
}

// describe returns the groups of lights that are wired: "A B C D E, strobe F",
// "one G", "RGB H I J".
func (l *LEDs) describe() string {
	if l == nil {
		return ""
	}
	var groups []string
	add := func(title string, pins ...gpio.PinOut) {
		if len(pins) == 0 || pins[0] == nil && len(pins) == 1 {
			return
		}
		names := each(pins, lineName)
		groups = append(groups, strings.TrimSpace(title+" "+strings.Join(names, " ")))
	}
	add("", l.Bits...)
	add("strobe", l.Strobe)
	add("one", l.Single)
	add("RGB", l.RGB...)
	return strings.Join(groups, ", ")
}

// lineName asks for Name, not String: periph's character-device lines print a
// page of JSON for the latter.
func lineName(p gpio.PinOut) string {
	if p == nil {
		return "-"
	}
	return p.Name()
}
