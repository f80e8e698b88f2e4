package sim

import (
	"bytes"
	"errors"
	"image"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"periph.io/x/conn/v3/physic"
	"periph.io/x/devices/v3/ssd1306"
	"periph.io/x/devices/v3/ssd1306/image1bit"
)

// picture returns an image without any symmetry.
func picture(seed uint64) *image1bit.VerticalLSB {
	img := image1bit.NewVerticalLSB(image.Rect(0, 0, Width, Height))
	r := rand.New(rand.NewPCG(seed, 1))
	for i := range img.Pix {
		img.Pix[i] = byte(r.Uint32())
	}
	return img
}

// turned returns what is at f(x, y) of src at (x, y).
func turned(src *image1bit.VerticalLSB, f func(x, y int) (int, int)) *image1bit.VerticalLSB {
	dst := image1bit.NewVerticalLSB(src.Rect)
	for y := range Height {
		for x := range Width {
			dst.SetBit(x, y, src.BitAt(f(x, y)))
		}
	}
	return dst
}

func equal(t *testing.T, got, want *image1bit.VerticalLSB) {
	t.Helper()
	if !bytes.Equal(got.Pix, want.Pix) {
		t.Errorf("another picture:\n%swant:\n%s", renderText(got, 80), renderText(want, 80))
	}
}

func send(t *testing.T, d *SSD1306, writes ...[]byte) {
	t.Helper()
	for _, w := range writes {
		if err := d.Tx(Address, w, nil); err != nil {
			t.Fatal(err)
		}
	}
}

func noFaults(t *testing.T, d *SSD1306) {
	t.Helper()
	if f := d.Faults(); len(f) > 0 {
		t.Errorf("faults: %q", f)
	}
}

// periph's driver was written for real chips by somebody else. It sets
// horizontal addressing and then moves with the commands for page addressing,
// which chips take and the data sheet does not promise.
func TestPeriphDriver(t *testing.T) {
	tests := []struct {
		name string
		opts func(*ssd1306.Opts)
		want func(x, y int) (int, int)
	}{
		{"upright", func(*ssd1306.Opts) {}, func(x, y int) (int, int) { return x, y }},
		{"rotated", func(o *ssd1306.Opts) { o.MirrorVertical, o.MirrorHorizontal = true, true }, func(x, y int) (int, int) { return Width - 1 - x, Height - 1 - y }},
		{"mirrored vertically", func(o *ssd1306.Opts) { o.MirrorVertical = true }, func(x, y int) (int, int) { return x, Height - 1 - y }},
		{"mirrored horizontally", func(o *ssd1306.Opts) { o.MirrorHorizontal = true }, func(x, y int) (int, int) { return Width - 1 - x, y }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := NewSSD1306()
			opts := ssd1306.DefaultOpts
			tt.opts(&opts)
			dev, err := ssd1306.NewI2C(d, &opts)
			if err != nil {
				t.Fatal(err)
			}
			if f := d.Faults(); len(f) > 0 {
				t.Errorf("faults in the start sequence: %q", f)
			}
			img := picture(1)
			for i := range 3 { // the whole, then small changes, which it sends alone
				for y := 19; i > 0 && y < 41; y++ {
					img.SetBit(70+i, y, !img.BitAt(70+i, y))
				}
				if err := dev.Draw(dev.Bounds(), img, image.Point{}); err != nil {
					t.Fatal(err)
				}
				equal(t, d.Image(), turned(img, tt.want))
			}
			if err := dev.Invert(true); err != nil {
				t.Fatal(err)
			}
			inverse := turned(img, tt.want)
			for i := range inverse.Pix {
				inverse.Pix[i] ^= 0xFF
			}
			equal(t, d.Image(), inverse)
			if err := dev.Halt(); err != nil {
				t.Fatal(err)
			}
			equal(t, d.Image(), image1bit.NewVerticalLSB(img.Rect))

			for _, f := range d.Faults() {
				if !strings.HasSuffix(f, "is for page addressing only") {
					t.Errorf("fault: %s", f)
				}
			}
		})
	}
}

