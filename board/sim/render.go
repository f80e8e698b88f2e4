package sim

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"strings"

	"periph.io/x/devices/v3/ssd1306/image1bit"
)

// Geometry of the picture in its own pixels: the bezel, then dark glass, then
// squares of scale for every pixel of the display.
const (
	scale  = 4
	bezel  = 4
	margin = 12
	border = bezel + margin
)

// Colours of the picture, by index. A pixel of an OLED does not fill its square:
// a darker line is left at its right and below.
const (
	inkGlass = iota
	inkBezel
	inkOff
	inkGap // of a lit pixel
	inkOn
)

func palette() color.Palette {
	return color.Palette{
		inkGlass: color.RGBA{0x05, 0x07, 0x0B, 0xFF},
		inkBezel: color.RGBA{0x2A, 0x2F, 0x38, 0xFF},
		inkOff:   color.RGBA{0x09, 0x0C, 0x12, 0xFF},
		inkGap:   color.RGBA{0x86, 0xB4, 0xDA, 0xFF},
		inkOn:    color.RGBA{0xDA, 0xF0, 0xFF, 0xFF},
	}
}

// renderPNG draws the display four times enlarged, with a border of 16 pixels.
func renderPNG(screen *image1bit.VerticalLSB) ([]byte, error) {
	size := screen.Bounds().Size()
	img := image.NewPaletted(image.Rect(0, 0, size.X*scale+2*border, size.Y*scale+2*border), palette())
	inside := img.Rect.Inset(bezel)
	for y := range img.Rect.Max.Y {
		for x := range img.Rect.Max.X {
			ink := uint8(inkGlass)
			dx, dy := x-border, y-border
			switch {
			case !image.Pt(x, y).In(inside):
				ink = inkBezel
			case dx < 0 || dy < 0 || dx >= size.X*scale || dy >= size.Y*scale:
			default:
				gap := dx%scale == scale-1 || dy%scale == scale-1
				switch lit := bool(screen.BitAt(dx/scale, dy/scale)); {
				case lit && gap:
					ink = inkGap
				case lit:
					ink = inkOn
				case !gap:
					ink = inkOff
				}
			}
			img.SetColorIndex(x, y, ink)
		}
	}
	var out bytes.Buffer
	if err := png.Encode(&out, img); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// renderText draws the display with characters in a frame: half blocks, one
// column for every pixel and one line for two, where that fits into so many
// columns (0: no limit), else braille dots, two by four to a character.
func renderText(screen *image1bit.VerticalLSB, columns int) string {
	size := screen.Bounds().Size()
	if columns > 0 && columns < size.X+2 {
		return frame(size.X/2, size.Y/4, func(x, y int) rune { return braille(screen, 2*x, 4*y) })
	}
	return frame(size.X, size.Y/2, func(x, y int) rune {
		top, bottom := screen.BitAt(x, 2*y), screen.BitAt(x, 2*y+1)
		switch {
		case bool(top && bottom):
			return '█'
		case bool(top):
			return '▀'
		case bool(bottom):
			return '▄'
		}
		return ' '
	})
}

// braille returns the pattern of two by four pixels. Unicode numbers the dots
// down the left column, down the right one, and then the lowest two.
func braille(screen *image1bit.VerticalLSB, x, y int) rune {
	r := rune(0x2800)
	for i, at := range [...]image.Point{{0, 0}, {0, 1}, {0, 2}, {1, 0}, {1, 1}, {1, 2}, {0, 3}, {1, 3}} {
		if screen.BitAt(x+at.X, y+at.Y) {
			r |= 1 << i
		}
	}
	return r
}

func frame(w, h int, at func(x, y int) rune) string {
	var b strings.Builder
	b.WriteString("┌" + strings.Repeat("─", w) + "┐\n")
	for y := range h {
		b.WriteString("│")
		for x := range w {
			b.WriteRune(at(x, y))
		}
		b.WriteString("│\n")
	}
	b.WriteString("└" + strings.Repeat("─", w) + "┘\n")
	return b.String()
}
