package oled

import (
	"errors"
	"image"
	"image/color"
	"slices"
	"strings"
	"testing"

	"periph.io/x/conn/v3/i2c/i2ctest"
	"periph.io/x/devices/v3/ssd1306/image1bit"
)

const addr = 0x3C

func ops(writes ...[]byte) (all []i2ctest.IO) {
	for _, w := range writes {
		all = append(all, i2ctest.IO{Addr: addr, W: w})
	}
	return all
}

// data is a data write of n bytes, all 0 but those given as pairs (index, value).
func data(n int, pairs ...int) []byte {
	w := make([]byte, n+1)
	w[0] = 0x40
	for i := 0; i < len(pairs); i += 2 {
		w[1+pairs[i]] = byte(pairs[i+1])
	}
	return w
}

var qemuInit = [][]byte{
	{0x80, 0xAE}, {0x80, 0xD5, 0x80, 0x80}, {0x80, 0xA8, 0x80, 0x0F}, {0x80, 0xD3, 0x80, 0x00}, {0x80, 0x40},
	{0x80, 0xA0}, {0x80, 0xC0}, {0x80, 0x81, 0x80, 0x80}, {0x80, 0xA4}, {0x80, 0xA6},
}

// TestBytes holds the driver to every byte on the wire, from the start to the
// end of a display's life.
func TestBytes(t *testing.T) {
	page := func(n byte) [][]byte { return [][]byte{{0x80, 0xB0 | n}, {0x80, 0x04}, {0x80, 0x12}} } // column 36
	var want [][]byte
	want = append(want, qemuInit...)
	want = append(want, page(0)...)
	want = append(want, data(96, 0, 0x01, 95, 0x80))
	want = append(want, page(1)...)
	want = append(want, data(96), []byte{0x80, 0xAF})
	// Second picture: one pixel more, in page 1 only.
	want = append(want, []byte{0x80, 0xB1}, []byte{0x80, 0x07}, []byte{0x80, 0x12}, []byte{0x40, 0x04}) // column 36 + 3
	// Close blanks what is not blank and switches off.
	want = append(want, page(0)...)
	want = append(want, data(96))
	want = append(want, []byte{0x80, 0xB1}, []byte{0x80, 0x07}, []byte{0x80, 0x12}, []byte{0x40, 0x00}, []byte{0x80, 0xAE})

	bus := &i2ctest.Playback{Ops: ops(want...), DontPanic: true}
	d, err := Open(bus, addr, "ssd0303-96x16")
	if err != nil {
		t.Fatal(err)
	}
	img := image1bit.NewVerticalLSB(d.Bounds())
	img.SetBit(0, 0, true)
	img.SetBit(95, 7, true)
	draw := func() {
		t.Helper()
		if err := d.Draw(d.Bounds(), img, image.Point{}); err != nil {
			t.Fatal(err)
		}
	}
	draw()
	draw() // the same again: not a byte
	img.SetBit(3, 10, true)
	draw()
	for range 2 { // the second Close does nothing
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Draw(d.Bounds(), img, image.Point{}); !errors.Is(err, ErrClosed) {
		t.Errorf("Draw after Close: %v, want ErrClosed", err)
	}
	if err := d.Halt(); !errors.Is(err, ErrClosed) {
		t.Errorf("Halt after Close: %v, want ErrClosed", err)
	}
	if err := bus.Close(); err != nil {
		t.Error(err)
	}
}

// TestControllers draws a full picture on every row of the table and checks what
// a page write must be for it.
func TestControllers(t *testing.T) {
	for _, tt := range []struct {
		name       string
		size       image.Point
		low, high  byte // column commands
		has, hasNo []byte
	}{
		{"ssd1306-128x64", image.Pt(128, 64), 0x00, 0x10, []byte{0x80, 0x8D, 0x80, 0x14}, []byte{0x80, 0xFD, 0x80, 0x12}},
		{"ssd1306-128x32", image.Pt(128, 32), 0x00, 0x10, []byte{0x80, 0xDA, 0x80, 0x02}, []byte{0x80, 0xDA, 0x80, 0x12}},
		{"ssd1309-128x64", image.Pt(128, 64), 0x00, 0x10, []byte{0x80, 0xFD, 0x80, 0x12}, []byte{0x80, 0x8D, 0x80, 0x14}},
		{"sh1106-128x64", image.Pt(128, 64), 0x02, 0x10, []byte{0x80, 0xAD, 0x80, 0x8B}, []byte{0x80, 0x20, 0x80, 0x02}},
		{"ssd0303-96x16", image.Pt(96, 16), 0x04, 0x12, []byte{0x80, 0xA0}, []byte{0x80, 0x8D, 0x80, 0x14}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bus := &i2ctest.Record{}
			d, err := Open(bus, addr, tt.name)
			if err != nil {
				t.Fatal(err)
			}
			if got := d.Bounds(); got != image.Rect(0, 0, tt.size.X, tt.size.Y) {
				t.Fatalf("bounds %v, want %v", got, tt.size)
			}
			if err := d.Draw(d.Bounds(), image.White, image.Point{}); err != nil {
				t.Fatal(err)
			}
			var pages int
			var writes [][]byte
			for i, op := range bus.Ops {
				writes = append(writes, op.W)
				if op.W[0] != 0x40 {
					continue
				}
				if !slices.Equal(op.W[1:], slices.Repeat([]byte{0xFF}, tt.size.X)) {
					t.Errorf("page %d is not all lit", pages)
				}
				for j, c := range []byte{0xB0 | byte(pages), tt.low, tt.high} {
					if got := bus.Ops[i-3+j].W; !slices.Equal(got, []byte{0x80, c}) {
						t.Errorf("before page %d: % X, want 80 %X", pages, got, c)
					}
				}
				pages++
			}
			if pages != tt.size.Y/8 {
				t.Errorf("%d pages, want %d", pages, tt.size.Y/8)
			}
			contains := func(w []byte) bool {
				return slices.ContainsFunc(writes, func(g []byte) bool { return slices.Equal(g, w) })
			}
			if !contains(tt.has) {
				t.Errorf("% X was not sent", tt.has)
			}
			if contains(tt.hasNo) {
				t.Errorf("% X was sent", tt.hasNo)
			}
			if last := writes[len(writes)-1]; !slices.Equal(last, []byte{0x80, 0xAF}) {
				t.Errorf("last write % X, want the display on", last)
			}
		})
	}
	if got := names(); len(got) != len(controllers) || !slices.IsSorted(got) {
		t.Errorf("names() = %v", got)
	}
	for _, c := range controllers {
		if c.Height%8 != 0 || !strings.HasPrefix(c.Sheet, "https://") {
			t.Errorf("%s: height %d, sheet %q", c.Name, c.Height, c.Sheet)
		}
	}
}

