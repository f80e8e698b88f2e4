package sim

import (
	"bytes"
	"context"
	"errors"
	"image"
	"image/color"
	"image/png"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mecha-org/mecha-agent/board"
	"periph.io/x/conn/v3/gpio"
	"periph.io/x/devices/v3/ssd1306/image1bit"
)

// socket returns a path that is short enough for a socket.
func socket(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "sim")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "sim.sock")
}

// hintOf returns what the error advises.
func hintOf(err error) string {
	if h, ok := errors.AsType[interface {
		error
		Hint() string
	}](err); ok {
		return h.Hint()
	}
	return ""
}

func open(t *testing.T) (board.Board, *Control) {
	t.Helper()
	path := socket(t)
	b, err := Open(t.Context(), map[string]string{"control": path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b, Dial(path)
}

func TestOpen(t *testing.T) {
	b, err := Open(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if got, want := b.String(), "Simulated board (sim)"; got != want {
		t.Errorf("String = %q, want %q", got, want)
	}
	d := b.Describe()
	if d.Vendor != "Mecha" || d.Serial != "SIM-0001" || d.Architecture != board.Architecture() || len(d.Missing) != 0 {
		t.Errorf("described as %+v", d)
	}
	if d.Display != "ssd1306-128x64 at 0x3c of sim-i2c" || d.LEDs != "LED4 LED3 LED2 LED1 LED0, strobe STROBE" || d.Button != "BUTTON" {
		t.Errorf("display %q, LEDs %q, button %q", d.Display, d.LEDs, d.Button)
	}

	b, err = Open(t.Context(), map[string]string{"model": "Comet 2", "serial": "7", "controller": "ssd1306-128x64"})
	if err != nil || b.Model != "Comet 2" || b.Serial != "7" {
		t.Errorf("with options: %v, serial %q, %v", b, b.Serial, err)
	}
}

func TestOpenRefusesOptions(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	live := socket(t)
	b, err := Open(t.Context(), map[string]string{"control": live})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	tests := []struct{ option, value, err, hint string }{
		{"colour", "red", `unknown option "colour"`, "control, controller, model, serial"},
		{"controller", "sh1106-128x64", `"sh1106-128x64"`, "ssd1306-128x64"},
		{"control", file, "no socket", "another path"},
		{"control", live, "another one listens", "end the other agent"},
		{"control", "/" + strings.Repeat("x", 107), "108 bytes", "shorter path"},
	}
	for _, tt := range tests {
		_, err := Open(t.Context(), map[string]string{tt.option: tt.value})
		if err == nil || !strings.Contains(err.Error(), tt.err) || !strings.Contains(hintOf(err), tt.hint) {
			t.Errorf("%s: %s: error %v, hint %q", tt.option, tt.value, err, hintOf(err))
		}
	}
	if data, err := os.ReadFile(file); string(data) != "precious" {
		t.Errorf("the file that was in the way: %q, %v", data, err)
	}
	if _, err := Open(t.Context(), map[string]string{"control": filepath.Join(file, "below")}); err == nil {
		t.Error("a socket below a file")
	}
	if _, err := Dial(live).LEDs(t.Context()); err != nil {
		t.Errorf("the first board no longer answers: %v", err)
	}
}

func TestControlSocket(t *testing.T) {
	path := socket(t)
	stale, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	stale.(*net.UnixListener).SetUnlinkOnClose(false)
	stale.Close()

	for _, end := range []string{"close", "context"} {
		ctx, cancel := context.WithCancel(t.Context())
		b, err := Open(ctx, map[string]string{"control": path})
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil || info.Mode() != fs.ModeSocket|0o600 {
			t.Errorf("socket %v, %v", info.Mode(), err)
		}
		c := Dial(path)
		watching := make(chan error)
		err = c.WatchLEDs(ctx, func(LEDState) bool {
			go func() { watching <- c.WatchLEDs(t.Context(), func(LEDState) bool { return true }) }()
			return false
		})
		if err != nil {
			t.Fatal(err)
		}
		if end == "context" {
			cancel()
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
		cancel()
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("after %s the socket is there: %v", end, err)
		}
		if err := <-watching; err == nil {
			t.Errorf("after %s a watcher has no error", end)
		}
		_, err = c.LEDs(t.Context())
		if err == nil || !strings.Contains(hintOf(err), "board: sim") {
			t.Errorf("after %s: %v, hint %q", end, err, hintOf(err))
		}
		if err := b.Close(); err != nil {
			t.Errorf("closing again: %v", err)
		}
	}
}

func TestControlEndsWithTheContext(t *testing.T) {
	path := socket(t)
	ctx, cancel := context.WithCancel(t.Context())
	s, err := serve(ctx, path, &parts{NewSSD1306(), newLights(), newButton()})
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	select {
	case <-s.ended:
	case <-time.After(10 * time.Second):
		t.Fatal("it goes on")
	}
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket is there: %v", err)
	}
}

func TestScreen(t *testing.T) {
	b, c := open(t)
	send := func(w ...byte) {
		t.Helper()
		if err := b.Display.Bus.Tx(b.Display.Address, w, nil); err != nil {
			t.Fatal(err)
		}
	}
	send(0x00, 0x8D, 0x14, 0xA1, 0xC8, 0x20, 0x00, 0xAF)
	img := image1bit.NewVerticalLSB(image.Rect(0, 0, Width, Height))
	img.SetBit(0, 0, true)
	img.SetBit(2, 1, true)
	img.SetBit(4, 0, true)
	img.SetBit(4, 1, true)
	img.SetBit(127, 63, true)
	send(append([]byte{0x40}, img.Pix...)...)

	text, err := c.ScreenText(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(text, "\n")
	want := map[int]string{
		0:  "┌" + strings.Repeat("─", 128) + "┐",
		1:  "│▀ ▄ █" + strings.Repeat(" ", 123) + "│",
		2:  "│" + strings.Repeat(" ", 128) + "│",
		32: "│" + strings.Repeat(" ", 127) + "▄│",
		33: "└" + strings.Repeat("─", 128) + "┘",
	}
	for i, line := range want {
		if len(lines) != 35 || lines[i] != line {
			t.Fatalf("line %d of\n%swant\n%s", i, text, line)
		}
	}
	narrow, err := c.ScreenTextFit(t.Context(), 80)
	if err != nil {
		t.Fatal(err)
	}
	blank := strings.Repeat("⠀", 60)
	if lines := strings.Split(narrow, "\n"); len(lines) != 19 || lines[1] != "│⠁⠂⠃⠀"+blank+"│" || lines[16] != "│⠀⠀⠀"+blank+"⢀│" {
		t.Errorf("for 80 columns:\n%s", narrow)
	}

	data, err := c.ScreenPNG(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	pic, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	if pic.Bounds() != image.Rect(0, 0, 544, 288) {
		t.Errorf("picture of %v", pic.Bounds())
	}
	for y := range Height {
		for x := range Width {
			luma := color.GrayModel.Convert(pic.At(border+4*x+1, border+4*y+1)).(color.Gray).Y
			if lit := bool(img.BitAt(x, y)); lit && luma < 200 || !lit && luma > 20 {
				t.Fatalf("pixel (%d, %d) lit %v has brightness %d", x, y, lit, luma)
			}
		}
	}

	send(0x80, 0xFE)
	if faults, err := c.Faults(t.Context()); err != nil || !slices.Equal(faults, []string{"unknown command 0xfe"}) {
		t.Errorf("faults %q, %v", faults, err)
	}
}

func TestPress(t *testing.T) {
	b, c := open(t)
	if err := b.Button.In(gpio.PullUp, gpio.BothEdges); err != nil {
		t.Fatal(err)
	}
	const hold = 30 * time.Millisecond
	began := time.Now()
	if err := c.Press(t.Context(), hold); err != nil {
		t.Fatal(err)
	}
	if d := time.Since(began); d < hold {
		t.Errorf("held for %s", d)
	}
	for _, edge := range []string{"press", "release"} {
		if !b.Button.WaitForEdge(time.Second) {
			t.Errorf("no edge of the %s", edge)
		}
	}
	if b.Button.WaitForEdge(0) {
		t.Error("a third edge")
	}
	for _, hold := range []time.Duration{-1, 2 * time.Minute} {
		if err := c.Press(t.Context(), hold); err == nil || !strings.Contains(err.Error(), "400") || hintOf(err) != "" {
			t.Errorf("holding for %s: %v", hold, err)
		}
	}
}

// A press in progress ends with the board, and the button with it.
func TestCloseReleasesTheButton(t *testing.T) {
	b, c := open(t)
	if err := b.Button.In(gpio.PullUp, gpio.FallingEdge); err != nil {
		t.Fatal(err)
	}
	pressed := make(chan error)
	go func() { pressed <- c.Press(t.Context(), time.Minute) }()
	if !b.Button.WaitForEdge(10 * time.Second) {
		t.Fatal("not pressed")
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-pressed; err == nil || b.Button.Read() != gpio.High {
		t.Errorf("after Close: %v, button %s", err, b.Button.Read())
	}
}

func TestWatchLEDs(t *testing.T) {
	b, c := open(t)
	b.LEDs.Bits[1].Out(gpio.High)
	var got []LEDState
	err := c.WatchLEDs(t.Context(), func(s LEDState) bool {
		got = append(got, s)
		if len(got) == 1 { // the stream is open: nothing is lost from here on
			for i := range 500 {
				b.LEDs.Strobe.Out(i%2 == 0)
			}
		}
		return len(got) < 501
	})
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range got {
		if s.Bits != 0b01000 || s.Strobe != (i%2 == 1) || i > 0 && s.At.Before(got[i-1].At) {
			t.Fatalf("state %d is %+v", i, s)
		}
	}
	now, err := c.LEDs(t.Context())
	if err != nil || now.Bits != 0b01000 || now.Strobe {
		t.Errorf("now %+v, %v", now, err)
	}

	ctx, cancel := context.WithCancel(t.Context())
	err = c.WatchLEDs(ctx, func(LEDState) bool { cancel(); return true })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	err = c.WatchLEDs(t.Context(), func(LEDState) bool { go b.Close(); return true })
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("the board ended: %v", err)
	}
}

func TestBadRequests(t *testing.T) {
	_, c := open(t)
	for _, tt := range []struct {
		method, url string
		want        int
	}{
		{"POST", "http://sim/button?hold=soon", 400},
		{"POST", "http://sim/button?hold=0s", 400},
		{"GET", "http://sim/button", 405},
		{"GET", "http://sim/screen.txt?columns=x", 400},
		{"GET", "http://sim/", 404},
	} {
		req, err := http.NewRequestWithContext(t.Context(), tt.method, tt.url, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := c.http.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != tt.want {
			t.Errorf("%s %s: %s, want %d", tt.method, tt.url, resp.Status, tt.want)
		}
	}
}
