package screentest

import (
	"strings"
	"time"

	"periph.io/x/conn/v3/i2c"
)

// Lines of the PCF8574's port, as modules are wired.
const (
	portRS     = 1 << 0
	portRW     = 1 << 1
	portEnable = 1 << 2
	portLight  = 1 << 3
	portData   = 0xF0
)

// LCD is an emulated character display: an HD44780 (Hitachi ADE-207-272) in 4-bit
// mode behind a PCF8574. It watches the order of the lines, which the data sheet
// gives in figure 25, and the time that instructions take, table 6. Its memory
// holds squares after power-on, so that a driver that does not clear it is seen.
// It is safe for concurrent use.
type LCD struct {
	chip
	columns, rows int

	port    byte
	wide    bool // 8-bit interface, as after power-on
	two     bool // two lines
	upper   bool // the next nibble is the lower one
	held    byte // the upper nibble
	ready   time.Duration
	resets  int // how many of resetTimes are over
	ddram   [128]byte
	cgram   [64]byte
	address byte
	dots    bool // address is of CGRAM
	on      bool
}

// NewLCD returns a display of 16x2 or 20x4 at an address (0x27, or 0x3F for a
// PCF8574A).
func NewLCD(addr uint16, columns, rows int) *LCD {
	d := &LCD{chip: newChip("the PCF8574", addr), columns: columns, rows: rows, port: 0xFF, wide: true}
	for i := range d.ddram {
		d.ddram[i] = 0xFF
	}
	return d
}

// Tx is one transfer. A read gives the port, of which the LCD drives nothing.
func (d *LCD) Tx(addr uint16, w, r []byte) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.acknowledge(addr); err != nil {
		return err
	}
	for _, b := range w {
		d.clocks(clocksPerByte)
		d.set(b)
	}
	for i := range r {
		d.clocks(clocksPerByte)
		r[i] = d.port
	}
	d.clocks(1)
	return nil
}

// set puts a byte on the port.
func (d *LCD) set(b byte) {
	old := d.port
	d.port = b
	changed := old ^ b
	switch {
	case changed&portEnable == 0:
		if b&portEnable != 0 && changed&(portRS|portRW) != 0 {
			d.fault("RS or RW changes while the LCD is enabled")
		}
	case b&portEnable != 0:
		if changed&(portRS|portRW) != 0 {
			d.fault("RS or RW changes together with the rise of E, it must be 40 ns before")
		}
		if now := d.now(); now < d.ready {
			d.fault("enabled %v too early", d.ready-now)
		}
	case old&portRW != 0: // a read that nobody asked for, as after power-on
	default:
		if changed&(portData|portRS) != 0 {
			d.fault("data changes together with the fall of E, it must stay for 10 ns")
		}
		d.latch(old)
	}
}

// latch takes four lines of data, or eight of which four are not connected.
func (d *LCD) latch(port byte) {
	nibble := port & portData
	if d.wide {
		d.instruct(nibble)
		return
	}
	if d.upper = !d.upper; d.upper {
		d.held = nibble
		return
	}
	b := d.held | nibble>>4
	if port&portRS == 0 {
		d.instruct(b)
		return
	}
	d.write(b)
}

// Execution times at the nominal clock, table 6; 1.52 ms and 37 µs, 4 µs more for
// data. The first function sets after power-on take longer, figure 24.
const (
	slow    = 1520 * time.Microsecond
	quick   = 37 * time.Microsecond
	forData = 41 * time.Microsecond
)

var resetTimes = [...]time.Duration{4100 * time.Microsecond, 100 * time.Microsecond}

func (d *LCD) instruct(b byte) {
	took := quick
	switch {
	case d.wide && b&0xE0 != 0x20:
		d.fault("instruction %#02x before the interface is known", b)
	case b&0x80 != 0:
		d.address, d.dots = b&0x7F, false
		if a := d.address; a > 0x67 || a > 0x27 && a < 0x40 {
			d.fault("address %#02x is not in the memory", a)
		}
	case b&0x40 != 0:
		d.address, d.dots = b&0x3F, true
	case b&0x20 != 0:
		d.two = b&0x08 != 0
		if d.wide = b&0x10 != 0; d.wide && d.resets < len(resetTimes) {
			took = resetTimes[d.resets]
			d.resets++
		}
	case b&0x10 != 0:
		d.fault("shift %#02x: not emulated", b)
	case b&0x08 != 0:
		d.on = b&0x04 != 0
		if b&0x03 != 0 {
			d.fault("a cursor is switched on")
		}
	case b&0x04 != 0:
		if b != 0x06 {
			d.fault("entry mode %#02x: not emulated", b)
		}
	case b&0x02 != 0:
		d.address, d.dots, took = 0, false, slow
	case b&0x01 != 0:
		d.address, d.dots, took = 0, false, slow
		for i := range d.ddram {
			d.ddram[i] = ' '
		}
	default:
		d.fault("instruction %#02x is none", b)
	}
	d.ready = d.now() + took
}

// write puts a byte into the memory and moves on.
func (d *LCD) write(b byte) {
	if d.dots {
		d.cgram[d.address] = b
		d.address = (d.address + 1) & 0x3F
	} else {
		d.ddram[d.address] = b
		switch d.address++; d.address {
		case 0x28:
			d.address = 0x40
		case 0x68:
			d.address = 0
		}
	}
	d.ready = d.now() + forData
}

// start returns the address of a row. The glass of four rows is the one of two
// cut in halves.
func (d *LCD) start(row int) int { return row%2*0x40 + row/2*d.columns }

// Text returns what stands in the memory behind each row, parts of a bar as their
// bytes, whether or not the display is on.
func (d *LCD) Text() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var b strings.Builder
	for row := range d.rows {
		b.Write(d.ddram[d.start(row):][:d.columns])
		b.WriteByte('\n')
	}
	return b.String()
}

// Lit tells whether the picture and the light behind it are on.
func (d *LCD) Lit() (picture, light bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.on, d.port&portLight != 0
}

var _ i2c.Bus = (*LCD)(nil)
