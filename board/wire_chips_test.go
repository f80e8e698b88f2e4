package board_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mecha-org/mecha-agent/board"
	"github.com/mecha-org/mecha-agent/board/boardtest"
	"github.com/mecha-org/mecha-agent/board/hosttest"
)

// TestWirePi5: the header's controller is found by its label, whatever number it has,
// among those of the SoC, two of which are of one node.
func TestWirePi5(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(samplesDir, "hand-raspberrypi-5.txt"))
	if err != nil {
		t.Fatal(err)
	}
	root, err := boardtest.Parse(string(text))
	if err != nil {
		t.Fatal(err)
	}
	rp1 := board.Chip{Device: "/dev/gpiochip0", Label: "pinctrl-rp1", Lines: make([]board.Line, 54)}
	rp1.Lines[44], rp1.Lines[47] = board.Line{Name: "RP1_STAT_LED", Used: true, Consumer: "PWR"}, board.Line{Name: "2712_WAKE"}
	aon := board.Chip{Device: "/dev/gpiochip10", Label: "gpio-brcmstb@107d517c00", Lines: make([]board.Line, 17)}
	aon.Lines[8] = board.Line{Name: "2712_WAKE"}
	host := func() *hosttest.Host {
		return &hosttest.Host{Controllers: []board.Chip{rp1, aon, {Device: "/dev/gpiochip11", Label: "gpio-brcmstb@107d517c20", Lines: make([]board.Line, 6)}}}
	}
	wire := func(w board.Wiring) (board.Board, *hosttest.Host, error) {
		b, err := board.Detect(root)
		if err != nil {
			t.Fatal(err)
		}
		h := host()
		err = b.Wire(t.Context(), w, h)
		return b, h, err
	}
	b, h, err := wire(board.Wiring{LEDs: board.LEDWiring{Single: "pin 11"}, Button: board.ButtonWiring{Key: "pwr_button"}})
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"i2c-1", "pinctrl-rp1:17", "key 116 of /dev/input/event0"}; !slices.Equal(h.Opened(), want) {
		t.Errorf("opened %q, want %q", h.Opened(), want)
	}
	if len(b.Chips) != 3 {
		t.Errorf("%d controllers: %+v", len(b.Chips), b.Chips)
	}
	for line, want := range map[string]string{
		"2712_WAKE":    `2 lines are called "2712_WAKE"`,
		"RP1_STAT_LED": "RP1_STAT_LED is used by the kernel: PWR",
		"gpiochip4:17": "no GPIO controller is labelled gpiochip4",
	} {
		b, _, err := wire(board.Wiring{LEDs: board.LEDWiring{Single: line}})
		said := fmt.Sprint(err, b.Missing)
		if !strings.Contains(said, want) {
			t.Errorf("%s: %s", line, said)
		}
	}
}

// TestWireWithoutLabels: where Detect could not tell the labels, the host's controllers
// are the same ones, and no line is there twice.
func TestWireWithoutLabels(t *testing.T) {
	lines := []board.Line{{Name: "P9_12 [gpio1_28]"}}
	b := board.Board{Chips: []board.Chip{{Device: "/dev/gpiochip0", Lines: lines}}}
	h := &hosttest.Host{Controllers: []board.Chip{{Device: "/dev/gpiochip0", Label: "gpio-0-31", Lines: lines}}}
	if err := b.Wire(t.Context(), board.Wiring{Button: board.ButtonWiring{Line: "P9_12"}}, h); err != nil {
		t.Fatal(err)
	}
	if len(b.Chips) != 1 || b.Chips[0].Label != "gpio-0-31" {
		t.Errorf("controllers %+v", b.Chips)
	}
}

// TestWireSameLabel: two expanders of one kind have one label, and different lines.
func TestWireSameLabel(t *testing.T) {
	expanders := []board.Chip{
		{Device: "/dev/gpiochip1", Label: "mcp23017", Lines: []board.Line{{Name: "A"}, {}}},
		{Device: "/dev/gpiochip2", Label: "mcp23017", Lines: []board.Line{{Name: "B"}, {}}},
	}
	wire := func(button, single string) error {
		b, h := pi()
		h.Controllers = append(h.Controllers, expanders...)
		return b.Wire(t.Context(), board.Wiring{Button: board.ButtonWiring{Line: button}, LEDs: board.LEDWiring{Single: single}}, h)
	}
	err := wire("mcp23017:1", "")
	if err == nil || !strings.Contains(err.Error(), "2 GPIO controllers are labelled mcp23017") {
		t.Errorf("a guess: %v", err)
	}
	if err := wire("A", "B"); err != nil {
		t.Errorf("the first lines of both: %v", err)
	}
	if err := wire("A", "A"); err == nil {
		t.Error("one line twice")
	}
	// A header whose controller is one of two is no better.
	b, h := pi()
	h.Controllers = append(h.Controllers, board.Chip{Device: "/dev/gpiochip1", Label: "pinctrl-bcm2711"})
	if err := b.Wire(t.Context(), board.Wiring{Button: board.ButtonWiring{Line: "pin 11"}}, h); err == nil {
		t.Error("one of two controllers has pin 11")
	}
}
