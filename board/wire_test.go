package board_test

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"periph.io/x/conn/v3/gpio"

	"github.com/mecha-org/mecha-agent/board"
	"github.com/mecha-org/mecha-agent/board/header"
	"github.com/mecha-org/mecha-agent/board/hosttest"
)

// pi is a Raspberry Pi 4 with its header's bus, SPI, lights and a key; GPIO8 is
// held by a driver, GPIO5 by a program, GPIO6 by a key's driver, GPIO13 by nobody
// that is known.
func pi() (board.Board, *hosttest.Host) {
	lines := make([]board.Line, 58)
	for i, name := range []string{"ID_SDA", "ID_SCL", "SDA1", "SCL1", "GPIO_GCLK", "GPIO5", "GPIO6"} {
		lines[i].Name = name
	}
	b := board.Board{
		Name:       "raspberrypi",
		Compatible: []string{"raspberrypi,4-model-b", "brcm,bcm2711"},
		Header:     header.For([]string{"raspberrypi,4-model-b"}),
		Chips:      []board.Chip{{Device: "/dev/gpiochip0", Label: "pinctrl-bcm2711", Lines: slices.Clone(lines)}},
		I2C: []board.Bus{
			{Number: 1, Device: "/dev/i2c-1", Node: "/soc/i2c@7e804000", Alias: "i2c1", Header: true},
			{Number: 20, Device: "/dev/i2c-20", Node: "/soc/i2c@7ef04500"},
			{Node: "/soc/i2c@7e205000", Alias: "i2c0"},
		},
		SPI:     []board.Bus{{Device: "/dev/spidev0.*", Alias: "spi0"}},
		Onboard: []board.LED{{Name: "PWR", Trigger: "default-on"}, {Name: "ACT", Trigger: "mmc0"}},
		Keys: []board.Key{
			{Name: "Power Button", Code: 116, Device: "/dev/input/event0"},
			{Name: "Sleep", Code: 142},
			{Name: "A", Code: 256, Device: "/dev/input/event1"}, {Name: "B", Code: 256, Device: "/dev/input/event1"},
		},
	}
	lines[5] = board.Line{Name: "GPIO5", Used: true, Consumer: "gpioset"}
	lines[6] = board.Line{Name: "GPIO6", Used: true, Consumer: "Power Button"}
	lines[8] = board.Line{Name: "SPI_CE0_N", Used: true, Consumer: "spi0 CS0"}
	lines[12] = board.Line{Used: true, Consumer: "ACT"}
	lines[13] = board.Line{Used: true}
	return b, &hosttest.Host{Controllers: []board.Chip{{Device: "/dev/gpiochip0", Label: "pinctrl-bcm2711", Lines: lines}}}
}

var five = []string{"pin 11", "GPIO18", "gpio 27", "pinctrl-bcm2711:22", "pin 16"}

