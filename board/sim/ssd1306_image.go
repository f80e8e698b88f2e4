package sim

import (
	"image"

	"periph.io/x/devices/v3/ssd1306/image1bit"
)

// Image returns what a person in front of the glass sees: nothing while the
// display is off or the charge pump is. The caller owns the image.
func (d *SSD1306) Image() *image1bit.VerticalLSB {
	d.mu.Lock()
	defer d.mu.Unlock()
	img := image1bit.NewVerticalLSB(image.Rect(0, 0, Width, Height))
	if !d.on || !d.pump {
		return img
	}
	for y := range Height {
		line, driven := d.line(y)
		if !driven {
			continue
		}
		for x := range Width {
			// The module is mounted with segment 0 at the right.
			bit := d.ram[line/8][Width-1-x]>>(line%8)&1 != 0
			img.SetBit(x, y, image1bit.Bit(d.allOn || bit != d.inverse))
		}
	}
	return img
}

// line returns the line of the memory that row y of the glass shows, y from the
// top, and false for a row beyond the multiplex ratio (tables 10-1 and 10-2).
func (d *SSD1306) line(y int) (line byte, driven bool) {
	com := d.com(Height - 1 - byte(y)) // the module is mounted with row 0 at the bottom
	row := com
	if d.comRemap {
		row = d.rows - 1 - com
	}
	row = (row + d.offset) % Height
	return (row + d.startLine) % Height, row < d.rows
}

// com returns the output of the scan that drives a row of the glass, counted
// from pad COM0. The glass has its even rows on pads 0 to 31 and its odd ones on
// 32 to 63; the controller gives the pads their turns as it was told (table
// 10-3): one after the other, or alternating between the halves; bit 5 swaps
// the halves.
func (d *SSD1306) com(row byte) byte {
	pad := row/2 + row%2*(Height/2)
	if d.comPins&0x20 != 0 {
		pad = (pad + Height/2) % Height
	}
	if d.comPins&0x10 == 0 {
		return pad
	}
	return pad%(Height/2)*2 + pad/(Height/2)
}
