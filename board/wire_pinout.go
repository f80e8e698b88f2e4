package board

import (
	"fmt"
	"strings"

	"github.com/mecha-org/mecha-agent/board/header"
)

// Pinout draws the board's header: the pins, who uses them as far as Chips tells
// (Wire with a host asks), and what w puts where, with pins marked that are not
// right. Where no table has the board, it is a list of the lines that have names.
// Lines have at most 80 columns.
func (b Board) Pinout(w Wiring) string {
	f := newFitter(&b, nil)
	f.fit(w)
	if b.Header == nil {
		return f.list()
	}
	return f.picture()
}

// picture draws the header with what was found out of its pins.
func (f *fitter) picture() string {
	h := f.b.Header
	if h == nil {
		return ""
	}
	marks := map[int]header.Mark{}
	for _, pin := range h.Pins {
		if text := f.mark(pin); text != "" {
			marks[pin.Number] = header.Mark{Text: text}
		}
	}
	for number, role := range f.bad {
		marks[number] = header.Mark{Text: strings.TrimPrefix(marks[number].Text+", "+role+"?", ", "), Bad: true}
	}
	var out strings.Builder
	_ = h.Draw(&out, marks) // a Builder takes all
	return out.String()
}

// mark says who has the pin, or "".
func (f *fitter) mark(pin header.Pin) string {
	if role, ok := f.onPin[pin.Number]; ok {
		return role
	}
	_, active := activeBus(f.b, pin)
	var line Line
	var role string
	if pin.Chip != "" {
		p, _ := f.onHeader(pin)
		line, role = p.info(), f.taken[p.id()].role
	}
	switch {
	case role != "" && role != f.bad[pin.Number]:
		return role
	case line.Used && line.Consumer != "":
		return "used by " + clean(line.Consumer)
	case line.Used:
		return "in use"
	case active:
		return pin.Use + " (on)"
	}
	return ""
}

// list is the lines by name, for a board without a table.
func (f *fitter) list() string {
	var out strings.Builder
	out.WriteString("no table has the header of this board; its lines that have names:\n\n")
	n := 0
	for _, c := range f.chips {
		for i, l := range c.Lines {
			if l.Name == "" && !l.Used {
				continue
			}
			text := fmt.Sprintf("%-28s %s", fmt.Sprintf("%s:%d", c.Label, i), clean(l.Name))
			if u, ok := f.taken[place{chip: c, offset: i}.id()]; ok {
				text += "  " + u.role
			} else if l.Used {
				text += "  used by " + clean(l.Consumer)
			}
			if r := []rune(strings.TrimRight(text, " ")); len(r) > header.Width {
				text = string(r[:header.Width-1]) + "…"
			}
			out.WriteString(strings.TrimRight(text, " ") + "\n")
			n++
		}
	}
	if n == 0 {
		return "no table has the header of this board, and its lines have no names\n"
	}
	return out.String()
}
