package hw

import (
	"image"
	"strings"
	"time"

	"periph.io/x/devices/v3/ssd1306/image1bit"
	"rsc.io/qr"
)

// Render returns the picture of v at now for a panel with the bounds size: the
// code as large as it goes with the time that is left, or the mode, the step and
// what there is to know about it in words. Any size is fine, larger ones are
// better. The picture's bounds are size.
func Render(v View, size image.Rectangle, now time.Time) image.Image {
	img := image1bit.NewVerticalLSB(size)
	l, zoom := layoutFor(size.Size())
	c := canvas{
		img:    img,
		origin: size.Min.Add(size.Size().Sub(l.size.Mul(zoom)).Div(2)),
		zoom:   zoom,
	}
	if code := plain(v.Code); v.Mode == ModeCode && code != "" {
		drawCode(c, l, code, v, now)
	} else if v.Mode == ModeReset {
		drawReset(c, l, v, now)
	} else {
		drawWords(c, l, v)
	}
	return img
}

// drawReset draws how much longer the button has to be held, with a bar at the
// bottom that grows.
func drawReset(c canvas, l layout, v View, now time.Time) {
	at, lead := l.body, v.Mode.title()+": "
	if l.title > 0 {
		c.text(image.Point{}, v.Mode.title(), l.title)
	}
	cols := columns(at.Dx(), 1)
	if l.title > 0 || cols < 20 {
		lead = ""
	}
	words, part := v.hold(now)
	tight := l.linesIn(at) <= 2 // no row between the second line and a bar
	if tight && part < 1 {
		words = v.holdShort(now)
	}
	if !tight || part < 1 {
		place := at
		place.Min.Y = place.Max.Y - l.code.bar.Dy()
		at.Max.Y = place.Min.Y
		c.bar(place, part)
	}
	c.lines(at, fit(lead+words, cols, l.linesIn(at)), l.pitch)
}

// drawCode draws a standing code, its QR code where that fits, and its end.
func drawCode(c canvas, l layout, code string, v View, now time.Time) {
	place := l.code
	if drawQR(c, l.qr, v.ClaimURL) {
		place = l.beside
	}
	fitCode(place.code, groups(code)).draw(c, place.code)
	words, part := v.left(now)
	c.bar(place.bar, part)
	c.lines(place.left, fit(words, columns(place.left.Dx(), 1), 1), l.pitch)
	if !place.step.Empty() {
		c.lines(place.step, fit(v.step(), columns(place.step.Dx(), 1), 1), l.pitch)
	}
}

// Dots of a QR code below two pixels a module, or without a lit border of a
// module at least, are not read by telephones from such a glass: then there is
// none. (ISO/IEC 18004 asks for a border of four; three pixels were enough for
// the readers that were tried, and more would cost the code its size.)
const minModule, minBorder = 2, 1

// drawQR draws the QR code of url into the square r, dark on lit, and says
// whether it did.
func drawQR(c canvas, r image.Rectangle, url string) bool {
	if url == "" || r.Empty() {
		return false
	}
	code, err := qr.Encode(url, qr.L)
	if err != nil {
		return false // too long for any
	}
	side := r.Dx() * c.zoom
	module := side / (code.Size + 2*minBorder)
	if module < minModule {
		return false
	}
	c.fill(r, true)
	// The modules are set in pixels of the panel, not of the layout.
	pixels := canvas{img: c.img, zoom: 1}
	corner := r.Min.Mul(c.zoom).Add(c.origin).Add(image.Pt(1, 1).Mul((side - code.Size*module) / 2))
	for y := range code.Size {
		for x := range code.Size {
			if code.Black(x, y) {
				at := corner.Add(image.Pt(x, y).Mul(module))
				pixels.fill(image.Rectangle{Min: at, Max: at.Add(image.Pt(module, module))}, false)
			}
		}
	}
	return true
}

// drawWords draws everything that is not a standing code.
func drawWords(c canvas, l layout, v View) {
	at, lead := l.body, v.Mode.title()+": "
	if l.title > 0 {
		c.text(image.Point{}, v.Mode.title(), l.title)
		lead = ""
	}
	cols := columns(at.Dx(), 1)
	if cols < 20 {
		lead = "" // two short lines: the words must say it alone
	}
	if v.Mode == ModeDone && v.MachineID != "" {
		drawDone(c, l, v, lead)
		return
	}
	if v.Mode == ModeFailed {
		c.lines(at, failure(v, lead, cols, l.linesIn(at)), l.pitch)
		return
	}
	c.lines(at, v.statement(lead, cols, l.linesIn(at)), l.pitch)
}

