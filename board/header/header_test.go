package header

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

var update = flag.Bool("update", false, "write the golden files")

// TestRows holds every table against what is true of all headers.
func TestRows(t *testing.T) {
	boards := map[string]string{}
	for _, r := range rows() {
		t.Run(r.boards[0], func(t *testing.T) {
			if r.name == "" || !strings.HasPrefix(r.sheet, "http") {
				t.Errorf("name %q, sheet %q", r.name, r.sheet)
			}
			for _, b := range r.boards {
				if other, ok := boards[b]; ok {
					t.Errorf("%s stands in the row of %s too", b, other)
				}
				boards[b] = r.boards[0]
			}
			pins, err := parse(r.pins, r.lines)
			if err != nil {
				t.Fatal(err)
			}
			checkPins(t, pins)
			h := r.header()
			if want := r.bus != (bus{}); (len(h.I2CPins()) == 2) != want {
				t.Errorf("bus %+v is on %v", r.bus, h.I2CPins())
			}
		})
	}
	if len(boards) < 60 {
		t.Errorf("%d boards", len(boards))
	}
}

// fixed are the names of pins that are no GPIO.
var fixed = map[string]bool{"3V3": true, "5V": true, "GND": true, "VIN": true, "VDD_5V": true, "SYS_5V": true, "PWR_BUT": true,
	"SYS_RESETn": true, "VDD_ADC": true, "GNDA_ADC": true, "AIN0": true, "AIN1": true, "AIN2": true, "AIN3": true, "AIN4": true,
	"AIN5": true, "AIN6": true, "UART1_TX": true, "UART1_RX": true, "I2C_SDA": true, "I2C_SCL": true, "I2C0_SDA": true,
	"I2C0_SCL": true, "I2C1_SDA": true, "I2C1_SCL": true, unknown: true}

func checkPins(t *testing.T, pins []Pin) {
	t.Helper()
	if n := len(pins); n != 26 && n != 40 && n != 72 && n != 92 {
		t.Errorf("%d pins", n)
	}
	lines, names, labels, ground := map[string]Pin{}, map[string]Pin{}, map[string]Pin{}, 0
	for i, p := range pins {
		if p.Number != i+1 {
			t.Errorf("%s is number %d, after %d pins", p, p.Number, i)
		}
		if p.Label != "" {
			if other, ok := labels[p.Label]; ok {
				t.Errorf("%v and %v", p, other)
			}
			labels[p.Label] = p
		}
		if p.Name == "GND" {
			ground++
		}
		if (p.Chip == "") != fixed[p.Name] {
			t.Errorf("%s is %q with controller %q", p, p.Name, p.Chip)
		}
		if p.Chip == "" {
			continue
		}
		line := fmt.Sprintf("%s:%d", p.Chip, p.Offset)
		if other, ok := lines[line]; ok {
			t.Errorf("%s is on %s and %s", line, p, other)
		}
		if other, ok := names[p.Name]; ok {
			t.Errorf("%s is the name of %s and %s", p.Name, p, other)
		}
		lines[line], names[p.Name] = p, p
	}
	if len(lines) < 10 || ground < 4 {
		t.Errorf("%d lines, %d grounds", len(lines), ground)
	}
}

// TestLines has lines whose place is known from another source than the table that
// finds them.
func TestLines(t *testing.T) {
	for _, tt := range []struct{ board, name, want string }{
		{"raspberrypi,model-b-rev1", "pin 13", "pinctrl-bcm2835:21"},
		{"raspberrypi,model-b-rev2", "pin 13", "pinctrl-bcm2835:27"},
		{"raspberrypi,model-zero-2-w", "pin 12", "pinctrl-bcm2835:18"},
		{"raspberrypi,400", "pin 40", "pinctrl-bcm2711:21"},
		{"raspberrypi,5-model-b", "GPIO26", "pinctrl-rp1:26"},
		// wiringOP for the Orange Pi 5: GPIO 131 is pin 8; 32 lines a bank.
		{"xunlong,orangepi-5", "pin 8", "gpio4:3"},
		// The numbers of mraa for the ROCK Pi 4: 149 is pin 15.
		{"radxa,rockpi4", "pin 15", "gpio4:21"},
		// Hardkernel: pin 7 of the ODROID-C2 is GPIO 249, the bank begins at 136.
		{"hardkernel,odroid-c2", "pin 7", "periphs-banks:113"},
		{"xunlong,orangepi-pc", "PG7", "1c20800.pinctrl:199"},
		{"pine64,pine64", "pin 7", "1f02c00.pinctrl:10"},
		// NVIDIA's numbers.
		{"nvidia,p3450-0000", "pin 7", "tegra-gpio:216"},
		{"nvidia,p3450-0000", "pin 16", "tegra-gpio:232"},
		{"nvidia,p3768-0000+p3767-0005", "pin 7", "tegra234-gpio:144"},
		{"nvidia,p3768-0000+p3767-0005", "pin 33", "tegra234-gpio:43"},
		{"nvidia,p3737-0000+p3701-0000", "pin 33", "tegra234-gpio-aon:2"},
		{"nvidia,p3509-0000+p3668-0000", "pin 15", "tegra194-gpio-aon:16"},
		{"nvidia,p3509-0000+p3668-0000", "pin 38", "tegra194-gpio:129"},
		{"st,stm32mp157c-dk2", "pin 12", "GPIOI:5"},
		// Table 12 of the BeagleBone Black's manual: P9.12 is GPIO1_28.
		{"ti,am335x-bone-black", "P9.12", "4804c000.gpio:28"},
		{"ti,am335x-bone-black", "p9_42", "44e07000.gpio:7"},
		{"ti,am335x-pocketbeagle", "P2.35", "481ac000.gpio:22"},
	} {
		p, ok := For([]string{tt.board}).Pin(tt.name)
		if got := fmt.Sprintf("%s:%d", p.Chip, p.Offset); !ok || got != tt.want {
			t.Errorf("%s of %s is %s, want %s", tt.name, tt.board, got, tt.want)
		}
	}
}

