package hw

import (
	"image"
	"strings"
	"time"

	"periph.io/x/devices/v3/ssd1306/image1bit"
	"rsc.io/qr"
)

// The least size on which letters are drawn large. A smaller terminal is treated
// as a display of characters.
const largeColumns, largeRows = 37, 10

// terminalRows returns v at now on a terminal, exactly rows of them.
func terminalRows(v View, columns, rows int, now time.Time) []terminalRow {
	var p terminalPage
	switch {
	case columns < largeColumns || rows < largeRows:
		for _, s := range Characters(v, columns, rows, now) {
			p.add("", strings.TrimRight(blocks(s), " "))
		}
	case v.Mode == ModeCode && plain(v.Code) != "":
		p = codePage(v, columns, rows, now)
	default:
		p = wordPage(v, columns, rows, now)
	}
	for len(p) < rows {
		p.add("", "")
	}
	return p[:rows]
}

// terminalPage is a page in the making.
type terminalPage []terminalRow

func (p *terminalPage) add(sgr string, texts ...string) {
	for _, s := range texts {
		*p = append(*p, terminalRow{sgr: sgr, text: s})
	}
}

// codePage shows a code, with its QR code on the right where there is room for
// both.
func codePage(v View, columns, rows int, now time.Time) terminalPage {
	width := columns
	side := sideQR(v.ClaimURL, columns, rows)
	if side != nil {
		width -= len([]rune(side[0])) + 1
	}
	words, part := v.left(now)
	var below terminalPage // what stands under the code
	if words != "" {
		below.add("", "", pad(words, 13)+blocks(bar(part, width-13)), "")
	}
	if url := plain(v.ClaimURL); url != "" {
		below.add("", wrap("Claim it at "+url, width)...)
	}
	if v.Key != "" {
		below.add("", fit("Its key is "+plain(v.Key), width, 2)...)
	}

	var p terminalPage
	p.add(yellow, fit(v.Mode.title()+": "+v.step(), width, 1)...)
	code := largeCode(groups(plain(v.Code)), width, max(0, min(9, rows-2-len(below))))
	if code == nil && words != "" { // in two rows, with nothing between them and the time
		code, below = largeCode(groups(plain(v.Code)), width, rows-2), below[1:2]
	} else {
		p.add("", "")
	}
	if code == nil {
		code = wrap(strings.Join(groups(plain(v.Code)), " "), width)
	}
	p.add(bold, code...)
	p = append(p, below...)
	if side != nil {
		p = p.beside(side, width)
	}
	return p
}

// beside puts the rows of a QR code to the right of a page.
func (p terminalPage) beside(block []string, column int) terminalPage {
	for len(p) < len(block) {
		p.add("", "")
	}
	for y, s := range block {
		p[y].text += strings.Repeat(" ", max(0, column+1-len([]rune(p[y].text))))
		p[y].qr = s
	}
	return p
}

// sideQR returns the QR code of url if it leaves 37 columns, on which a code of six
// characters is large; else nil.
func sideQR(url string, columns, rows int) []string {
	url = plain(url)
	if url == "" {
		return nil
	}
	q, err := qr.Encode(url, qr.L)
	if err != nil {
		return nil
	}
	side := q.Size + 2*quietZone
	if columns-side-1 < largeColumns || rows < (side+1)/2 {
		return nil
	}
	return halfBlocks(q)
}

// largeCode draws the groups of a code as large as they go, at most so many rows
// high; nil when no size fits.
func largeCode(groups []string, columns, rows int) []string {
	r := image.Rect(0, 0, columns, 2*rows)
	s := fitCode(r, groups)
	if s.text {
		return nil
	}
	r.Max.X = 0
	for _, row := range s.rows {
		r.Max.X = max(r.Max.X, rowDots(row)*s.sx)
	}
	r.Max.Y = len(s.rows)*(glyphHeight*s.sy+s.gap) - s.gap
	img := image1bit.NewVerticalLSB(r)
	s.draw(canvas{img: img, zoom: 1}, r)
	return imageRows(img)
}

// imageRows returns a picture in half blocks.
func imageRows(img *image1bit.VerticalLSB) (rows []string) {
	r := img.Rect
	for y := r.Min.Y; y < r.Max.Y; y += 2 {
		var b strings.Builder
		for x := r.Min.X; x < r.Max.X; x++ {
			b.WriteString(half(bool(img.BitAt(x, y)), y+1 < r.Max.Y && bool(img.BitAt(x, y+1))))
		}
		rows = append(rows, strings.TrimRight(b.String(), " "))
	}
	return rows
}

// wordPage shows everything that is not a standing code.
func wordPage(v View, columns, rows int, now time.Time) terminalPage {
	var p terminalPage
	if title := v.Mode.title(); len(title)*advance(1)-1 <= columns {
		p.add(modeColour(v.Mode), large(title)...)
	} else {
		p.add(modeColour(v.Mode), title)
	}
	p.add("", "")
	room := rows - len(p)
	switch {
	case v.Mode == ModeReset:
		words, part := v.hold(now)
		p.add("", fit(words, columns, 1)...)
		p.add("", "", blocks(bar(part, min(columns, 40))))
	case v.Mode == ModeFailed:
		p.add("", failure(v, "", columns, room)...)
	case v.Mode == ModeDone && v.MachineID != "":
		p.add("", fit(v.step(), columns, 1)...)
		p.add("", "")
		p.add("", fit("Machine "+plain(v.MachineID), columns, room-2)...)
		if v.rests() {
			p.add("", fit(plain(v.Keystore), columns, 1)...)
		}
	default:
		p.add("", v.statement("", columns, room)...)
	}
	return p
}

// blocks returns a line of Characters with its bars in blocks, halves of a
// character being the smallest that the fonts of consoles have.
func blocks(line string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == 0 || r > BarSteps:
			return r
		case r < 2:
			return ' '
		case r < 4:
			return '▌'
		}
		return '█'
	}, line)
}