// drawDone draws the machine id, large where it can be.
func drawDone(c canvas, l layout, v View, lead string) {
	at, cols := l.body, columns(l.body.Dx(), 1)
	if l.id == 1 {
		c.lines(at, fit(v.Mode.title(), cols, 1), l.pitch)
		at.Min.Y += l.pitch
		c.lines(at, fit("machine "+shortID(v.MachineID), cols, l.linesIn(at)), l.pitch)
		return
	}
	c.text(at.Min, shortID(v.MachineID), l.id)
	at.Min.Y += l.id*glyphHeight + l.pitch - glyphHeight + 1
	c.lines(at, v.statement(lead, cols, l.linesIn(at)), l.pitch)
}

// failure returns the error and what a person can do about it on n lines. Either
// may take what the other leaves, and at least half when both need it; but on two
// lines an error whose cause does not fit on one has both.
func failure(v View, lead string, cols, n int) []string {
	text, hint := plain(v.Error), plain(v.Hint)
	if text == "" {
		text = v.step()
	}
	if lead == "" && cols < 20 {
		lead = "! "
	}
	if hint != "" {
		hint = "> " + hint
	}
	if n <= 2 && len(wrap(lead+text[strings.LastIndex(text, ": ")+1:], cols)) > 1 {
		hint = ""
	}
	half := (n + 1) / 2
	hints := fit(hint, cols, max(n-half, n-len(wrap(lead+text, cols))))
	return append(fitError(lead, text, cols, n-len(hints)), hints...)
}

// codeSetting is a way to set a code: its groups on rows, dots of sx by sy.
type codeSetting struct {
	rows   []string // a row's groups, divided by blanks when there is a gap
	sx, sy int
	gap    int  // rows of pixels between rows
	text   bool // no size fits: set as text, and cut off where it must be
}

// groupGap is the width of the gap between groups, in dots, next to the dot that
// stands between any two characters.
const groupGap = 2

// fitCode returns the setting with the largest dots that fits r. Among equals
// it takes the one with fewer rows, then the one with gaps between the groups.
func fitCode(r image.Rectangle, groups []string) (best codeSetting) {
	for rows := 1; rows <= len(groups); rows++ {
		if len(groups)%rows != 0 {
			continue
		}
		for _, blank := range []string{" ", ""} {
			s := codeSetting{gap: 4}
			per, dots := len(groups)/rows, 0
			for i := 0; i < len(groups); i += per {
				row := strings.Join(groups[i:i+per], blank)
				s.rows = append(s.rows, row)
				dots = max(dots, rowDots(row))
			}
			if dots <= 0 {
				return codeSetting{}
			}
			s.sx = r.Dx() / dots
			s.sy = (r.Dy() - (rows-1)*s.gap) / (rows * glyphHeight)
			// Letters much wider than high, or the reverse, are hard to read.
			s.sx, s.sy = min(s.sx, s.sy+1), min(s.sy, s.sx+1)
			if s.sx > 0 && s.sy > 0 && s.sx*s.sy > best.sx*best.sy {
				best = s
			}
		}
	}
	if best.rows == nil { // too long for any size: as text, as much as there is
		best = codeSetting{rows: fit(strings.Join(groups, ""), columns(r.Dx(), 1), r.Dy()/8), sx: 1, sy: 1, gap: 1, text: true}
	}
	return best
}

// rowDots returns the width of a row in dots.
func rowDots(row string) int {
	blanks := strings.Count(row, " ")
	return (len(row)-blanks)*(glyphWidth+1) - 1 + blanks*groupGap
}

// draw draws the code in the middle of r.
func (s codeSetting) draw(c canvas, r image.Rectangle) {
	high := len(s.rows)*(glyphHeight*s.sy+s.gap) - s.gap
	y := r.Min.Y + (r.Dy()-high)/2
	for _, row := range s.rows {
		x := r.Min.X + (r.Dx()-rowDots(row)*s.sx)/2
		for i := range len(row) {
			if row[i] == ' ' {
				x += groupGap * s.sx
				continue
			}
			c.glyph(image.Pt(x, y), row[i], s.sx, s.sy)
			x += advance(s.sx)
		}
		y += glyphHeight*s.sy + s.gap
	}
}
