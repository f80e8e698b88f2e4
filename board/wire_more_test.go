package board_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/mecha-org/mecha-agent/board"
	"github.com/mecha-org/mecha-agent/board/header"
	"github.com/mecha-org/mecha-agent/board/hosttest"
)

var updatePinout = flag.Bool("update-pinout", false, "write testdata/pinout.txt")

// TestWireTellsAll: one settings file is put right in one go.
func TestWireTellsAll(t *testing.T) {
	b, h := pi()
	err := b.Wire(t.Context(), board.Wiring{
		LEDs:   board.LEDWiring{Code: []string{"pin 11", "pin 6", "GPIO99", "pin 11", "pin 29"}, Onboard: "none"},
		Button: board.ButtonWiring{Line: "pin 24"},
	}, h)
	var bad *board.WiringError
	if !errors.As(err, &bad) {
		t.Fatal(err)
	}
	want := "hardware.leds.code[1]: pin 6 is GND and has no GPIO line\n" +
		"hardware.leds.code[2]: this board has no line \"GPIO99\"\n" +
		"hardware.leds.code[3]: pin 11 (GPIO17) is hardware.leds.code[0] already\n" +
		"hardware.button.line: pin 24 (GPIO8) is used by the kernel: spi0 CS0"
	if err.Error() != want {
		t.Errorf("got\n%s\nwant\n%s", err, want)
	}
	if len(bad.Problems) != 5 || !bad.Problems[3].Optional {
		t.Errorf("a warning is not among %q", bad.Problems)
	}
	// Pin 29 is ours, once the program lets go of it.
	for _, part := range []string{"LED 1, LED 4?  GPIO17 11 ✗", "✗ 6  GND     LED 2?", "LED 5   GPIO5 29 ●", "✗ 24 GPIO8   used by spi0 CS0, button?"} {
		if !strings.Contains(bad.Picture(), part) {
			t.Errorf("no %q in\n%s", part, bad.Picture())
		}
	}
}

