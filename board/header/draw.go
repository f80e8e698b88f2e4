package header

import (
	"bufio"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Mark is a note at a pin of a drawing.
type Mark struct {
	Text string // "button", "used by spi0 CS0"; instead of the pin's own use
	Bad  bool   // something is wrong with it
}

// Width is the most columns that a drawing takes.
const Width = 80

// The signs of pins, one column each.
const (
	signLine  = "○" // a GPIO line
	signUsed  = "●" // a pin with a mark
	signFixed = "■" // power, ground, or whatever is no GPIO
	signBad   = "✗"
)

// Draw writes a picture of the header: its rows as they lie on the board, each pin
// with its number, its name, and what it does or what its mark says; marks are by
// the number of the pin. It is UTF-8 of at most Width columns; only a link below it
// may be longer. A header without pins, and nil, draw nothing.
func (h *Header) Draw(w io.Writer, marks map[int]Mark) error {
	if h == nil || len(h.Pins) == 0 {
		return nil
	}
	out := bufio.NewWriter(w)
	d := h.measure()
	d.marks = marks
	out.WriteString(h.Name + "\n\n")
	for i := 0; i < len(h.Pins); i += d.columns {
		if i > 0 && section(h.Pins[i]) != section(h.Pins[i-1]) {
			out.WriteString("\n")
		}
		var line string
		if d.columns == 2 && i+1 < len(h.Pins) {
			line = d.left(h.Pins[i]) + " " + d.right(h.Pins[i+1])
		} else {
			line = strings.TrimLeft(d.right(h.Pins[i]), " ")
		}
		out.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	out.WriteString("\n" + signLine + " line   " + signUsed + " in use   " + signFixed + " no line")
	for _, m := range marks {
		if m.Bad {
			out.WriteString("   " + signBad + " not right")
			break
		}
	}
	out.WriteString("\n")
	if h.Sheet != "" {
		out.WriteString(h.Sheet + "\n")
	}
	return out.Flush()
}

// section is the connector that a pin is on: "P9" of "P9.12".
func section(p Pin) string {
	s, _, _ := strings.Cut(p.Label, ".")
	return s
}

// drawing holds the widths of its columns.
type drawing struct {
	columns            int
	number, name, text int
	marks              map[int]Mark
}

func (h *Header) measure() drawing {
	d := drawing{columns: max(1, min(h.Columns, 2))}
	for _, p := range h.Pins {
		d.number = max(d.number, utf8.RuneCountInString(short(p)))
		d.name = max(d.name, utf8.RuneCountInString(p.Name))
	}
	d.name = min(d.name, 14)
	// Each side: text, 2 blanks, name, a blank, number, a blank, sign; one blank
	// between the two.
	d.text = (Width-1)/2 - 2 - d.name - 1 - d.number - 1 - 1
	if d.columns == 1 {
		d.text = Width - 2 - d.name - 1 - d.number - 1 - 1
	}
	return d
}

// short is the number as it is printed beside a pin.
func short(p Pin) string {
	if p.Label != "" {
		return p.Label
	}
	return strconv.Itoa(p.Number)
}

func (d drawing) sign(p Pin) string {
	m, marked := d.marks[p.Number]
	switch {
	case m.Bad:
		return signBad
	case marked:
		return signUsed
	case p.Chip == "":
		return signFixed
	}
	return signLine
}

func (d drawing) note(p Pin) string {
	if m, ok := d.marks[p.Number]; ok {
		return cut(m.Text, d.text)
	}
	return cut(p.Use, d.text)
}

func (d drawing) left(p Pin) string {
	return padLeft(d.note(p), d.text) + "  " + padLeft(cut(p.Name, d.name), d.name) + " " + padLeft(short(p), d.number) + " " + d.sign(p)
}

func (d drawing) right(p Pin) string {
	return d.sign(p) + " " + padRight(short(p), d.number) + " " + padRight(cut(p.Name, d.name), d.name) + "  " + d.note(p)
}

// cut shortens s to n characters.
func cut(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	return string([]rune(s)[:n-1]) + "…"
}

func padLeft(s string, n int) string {
	return strings.Repeat(" ", max(0, n-utf8.RuneCountInString(s))) + s
}

func padRight(s string, n int) string {
	return s + strings.Repeat(" ", max(0, n-utf8.RuneCountInString(s)))
}
