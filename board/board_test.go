package board

import (
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"periph.io/x/conn/v3/gpio"
	"periph.io/x/conn/v3/i2c/i2ctest"
)

type closer func() error

func (c closer) Close() error { return c() }

func TestCloseIsInReverseAndClosesAll(t *testing.T) {
	var b Board
	if err := b.Close(); err != nil {
		t.Errorf("closing nothing: %v", err)
	}
	var order []int
	for i := range 3 {
		b.OnClose(closer(func() error {
			order = append(order, i)
			if i > 0 {
				return io.ErrClosedPipe
			}
			return nil
		}))
	}
	b.OnClose(nil)
	if err := b.Close(); !errors.Is(err, io.ErrClosedPipe) || strings.Count(err.Error(), "closing board") != 2 {
		t.Errorf("Close = %v, want both errors", err)
	}
	if !slices.Equal(order, []int{2, 1, 0}) {
		t.Errorf("closed in order %v", order)
	}
}

func TestString(t *testing.T) {
	tests := []struct {
		b    Board
		want string
	}{
		{Board{Name: "generic", Vendor: "Raspberry Pi Foundation", Model: "Raspberry Pi 4 Model B Rev 1.4"}, "Raspberry Pi 4 Model B Rev 1.4 (generic)"},
		{Board{Name: "generic", Vendor: "LENOVO", Model: "20L7CTO1WW"}, "LENOVO 20L7CTO1WW (generic)"},
		{Board{Name: "generic", Model: "20L7CTO1WW"}, "20L7CTO1WW (generic)"},
		{Board{Name: "generic", Vendor: "LENOVO"}, "LENOVO board (generic)"},
		{Board{Name: "generic"}, "unknown board (generic)"},
	}
	for _, tt := range tests {
		if got := tt.b.String(); got != tt.want {
			t.Errorf("String = %q, want %q", got, tt.want)
		}
	}
}

func TestDescribe(t *testing.T) {
	bare, err := json.Marshal(Board{Name: "generic"}.Describe())
	if err != nil {
		t.Fatal(err)
	}
	want := `{"name":"generic","vendor":"","model":"","soc":"","revision":"","serial":"","architecture":"","display":"","leds":"","button":"","missing":[]}`
	if string(bare) != want {
		t.Errorf("got  %s\nwant %s", bare, want)
	}

	full, err := json.Marshal(Board{
		Name: "n", Vendor: "v", Model: "m", SoC: "s", Revision: "r", Serial: "1", Architecture: "arm64",
		Display: &Display{Bus: &i2ctest.Record{}, Address: 0x3c, Controller: "ssd1306-128x64"},
		LEDs:    &LEDs{Bits: []gpio.PinOut{gpio.INVALID, nil}, Strobe: gpio.INVALID},
		Button:  gpio.INVALID,
		Missing: []string{"x"},
	}.Describe())
	if err != nil {
		t.Fatal(err)
	}
	want = `{"name":"n","vendor":"v","model":"m","soc":"s","revision":"r","serial":"1","architecture":"arm64",` +
		`"display":"ssd1306-128x64 at 0x3c of record","leds":"INVALID -, strobe INVALID","button":"INVALID","missing":["x"]}`
	if string(full) != want {
		t.Errorf("got  %s\nwant %s", full, want)
	}
}
