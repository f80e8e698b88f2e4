package screentest

import (
	"image"
	"image/color"

	"github.com/mecha-org/mecha-agent/hw"
)

// Colours of a picture: the ground, what could be lit, what is.
var (
	lcdPalette = color.Palette{color.RGBA{0x1A, 0x39, 0xB4, 0xFF}, color.RGBA{0x24, 0x45, 0xC2, 0xFF}, color.RGBA{0xF2, 0xF6, 0xFF, 0xFF}}
	lcdNight   = color.Palette{color.RGBA{0x0A, 0x14, 0x3C, 0xFF}, color.RGBA{0x0C, 0x18, 0x44, 0xFF}, color.RGBA{0x30, 0x3C, 0x70, 0xFF}}
)

// Size of the LCD's picture in pixels.
const (
	dotPitch   = 3 // a dot of two pixels and a gap
	cellWidth  = 6 * dotPitch
	cellHeight = 9 * dotPitch
	lcdMargin  = 9
)

// Image returns the module's glass: white dots on blue, and darker without the
// light. The caller owns it.
func (d *LCD) Image() *image.Paletted {
	d.mu.Lock()
	defer d.mu.Unlock()
	palette := lcdPalette
	if d.port&portLight == 0 {
		palette = lcdNight
	}
	img := image.NewPaletted(image.Rect(0, 0, d.columns*cellWidth+2*lcdMargin-dotPitch, d.rows*cellHeight+2*lcdMargin-dotPitch), palette)
	for row := range d.rows {
		for column := range d.columns {
			c := d.ddram[d.start(row)+column]
			for y := range 8 {
				for x := range 5 {
					index := uint8(1)
					if d.on && (d.two || row%2 == 0) && d.dot(c, x, y) {
						index = 2
					}
					at := image.Pt(lcdMargin+column*cellWidth+x*dotPitch, lcdMargin+row*cellHeight+y*dotPitch)
					square(img, image.Rectangle{Min: at, Max: at.Add(image.Pt(dotPitch-1, dotPitch-1))}, index)
				}
			}
		}
	}
	return img
}

// dot tells whether the dot in column x and row y of a character is set: of the
// first sixteen from the memory, of the others from the ROM.
func (d *LCD) dot(c byte, x, y int) bool {
	switch {
	case c < 0x10:
		return d.cgram[int(c&7)*8+y]>>(4-x)&1 != 0
	case c == 0xFF:
		return true
	}
	return hw.Glyph(c)[x]>>y&1 != 0
}

func square(img *image.Paletted, r image.Rectangle, index uint8) {
	for y := r.Min.Y; y < r.Max.Y; y++ {
		for x := r.Min.X; x < r.Max.X; x++ {
			img.SetColorIndex(x, y, index)
		}
	}
}