func TestWireWithoutHost(t *testing.T) {
	b, _ := pi()
	if err := b.Wire(t.Context(), board.Wiring{Button: board.ButtonWiring{Line: "pin 24"}}, nil); err != nil {
		t.Errorf("what Detect does not know was refused: %v", err)
	}
	if b.Button != nil || b.Display != nil || b.LEDs != nil {
		t.Error("parts without a host")
	}
	if err := b.Wire(t.Context(), board.Wiring{Button: board.ButtonWiring{Line: "pin 6"}}, nil); err == nil {
		t.Error("ground is a button")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.Wire(ctx, board.Wiring{}, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

type hinted struct{ error }

func (hinted) Hint() string { return "sudo usermod -aG gpio" }

// TestWireWithoutPermission: what the host cannot tell now is no reason to stop.
func TestWireWithoutPermission(t *testing.T) {
	b, h := pi()
	h.Controllers, h.ChipsErr = nil, fmt.Errorf("opening /dev/gpiochip0: %w", hinted{errors.New("permission denied")})
	if err := b.Wire(t.Context(), board.Wiring{LEDs: board.LEDWiring{Single: "pin 11"}}, h); err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(h.Opened(), "pinctrl-bcm2711:17") || len(b.Chips) != 1 {
		t.Errorf("opened %q with %d controllers", h.Opened(), len(b.Chips))
	}
	want := "hardware: asking the GPIO controllers: opening /dev/gpiochip0: permission denied (sudo usermod -aG gpio)"
	if !slices.Contains(b.Missing, want) {
		t.Errorf("missing %q", b.Missing)
	}
}

// TestWireMovedChip: the kernel's number of a controller is not what finds it, and
// what the host says of it is newer than what Detect found.
func TestWireMovedChip(t *testing.T) {
	b, h := pi()
	h.Controllers[0].Device = "/dev/gpiochip4"
	b.Chips = append(b.Chips, board.Chip{Label: "raspberrypi-exp-gpio"})
	b.Chips[0].Device = ""
	if err := b.Wire(t.Context(), board.Wiring{LEDs: board.LEDWiring{Single: "pin 11", RGB: []string{"raspberrypi-exp-gpio:2", "pin 12", "pin 13"}}}, h); err != nil {
		t.Fatal(err)
	}
	if len(b.Chips) != 2 || b.Chips[0].Device != "/dev/gpiochip4" {
		t.Errorf("controllers %+v", b.Chips)
	}
	if want := "hardware.leds.rgb[0]: the kernel has no driver for the GPIO controller raspberrypi-exp-gpio yet"; !slices.Contains(b.Missing, want) {
		t.Errorf("missing %q", b.Missing)
	}
}

// TestWireByName: on a BeagleBone the labels of controllers depend on the order in
// which they were found, and only names lead to a line.
func TestWireByName(t *testing.T) {
	bank := func(label string, names map[int]string) board.Chip {
		c := board.Chip{Device: "/dev/" + label, Label: label, Lines: make([]board.Line, 32)}
		for i, name := range names {
			c.Lines[i].Name = name
		}
		return c
	}
	b := board.Board{Header: header.For([]string{"ti,am335x-bone-black"})}
	h := &hosttest.Host{Controllers: []board.Chip{
		bank("gpio-0-31", map[int]string{28: "P9_12", 16: "P9_15A"}), // the second bank, since Linux 5.15
		bank("gpio-96-127", map[int]string{2: "P9_22 [spi0_sclk]", 7: "P9_42A [ecappwm0]"}),
	}}
	w := board.Wiring{Display: board.DisplayWiring{Controller: "none"}, Button: board.ButtonWiring{Line: "P9.42"},
		LEDs: board.LEDWiring{Single: "GPIO1_28", RGB: []string{"P9.22", "p9_15", "P8.11"}}}
	if err := b.Wire(t.Context(), w, h); err != nil {
		t.Fatal(err)
	}
	want := []string{"gpio-96-127:2", "gpio-0-31:16", "4804c000.gpio:13", "gpio-0-31:28", "gpio-96-127:7"}
	if !slices.Equal(h.Opened(), want) {
		t.Errorf("opened %q, want %q", h.Opened(), want)
	}
	if len(b.Missing) != 1 || !strings.Contains(b.Missing[0], "hardware.leds.rgb[2]: no GPIO controller is labelled 4804c000.gpio now") {
		t.Errorf("missing %q", b.Missing)
	}
	// The same line by its name and by its controller.
	w = board.Wiring{LEDs: board.LEDWiring{Single: "gpio-0-31:28"}, Button: board.ButtonWiring{Line: "P9_12"}}
	if err := b.Wire(t.Context(), w, h); err == nil || !strings.Contains(err.Error(), "P9.12 (GPIO1_28) is hardware.leds.single already") {
		t.Errorf("one line twice: %v", err)
	}
}

// TestWireAmbiguousName: a name that several controllers have is no name.
func TestWireAmbiguousName(t *testing.T) {
	b := board.Board{}
	h := &hosttest.Host{Controllers: []board.Chip{
		{Device: "/dev/gpiochip0", Label: "a", Lines: []board.Line{{Name: "RESET"}}},
		{Device: "/dev/gpiochip1", Label: "b", Lines: []board.Line{{}, {Name: "RESET"}}},
	}}
	err := b.Wire(t.Context(), board.Wiring{Button: board.ButtonWiring{Line: "RESET"}}, h)
	var bad *board.WiringError
	if !errors.As(err, &bad) || !strings.Contains(err.Error(), `2 lines are called "RESET"`) || !strings.Contains(bad.Hint(), "a:0") {
		t.Errorf("%v, hint %q", err, bad.Hint())
	}
	if bad.Picture() != "" {
		t.Errorf("a picture of no header:\n%s", bad.Picture())
	}
	if err := b.Wire(t.Context(), board.Wiring{Button: board.ButtonWiring{Line: "b:1"}}, h); err != nil {
		t.Error(err)
	}
}

// TestWireDisplayGivesWay: a display that nobody asked for leaves its pins to what
// somebody did ask for.
func TestWireDisplayGivesWay(t *testing.T) {
	b, h := pi()
	if err := b.Wire(t.Context(), board.Wiring{LEDs: board.LEDWiring{Single: "pin 3"}}, h); err != nil {
		t.Fatal(err)
	}
	if b.Display != nil || !slices.Equal(h.Opened(), []string{"pinctrl-bcm2711:2"}) {
		t.Errorf("opened %q", h.Opened())
	}
	if !slices.Contains(b.Missing, "hardware.display: not looked for, because pin 3 is hardware.leds.single") {
		t.Errorf("missing %q", b.Missing)
	}
	// On another bus its pins are free.
	b, h = pi()
	if err := b.Wire(t.Context(), board.Wiring{Display: board.DisplayWiring{Bus: "/dev/i2c-20"}, LEDs: board.LEDWiring{Single: "pin 3"}}, h); err != nil {
		t.Error(err)
	}
}

func TestPinout(t *testing.T) {
	b, h := pi()
	w := board.Wiring{LEDs: board.LEDWiring{Code: five, Strobe: "pin 29"}, Button: board.ButtonWiring{Line: "pin 32"}}
	if err := b.Wire(t.Context(), board.Wiring{}, h); err != nil {
		t.Fatal(err)
	}
	got := b.Pinout(w)
	if *updatePinout {
		if err := os.WriteFile("testdata/pinout.txt", []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("testdata/pinout.txt")
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if b.Missing != nil {
		t.Errorf("a drawing changed the board: %q", b.Missing)
	}
}

func TestPinoutWithoutHeader(t *testing.T) {
	b := board.Board{Chips: []board.Chip{
		{Label: "30200000.gpio", Lines: []board.Line{{Name: "SODIMM_206"}, {}, {Used: true, Consumer: "reset\x1b[31m"}, {Name: strings.Repeat("N", 200)}}},
	}}
	got := b.Pinout(board.Wiring{Button: board.ButtonWiring{Line: "SODIMM_206"}})
	for _, want := range []string{"30200000.gpio:0              SODIMM_206  button\n", "30200000.gpio:2                used by reset[31m\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	for line := range strings.Lines(got) {
		if utf8.RuneCountInString(strings.TrimSuffix(line, "\n")) > header.Width {
			t.Errorf("too wide: %q", line)
		}
	}
	if got := (board.Board{}).Pinout(board.Wiring{}); !strings.Contains(got, "no names") {
		t.Errorf("nothing known: %q", got)
	}
}
