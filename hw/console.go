package hw

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"rsc.io/qr"
)

// console shows views as text, for a machine without a panel.
type console struct {
	w      io.Writer
	colour bool
	code   string // the code that stands on the console
	line   string // the line that was written last
}

// NewConsole returns a screen that writes to w: a code in large letters, with
// its claim URL, a QR code of it and its end; everything else in a line. It
// writes when what it has to say changes, and not with the passing of time. With
// colour it sets the colours of a terminal; without, it writes for light letters
// on a dark ground. What it writes needs UTF-8 and 80 columns.
func NewConsole(w io.Writer, colour bool) Screen {
	return &console{w: w, colour: colour}
}

// Show writes what is new in v.
func (c *console) Show(v View, now time.Time) error {
	var b strings.Builder
	code := ""
	if v.Mode == ModeCode {
		code = plain(v.Code)
	}
	line := sentence(v)
	if code != "" && code != c.code {
		c.block(&b, code, v, now) // says it all, the line would repeat it
	} else if line != c.line {
		b.WriteString(c.paint(modeColour(v.Mode), line) + "\n")
	}
	if b.Len() > 0 {
		if _, err := io.WriteString(c.w, b.String()); err != nil {
			return fmt.Errorf("writing to the console: %w", err)
		}
	}
	c.code, c.line = code, line
	return nil
}

// Sleep returns errors.ErrUnsupported: what was written stays, and no press of the
// button is lost on lighting it.
func (c *console) Sleep() error { return errors.ErrUnsupported }

// Close writes nothing: the console is not ours.
func (c *console) Close() error { return nil }

// String names the screen.
func (c *console) String() string { return "console" }

// sentence returns the line for a view.
func sentence(v View) string {
	switch {
	case v.Mode == ModeFailed:
		s := "Failed: " + plain(v.Error)
		if v.Error == "" {
			s = "Failed: " + v.step()
		}
		if v.Hint != "" {
			s += "\n  hint: " + plain(v.Hint)
		}
		return s
	case v.Mode == ModeReset && !v.Expires.IsZero(): // no count: lines are not written every second
		return v.Mode.title() + ": hold the button until " + v.Expires.Format("15:04:05") + ", then let go to remove the identity"
	case v.Mode == ModeDone && v.MachineID != "":
		return v.Mode.title() + ": " + v.step() + ", machine " + plain(v.MachineID) + v.place()
	}
	return v.Mode.title() + ": " + v.step() + v.place()
}

// place says where the key is, at rest.
func (v View) place() string {
	if !v.rests() {
		return ""
	}
	return "; " + plain(v.Keystore)
}

// block writes a code with what belongs to it.
func (c *console) block(b *strings.Builder, code string, v View, now time.Time) {
	b.WriteString("\n")
	for _, row := range large(strings.Join(groups(code), " ")) {
		b.WriteString("  " + c.paint(bold, row) + "\n")
	}
	b.WriteString("\n")
	if url := plain(v.ClaimURL); url != "" {
		b.WriteString("  Claim it at " + url + "\n")
		if q, err := qr.Encode(url, qr.L); err == nil && q.Size+2*quietZone <= 78 {
			b.WriteString("\n")
			for _, row := range halfBlocks(q) {
				b.WriteString("  " + c.paint(whiteOnBlack, row) + "\n")
			}
		}
	}
	if v.Key != "" {
		b.WriteString("  Its key is " + plain(v.Key) + "\n")
	}
	if !v.Expires.IsZero() {
		words, _ := v.left(now)
		fmt.Fprintf(b, "  Valid until %s (%s)\n", v.Expires.Format("15:04:05"), words)
	}
	b.WriteString("\n")
}

// Colours of a terminal (ECMA-48, section 8.3.117, SGR). The QR code's are the
// 256-colour ones of xterm, which themes do not change.
const (
	bold         = "1"
	green        = "32"
	yellow       = "33"
	red          = "31"
	whiteOnBlack = "38;5;231;48;5;16"
)

// modeColour returns the colour of a mode's line.
func modeColour(m Mode) string {
	switch m {
	case ModeDone:
		return green
	case ModeFailed:
		return red
	case ModeWaiting, ModeCode, ModeWorking:
		return yellow
	}
	return ""
}

func (c *console) paint(sgr, s string) string {
	if !c.colour || sgr == "" {
		return s
	}
	return "\x1b[" + sgr + "m" + s + "\x1b[0m"
}

// half returns the character for two pixels, one above the other.
func half(upper, lower bool) string {
	switch {
	case upper && lower:
		return "█"
	case upper:
		return "▀"
	case lower:
		return "▄"
	}
	return " "
}

// large returns s in letters five columns wide and four rows high.
func large(s string) (rows []string) {
	for y := 0; y < glyphHeight; y += 2 {
		var b strings.Builder
		for i := range len(s) {
			if s[i] == ' ' {
				b.WriteString("  ")
				continue
			}
			for x := range glyphWidth {
				b.WriteString(half(lit(s[i], x, y), y+1 < glyphHeight && lit(s[i], x, y+1)))
			}
			b.WriteString(" ")
		}
		rows = append(rows, strings.TrimRight(b.String(), " "))
	}
	return rows
}

// quietZone is the light border that a QR code needs, in modules (ISO/IEC 18004).
const quietZone = 4

// halfBlocks returns q with its quiet zone, two rows of modules a line. Light
// modules are the drawn ones, so that it is right where letters are light on dark.
func halfBlocks(q *qr.Code) (rows []string) {
	end := q.Size + quietZone
	for y := -quietZone; y < end; y += 2 {
		var b strings.Builder
		for x := -quietZone; x < end; x++ {
			b.WriteString(half(!q.Black(x, y), y+1 < end && !q.Black(x, y+1)))
		}
		rows = append(rows, b.String())
	}
	return rows
}