// TestNotLines gives names to the finders that are near to what they know.
func TestNotLines(t *testing.T) {
	for _, r := range rows() {
		for _, name := range []string{"", "-", "GND", "3V3", "GPIO", "GPIO-1", "GPIO+1", "GPIO300", "GPIO5_A0", "GPIO1_E0", "GPIO1_A8", "GPIO1_A00",
			"GPIO1_32", "GPIO4_0", "GPIOX_", "GPIOX_23", "GPIOAO_14", "P", "PA", "PA-1", "PA32", "PZ", "PQ", "PQ.", "PQ.08", "PQ.8", "PABC.00", "PAB.00", "p1", "pa1"} {
			if chip, offset, ok := r.lines(name); ok {
				t.Errorf("%s: %q is %s:%d", r.boards[0], name, chip, offset)
			}
		}
	}
}

// TestPiPins is the 40-pin header as the vendor's documentation draws it: the
// GPIO number, or -1 for power and ground.
func TestPiPins(t *testing.T) {
	want := []int{
		-1, -1, 2, -1, 3, -1, 4, 14, -1, 15, 17, 18, 27, -1, 22, 23, -1, 24, 10, -1,
		9, 25, 11, 8, -1, 7, 0, 1, 5, -1, 6, 12, 13, -1, 19, 16, 26, 20, -1, 21,
	}
	for _, board := range []string{"raspberrypi,3-model-b", "raspberrypi,4-model-b", "raspberrypi,4-compute-module", "raspberrypi,5-model-b"} {
		var got []int
		for _, p := range For([]string{board, "brcm,whatever"}).Pins {
			n := -1
			if p.Chip != "" {
				n = p.Offset
			}
			got = append(got, n)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: got %d\nwant %d", board, got, want)
		}
	}
}

func TestFor(t *testing.T) {
	if h := For([]string{"acme,board", "fsl,imx8mp"}); h != nil {
		t.Errorf("an unknown board has %v", h)
	}
	if h := For(nil); h != nil {
		t.Errorf("no board has %v", h)
	}
	// The most specific string decides.
	if h := For([]string{"ti,am335x-pocketbeagle", "ti,am335x-bone"}); !strings.Contains(h.Name, "P1") {
		t.Errorf("the PocketBeagle has %s", h.Name)
	}
	mine := For([]string{"raspberrypi,400"})
	mine.Pins[0].Name = "changed"
	if For([]string{"raspberrypi,400"}).Pins[0].Name != "3V3" {
		t.Error("the caller's copy is the table")
	}
}

