// Package header holds the pin headers of boards: which pin is where, what it is
// called, and which GPIO line the kernel drives it by. It is a table with links to
// the data sheets, and it draws.
package header

import (
	"cmp"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Header is a row of connectors that a person can reach.
type Header struct {
	Name    string // "40-pin header (J8)"
	Columns int    // 2: odd pins left, even pins right
	Pins    []Pin  // by number, from 1 on
	I2C     string // alias of the bus on the header, "i2c1"; empty: none
	Sheet   string // link to the data sheet or the vendor's pinout

	bus bus // more of I2C
}

// Pin is a pin of a header.
type Pin struct {
	Number int    // physical, as printed on the board: 1, 2, 3; unique in its header
	Label  string // P8 and P9 of a BeagleBone: "P9.12"; empty when the number is enough
	Name   string // what it is called: "GPIO17", "3V3", "GND", "SDA1"
	Chip   string // label of the GPIO controller, "pinctrl-bcm2711"; empty: no GPIO
	Offset int    // of the line on that controller
	Use    string // what it does besides: "I2C1 SDA"; empty when nothing
}

// unknown is the name of a pin that no source that we know says anything of.
const unknown = "-"

// For returns the header of the board whose device tree has these root
// compatible strings, the most specific first, or nil when no table has it. The
// caller may keep and change what it gets.
//
// Kernels of the Raspberry Pi call both revisions of the first Model B
// "raspberrypi,model-b"; who knows the revision code to be 0002 or 0003 puts
// "raspberrypi,model-b-rev1" first.
func For(compatible []string) *Header {
	for _, c := range compatible {
		for _, r := range rows() {
			if slices.Contains(r.boards, c) {
				return r.header()
			}
		}
	}
	return nil
}

// Pin finds a pin by its number ("pin 11"), its label ("P9.12", "P9_12") or its
// name ("GPIO17"). Case and blanks do not matter. A bare number finds nothing: it
// may be meant as pin 17 or as GPIO17, and the two are far apart. Of several pins
// of one name ("GND") it is the first.
func (h *Header) Pin(ref string) (Pin, bool) {
	if h == nil {
		return Pin{}, false
	}
	key := fold(ref)
	if digits, ok := strings.CutPrefix(key, "pin"); ok {
		n, err := strconv.Atoi(digits)
		i := slices.IndexFunc(h.Pins, func(p Pin) bool { return p.Number == n && p.Label == "" })
		if err == nil && i >= 0 {
			return h.Pins[i], true
		}
	}
	for _, same := range []func(Pin) bool{
		func(p Pin) bool { return fold(p.Label) == key },
		func(p Pin) bool { return strings.TrimRight(fold(p.Label), "ab") == key }, // P9.41 has lines A and B
		func(p Pin) bool { return p.Name != unknown && fold(p.Name) == key },
	} {
		if i := slices.IndexFunc(h.Pins, same); key != "" && i >= 0 {
			return h.Pins[i], true
		}
	}
	return Pin{}, false
}

// At returns the pin that a line is on.
func (h *Header) At(chip string, offset int) (Pin, bool) {
	if h == nil || chip == "" {
		return Pin{}, false
	}
	i := slices.IndexFunc(h.Pins, func(p Pin) bool { return p.Chip == chip && p.Offset == offset })
	if i < 0 {
		return Pin{}, false
	}
	return h.Pins[i], true
}

// IsI2C says whether the bus with this alias and this node of the device tree is
// the one on the header. Either may be empty: mainline device trees of the
// Raspberry Pi have no alias for it.
func (h *Header) IsI2C(alias, node string) bool {
	if h == nil {
		return false
	}
	return h.I2C != "" && alias == h.I2C || h.bus.node != "" && path.Base(node) == h.bus.node
}

// I2CPins returns the pins of the bus on the header: SDA and SCL.
func (h *Header) I2CPins() (pins []Pin) {
	if h == nil {
		return nil
	}
	name := cmp.Or(h.bus.name, strings.ToUpper(h.I2C))
	if name == "" {
		return nil
	}
	for _, p := range h.Pins {
		if p.Use == name+" SDA" || p.Use == name+" SCL" {
			pins = append(pins, p)
		}
	}
	return pins
}

// String returns how a person finds the pin on the board: "pin 11", "P9.12".
func (p Pin) String() string {
	return cmp.Or(p.Label, "pin "+strconv.Itoa(p.Number))
}

// fold makes two spellings of one name equal: "P9_12" and "p9.12", "GPIO 17" and
// "gpio17".
func fold(s string) string {
	return strings.Map(func(r rune) rune {
		switch r {
		case ' ', '\t':
			return -1
		case '.', '-':
			return '_'
		}
		return r
	}, strings.ToLower(s))
}
