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

	"github.com/mecha-org/mecha-agent/board/header"
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
	want := `{"name":"generic","vendor":"","model":"","soc":"","revision":"","serial":"","architecture":"",` +
		`"compatible":[],"mac":"","sheet":"","header":"","pins":0,"gpio_chips":[],"i2c":[],"spi":[],"onboard_leds":[],"keys":[],"tpm":"",` +
		`"display":"","leds":"","button":"","missing":[]}`
	if string(bare) != want {
		t.Errorf("got  %s\nwant %s", bare, want)
	}

	full, err := json.Marshal(Board{
		Name: "n", Vendor: "v", Model: "m", SoC: "s", Revision: "r", Serial: "1", Architecture: "arm64",
		Compatible: []string{"v,m", "v,s"}, MAC: "b8:27:eb:00:00:01", Sheet: "https://v.example/",
		Header:  &header.Header{Name: "J8", Pins: make([]header.Pin, 40)},
		Chips:   []Chip{{Device: "/dev/gpiochip0", Label: "l", Lines: []Line{{Name: "a"}, {Used: true}, {}}}},
		I2C:     []Bus{{Number: 1, Device: "/dev/i2c-1", Node: "/soc/i2c@1", Alias: "i2c1", Header: true}},
		SPI:     []Bus{{Number: -1}},
		Onboard: []LED{{Name: "ACT", Trigger: "mmc0"}},
		Keys:    []Key{{Name: "Power", Code: 116, Device: "/dev/input/event0"}},
		TPM:     "/dev/tpmrm0",
		Display: &Display{Bus: &i2ctest.Record{}, Address: 0x3c, Controller: "ssd1306-128x64"},
		LEDs:    &LEDs{Bits: []gpio.PinOut{gpio.INVALID, nil}, Strobe: gpio.INVALID, Single: gpio.INVALID, RGB: []gpio.PinOut{gpio.INVALID, gpio.INVALID, nil}},
		Button:  gpio.INVALID,
		Missing: []string{"x"},
	}.Describe())
	if err != nil {
		t.Fatal(err)
	}
	want = `{"name":"n","vendor":"v","model":"m","soc":"s","revision":"r","serial":"1","architecture":"arm64",` +
		`"compatible":["v,m","v,s"],"mac":"b8:27:eb:00:00:01","sheet":"https://v.example/","header":"J8","pins":40,` +
		`"gpio_chips":[{"device":"/dev/gpiochip0","label":"l","lines":3,"named":1,"used":1}],` +
		`"i2c":[{"number":1,"device":"/dev/i2c-1","node":"/soc/i2c@1","alias":"i2c1","header":true}],` +
		`"spi":[{"number":-1,"device":"","node":"","alias":"","header":false}],` +
		`"onboard_leds":[{"name":"ACT","trigger":"mmc0"}],"keys":[{"name":"Power","code":116,"device":"/dev/input/event0"}],"tpm":"/dev/tpmrm0",` +
		`"display":"ssd1306-128x64 at 0x3c of record","leds":"INVALID -, strobe INVALID, one INVALID, RGB INVALID INVALID -","button":"INVALID","missing":["x"]}`
	if string(full) != want {
		t.Errorf("got  %s\nwant %s", full, want)
	}
}