// start switches the display on, upright, in the given addressing mode.
func start(t *testing.T, mode byte) *SSD1306 {
	t.Helper()
	d := NewSSD1306()
	send(t, d, []byte{0x00, 0x8D, 0x14, 0xA1, 0xC8, 0x20, mode, 0xAF})
	return d
}

// pageWrites returns the writes that draw img with page addressing: streams, or
// bytes with a control byte each.
func pageWrites(img *image1bit.VerticalLSB, single bool) [][]byte {
	var out [][]byte
	for page := range pages {
		row := img.Pix[page*Width:][:Width]
		if !single {
			out = append(out, []byte{0x00, 0xB0 + byte(page), 0x00, 0x10}, append([]byte{0x40}, row...))
			continue
		}
		// Commands each with a control byte, then data in the same write.
		w := []byte{0x80, 0xB0 + byte(page), 0x80, 0x00, 0x80, 0x10}
		for _, b := range row[:64] {
			w = append(w, 0xC0, b) // single bytes of data
		}
		out = append(out, append(append(w, 0x40), row[64:]...))
	}
	return out
}

func TestPageAddressing(t *testing.T) {
	for _, single := range []bool{false, true} {
		d := start(t, 2)
		img := picture(2)
		send(t, d, pageWrites(img, single)...)
		equal(t, d.Image(), img)
		noFaults(t, d)
	}
}

func TestPageAddressingStaysInThePage(t *testing.T) {
	d := start(t, 2)
	send(t, d, pageWrites(image1bit.NewVerticalLSB(image.Rect(0, 0, Width, Height)), false)...)
	// Column 0x7E of page 3: the third byte lands in column 0 of the same page.
	send(t, d, []byte{0x80, 0xB3}, []byte{0x80, 0x0E}, []byte{0x80, 0x17}, []byte{0x40, 1, 2, 4})
	want := image1bit.NewVerticalLSB(image.Rect(0, 0, Width, Height))
	want.Pix[3*Width+126], want.Pix[3*Width+127], want.Pix[3*Width] = 1, 2, 4
	equal(t, d.Image(), want)
	noFaults(t, d)
}

func TestWindows(t *testing.T) {
	tests := []struct {
		name string
		mode byte
		at   func(i int) (page, col int) // of byte i in a window of 3 columns and 2 pages
	}{
		{"horizontal", 0, func(i int) (int, int) { return 5 + i/3%2, 10 + i%3 }},
		{"vertical", 1, func(i int) (int, int) { return 5 + i%2, 10 + i/2%3 }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := start(t, 2)
			send(t, d, pageWrites(image1bit.NewVerticalLSB(image.Rect(0, 0, Width, Height)), false)...)
			// Arguments split over writes, in both forms.
			send(t, d, []byte{0x00, 0x20}, []byte{0x80, tt.mode},
				[]byte{0x80, 0x21, 0x80, 10}, []byte{0x00, 12, 0x22, 5}, []byte{0x00, 6})
			want := image1bit.NewVerticalLSB(image.Rect(0, 0, Width, Height))
			w := []byte{0x40}
			for i := range 8 { // two more than fit: from the start again
				w = append(w, byte(0x11*(i+1)))
				page, col := tt.at(i)
				want.Pix[page*Width+col] = byte(0x11 * (i + 1))
			}
			send(t, d, w[:5], append([]byte{0x40}, w[5:]...))
			equal(t, d.Image(), want)
			noFaults(t, d)
		})
	}
}

func TestWholeMemoryWithoutWindows(t *testing.T) {
	for mode, stride := range map[byte]int{0: 1, 1: Width} {
		d := start(t, mode)
		img := picture(4)
		w := []byte{0x40}
		for i := range img.Pix {
			if stride == Width { // down the pages, then to the next column
				i = i%pages*Width + i/pages
			}
			w = append(w, img.Pix[i])
		}
		send(t, d, append(w, 0x5A)) // one more than there is goes to the start
		img.Pix[0] = 0x5A
		equal(t, d.Image(), img)
		noFaults(t, d)
	}
}

