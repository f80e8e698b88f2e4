package screentest

import (
	"image"
	"image/color"

	"periph.io/x/conn/v3/i2c"
)

// OLED is what the controllers of package oled have in common: a memory of pages
// that is shown while the display is on. It takes no note of the commands in which
// they differ, and draws the picture upright; board/sim has an SSD1306 that is
// strict. It is safe for concurrent use.
type OLED struct {
	chip
	size   image.Point
	offset int // column of the memory behind the leftmost pixel
	status byte

	ram          [8][256]byte
	page, column int
	on           bool
}

// NewOLED returns a display at an address. The status byte is what the controller
// answers to a read.
func NewOLED(addr uint16, size image.Point, offset int, status byte) *OLED {
	d := &OLED{chip: newChip("the OLED", addr), size: size, offset: offset, status: status}
	for page := range d.ram {
		for x := range d.ram[page] {
			d.ram[page][x] = 0xA5 // as after power-on: anything
		}
	}
	return d
}

// Tx is one transfer: a command with its arguments, each behind a control byte of
// its own, or data until the stop.
func (d *OLED) Tx(addr uint16, w, r []byte) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.acknowledge(addr); err != nil {
		return err
	}
	d.clocks(clocksPerByte*(len(w)+len(r)) + 1)
	for i := range r {
		r[i] = d.status
	}
	if len(w) < 2 {
		return nil
	}
	switch w[0] {
	case 0x40:
		for _, b := range w[1:] {
			d.ram[d.page][d.column] = b
			d.column = (d.column + 1) % len(d.ram[0])
		}
	case 0x80:
		d.command(w[1])
	default:
		d.fault("control byte %#02x", w[0])
	}
	return nil
}

func (d *OLED) command(c byte) {
	switch {
	case c < 0x10:
		d.column = d.column&0xF0 | int(c)
	case c < 0x20:
		d.column = d.column&0x0F | int(c&0x0F)<<4
	case c&^1 == 0xAE:
		d.on = c == 0xAF
	case c&^7 == 0xB0:
		d.page = int(c & 7)
	}
}

var oledPalette = color.Palette{color.RGBA{0x05, 0x07, 0x0A, 0xFF}, color.RGBA{0xD8, 0xF2, 0xFF, 0xFF}}

// Image returns the glass, two pixels a dot. The caller owns it.
func (d *OLED) Image() *image.Paletted {
	d.mu.Lock()
	defer d.mu.Unlock()
	img := image.NewPaletted(image.Rectangle{Max: d.size.Mul(2)}, oledPalette)
	for y := range d.size.Y {
		for x := range d.size.X {
			if d.on && d.ram[y/8][d.offset+x]>>(y%8)&1 != 0 {
				at := image.Pt(x, y).Mul(2)
				square(img, image.Rectangle{Min: at, Max: at.Add(image.Pt(2, 2))}, 1)
			}
		}
	}
	return img
}

var _ i2c.Bus = (*OLED)(nil)
