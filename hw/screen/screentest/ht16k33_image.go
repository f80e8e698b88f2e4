package screentest

import (
	"image"
	"image/color"
)

var segmentPalette = color.Palette{
	color.RGBA{0x14, 0x0C, 0x0A, 0xFF}, color.RGBA{0x2C, 0x18, 0x14, 0xFF}, color.RGBA{0xFF, 0x4A, 0x28, 0xFF},
}

// Size of a digit in the picture, in pixels.
const (
	digitWidth, digitHeight = 32, 56
	digitPitch              = 50
	digitMargin             = 16
	strokeRadius            = 2
)

// strokes are the segments in the order of their bits, from end to end, in a digit
// of 32 by 56.
var strokes = [...][2]image.Point{
	{{X: 4, Y: 0}, {X: 28, Y: 0}},    // A
	{{X: 32, Y: 4}, {X: 32, Y: 24}},  // B
	{{X: 32, Y: 32}, {X: 32, Y: 52}}, // C
	{{X: 4, Y: 56}, {X: 28, Y: 56}},  // D
	{{X: 0, Y: 32}, {X: 0, Y: 52}},   // E
	{{X: 0, Y: 4}, {X: 0, Y: 24}},    // F
	{{X: 4, Y: 28}, {X: 12, Y: 28}},  // G1
	{{X: 20, Y: 28}, {X: 28, Y: 28}}, // G2
	{{X: 6, Y: 7}, {X: 12, Y: 21}},   // H
	{{X: 16, Y: 7}, {X: 16, Y: 22}},  // J
	{{X: 26, Y: 7}, {X: 20, Y: 21}},  // K
	{{X: 6, Y: 49}, {X: 12, Y: 35}},  // L
	{{X: 16, Y: 34}, {X: 16, Y: 49}}, // M
	{{X: 26, Y: 49}, {X: 20, Y: 35}}, // N
	{{X: 40, Y: 56}, {X: 40, Y: 56}}, // the dot
}

// Image returns the four digits, red on black. The caller owns it.
func (d *HT16K33) Image() *image.Paletted {
	d.mu.Lock()
	defer d.mu.Unlock()
	const digits = 4
	img := image.NewPaletted(image.Rect(0, 0, 2*digitMargin+(digits-1)*digitPitch+digitWidth+10, 2*digitMargin+digitHeight), segmentPalette)
	for digit := range digits {
		set := d.segments(digit)
		corner := image.Pt(digitMargin+digit*digitPitch, digitMargin)
		for i, s := range strokes {
			index := uint8(1)
			if d.on && d.running && set>>i&1 != 0 {
				index = 2
			}
			stroke(img, s[0].Add(corner), s[1].Add(corner), index)
		}
	}
	return img
}

// stroke draws a thick line.
func stroke(img *image.Paletted, from, to image.Point, index uint8) {
	const steps = 32
	for i := range steps + 1 {
		at := from.Add(to.Sub(from).Mul(i).Div(steps))
		for y := -strokeRadius; y <= strokeRadius; y++ {
			for x := -strokeRadius; x <= strokeRadius; x++ {
				if x*x+y*y <= strokeRadius*strokeRadius+1 {
					img.SetColorIndex(at.X+x, at.Y+y, index)
				}
			}
		}
	}
}
