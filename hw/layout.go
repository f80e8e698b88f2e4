package hw

import "image"

// layout says where things stand on a panel of one size. An empty rectangle is a
// thing for which there is no room.
type layout struct {
	size  image.Point
	title int             // enlargement of the mode's word on top; 0: it leads the text instead
	id    int             // enlargement of the machine id
	body  image.Rectangle // text, without the title
	pitch int             // rows from one line of text to the next
	code  codeLayout
	// qr is a square for the QR code of the claim URL; beside is where the rest
	// stands when there is one.
	qr     image.Rectangle
	beside codeLayout
}

// codeLayout places what is shown while a code stands.
type codeLayout struct {
	step, code, left, bar image.Rectangle
}

// layouts has the sizes of the panels that hw/oled drives. The code comes first
// everywhere: what does not leave it dots of 3 by 3 (2 by 2 on 16 rows) is left
// out. A larger panel takes the row that fills most of it, enlarged.
var layouts = []layout{
	{
		size: image.Pt(128, 64), title: 2, id: 2, body: image.Rect(0, 20, 128, 64), pitch: 9,
		code: codeLayout{
			step: image.Rect(0, 0, 128, 7),
			code: image.Rect(0, 10, 128, 42),
			bar:  image.Rect(0, 46, 128, 53),
			left: image.Rect(0, 57, 128, 64),
		},
		qr: image.Rect(64, 0, 128, 64),
		beside: codeLayout{
			code: image.Rect(0, 0, 60, 46),
			left: image.Rect(0, 49, 60, 56),
			bar:  image.Rect(0, 59, 60, 64),
		},
	},
	{
		size: image.Pt(128, 32), id: 2, body: image.Rect(0, 0, 128, 32), pitch: 8,
		code: codeLayout{code: image.Rect(0, 0, 128, 28), bar: image.Rect(0, 30, 128, 32)},
	},
	{
		size: image.Pt(96, 16), id: 1, body: image.Rect(0, 0, 96, 16), pitch: 8,
		code: codeLayout{code: image.Rect(0, 0, 96, 14), bar: image.Rect(0, 15, 96, 16)},
	},
}

// linesIn returns how many lines of text r has room for.
func (l layout) linesIn(r image.Rectangle) int {
	return max(0, (r.Dy()+l.pitch-glyphHeight)/l.pitch)
}

// layoutFor returns the layout for a panel and how much it is to be enlarged.
// Panels smaller than any row get a plain one of their own size.
func layoutFor(size image.Point) (l layout, zoom int) {
	most := 0
	for _, row := range layouts {
		z := min(size.X/row.size.X, size.Y/row.size.Y)
		if filled := z * z * row.size.X * row.size.Y; filled > most {
			most, l, zoom = filled, row, z
		}
	}
	if zoom > 0 {
		return l, zoom
	}
	all := image.Rectangle{Max: size}
	code, bar := all, all
	code.Max.Y -= 2
	bar.Min.Y = bar.Max.Y - 1
	return layout{size: size, id: 1, body: all, pitch: 8, code: codeLayout{code: code, bar: bar}}, 1
}