// TestWireRefuses has a row for everything that cannot be.
func TestWireRefuses(t *testing.T) {
	button := func(line string) board.Wiring { return board.Wiring{Button: board.ButtonWiring{Line: line}} }
	single := func(line string) board.Wiring { return board.Wiring{LEDs: board.LEDWiring{Single: line}} }
	key := func(k string) board.Wiring { return board.Wiring{Button: board.ButtonWiring{Key: k}} }
	display := func(d board.DisplayWiring) board.Wiring { return board.Wiring{Display: d} }
	tests := []struct {
		name    string
		wiring  board.Wiring
		setting string
		text    string // part of the problem
		hint    string // part of its hint
		bad     int    // pin that the picture marks; 0: none
	}{
		{"power", button("pin 2"), "hardware.button.line", "pin 2 is 5V and has no GPIO line", "", 2},
		{"ground by name", button("GND"), "hardware.button.line", "pin 6 is GND", "", 6},
		{"no such pin", button("pin 41"), "hardware.button.line", `no line "pin 41"`, "pin 1 to pin 40", 0},
		{"bare number", button("17"), "hardware.button.line", "may be a pin or a line", `"pin 17" for the pin of the header, or "GPIO17"`, 0},
		{"typing error", button("GPOI17"), "hardware.button.line", `no line "GPOI17"`, `did you mean "GPIO17"`, 0},
		{"nothing like it", button("lid switch"), "hardware.button.line", "no line", "--pinout", 0},
		{"empty label", button(":3"), "hardware.button.line", "no line", "", 0},
		{"negative offset", button("pinctrl-bcm2711:-1"), "hardware.button.line", "no line", "", 0},
		{"offset too great", button("pinctrl-bcm2711:58"), "hardware.button.line", "has lines 0 to 57, not 58", "", 0},
		{"driver has it", single("pin 24"), "hardware.leds.single", "used by the kernel: spi0 CS0", "--pinout", 24},
		{"the kernel's key", button("pin 31"), "hardware.button.line", "used by the kernel: Power Button", `hardware.button.key to "Power Button"`, 31},
		{"the kernel's light", single("pin 32"), "hardware.leds.single", "used by the kernel: ACT", `hardware.leds.onboard to "ACT"`, 32},
		{"muxed", single("GPIO13"), "hardware.leds.single", "has another function", "--pinout", 33},
		{"twice", board.Wiring{LEDs: board.LEDWiring{Single: "pin 11"}, Button: board.ButtonWiring{Line: "GPIO17"}},
			"hardware.button.line", "pin 11 (GPIO17) is hardware.leds.single already", "its own line", 11},
		{"twice by another name", board.Wiring{LEDs: board.LEDWiring{RGB: []string{"GPIO4", "GPIO_GCLK", "pin 11"}}},
			"hardware.leds.rgb[1]", "pin 7 (GPIO4) is hardware.leds.rgb[0] already", "", 7},
		{"four code lines", board.Wiring{LEDs: board.LEDWiring{Code: five[:4]}}, "hardware.leds.code", "five lines, not 4", "leds.single", 0},
		{"strobe alone", board.Wiring{LEDs: board.LEDWiring{Strobe: "pin 11"}}, "hardware.leds.strobe", "no use", "", 0},
		{"two colours", board.Wiring{LEDs: board.LEDWiring{RGB: five[:2]}}, "hardware.leds.rgb", "three lines", "", 0},
		{"no such light", board.Wiring{LEDs: board.LEDWiring{Onboard: "act"}}, "hardware.leds.onboard", `no light "act"`, "there are PWR, ACT", 0},
		{"two single lights", board.Wiring{LEDs: board.LEDWiring{Onboard: "ACT", Single: "pin 11"}}, "hardware.leds.onboard", "one single light", "remove", 0},
		{"button and key", board.Wiring{Button: board.ButtonWiring{Line: "pin 11", Key: "KEY_POWER"}}, "hardware.button.key", "already", "remove", 0},
		{"no such key", key("KEY_RESTART"), "hardware.button.key", `no key "KEY_RESTART"`, `"Power Button" (KEY_POWER), "Sleep" (KEY_SLEEP)`, 0},
		{"two such keys", key("BTN_0"), "hardware.button.key", `2 keys of this board are "BTN_0"`, `"A" (BTN_0), "B" (BTN_0)`, 0},
		{"no such bus", display(board.DisplayWiring{Bus: "/dev/i2c-7"}), "hardware.display.bus", `no bus "/dev/i2c-7"`, "there are /dev/i2c-1 (i2c1), /dev/i2c-20", 0},
		{"no such alias", display(board.DisplayWiring{Bus: "i2c9"}), "hardware.display.bus", `no bus "i2c9"`, "", 0},
		{"bus is off", display(board.DisplayWiring{Bus: "i2c0"}), "hardware.display.bus", "the bus i2c0 has no device", "dtparam=i2c_arm=on", 0},
		{"pin of the bus", board.Wiring{Display: board.DisplayWiring{Controller: "ssd1306-128x64"}, LEDs: board.LEDWiring{Single: "pin 3"}},
			"hardware.leds.single", "pin 3 (GPIO2) carries SDA of the display's bus", "another line", 3},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b, h := pi()
			err := b.Wire(t.Context(), tt.wiring, h)
			var bad *board.WiringError
			if !errors.As(err, &bad) {
				t.Fatalf("got %v", err)
			}
			refused := slices.DeleteFunc(slices.Clone(bad.Problems), func(p board.Problem) bool { return p.Optional })
			if len(refused) != 1 {
				t.Fatalf("problems %q", refused)
			}
			p := refused[0]
			if p.Setting != tt.setting || !strings.Contains(p.Text, tt.text) || !strings.Contains(p.Hint, tt.hint) {
				t.Errorf("%s: %s (%s)\nwant %s: %s (%s)", p.Setting, p.Text, p.Hint, tt.setting, tt.text, tt.hint)
			}
			if err.Error() != p.String() || p.Hint != "" && bad.Hint() != p.Hint || bad.Hint() == "" {
				t.Errorf("the error says %q, hint %q", err, bad.Hint())
			}
			checkBad(t, bad.Picture(), tt.bad)
			if len(h.Opened()) != 0 || b.Button != nil || b.LEDs != nil || b.Display != nil {
				t.Errorf("opened %q all the same", h.Opened())
			}
		})
	}
}

