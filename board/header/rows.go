package header

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// row is a header as the tables write it.
type row struct {
	name   string
	boards []string // root compatible strings, exactly
	bus    bus
	sheet  string
	lines  lines
	pins   string
}

// bus is the I2C bus on a header: its alias, the word for it in Use when that is
// not the alias in capitals, and its unit where device trees have no alias.
type bus struct{ alias, name, node string }

// lines finds the line behind a pin's name: the label of its controller, as the
// kernel's driver gives it, and the offset. Not ok: the name is of no GPIO.
type lines func(name string) (chip string, offset int, ok bool)

func rows() []row {
	return slices.Concat(raspberryPi(), beagle(), rockchip(), amlogic(), allwinner(), tegra(), stm32())
}

// header builds the header of a row. A pin that does not parse is left out; that
// the tables have none such is tested.
func (r row) header() *Header {
	h := &Header{Name: r.name, Columns: 2, I2C: r.bus.alias, bus: r.bus, Sheet: r.sheet}
	h.Pins, _ = parse(r.pins, r.lines)
	return h
}

// parse reads pins as a table writes them: one row of the connector a line, the
// pins separated by a bar, each with its number or label, its name, and what it
// does besides.
//
//	1 3V3              |  2 5V
//	3 GPIO2 I2C1 SDA   |  4 5V
func parse(text string, find lines) ([]Pin, error) {
	var pins []Pin
	for line := range strings.Lines(strings.TrimSpace(text)) {
		for cell := range strings.SplitSeq(line, "|") {
			f := strings.Fields(cell)
			if len(f) < 2 {
				return pins, fmt.Errorf("pin %q has no name", cell)
			}
			p := Pin{Number: len(pins) + 1, Name: f[1], Use: strings.Join(f[2:], " ")}
			if n, err := strconv.Atoi(f[0]); err != nil {
				p.Label = f[0]
			} else {
				p.Number = n
			}
			if chip, offset, ok := find(p.Name); ok {
				p.Chip, p.Offset = chip, offset
			}
			pins = append(pins, p)
		}
	}
	return pins, nil
}

// numbered finds the lines of a single controller, which are called prefix and
// their offset.
func numbered(chip, prefix string) lines {
	return func(name string) (string, int, bool) {
		digits, ok := strings.CutPrefix(name, prefix)
		n, isNumber := number(digits)
		return chip, n, ok && isNumber
	}
}

// number reads digits and nothing else.
func number(s string) (int, bool) {
	n, err := strconv.ParseUint(s, 10, 8)
	return int(n), err == nil
}
