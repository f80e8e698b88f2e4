package hw

import (
	"image"

	"periph.io/x/devices/v3/ssd1306/image1bit"
)

// canvas is a picture in the making. Its coordinates are those of a layout: they
// are enlarged by zoom and moved by origin, and what is outside is cut off.
type canvas struct {
	img    *image1bit.VerticalLSB
	origin image.Point
	zoom   int
}

// fill lights (or darkens) r.
func (c canvas) fill(r image.Rectangle, lit bool) {
	r = image.Rectangle{Min: r.Min.Mul(c.zoom), Max: r.Max.Mul(c.zoom)}.Add(c.origin).Intersect(c.img.Rect)
	for y := r.Min.Y; y < r.Max.Y; y++ {
		for x := r.Min.X; x < r.Max.X; x++ {
			c.img.SetBit(x, y, image1bit.Bit(lit))
		}
	}
}

// glyph draws one character with its dots sx wide and sy high.
func (c canvas) glyph(at image.Point, ch byte, sx, sy int) {
	for x := range glyphWidth {
		for y := range glyphHeight {
			if lit(ch, x, y) {
				dot := at.Add(image.Pt(x*sx, y*sy))
				c.fill(image.Rectangle{Min: dot, Max: dot.Add(image.Pt(sx, sy))}, true)
			}
		}
	}
}

// text draws a line of plain text, enlarged by scale.
func (c canvas) text(at image.Point, s string, scale int) {
	for i := range len(s) {
		c.glyph(at.Add(image.Pt(i*advance(scale), 0)), s[i], scale, scale)
	}
}

// advance is the distance between two characters of text.
func advance(scale int) int { return (glyphWidth + 1) * scale }

// columns is how many characters of text fit into width; the blank column behind
// the last one need not.
func columns(width, scale int) int { return max(0, (width+scale)/advance(scale)) }

// lines draws lines of text into r from the top, pitch rows from one to the next.
func (c canvas) lines(r image.Rectangle, lines []string, pitch int) {
	for i, s := range lines {
		c.text(r.Min.Add(image.Pt(0, i*pitch)), s, 1)
	}
}

// bar draws how much time is left: a frame with the part filled from the left,
// or a plain line where there is no room for a frame.
func (c canvas) bar(r image.Rectangle, part float64) {
	if r.Empty() {
		return
	}
	full := r
	if r.Dy() >= 5 {
		c.fill(r, true)
		c.fill(r.Inset(1), false)
		full = r.Inset(2)
	}
	full.Max.X = full.Min.X + int(part*float64(full.Dx())+0.5)
	c.fill(full, true)
}