func TestInvalidMultiplexIsNotTaken(t *testing.T) {
	d := start(t, 2)
	send(t, d, []byte{0x00, 0xA8, 47}, []byte{0x00, 0xA8, 3})
	if d.rows != 48 {
		t.Errorf("%d rows, want 48", d.rows)
	}
}

// The rows are those of tables 10-1 and 10-2 of the data sheet: which line of
// the memory is on COM0, COM1 and so on (-1: none).
func TestScanTables(t *testing.T) {
	tests := []struct {
		rows, offset, start int
		remap               bool
		com                 map[int]int
	}{
		{64, 0, 0, false, map[int]int{0: 0, 1: 1, 63: 63}},
		{64, 8, 0, false, map[int]int{0: 8, 55: 63, 56: 0, 63: 7}},
		{64, 0, 8, false, map[int]int{0: 8, 55: 63, 56: 0, 63: 7}},
		{56, 0, 0, false, map[int]int{0: 0, 55: 55, 56: -1, 63: -1}},
		{56, 8, 0, false, map[int]int{0: 8, 47: 55, 48: -1, 55: -1, 56: 0, 63: 7}},
		{56, 0, 8, false, map[int]int{0: 8, 55: 63, 56: -1}},
		{64, 0, 0, true, map[int]int{0: 63, 63: 0}},
		{64, 8, 0, true, map[int]int{0: 7, 7: 0, 8: 63, 63: 8}},
		{64, 0, 8, true, map[int]int{0: 7, 7: 0, 8: 63, 63: 8}},
		{48, 0, 0, true, map[int]int{0: 47, 47: 0, 48: -1, 63: -1}},
		{48, 8, 0, true, map[int]int{0: -1, 7: -1, 8: 47, 55: 0, 56: -1}},
		{48, 0, 8, true, map[int]int{0: 55, 47: 8, 48: -1}},
	}
	for _, tt := range tests {
		d := NewSSD1306()
		scan := byte(0xC0)
		if tt.remap {
			scan = 0xC8
		}
		send(t, d, []byte{0x00, scan, 0xA8, byte(tt.rows - 1), 0xD3, byte(tt.offset), 0x40 | byte(tt.start)})
		for com, want := range tt.com {
			line, driven := d.line(Height - 1 - com)
			if driven != (want >= 0) || driven && int(line) != want {
				t.Errorf("%+v: COM%d shows line %d, %v, want %d", tt, com, line, driven, want)
			}
		}
		noFaults(t, d)
	}
}

func TestCOMPins(t *testing.T) {
	for arg, want := range map[byte][4]byte{ // of rows 0, 1, 2, 63 of the glass
		0x12: {0, 1, 2, 63},
		0x32: {1, 0, 3, 62},
		0x02: {0, 32, 1, 63},
		0x22: {32, 0, 33, 31},
	} {
		d := NewSSD1306()
		send(t, d, []byte{0x00, 0xDA, arg})
		if got := [4]byte{d.com(0), d.com(1), d.com(2), d.com(63)}; got != want {
			t.Errorf("0xDA 0x%02x: %v, want %v", arg, got, want)
		}
		noFaults(t, d)
	}
}

func TestSegmentRemapIsForLaterData(t *testing.T) {
	d := start(t, 2)
	send(t, d, pageWrites(image1bit.NewVerticalLSB(image.Rect(0, 0, Width, Height)), false)...)
	send(t, d, []byte{0x00, 0xB0, 0x00, 0x10}, []byte{0x40, 0xFF})
	send(t, d, []byte{0x00, 0xA0, 0xB1, 0x00, 0x10}, []byte{0x40, 0xFF})
	img := d.Image()
	if !img.BitAt(0, 0) || img.BitAt(127, 0) {
		t.Error("the first byte moved with the remap")
	}
	if img.BitAt(0, 8) || !img.BitAt(127, 8) {
		t.Error("the second byte did not")
	}
}