// brokenBus is a display that may be unplugged.
type brokenBus struct {
	i2ctest.Record
	failAfter int // writes that still succeed; negative: all
}

var errNoAck = errors.New("no acknowledge")

func (b *brokenBus) Tx(a uint16, w, r []byte) error {
	if b.failAfter == 0 {
		return errNoAck
	}
	b.failAfter--
	return b.Record.Tx(a, w, r)
}

// TestUnplugged: wherever a write fails, the next picture starts the display
// anew and sends all of it.
func TestUnplugged(t *testing.T) {
	count := func(b *brokenBus, d *Display) int {
		b.Ops = nil
		if err := d.Draw(d.Bounds(), image.White, image.Point{}); err != nil {
			t.Fatal(err)
		}
		return len(b.Ops)
	}
	full := len(qemuInit) + 2*4 + 1
	for after := range full {
		bus := &brokenBus{failAfter: after}
		d, err := Open(bus, addr, "ssd0303-96x16")
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Draw(d.Bounds(), image.White, image.Point{}); !errors.Is(err, errNoAck) {
			t.Fatalf("after %d writes: %v, want the bus's error", after, err)
		}
		bus.failAfter = -1
		if got := count(bus, d); got != full {
			t.Errorf("failed after %d writes: then %d writes, want %d", after, got, full)
		}
		if got := count(bus, d); got != 0 {
			t.Errorf("failed after %d writes: a third picture took %d writes", after, got)
		}
	}
	// It works, then fails in the middle of a change.
	bus := &brokenBus{failAfter: -1}
	d, _ := Open(bus, addr, "ssd0303-96x16")
	count(bus, d)
	bus.failAfter = 2
	if err := d.Draw(d.Bounds(), image.Black, image.Point{}); !errors.Is(err, errNoAck) {
		t.Fatal(err)
	}
	bus.failAfter = -1
	if got := count(bus, d); got != full {
		t.Errorf("failed in the middle of a change: then %d writes, want %d", got, full)
	}
	bus.failAfter = 0
	if err := d.Close(); !errors.Is(err, errNoAck) {
		t.Fatalf("Close while unplugged: %v", err)
	}
	d, _ = Open(bus, addr, "ssd0303-96x16")
	bus.failAfter = -1
	count(bus, d)
	if err := d.Halt(); err != nil {
		t.Fatal(err)
	}
	if got := count(bus, d); got != full {
		t.Errorf("after Halt: %d writes, want %d", got, full)
	}
}

