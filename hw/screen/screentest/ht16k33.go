package screentest

import "periph.io/x/conn/v3/i2c"

// HT16K33 is an emulated display of four 14-segment digits with a Holtek HT16K33
// (data sheet revision 1.10). Its memory holds stripes after power-on. It is safe
// for concurrent use.
type HT16K33 struct {
	chip
	ram        [16]byte
	pointer    byte
	running    bool // oscillator
	on         bool
	brightness byte
}

// NewHT16K33 returns a display at an address (0x70 to 0x77).
func NewHT16K33(addr uint16) *HT16K33 {
	d := &HT16K33{chip: newChip("the HT16K33", addr)}
	for i := range d.ram {
		d.ram[i] = 0x55
	}
	return d
}

// Tx is one transfer: a command, with data behind the one that sets the pointer,
// or a read of the memory.
func (d *HT16K33) Tx(addr uint16, w, r []byte) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.acknowledge(addr); err != nil {
		return err
	}
	d.clocks(clocksPerByte*(len(w)+len(r)) + 1)
	if len(w) > 0 {
		d.command(w[0], w[1:])
	}
	for i := range r {
		r[i] = d.ram[d.pointer]
		d.pointer = (d.pointer + 1) % 16
	}
	return nil
}

// command is the table "Command Summary" of the data sheet.
func (d *HT16K33) command(code byte, data []byte) {
	if len(data) > 0 && code&0xF0 != 0 {
		d.fault("%d bytes behind command %#02x", len(data), code)
	}
	switch code & 0xF0 {
	case 0x00:
		d.pointer = code
		for _, b := range data {
			d.ram[d.pointer] = b
			d.pointer = (d.pointer + 1) % 16
		}
	case 0x20:
		d.running = code&1 != 0
	case 0x80:
		if d.on = code&1 != 0; d.on && !d.running {
			d.fault("the display is switched on while the oscillator stands")
		}
		if code&0x06 != 0 {
			d.fault("blinking is switched on")
		}
	case 0xE0:
		d.brightness = code & 0x0F
	default:
		d.fault("command %#02x is not for a display", code)
	}
}

// Lit tells whether digits shine.
func (d *HT16K33) Lit() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.on && d.running
}

// Segments returns which segments of a digit are set: A to F in bits 0 to 5, the
// two halves of G in 6 and 7, then from the upper left the inner ones clockwise,
// row by row, and the dot in bit 14.
func (d *HT16K33) Segments(digit int) uint16 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.segments(digit)
}

func (d *HT16K33) segments(digit int) uint16 {
	return uint16(d.ram[2*digit]) | uint16(d.ram[2*digit+1])<<8
}

var _ i2c.Bus = (*HT16K33)(nil)
