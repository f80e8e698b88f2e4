package hwtest

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Terminal is what a person sees of a terminal that is written to. It understands
// what hw.NewTerminal may send, and nothing else.
type Terminal struct {
	Hidden bool     // the cursor is
	UTF8   bool     // it was told to be in UTF-8
	Faults []string // what it did not understand, and writes beside it
	Bytes  int      // written so far
	Writes int

	cells [][]rune
	x, y  int
}

// NewTerminal returns a terminal of that size, with # on all of it: what somebody
// left there.
func NewTerminal(columns, rows int) *Terminal {
	t := &Terminal{cells: make([][]rune, rows)}
	for y := range t.cells {
		t.cells[y] = []rune(strings.Repeat("#", columns))
	}
	return t
}

var csi = regexp.MustCompile(`^\x1b\[([?0-9;]*)([A-Za-z])`)

// Write writes to the terminal. It never fails.
func (t *Terminal) Write(p []byte) (int, error) {
	t.Bytes += len(p)
	t.Writes++
	s := string(p)
	for s != "" {
		if rest, ok := strings.CutPrefix(s, "\x1b%G"); ok {
			t.UTF8, s = true, rest
		} else if m := csi.FindStringSubmatch(s); m != nil {
			t.control(m[1], m[2])
			s = s[len(m[0]):]
		} else {
			r, size := utf8.DecodeRuneInString(s) // U+FFFD for what is none
			t.put(r)
			s = s[size:]
		}
	}
	return len(p), nil
}

func (t *Terminal) control(args, final string) {
	switch args + final {
	case "2J":
		for y := range t.cells {
			t.blank(y, 0)
		}
		return
	case "K":
		if t.x < len(t.cells[t.y]) {
			t.blank(t.y, t.x)
		}
		return
	case "?25l", "?25h":
		t.Hidden = final == "l"
		return
	}
	switch final {
	case "H":
		row, column, _ := strings.Cut(args, ";")
		y, _ := strconv.Atoi(row)
		x, _ := strconv.Atoi(column)
		t.y, t.x = max(1, y)-1, max(1, x)-1
	case "m":
	default:
		t.Faults = append(t.Faults, "CSI "+args+final)
	}
}

func (t *Terminal) blank(y, from int) {
	for x := from; x < len(t.cells[y]); x++ {
		t.cells[y][x] = ' '
	}
}

func (t *Terminal) put(r rune) {
	switch {
	case r < ' ' || r >= 0x7F && r < 0xA0:
		t.Faults = append(t.Faults, fmt.Sprintf("control character %q", r))
	case t.y >= len(t.cells) || t.x >= len(t.cells[t.y]):
		t.Faults = append(t.Faults, fmt.Sprintf("%q at row %d, column %d", r, t.y+1, t.x+1))
	default:
		t.cells[t.y][t.x] = r
		t.x++
	}
}

// String returns what stands there, a line in bars each.
func (t *Terminal) String() string {
	var b strings.Builder
	for _, row := range t.cells {
		b.WriteString("|" + string(row) + "|\n")
	}
	return b.String()
}