// TestDrawPart: parts of pictures land where periph's display.Drawer says.
func TestDrawPart(t *testing.T) {
	bus := &i2ctest.Record{}
	d, err := Open(bus, addr, "ssd1306-128x32")
	if err != nil {
		t.Fatal(err)
	}
	if d.ColorModel() != image1bit.BitModel {
		t.Error("the colour model is not image1bit's")
	}
	src := image.NewGray(image.Rect(0, 0, 4, 4))
	src.SetGray(2, 1, color.Gray{Y: 0xFF})
	// Far over the edges on purpose.
	if err := d.Draw(image.Rect(126, 9, 300, 300), src, image.Pt(1, 0)); err != nil {
		t.Fatal(err)
	}
	for y := range 32 {
		for x := range 128 {
			if got, want := bool(d.want.BitAt(x, y)), x == 127 && y == 10; got != want {
				t.Errorf("pixel %d,%d is %v", x, y, got)
			}
		}
	}
	if err := d.Draw(image.Rect(-5, -5, 0, 0), src, image.Point{}); err != nil {
		t.Error(err)
	}
	// What the source does not cover stays as it is.
	if err := d.Draw(d.Bounds(), image.White, image.Point{}); err != nil {
		t.Fatal(err)
	}
	if err := d.Draw(d.Bounds(), src, image.Point{}); err != nil {
		t.Fatal(err)
	}
	if d.want.BitAt(3, 3) || !d.want.BitAt(4, 3) || !d.want.BitAt(3, 4) {
		t.Error("a small source does not darken its own part, and that only")
	}
}

func TestOpenRefuses(t *testing.T) {
	bus := &i2ctest.Record{}
	_, err := Open(bus, addr, "hd44780")
	if !errors.Is(err, ErrUnknownController) || !strings.Contains(err.Error(), "sh1106-128x64") {
		t.Errorf("unknown controller: %v", err)
	}
	if _, err := Open(nil, addr, "sh1106-128x64"); err == nil {
		t.Error("no bus: no error")
	}
	for _, a := range []uint16{0, 7, 0x78, 0x3C << 1 << 1} {
		if _, err := Open(bus, a, "sh1106-128x64"); err == nil {
			t.Errorf("address %#x: no error", a)
		}
	}
	d, err := Open(bus, addr, "SH1106-128x64")
	if err != nil {
		t.Fatal(err)
	}
	if got := d.String(); got != "sh1106-128x64 at 0x3c of record" {
		t.Error(got)
	}
	if len(bus.Ops) != 0 {
		t.Error("Open touched the bus")
	}
}
