package hw_test

import (
	"errors"
	"flag"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"periph.io/x/conn/v3/i2c/i2ctest"
	"periph.io/x/devices/v3/ssd1306/image1bit"
	"rsc.io/qr"

	"github.com/mecha-org/mecha-agent/hw"
	"github.com/mecha-org/mecha-agent/hw/oled"
)

var update = flag.Bool("update", false, "write the golden pictures in testdata anew")

var noon = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

// codeView is a code of six characters, 3:44 before its end.
var codeView = hw.View{
	Mode: hw.ModeCode, Code: "7K2M9X", Step: "Code shown, claim it",
	Made: noon.Add(-76 * time.Second), Expires: noon.Add(224 * time.Second),
}

func withURL(v hw.View, url string) hw.View { v.ClaimURL = url; return v }

func withCode(v hw.View, code string) hw.View { v.Code = code; return v }

// pictures are one view for every mode, and what is special about codes.
var pictures = []struct {
	name string
	view hw.View
}{
	{"idle", hw.View{}},
	{"idle-keystore", hw.View{Keystore: "Key on disk, no TPM"}},
	{"waiting", hw.View{Mode: hw.ModeWaiting}},
	{"code", codeView},
	{"code-qr", withURL(codeView, "http://192.168.178.20:3000/claim?code=7K2M9X")},
	{"code-qr-too-long", withURL(codeView, "https://provisioning.gateway.example.com/operator/claim?code=7K2M9X")},
	{"code-8", withCode(codeView, "0D8B5S2Z")},
	{"code-12", withCode(codeView, "0D8B5S2ZQGWM")},
	{"working", hw.View{Mode: hw.ModeWorking, Step: "Claimed: signing the request"}},
	{"done", hw.View{Mode: hw.ModeDone, MachineID: "3f2a9c41-7f0e-4d9b-8a55-9b6c5e1d2f00"}},
	{"done-keystore", hw.View{Mode: hw.ModeDone, MachineID: "3f2a9c41-7f0e-4d9b-8a55-9b6c5e1d2f00", Keystore: "Key in the TPM"}},
	{"failed", failedView},
	{"reset", resetView},
	{"reset-over", func() hw.View { v := resetView; v.Expires = noon; return v }()},
}

var failedView = hw.View{
	Mode: hw.ModeFailed, Error: "announcing the code: dial tcp 192.168.178.20:3000: connect: connection refused",
	Hint: "is the gateway running?",
}

// resetView is a button held for two seconds of five.
var resetView = hw.View{Mode: hw.ModeReset, Made: noon.Add(-2 * time.Second), Expires: noon.Add(3 * time.Second)}

var sizes = []image.Rectangle{
	image.Rect(0, 0, 128, 64),
	image.Rect(0, 0, 128, 32),
	image.Rect(0, 0, 96, 16),
	image.Rect(0, 0, 320, 240),
	image.Rect(0, 0, 64, 48),
}

// TestRender compares every picture with the golden one, pixel by pixel.
func TestRender(t *testing.T) {
	for _, size := range sizes {
		for _, p := range pictures {
			name := fmt.Sprintf("%dx%d-%s", size.Dx(), size.Dy(), p.name)
			t.Run(name, func(t *testing.T) {
				compare(t, filepath.Join("testdata", name+".png"), hw.Render(p.view, size, noon))
			})
		}
	}
}

func compare(t *testing.T, file string, got image.Image) {
	t.Helper()
	if *update {
		write(t, file, got)
		return
	}
	f, err := os.Open(file)
	if err != nil {
		t.Fatalf("%v (go test -update writes it)", err)
	}
	defer f.Close()
	want, err := png.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	if got.Bounds() != want.Bounds() {
		t.Fatalf("bounds %v, want %v", got.Bounds(), want.Bounds())
	}
	for y := range got.Bounds().Dy() {
		for x := range got.Bounds().Dx() {
			if g, w := isLit(got, x, y), isLit(want, x, y); g != w {
				t.Fatalf("pixel %d,%d differs from %s (go test -update writes it anew)", x, y, file)
			}
		}
	}
}

func write(t *testing.T, file string, img image.Image) {
	t.Helper()
	b := img.Bounds()
	out := image.NewPaletted(b, color.Palette{color.Black, color.White})
	for y := b.Min.Y; y < b.Max.Y; y++ {
		for x := b.Min.X; x < b.Max.X; x++ {
			if isLit(img, x, y) {
				out.SetColorIndex(x, y, 1)
			}
		}
	}
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := png.Encode(f, out); err != nil {
		t.Fatal(err)
	}
}