func TestWhatIsSeen(t *testing.T) {
	black := image1bit.NewVerticalLSB(image.Rect(0, 0, Width, Height))
	white := image1bit.NewVerticalLSB(black.Rect)
	squares := image1bit.NewVerticalLSB(black.Rect)
	for i := range white.Pix {
		white.Pix[i] = 0xFF
		squares.Pix[i] = [2]byte{0x0F, 0xF0}[i/4%2] // the memory upside down, its right end first
	}
	top := image1bit.NewVerticalLSB(black.Rect)
	copy(top.Pix[4*Width:], white.Pix[4*Width:])
	tests := []struct {
		name     string
		commands []byte
		want     *image1bit.VerticalLSB
	}{
		{"after power-on", nil, black},
		{"on without the charge pump", []byte{0xAF}, black},
		{"pump without on", []byte{0x8D, 0x14}, black},
		{"pump switched off", []byte{0x8D, 0x14, 0xAF, 0x8D, 0x10}, black},
		{"off again", []byte{0x8D, 0x14, 0xAF, 0xAE}, black},
		{"memory never cleared", []byte{0x8D, 0x14, 0xAF}, squares},
		{"all on", []byte{0x8D, 0x14, 0xAF, 0xA5}, white},
		{"all on, inverse", []byte{0x8D, 0x14, 0xAF, 0xA5, 0xA7}, white},
		{"all on and back", []byte{0x8D, 0x14, 0xAF, 0xA5, 0xA4}, squares},
		{"all on of 32 rows", []byte{0x8D, 0x14, 0xAF, 0xA5, 0xA8, 31}, top},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := NewSSD1306()
			send(t, d, append([]byte{0x00}, tt.commands...))
			equal(t, d.Image(), tt.want)
			noFaults(t, d)
		})
	}
}

func TestFaults(t *testing.T) {
	tests := []struct {
		name   string
		writes [][]byte
		want   string // part of the only fault; empty: none
	}{
		{"all harmless commands", [][]byte{{0x00, 0xD5, 0x80, 0xD9, 0xF1, 0xDB, 0x20, 0xDA, 0x12, 0x81, 0x00, 0xE3, 0x2E,
			0xA3, 0, 64, 0x26, 0, 0, 0, 7, 0, 0xFF, 0x29, 0, 1, 0, 1, 1, 0x2F, 0x2E}}, ""},
		{"nothing", [][]byte{{}, {0x00}, {0x40}}, ""},
		{"unknown command", [][]byte{{0x00, 0xD6, 0xAF}}, "unknown command 0xd6"},
		{"unknown scan direction", [][]byte{{0x80, 0xC1}}, "unknown command 0xc1"},
		{"control byte", [][]byte{{0x20, 0xAF}}, "control byte 0x20"},
		{"control byte alone", [][]byte{{0x80, 0xAF, 0x80}}, "no byte follows"},
		{"data within a command", [][]byte{{0x00, 0x20}, {0x40, 0x00}}, "in the middle of command 0x20"},
		{"addressing mode", [][]byte{{0x00, 0x20, 3}}, "mode 3 is invalid"},
		{"window in page mode", [][]byte{{0x00, 0x21, 0, 127}}, "0x21 is for horizontal"},
		{"pages in page mode", [][]byte{{0x00, 0x22, 0, 7}}, "0x22 is for horizontal"},
		{"page start in horizontal mode", [][]byte{{0x00, 0x20, 0, 0xB0}}, "0xb0 is for page"},
		{"low column in vertical mode", [][]byte{{0x00, 0x20, 1, 0x04}}, "0x04 is for page"},
		{"high column in vertical mode", [][]byte{{0x00, 0x20, 1, 0x12}}, "0x12 is for page"},
		{"column", [][]byte{{0x00, 0x20, 0, 0x21, 0, 128}}, "argument 0x80 is above 0x7f"},
		{"high column", [][]byte{{0x00, 0x18}}, "argument 0x08"},
		{"window backwards", [][]byte{{0x00, 0x20, 0, 0x21, 5, 4}}, "from 5 to 4"},
		{"pages backwards", [][]byte{{0x00, 0x20, 0, 0x22, 5, 4}}, "from 5 to 4"},
		{"page", [][]byte{{0x00, 0x20, 0, 0x22, 0, 8, 0x22, 0, 7}}, "argument 0x08"},
		{"multiplex", [][]byte{{0x00, 0xA8, 14}}, "ratio 15"},
		{"charge pump", [][]byte{{0x00, 0x8D, 0x04}}, "0x8d"},
		{"pre-charge", [][]byte{{0x00, 0xD9, 0xF0}}, "0xd9"},
		{"COM pins", [][]byte{{0x00, 0xDA, 0x10}}, "0xda"},
		{"scroll backwards", [][]byte{{0x00, 0x26, 0, 3, 0, 2, 0, 0xFF}}, "pages from 3 to 2"},
		{"scroll set up twice", [][]byte{{0x00, 0x2F, 0x27, 0, 0, 0, 2, 0, 0xFF}}, "while scrolling"},
		{"data while scrolling", [][]byte{{0x00, 0x2F}, {0x40, 1}}, "while scrolling"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := NewSSD1306()
			send(t, d, tt.writes...)
			faults := d.Faults()
			if tt.want == "" {
				noFaults(t, d)
			} else if len(faults) != 1 || !strings.Contains(faults[0], tt.want) {
				t.Errorf("faults %q, want one with %q", faults, tt.want)
			}
		})
	}
	d := NewSSD1306()
	send(t, d, bytes.Repeat([]byte{0x80, 0xFF}, 100))
	if f := d.Faults(); len(f) != maxFaults+1 || f[maxFaults] != "and 36 more" {
		t.Errorf("%d faults, the last %q", len(f), f[len(f)-1])
	}
}

