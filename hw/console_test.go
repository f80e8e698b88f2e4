package hw_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rsc.io/qr"

	"github.com/mecha-org/mecha-agent/hw"
)

const claimURL = "http://192.168.178.20:3000/claim?code=7K2M9X"

// TestConsole plays a whole exchange and compares the text with the golden one.
func TestConsole(t *testing.T) {
	for _, colour := range []bool{false, true} {
		var b strings.Builder
		c := hw.NewConsole(&b, colour)
		code := withURL(codeView, claimURL)
		code.Step = ""
		again := code
		again.Code, again.Expires = "0D8B5S", code.Expires.Add(5*time.Minute)
		stepped := again
		stepped.Step = "The gateway is away, trying again"
		for _, v := range []hw.View{
			{},
			{Mode: hw.ModeWaiting},
			code,
			again, // refreshed
			stepped,
			{Mode: hw.ModeWorking, Step: "Claimed"},
			{Mode: hw.ModeWorking, Step: "Signing"},
			failedView,
			resetView,
			{Mode: hw.ModeDone, MachineID: "3f2a9c41-7f0e-4d9b-8a55-9b6c5e1d2f00"},
		} {
			before := b.Len()
			if err := c.Show(v, noon); err != nil {
				t.Fatal(err)
			}
			after := b.Len()
			if after == before {
				t.Errorf("%+v wrote nothing", v)
			}
			for i := range 3 { // ticks
				if err := c.Show(v, noon.Add(time.Duration(i)*time.Second)); err != nil {
					t.Fatal(err)
				}
			}
			if b.Len() != after {
				t.Errorf("%+v was written more than once", v)
			}
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		file := filepath.Join("testdata", "console.txt")
		if colour {
			file = filepath.Join("testdata", "console-colour.txt")
		}
		if *update {
			if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if b.String() != string(want) {
			t.Errorf("the text differs from %s (go test -update writes it anew):\n%s", file, b.String())
		}
		if !colour && strings.Contains(b.String(), "\x1b") {
			t.Error("colours on a console without")
		}
	}
}

// TestConsoleQR reads the QR code off the half blocks as a telephone would.
func TestConsoleQR(t *testing.T) {
	var b strings.Builder
	if err := hw.NewConsole(&b, false).Show(withURL(codeView, claimURL), noon); err != nil {
		t.Fatal(err)
	}
	want, err := qr.Encode(claimURL, qr.L)
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(b.String(), claimURL+"\n\n")
	text, _, _ = strings.Cut(text, "  Valid")
	const quiet = 4
	var light [][]bool
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(strings.TrimPrefix(line, "  "), "\n")
		var upper, lower []bool
		for _, r := range line {
			upper = append(upper, r == '█' || r == '▀')
			lower = append(lower, r == '█' || r == '▄')
		}
		light = append(light, upper, lower)
	}
	side := want.Size + 2*quiet
	if len(light) < side {
		t.Fatalf("%d rows of modules, want %d", len(light), side)
	}
	for y := range side {
		if len(light[y]) != side {
			t.Fatalf("row %d has %d modules, want %d", y, len(light[y]), side)
		}
		for x := range side {
			if light[y][x] == want.Black(x-quiet, y-quiet) {
				t.Fatalf("module %d,%d is wrong", x-quiet, y-quiet)
			}
		}
	}
}

// brokenWriter fails as long as err is set.
type brokenWriter struct {
	text strings.Builder
	err  error
}

func (w *brokenWriter) Write(p []byte) (int, error) {
	if w.err != nil {
		return 0, w.err
	}
	return w.text.Write(p)
}

// TestConsoleBroken: what could not be written is written the next time.
func TestConsoleBroken(t *testing.T) {
	w := &brokenWriter{err: errors.New("hung up")}
	c := hw.NewConsole(w, false)
	if err := c.Show(codeView, noon); !errors.Is(err, w.err) {
		t.Fatalf("Show: %v", err)
	}
	w.err = nil
	if err := c.Show(codeView, noon); err != nil {
		t.Fatal(err)
	}
	if got := w.text.String(); !strings.Contains(got, "Valid until 12:03:44 (3:44 left)") {
		t.Errorf("the code is missing:\n%s", got)
	}
}

// TestConsoleHostile: text of the other side does not steer the terminal.
func TestConsoleHostile(t *testing.T) {
	const evil = "\x1b]0;x\a\r\u009b2J"
	var b strings.Builder
	c := hw.NewConsole(&b, false)
	for m := hw.ModeIdle; m <= hw.ModeFailed; m++ {
		v := hw.View{Mode: m, Code: evil, ClaimURL: evil, Step: evil, MachineID: evil, Error: evil, Hint: evil}
		if err := c.Show(v, noon); err != nil {
			t.Fatal(err)
		}
	}
	if strings.ContainsAny(b.String(), "\x1b\a\r\u009b") {
		t.Errorf("control characters on the console: %q", b.String())
	}
}

// TestConsoleNamesTheKey: a person compares it with what the operator sees.
func TestConsoleNamesTheKey(t *testing.T) {
	var b strings.Builder
	v := hw.View{Mode: hw.ModeCode, Code: "7K2M9X", Key: "fb024afe"}
	if err := hw.NewConsole(&b, false).Show(v, time.Now()); err != nil || !strings.Contains(b.String(), "Its key is fb024afe\n") {
		t.Errorf("%v:\n%s", err, b.String())
	}
}