func isLit(img image.Image, x, y int) bool {
	r, _, _, _ := img.At(x, y).RGBA()
	return r > 0x7FFF
}

// TestQRCode reads the QR code off the picture of the smallest panel that has
// one, module by module.
func TestQRCode(t *testing.T) {
	const url = "http://192.168.178.20:3000/claim?code=7K2M9X"
	want, err := qr.Encode(url, qr.L)
	if err != nil {
		t.Fatal(err)
	}
	img := hw.Render(withURL(codeView, url), image.Rect(0, 0, 128, 64), noon)
	const module = 2
	border := (64 - want.Size*module) / 2
	for y := -1; y <= want.Size; y++ { // with a module of the border
		for x := -1; x <= want.Size; x++ {
			for _, d := range []image.Point{{}, {X: 1}, {Y: 1}, {X: 1, Y: 1}} {
				at := image.Pt(64+border+x*module, border+y*module).Add(d)
				if isLit(img, at.X, at.Y) == want.Black(x, y) {
					t.Fatalf("module %d,%d is not as it should be at pixel %v", x, y, at)
				}
			}
		}
	}
}

// TestAnySize draws everything on panels of any size and place: nothing panics,
// and nothing depends on where the picture is.
func TestAnySize(t *testing.T) {
	for _, size := range []image.Point{
		{}, {X: 1, Y: 1}, {X: 5, Y: 200}, {X: 7, Y: 8}, {X: 13, Y: 9}, {X: 40, Y: 30}, {X: 72, Y: 40}, {X: 128, Y: 128},
		{X: 200, Y: 17}, {X: 129, Y: 65}, {X: 256, Y: 64}, {X: 400, Y: 2},
	} {
		for _, p := range pictures {
			r := image.Rectangle{Max: size}
			at := image.Pt(8, 16)
			img, moved := hw.Render(p.view, r, noon), hw.Render(p.view, r.Add(at), noon)
			if img.Bounds() != r || moved.Bounds() != r.Add(at) {
				t.Fatalf("%v %s: bounds %v and %v", size, p.name, img.Bounds(), moved.Bounds())
			}
			for y := range size.Y {
				for x := range size.X {
					if isLit(img, x, y) != isLit(moved, x+at.X, y+at.Y) {
						t.Fatalf("%v %s: pixel %d,%d differs when the picture is moved", size, p.name, x, y)
					}
				}
			}
		}
	}
}

// TestTimeBar: the bar of the panel with 32 rows gets shorter to nothing.
func TestTimeBar(t *testing.T) {
	v := codeView
	life := v.Expires.Sub(v.Made)
	for _, tt := range []struct {
		after time.Duration
		want  int
	}{{0, 128}, {life / 2, 64}, {life * 3 / 4, 32}, {life, 0}, {2 * life, 0}} {
		img := hw.Render(v, image.Rect(0, 0, 128, 32), v.Made.Add(tt.after))
		n := 0
		for x := range 128 {
			if isLit(img, x, 31) {
				n++
			}
		}
		if n != tt.want {
			t.Errorf("after %v the bar is %d wide, want %d", tt.after, n, tt.want)
		}
	}
}

// TestDrawerScreen goes through the driver to the wire: only a change costs
// bytes, and Close is the closer's.
func TestDrawerScreen(t *testing.T) {
	bus := &i2ctest.Record{}
	d, err := oled.Open(bus, 0x3C, "ssd1306-128x32")
	if err != nil {
		t.Fatal(err)
	}
	s := hw.NewDrawerScreen(d, nil)
	for range 2 {
		if err := s.Show(codeView, noon); err != nil {
			t.Fatal(err)
		}
	}
	var pix []byte
	for _, op := range bus.Ops {
		if op.W[0] == 0x40 {
			pix = append(pix, op.W[1:]...)
		}
	}
	want := hw.Render(codeView, d.Bounds(), noon).(*image1bit.VerticalLSB)
	if !slices.Equal(pix, want.Pix) {
		t.Error("what went over the wire is not the picture, once")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if last := bus.Ops[len(bus.Ops)-1].W; !slices.Equal(last, []byte{0x80, 0xAE}) {
		t.Errorf("the last write is % X, want display off", last)
	}
	closed := errors.New("closed")
	if err := hw.NewDrawerScreen(d, func() error { return closed }).Close(); !errors.Is(err, closed) {
		t.Errorf("Close: %v", err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Show(codeView, noon); !errors.Is(err, oled.ErrClosed) {
		t.Errorf("Show on a closed display: %v", err)
	}
}
