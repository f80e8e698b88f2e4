package sim

import (
	"fmt"
	"sync"
	"syscall"

	"periph.io/x/conn/v3/i2c"
	"periph.io/x/conn/v3/physic"
)

// Address is the 7-bit I2C address of the emulated display: SA0 is low
// (SSD1306 data sheet, section 8.1.5).
const Address = 0x3C

// Size of the glass in pixels.
const (
	Width  = 128
	Height = 64
)

const pages = Height / 8

// maxSpeed is a clock cycle of 2.5 µs (SSD1306 data sheet, table 13-6).
const maxSpeed = 400 * physic.KiloHertz

// maxFaults is how many faults are kept; the first ones tell most.
const maxFaults = 64

// Addressing modes (command 0x20).
const (
	horizontal = iota
	vertical
	paged
)

// SSD1306 is an emulated OLED of 128x64 pixels with its controller, alone on an
// I2C bus. It decodes what a driver sends as the data sheet says (Solomon Systech
// SSD1306, revision 1.1: section 8.1.5 for the bytes on the bus, 9 and 10 for the
// commands), and keeps a list of what the data sheet does not allow.
//
// The glass is wired and mounted as on the common modules: upright with segments
// remapped (0xA1) and rows scanned backwards (0xC8), COM pins alternating
// (0xDA 0x12), lit only while the charge pump runs (0x8D 0x14), for the modules
// have no other source for their 7 V.
//
// The chip's memory is undefined after power-on. Here it holds squares of 4x4
// pixels, so that a driver that does not clear it is seen. Scrolling is accepted
// and checked, but the picture stands still. It is safe for concurrent use.
type SSD1306 struct {
	mu  sync.Mutex
	ram [pages][Width]byte // by page and segment; the lowest bit is the first line

	mode               int
	page, col          byte // pointer of the next data byte
	pageStart, pageEnd byte
	colStart, colEnd   byte
	startLine          byte
	offset             byte
	rows               byte // multiplex ratio, 16 to 64
	contrast           byte
	comPins            byte
	segRemap, comRemap bool
	on, pump           bool
	allOn, inverse     bool
	scrolling          bool

	pending []byte // a command whose arguments are still to come
	faults  []string
	dropped int // faults beyond maxFaults
}

// NewSSD1306 returns a display as it is after power-on (section 8.5).
func NewSSD1306() *SSD1306 {
	d := &SSD1306{
		mode:     paged,
		pageEnd:  pages - 1,
		colEnd:   Width - 1,
		rows:     Height,
		contrast: 0x7F,
		comPins:  0x12,
	}
	for page := range d.ram {
		for seg := range d.ram[page] {
			d.ram[page][seg] = 0x0F
			if seg&4 != 0 {
				d.ram[page][seg] = 0xF0
			}
		}
	}
	return d
}

// String names the bus.
func (d *SSD1306) String() string { return "sim-i2c" }

// SetSpeed accepts what the chip can follow, up to 400 kHz.
func (d *SSD1306) SetSpeed(f physic.Frequency) error {
	if f <= 0 || f > maxSpeed {
		return fmt.Errorf("%s: the SSD1306 does not run at %s, at most at %s", d, f, maxSpeed)
	}
	return nil
}

// Tx is one transaction, from start to stop. Reading gives the status register:
// bit 6 is set while the display is off (table 9-2). An address other than
// Address is not acknowledged; the error is then ENXIO as from Linux
// (Documentation/i2c/fault-codes.rst).
func (d *SSD1306) Tx(addr uint16, w, r []byte) error {
	if addr != Address {
		return fmt.Errorf("%s: no acknowledge from address 0x%02x: %w", d, addr, syscall.ENXIO)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.receive(w)
	for i := range r {
		r[i] = 0
		if !d.on {
			r[i] = 1 << 6
		}
	}
	return nil
}

// receive takes the bytes of one write (section 8.1.5.2). A control byte says
// what follows: Co (bit 7) set, one byte and then another control byte; clear,
// bytes until the stop. D/C (bit 6) set, they are data; clear, commands.
func (d *SSD1306) receive(w []byte) {
	for len(w) > 0 {
		control := w[0]
		w = w[1:]
		if control&0x3F != 0 {
			d.fault("control byte 0x%02x: its low six bits are not zero", control)
			return
		}
		n := len(w)
		if control&0x80 != 0 {
			if n == 0 {
				d.fault("control byte 0x%02x: no byte follows", control)
				return
			}
			n = 1
		}
		for _, b := range w[:n] {
			if control&0x40 != 0 {
				d.data(b)
			} else {
				d.command(b)
			}
		}
		w = w[n:]
	}
}

// data writes one byte to the memory and moves the pointer (section 10.1.3). The
// remap of segments takes place here: it does not touch what was written before
// (section 10.1.8).
func (d *SSD1306) data(b byte) {
	if len(d.pending) > 0 {
		d.fault("data in the middle of command 0x%02x", d.pending[0])
		d.pending = nil
	}
	if d.scrolling {
		d.fault("data while scrolling is active")
	}
	seg := d.col
	if d.segRemap {
		seg = Width - 1 - d.col
	}
	d.ram[d.page][seg] = b

	nextCol := func() (wrapped bool) {
		wrapped = d.col == d.colEnd
		d.col = (d.col + 1) % Width
		if wrapped {
			d.col = d.colStart
		}
		return wrapped
	}
	nextPage := func() (wrapped bool) {
		wrapped = d.page == d.pageEnd
		d.page = (d.page + 1) % pages
		if wrapped {
			d.page = d.pageStart
		}
		return wrapped
	}
	switch d.mode {
	case horizontal:
		if nextCol() {
			nextPage()
		}
	case vertical:
		if nextPage() {
			nextCol()
		}
	default: // stays in the page and uses all of it, figure 10-1
		d.col = (d.col + 1) % Width
	}
}

// Faults returns what a driver did that the data sheet does not allow, in order,
// and is empty for a good driver. The display goes on as a chip would, as far
// as one can tell.
func (d *SSD1306) Faults() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	list := append([]string{}, d.faults...)
	if d.dropped > 0 {
		list = append(list, fmt.Sprintf("and %d more", d.dropped))
	}
	return list
}

func (d *SSD1306) fault(format string, args ...any) {
	if len(d.faults) == maxFaults {
		d.dropped++
		return
	}
	d.faults = append(d.faults, fmt.Sprintf(format, args...))
}

var _ i2c.Bus = (*SSD1306)(nil)