func TestPin(t *testing.T) {
	pi, bone, odroid := For([]string{"raspberrypi,4-model-b"}), For([]string{"ti,am335x-bone-black"}), For([]string{"hardkernel,odroid-c4"})
	for _, tt := range []struct {
		h    *Header
		ref  string
		want int // number; 0: none
	}{
		{pi, "pin 11", 11}, {pi, "PIN11", 11}, {pi, " pin  40 ", 40}, {pi, "GPIO17", 11}, {pi, "gpio 17", 11}, {pi, "GND", 6},
		{pi, "11", 0}, {pi, "pin 0", 0}, {pi, "pin 41", 0}, {pi, "pin -1", 0}, {pi, "pin", 0}, {pi, "", 0}, {pi, "P9.12", 0}, {pi, "GPIO28", 0},
		{bone, "P8.1", 1}, {bone, "P8_46", 46}, {bone, "p9.12", 58}, {bone, "P9-12", 58}, {bone, "GPIO1_28", 58}, {bone, "P9.41", 87}, {bone, "P9.41B", 87},
		{bone, "pin 12", 0}, {bone, "P9.47", 0}, {bone, "P9.41A", 0},
		{odroid, "-", 0}, {odroid, "pin 37", 37},
		{nil, "pin 1", 0},
	} {
		p, ok := tt.h.Pin(tt.ref)
		if ok != (tt.want != 0) || p.Number != tt.want {
			t.Errorf("%q is %+v, want number %d", tt.ref, p, tt.want)
		}
	}
	if p, ok := pi.At("pinctrl-bcm2711", 17); !ok || p.Number != 11 {
		t.Errorf("line 17 is on %v", p)
	}
	if p, ok := pi.At("", 0); ok {
		t.Errorf("no controller is on %v", p)
	}
}

func TestIsI2C(t *testing.T) {
	pi := For([]string{"raspberrypi,4-model-b"})
	for _, tt := range []struct {
		alias, node string
		want        bool
	}{
		{"i2c1", "/soc/i2c@7e804000", true}, {"", "/soc/i2c@7e804000", true}, {"i2c1", "", true},
		{"i2c0", "/soc/i2c@7e205000", false}, {"", "", false},
	} {
		if got := pi.IsI2C(tt.alias, tt.node); got != tt.want {
			t.Errorf("%q %q: %t", tt.alias, tt.node, got)
		}
	}
	if For([]string{"hardkernel,odroid-c4"}).IsI2C("", "") {
		t.Error("a header without a bus has one")
	}
}

// TestDraw compares pictures with the golden files, and all of them with what a
// terminal shows.
func TestDraw(t *testing.T) {
	marks := map[int]Mark{
		3: {Text: "display"}, 5: {Text: "display"}, 11: {Text: "LED 1"}, 12: {Text: "LED 2"},
		6:  {Text: "button?", Bad: true},
		24: {Text: "used by a driver with a name as long as no driver has one"},
	}
	for name, tt := range map[string]struct {
		h     *Header
		marks map[int]Mark
	}{
		"raspberrypi":   {For([]string{"raspberrypi,4-model-b"}), nil},
		"marks":         {For([]string{"raspberrypi,4-model-b"}), marks},
		"beaglebone":    {For([]string{"ti,am335x-bone-black"}), map[int]Mark{58: {Text: "button"}}},
		"single-column": {&Header{Name: "three pins", Columns: 1, Pins: []Pin{{Number: 1, Name: "GND"}, {Number: 2, Name: "A", Chip: "c"}, {Number: 3, Name: "B", Chip: "c", Offset: 1, Use: "TXD"}}}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			var got bytes.Buffer
			if err := tt.h.Draw(&got, tt.marks); err != nil {
				t.Fatal(err)
			}
			file := filepath.Join("testdata", name+".txt")
			if *update {
				if err := os.WriteFile(file, got.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got.Bytes(), want) {
				t.Errorf("got\n%s\nwant\n%s", got.Bytes(), want)
			}
		})
	}
	for _, r := range rows() {
		checkPicture(t, r.header())
	}
}

func checkPicture(t *testing.T, h *Header) {
	t.Helper()
	var out strings.Builder
	marks := map[int]Mark{}
	for _, p := range h.Pins {
		marks[p.Number] = Mark{Text: strings.Repeat("x", 100)}
	}
	if err := h.Draw(&out, marks); err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(out.String()) {
		line = strings.TrimSuffix(line, "\n")
		if w := utf8.RuneCountInString(line); w > Width && !strings.HasPrefix(line, "http") {
			t.Errorf("%s: %d columns: %q", h.Name, w, line)
		}
		n += strings.Count(line, signUsed)
		if strings.HasSuffix(line, " ") {
			t.Errorf("%s: blanks at the end of %q", h.Name, line)
		}
	}
	if n != len(h.Pins)+1 {
		t.Errorf("%s: %d signs for %d pins and the legend", h.Name, n, len(h.Pins))
	}
}

func TestDrawNothing(t *testing.T) {
	var h *Header
	var out bytes.Buffer
	if err := h.Draw(&out, nil); err != nil || out.Len() != 0 {
		t.Errorf("%q, %v", out.String(), err)
	}
	if err := (&Header{Pins: []Pin{{Number: 1, Name: "GND"}}}).Draw(full{}, nil); !errors.Is(err, errFull) {
		t.Errorf("a full disk gives %v", err)
	}
}

var errFull = errors.New("full")

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errFull }
