package hw

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"
)

// terminal shows views on all of a terminal.
type terminal struct {
	w             io.Writer
	columns, rows int
	colour        bool
	shown         []terminalRow // what stands there; nil when not known
	view          View          // that it shows
}

// terminalRow is a row of text in one colour, with a row of a QR code behind it.
type terminalRow struct {
	sgr  string // parameters of a colour, empty for none
	text string // without control characters
	qr   string // always the same for the same view
}

// Control sequences (ECMA-48; the private ones, and the choice of UTF-8, from
// console_codes(4), are known to the Linux console and to every terminal that
// descends from the VT220).
const (
	useUTF8    = "\x1b%G"
	hideCursor = "\x1b[?25l"
	showCursor = "\x1b[?25h"
	clearAll   = "\x1b[0m\x1b[2J"
	clearRow   = "\x1b[K" // from the cursor on
)

// NewTerminal returns a screen that fills a terminal of columns by rows characters
// behind w, such as a Linux console or a serial line with a terminal at its end.
// It clears it, hides the cursor and shows a view on the whole of it, in large
// letters where there is room. With the passing of time only the characters that
// changed are sent; a new view is sent whole, because a kernel message may stand
// in between. With colour it sets the colours of a terminal; without, it is made
// for light letters on a dark ground. What it writes needs UTF-8. Close clears the
// terminal and shows the cursor again.
//
// Each Show is one Write, of as many bytes as docs/hardware.md says.
func NewTerminal(w io.Writer, columns, rows int, colour bool) Screen {
	return &terminal{w: w, columns: max(1, columns), rows: max(1, rows), colour: colour}
}

// Show writes what is new in v.
func (t *terminal) Show(v View, now time.Time) error {
	rows := terminalRows(v, t.columns, t.rows, now)
	var b strings.Builder
	switch {
	case t.shown == nil:
		b.WriteString(useUTF8 + hideCursor + clearAll)
		for y, row := range rows {
			if row.text+row.qr != "" {
				t.whole(&b, y, row, "")
			}
		}
	case v != t.view:
		for y, row := range rows {
			t.whole(&b, y, row, clearRow)
		}
	default:
		for y, row := range rows {
			if old := t.shown[y]; row.sgr != old.sgr {
				t.whole(&b, y, row, clearRow)
			} else if from, text := difference(old.text, row.text); text != "" {
				t.span(&b, y, from, row.sgr, text)
			}
		}
	}
	t.shown = nil // until it went well
	if b.Len() > 0 {
		if _, err := io.WriteString(t.w, b.String()); err != nil {
			return fmt.Errorf("writing to the terminal: %w", err)
		}
	}
	t.shown, t.view = rows, v
	return nil
}

// whole writes a row, and then what clears the rest of it.
func (t *terminal) whole(b *strings.Builder, y int, row terminalRow, rest string) {
	fmt.Fprintf(b, "\x1b[%dH", y+1)
	t.paint(b, row.sgr, row.text)
	t.paint(b, whiteOnBlack, row.qr)
	if utf8.RuneCountInString(row.text+row.qr) < t.columns { // else it would clear the last character
		b.WriteString(rest)
	}
}

// span writes text from a column on.
func (t *terminal) span(b *strings.Builder, y, x int, sgr, text string) {
	fmt.Fprintf(b, "\x1b[%d;%dH", y+1, x+1)
	t.paint(b, sgr, text)
}

func (t *terminal) paint(b *strings.Builder, sgr, text string) {
	if !t.colour || sgr == "" || text == "" {
		b.WriteString(text)
		return
	}
	b.WriteString("\x1b[" + sgr + "m" + text + "\x1b[0m")
}

// difference returns the part of want that differs from old, and its column. What
// is shorter is as if it ended with blanks.
func difference(old, want string) (from int, text string) {
	a, b := []rune(old), []rune(want)
	for len(a) < len(b) {
		a = append(a, ' ')
	}
	for len(b) < len(a) {
		b = append(b, ' ')
	}
	end := len(b)
	for from < end && a[from] == b[from] {
		from++
	}
	for end > from && a[end-1] == b[end-1] {
		end--
	}
	return from, string(b[from:end])
}

// Sleep clears the terminal.
func (t *terminal) Sleep() error { return t.clear("") }

// Close clears the terminal and shows the cursor.
func (t *terminal) Close() error { return t.clear("\x1b[H" + showCursor) }

func (t *terminal) clear(then string) error {
	t.shown = nil
	if _, err := io.WriteString(t.w, clearAll+then); err != nil {
		return fmt.Errorf("clearing the terminal: %w", err)
	}
	return nil
}

// String names the screen after what it writes to.
func (t *terminal) String() string {
	if s, ok := t.w.(fmt.Stringer); ok {
		return "terminal " + s.String()
	}
	return "terminal"
}