func TestBus(t *testing.T) {
	d := NewSSD1306()
	if err := d.Tx(0x3D, []byte{0x00, 0xAF}, nil); !errors.Is(err, syscall.ENXIO) || !strings.Contains(err.Error(), "0x3d") {
		t.Errorf("another address: %v", err)
	}
	status := []byte{0}
	for _, want := range []byte{0x40, 0x00} {
		if err := d.Tx(Address, nil, status); err != nil || status[0] != want {
			t.Errorf("status 0x%02x, %v, want 0x%02x", status[0], err, want)
		}
		send(t, d, []byte{0x80, 0xAF})
	}
	for f, ok := range map[physic.Frequency]bool{100 * physic.KiloHertz: true, 400 * physic.KiloHertz: true, physic.MegaHertz: false, 0: false} {
		if err := d.SetSpeed(f); (err == nil) != ok {
			t.Errorf("SetSpeed(%s) = %v", f, err)
		}
	}
}

func TestConcurrentUse(t *testing.T) {
	d := start(t, 2)
	img := picture(3)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			d.Image()
			d.Faults()
		})
	}
	send(t, d, pageWrites(img, false)...)
	wg.Wait()
	equal(t, d.Image(), img)
}

// Whatever is sent, in whatever pieces, nothing panics, and the pieces do not
// matter: a stream of commands means the same as commands one by one.
func FuzzSSD1306(f *testing.F) {
	f.Add([]byte{0x8D, 0x14, 0xA1, 0xC8, 0x20, 0x00, 0x21, 3, 99, 0x22, 1, 6, 0xAF}, []byte{1, 2, 3})
	f.Add([]byte{0x20, 0x01, 0xA8, 20, 0xD3, 60, 0x60, 0xAF, 0x8D, 0x14}, []byte("data"))
	f.Add([]byte{0xFF, 0x21}, []byte{})
	f.Fuzz(func(t *testing.T, commands, data []byte) {
		stream, single, raw := NewSSD1306(), NewSSD1306(), NewSSD1306()
		send(t, stream, append([]byte{0x00}, commands...), append([]byte{0x40}, data...))
		for _, c := range commands {
			send(t, single, []byte{0x80, c})
		}
		for _, b := range data {
			send(t, single, []byte{0xC0, b})
		}
		equal(t, single.Image(), stream.Image())
		if !slices.Equal(single.Faults(), stream.Faults()) {
			t.Errorf("faults %q and %q", single.Faults(), stream.Faults())
		}
		send(t, raw, commands, data)
		raw.Image()
	})
}
