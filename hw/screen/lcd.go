package screen

import (
	"fmt"
	"time"

	"periph.io/x/conn/v3/i2c"

	"github.com/mecha-org/mecha-agent/hw"
)

// The port of a PCF8574 on the back of an LCD, as nearly all of these modules are
// wired: the upper four lines are the data, in nibbles.
const (
	lcdRS        = 1 << 0 // register select: 1 is data
	lcdEnable    = 1 << 2 // the LCD takes the data when it falls
	lcdBacklight = 1 << 3
)

// Instructions of the HD44780 (Hitachi ADE-207-272, table 6).
const (
	lcdClear     = 0x01
	lcdEntryMode = 0x06 // the address goes up, the picture stands
	lcdOff       = 0x08
	lcdOn        = 0x0C // no cursor
	lcdFunction  = 0x28 // 4 bits, 2 lines, 5x8 dots
	lcdSetCGRAM  = 0x40 // or the address
	lcdSetDDRAM  = 0x80 // or the address
)

// lcd is a character display with an HD44780 behind a PCF8574.
type lcd struct {
	dev     i2c.Dev
	columns int
	rows    []byte   // address in the LCD's memory of each row
	cells   [][]byte // what is in it; nil when not known
	dark    bool
	light   byte // lcdBacklight, or 0
}

// Show sends the characters that changed.
func (l *lcd) Show(v hw.View, now time.Time) error {
	cells := l.cells
	l.cells = nil // until all of it went well
	if cells == nil {
		if err := l.start(); err != nil {
			return fmt.Errorf("starting the LCD: %w", err)
		}
		cells = blank(len(l.rows), l.columns)
	}
	for row, line := range hw.Characters(v, l.columns, len(l.rows), now) {
		want := characterCodes(line)
		for _, r := range changes(cells[row], want) {
			if err := l.print(l.rows[row]+byte(r.from), want[r.from:r.to]); err != nil {
				return fmt.Errorf("writing row %d of the LCD: %w", row, err)
			}
		}
		cells[row] = want
	}
	if l.dark {
		l.light = lcdBacklight
		if err := l.command(lcdOn); err != nil {
			return fmt.Errorf("switching on the LCD: %w", err)
		}
		l.dark = false
	}
	l.cells = cells
	return nil
}

// start brings the LCD into 4-bit mode, from whatever state it is in, also from
// the middle of a byte (data sheet, figure 24). It leaves it dark.
func (l *lcd) start() error {
	l.dark, l.light = true, 0
	for _, wait := range [...]time.Duration{4100 * time.Microsecond, 100 * time.Microsecond, 100 * time.Microsecond} {
		if err := l.write(l.nibble([]byte{0x30}, 0x30)); err != nil { // RS first, then the pulse
			return err
		}
		time.Sleep(wait)
	}
	if err := l.write(l.nibble(nil, 0x20)); err != nil {
		return err
	}
	time.Sleep(100 * time.Microsecond)
	if err := l.command(lcdFunction, lcdOff, lcdClear); err != nil {
		return err
	}
	time.Sleep(2 * time.Millisecond) // 1.52 ms at the nominal clock of 270 kHz
	if err := l.command(lcdEntryMode); err != nil {
		return err
	}
	for n := 1; n <= hw.BarSteps; n++ { // characters 1 to 5: parts of a bar
		w := l.byte(nil, lcdSetCGRAM|byte(n)<<3, 0)
		for range 8 {
			w = l.byte(w, 0x1F<<(5-n)&0x1F, lcdRS)
		}
		if err := l.write(w); err != nil {
			return err
		}
	}
	return nil
}

// print writes characters from an address on.
func (l *lcd) print(address byte, codes []byte) error {
	w := l.byte(nil, lcdSetDDRAM|address, 0)
	for _, c := range codes {
		w = l.byte(w, c, lcdRS)
	}
	return l.write(w)
}

// command sends instructions.
func (l *lcd) command(codes ...byte) error {
	var w []byte
	for _, c := range codes {
		w = l.byte(w, c, 0)
	}
	return l.write(w)
}

// byte appends what makes the LCD take b. The upper nibble stands on the port once
// before the LCD is enabled, because RS must not change together with the enable
// line; that also leaves two bytes on the bus, 45 µs at 400 kHz, between one
// instruction and the next, which needs 37 µs.
func (l *lcd) byte(w []byte, b, rs byte) []byte {
	w = append(w, b&0xF0|rs|l.light)
	w = l.nibble(w, b&0xF0|rs)
	return l.nibble(w, b<<4|rs)
}

// nibble appends a pulse of the enable line.
func (l *lcd) nibble(w []byte, port byte) []byte {
	return append(w, port|l.light|lcdEnable, port|l.light)
}

func (l *lcd) write(w []byte) error { return l.dev.Tx(w, nil) }

// Sleep switches the picture and the light off.
func (l *lcd) Sleep() error {
	l.dark, l.light = true, 0
	if err := l.command(lcdOff); err != nil {
		return fmt.Errorf("switching off the LCD: %w", err)
	}
	return nil
}

// Close clears the LCD, so that no old code stands on it when somebody else
// switches it on, and switches it off.
func (l *lcd) Close() error {
	l.dark, l.light = true, 0
	if err := l.command(lcdOff, lcdClear); err != nil {
		return fmt.Errorf("switching off the LCD: %w", err)
	}
	return nil
}

// characterCodes returns a line in the codes of the HD44780, whose ROM A00 has
// other signs in two places of ASCII.
func characterCodes(line string) []byte {
	codes := []byte(line)
	for i, c := range codes {
		switch c {
		case '\\':
			codes[i] = '/'
		case '~':
			codes[i] = '-'
		}
	}
	return codes
}

func blank(rows, columns int) [][]byte {
	cells := make([][]byte, rows)
	for i := range cells {
		cells[i] = characterCodes(fmt.Sprintf("%*s", columns, ""))
	}
	return cells
}

// span is a run of cells.
type span struct{ from, to int }

// changes returns the runs in which two lines differ. One cell that is the same
// does not end a run: to set the address anew costs as much as to write it.
func changes(old, want []byte) (runs []span) {
	for i := range want {
		if old[i] == want[i] {
			continue
		}
		if n := len(runs) - 1; n >= 0 && i <= runs[n].to+1 {
			runs[n].to = i + 1
		} else {
			runs = append(runs, span{i, i + 1})
		}
	}
	return runs
}

var _ hw.Screen = (*lcd)(nil)