// checkBad compares the marks of a picture with the one pin that is not right.
func checkBad(t *testing.T, picture string, pin int) {
	t.Helper()
	if picture == "" {
		t.Error("no picture")
	}
	want := 0
	if pin != 0 {
		want = 2 // with the legend
		near := fmt.Sprintf("%d ✗ ", pin)
		if pin%2 == 0 {
			near = fmt.Sprintf("✗ %d ", pin)
		}
		if !strings.Contains(picture, near) {
			t.Errorf("pin %d is not marked", pin)
		}
	}
	if n := strings.Count(picture, "✗"); n != want {
		t.Errorf("%d marks, want %d:\n%s", n, want, picture)
	}
	for line := range strings.Lines(picture) {
		if utf8.RuneCountInString(line) > header.Width+1 {
			t.Errorf("too wide: %q", line)
		}
	}
}

// TestWireConnects has a row for everything that can be: what is opened, in
// order, and what is warned of.
func TestWireConnects(t *testing.T) {
	const chip = "pinctrl-bcm2711:"
	bus := board.DisplayWiring{Controller: "none"}
	tests := []struct {
		name    string
		wiring  board.Wiring
		opened  []string
		missing string // part of the only line of Missing
	}{
		{"nothing said", board.Wiring{State: "/s"}, []string{"i2c-1", "led ACT of /s"}, ""},
		{"nothing wanted", board.Wiring{Display: bus, LEDs: board.LEDWiring{Onboard: "none"}}, nil, ""},
		{"five and strobe", board.Wiring{Display: bus, LEDs: board.LEDWiring{Code: five, Strobe: "pin 7"}},
			[]string{chip + "17", chip + "18", chip + "27", chip + "22", chip + "23", chip + "4"}, ""},
		{"one light", board.Wiring{Display: bus, LEDs: board.LEDWiring{Single: "PIN11"}}, []string{chip + "17"}, ""},
		{"colours, and the status light for the code", board.Wiring{Display: bus, LEDs: board.LEDWiring{RGB: five[:3]}},
			[]string{chip + "17", chip + "18", chip + "27", "led ACT of "}, ""},
		{"a light by name", board.Wiring{Display: board.DisplayWiring{Address: 0x3c}, LEDs: board.LEDWiring{Onboard: "PWR"}},
			[]string{"i2c-1", "led PWR of "}, ""},
		{"a display that was asked for", board.Wiring{Display: board.DisplayWiring{Controller: "sh1106-128x64"}}, []string{"i2c-1"}, ""},
		{"a bus by device", board.Wiring{Display: board.DisplayWiring{Bus: "i2c-20"}}, []string{"i2c-20"}, ""},
		{"a bus by node", board.Wiring{Display: board.DisplayWiring{Bus: "i2c@7ef04500"}}, []string{"i2c-20"}, ""},
		{"a line by the kernel's name", board.Wiring{Display: bus, LEDs: board.LEDWiring{Single: "gpio-gclk"}}, []string{chip + "4"}, ""},
		{"button", board.Wiring{Display: bus, LEDs: board.LEDWiring{Onboard: "none"}, Button: board.ButtonWiring{Line: "pin 40"}}, []string{chip + "21"}, ""},
		{"key by label", board.Wiring{Display: bus, LEDs: board.LEDWiring{Onboard: "none"}, Button: board.ButtonWiring{Key: "power button"}},
			[]string{"key 116 of /dev/input/event0"}, ""},
		{"key by number", board.Wiring{Display: bus, LEDs: board.LEDWiring{Onboard: "none"}, Button: board.ButtonWiring{Key: "0x74"}},
			[]string{"key 116 of /dev/input/event0"}, ""},
		{"key without a driver", board.Wiring{Display: bus, LEDs: board.LEDWiring{Onboard: "none"}, Button: board.ButtonWiring{Key: "KEY_SLEEP"}}, nil,
			`hardware.button.key: the key "Sleep" (KEY_SLEEP) has no input device yet`},
		{"a program has the line", board.Wiring{Display: bus, LEDs: board.LEDWiring{Single: "pin 29"}}, []string{chip + "5"}, "held by the program gpioset (stop it"},
		{"a controller that may come", board.Wiring{Display: bus, LEDs: board.LEDWiring{Single: "ftdi-cbus:2"}}, []string{"ftdi-cbus:2"},
			"no GPIO controller is labelled ftdi-cbus now (there are pinctrl-bcm2711)"},
		{"a pin of a bus that is on", board.Wiring{Display: bus, LEDs: board.LEDWiring{Single: "pin 19"}}, []string{chip + "10"},
			"pin 19 (GPIO10) carries SPI0 MOSI, and /dev/spidev0.* is switched on"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b, h := pi()
			b.Missing = []string{"TPM: none", "display: no wiring known for this board"}
			if err := b.Wire(t.Context(), tt.wiring, h); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(h.Opened(), tt.opened) {
				t.Errorf("opened %q, want %q", h.Opened(), tt.opened)
			}
			want := 1 // the TPM's
			if tt.missing != "" {
				want = 2
			}
			if len(b.Missing) != want || !strings.Contains(b.Missing[want-1], tt.missing) {
				t.Errorf("missing %q, want %q", b.Missing, tt.missing)
			}
			if err := b.Close(); err != nil {
				t.Error(err)
			}
			if err := h.Check(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestWireParts(t *testing.T) {
	b, h := pi()
	w := board.Wiring{LEDs: board.LEDWiring{Code: five, RGB: []string{"pin 36", "pin 38", "pin 40"}, ActiveLow: true},
		Button: board.ButtonWiring{Line: "pin 7", ActiveHigh: true}}
	if err := b.Wire(t.Context(), w, h); err != nil {
		t.Fatal(err)
	}
	if b.Display == nil || !b.Display.Optional || b.Display.Controller != "auto" || b.Display.Bus.String() != "i2c-1" {
		t.Errorf("display %+v", b.Display)
	}
	if b.LEDs.Single != nil {
		t.Error("a light was borrowed although the lines show the code")
	}
	if len(b.LEDs.Bits) != 5 || b.LEDs.Bits[4].Name() != "pinctrl-bcm2711:23" || b.LEDs.RGB[2].Name() != "pinctrl-bcm2711:21" {
		t.Errorf("lights %+v", b.LEDs)
	}
	if !h.Part("pinctrl-bcm2711:17").Inverted || !h.Part("pinctrl-bcm2711:4").Inverted || b.Button.Name() != "pinctrl-bcm2711:4" {
		t.Error("active levels are lost")
	}
	if b.Chips[0].Lines[8].Consumer != "spi0 CS0" {
		t.Error("the board does not know who holds its lines")
	}
}

// TestSpareLight: a light that nobody asked for is left to whoever has it, and
// that it may not be used is no fault.
func TestSpareLight(t *testing.T) {
	b, h := pi()
	w := board.Wiring{State: "/var/lib/mecha"}
	if err := b.Wire(t.Context(), w, h); err != nil {
		t.Fatal(err)
	}
	light := h.Part("led ACT of /var/lib/mecha")
	light.Fail = fs.ErrPermission
	if err := b.LEDs.Single.Out(gpio.High); err != nil || !w.SpareLight() {
		t.Errorf("a spare light failed: %v", err)
	}
	light.Fail = nil
	if err := b.LEDs.Single.Out(gpio.Low); err != nil || light.Read() != gpio.Low {
		t.Errorf("the light did not change: %v", err)
	}

	b, h = pi()
	w = board.Wiring{LEDs: board.LEDWiring{Onboard: "ACT"}}
	if err := b.Wire(t.Context(), w, h); err != nil {
		t.Fatal(err)
	}
	h.Part("led ACT of ").Fail = fs.ErrPermission
	if err := b.LEDs.Single.Out(gpio.High); !errors.Is(err, fs.ErrPermission) || w.SpareLight() {
		t.Errorf("a light that was asked for hides its failure: %v", err)
	}
}

func TestStatusLight(t *testing.T) {
	for _, tt := range []struct {
		lights []string
		want   string
	}{
		{[]string{"PWR", "ACT"}, "ACT"},
		{[]string{"led0", "led1"}, "led0"},
		{[]string{"beaglebone:green:usr2", "beaglebone:green:usr0", "beaglebone:green:mmc0"}, "beaglebone:green:usr0"},
		{[]string{"orangepi:green:pwr", "orangepi:red:status"}, "orangepi:red:status"},
		{[]string{"yellow:status", "nanopi-r2s:green:lan"}, "yellow:status"},
		{[]string{"green:power-status", "mmc0::", "wlan-act"}, ""},
		{[]string{"factory"}, ""},
		{nil, ""},
	} {
		b, h := pi()
		b.Onboard = nil
		for _, name := range tt.lights {
			b.Onboard = append(b.Onboard, board.LED{Name: name})
		}
		if err := b.Wire(t.Context(), board.Wiring{}, h); err != nil {
			t.Fatal(err)
		}
		got := ""
		if b.LEDs != nil {
			got = strings.TrimSuffix(strings.TrimPrefix(b.LEDs.Single.Name(), "led "), " of ")
		}
		if got != tt.want {
			t.Errorf("of %q it is %q, want %q", tt.lights, got, tt.want)
		}
	}
}
