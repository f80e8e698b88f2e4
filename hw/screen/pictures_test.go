package screen_test

import (
	"flag"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"periph.io/x/conn/v3/i2c"

	"github.com/mecha-org/mecha-agent/hw"
	"github.com/mecha-org/mecha-agent/hw/screen"
	"github.com/mecha-org/mecha-agent/hw/screen/screentest"
)

var update = flag.Bool("update", false, "write the pictures and the table in docs anew")

// module is an emulated display.
type module interface {
	i2c.Bus
	Image() *image.Paletted
	Faults() []string
}

// emulate returns the module that a row of the table is for.
func emulate(t *testing.T, c screen.Controller) module {
	t.Helper()
	size := image.Pt(c.Width, c.Height)
	switch c.Name {
	case "ssd1306-128x64", "ssd1306-128x32", "ssd1309-128x64":
		return screentest.NewOLED(0x3C, size, 0, 0x06)
	case "sh1106-128x64":
		return screentest.NewOLED(0x3C, size, 2, 0x08)
	case "ssd0303-96x16":
		return screentest.NewOLED(0x3D, size, 36, 0x00)
	case "hd44780-16x2", "hd44780-20x4":
		return screentest.NewLCD(0x27, c.Width, c.Height)
	case "ht16k33":
		return screentest.NewHT16K33(0x70)
	}
	t.Fatalf("there is no emulation of %s", c.Name)
	return nil
}

// states are one view for every mode, and what a second makes of some.
var states = []struct {
	name  string
	view  hw.View
	after time.Duration // of noon
}{
	{"idle", hw.View{}, 0},
	{"waiting", hw.View{Mode: hw.ModeWaiting}, 0},
	{"code", codeView, 0},
	{"code, 2 s later", codeView, 2 * time.Second},
	{"code, with URL", qrView, 0},
	{"working", workingView, 0},
	{"done", hw.View{Mode: hw.ModeDone, MachineID: "3f2a9c41-7f0e-4d9b-8a55-9b6c5e1d2f00"}, 0},
	{"failed", hw.View{
		Mode: hw.ModeFailed, Error: "announcing the code: dial tcp 192.168.178.20:3000: connect: connection refused",
		Hint: "is the gateway running?",
	}, 0},
	{"reset, held", resetView, 0},
	{"reset, let go", resetView, 3 * time.Second},
}

var (
	qrView      = func() hw.View { v := codeView; v.ClaimURL = "http://192.168.178.20:3000/claim?code=7K2M9X"; return v }()
	workingView = hw.View{Mode: hw.ModeWorking, Step: "Claimed: signing the request"}
	// resetView is a button held for two seconds of five.
	resetView = hw.View{Mode: hw.ModeReset, Made: noon.Add(-2 * time.Second), Expires: noon.Add(3 * time.Second)}
)

// TestPictures shows every state on every display, one after the other, and
// compares what a person sees with the picture in docs/hardware.
func TestPictures(t *testing.T) {
	for _, c := range screen.Controllers() {
		t.Run(c.Name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := emulate(t, c)
				s := open(t, m, 0, c.Name, false)
				var seen []*image.Paletted
				for _, state := range states {
					if err := s.Show(state.view, noon.Add(state.after)); err != nil {
						t.Fatal(err)
					}
					seen = append(seen, m.Image())
				}
				dark(t, s, m)
				if faults := m.Faults(); len(faults) > 0 {
					t.Errorf("faults: %q", faults)
				}
				compare(t, filepath.Join("../../docs/hardware", c.Name+".png"), seen)
			})
		})
	}
}

// dark checks that nothing is seen after Sleep and Close, and everything again in
// between.
func dark(t *testing.T, s hw.Screen, m module) {
	t.Helper()
	before := m.Image()
	if err := s.Sleep(); err != nil {
		t.Fatal(err)
	}
	if n := lit(m.Image()); n > 0 {
		t.Errorf("%d pixels are lit while it sleeps", n)
	}
	last := states[len(states)-1]
	if err := s.Show(last.view, noon.Add(last.after)); err != nil {
		t.Fatal(err)
	}
	if after := m.Image(); lit(before) == 0 || string(after.Pix) != string(before.Pix) {
		t.Error("it shows something else after it slept")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if n := lit(m.Image()); n > 0 {
		t.Errorf("%d pixels are lit after Close", n)
	}
}

// lit counts what has the last colour of the palette.
func lit(img *image.Paletted) (n int) {
	for _, p := range img.Pix {
		if int(p) == len(img.Palette)-1 {
			n++
		}
	}
	return n
}

// Measures of a sheet of pictures, in pixels.
const (
	perRow = 3
	gap    = 14
	title  = 18 // room for the name above a picture
)

// cell returns where picture i of a sheet is.
func cell(size image.Point, i int) image.Rectangle {
	at := image.Pt(gap+i%perRow*(size.X+gap), title+gap/2+i/perRow*(size.Y+title+gap))
	return image.Rectangle{Min: at, Max: at.Add(size)}
}

// compare holds pictures against a sheet of them.
func compare(t *testing.T, file string, seen []*image.Paletted) {
	t.Helper()
	size := seen[0].Rect.Size()
	if *update {
		write(t, file, seen)
		return
	}
	f, err := os.Open(file)
	if err != nil {
		t.Fatalf("%v (go test -update writes it)", err)
	}
	defer f.Close()
	sheet, err := png.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	for i, img := range seen {
		at := cell(size, i)
		if !at.In(sheet.Bounds()) {
			t.Fatalf("%s has no picture %d", file, i)
		}
		for y := range size.Y {
			for x := range size.X {
				if !same(img.At(x, y), sheet.At(at.Min.X+x, at.Min.Y+y)) {
					t.Fatalf("%q differs from %s at %d,%d (go test -update writes it anew)", states[i].name, file, x, y)
				}
			}
		}
	}
}

func same(a, b color.Color) bool { return color.RGBAModel.Convert(a) == color.RGBAModel.Convert(b) }

func write(t *testing.T, file string, seen []*image.Paletted) {
	t.Helper()
	palette := color.Palette{color.White, color.Gray{0x50}}
	for _, img := range seen {
		for _, c := range img.Palette {
			if !same(palette.Convert(c), c) {
				palette = append(palette, c)
			}
		}
	}
	size := seen[0].Rect.Size()
	last := cell(size, len(seen)-1)
	sheet := image.NewPaletted(image.Rect(0, 0, cell(size, perRow-1).Max.X+gap, last.Max.Y+gap), palette)
	for i, img := range seen {
		at := cell(size, i)
		draw.Draw(sheet, at, img, image.Point{}, draw.Src)
		caption(sheet, at.Min.Sub(image.Pt(0, title-4)), states[i].name)
	}
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(f, sheet); err != nil {
		t.Fatal(err)
	}
}

// caption writes small text.
func caption(img *image.Paletted, at image.Point, s string) {
	for i := range len(s) {
		for x, column := range hw.Glyph(s[i]) {
			for y := range 8 {
				if column>>y&1 != 0 {
					img.SetColorIndex(at.X+i*6+x, at.Y+y, 1)
				}
			}
		}
	}
}

// TestDocsHavePictures: every display of the table is in docs/hardware.md.
func TestDocsHavePictures(t *testing.T) {
	text := docs(t)
	for _, c := range screen.Controllers() {
		for _, want := range []string{fmt.Sprintf("(hardware/%s.png)", c.Name), "`" + c.Name + "`"} {
			if !contains(text, want) {
				t.Errorf("docs/hardware.md has no %s", want)
			}
		}
	}
}
