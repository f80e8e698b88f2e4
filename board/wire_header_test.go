package board_test

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/mecha-org/mecha-agent/board"
)

// pinNames is how the device trees of Linux name lines after the pin that they are
// on: "PIN_11", "pin-11 [GPIO3_A1]", "HEADER_11", "Pin 11", "CON1-P11", "J2 Header
// Pin11", "P9_12 [spi1_cs0]", "P1.08 [SPI0_CLK]".
var pinNames = regexp.MustCompile(`^(?:PIN_|pin-|HEADER_|Pin |CON[12]-P|J2 Header Pin|.*7J1 Header Pin|CON1 Header Pin)0*([0-9]+)(?: \[|_[13]v[38]$|$)`)

var capeNames = regexp.MustCompile(`^(P[1289][_.][0-9]+[AB]?)(?: \[|$)`)

// piNames are lines of the Raspberry Pi that the kernel calls by their function.
var piNames = map[string]string{
	"ID_SDA": "GPIO0", "ID_SCL": "GPIO1", "SDA1": "GPIO2", "SCL1": "GPIO3", "GPIO_GCLK": "GPIO4", "SPI_CE1_N": "GPIO7",
	"SPI_CE0_N": "GPIO8", "SPI_MISO": "GPIO9", "SPI_MOSI": "GPIO10", "SPI_SCLK": "GPIO11",
}

// headerCheck holds the tables of pins against the device trees of Linux:
// controllers, the number of their lines, buses, and names of lines.
type headerCheck struct {
	boards map[string]bool
	named  map[string]int // how many pins the device tree names
}

func (h headerCheck) board(t *testing.T, name string, b board.Board) {
	t.Helper()
	h.boards[b.Compatible[0]] = true
	h.named[b.Compatible[0]] = checkHeader(t, name, b)
}

func (h headerCheck) end(t *testing.T) {
	t.Helper()
	if len(h.boards) < 50 {
		t.Errorf("%d boards have a header: %v", len(h.boards), h.boards)
	}
	// Where the device tree names the pins, it names so many.
	for compatible, want := range map[string]int{
		"raspberrypi,3-model-b": 26, "raspberrypi,4-model-b": 26, "ti,am335x-bone-black": 66, "ti,am335x-pocketbeagle": 44,
		"hardkernel,odroid-c2": 21, "hardkernel,odroid-c4": 25, "hardkernel,odroid-n2": 25, "libretech,aml-s905x-cc": 28,
		"libretech,aml-s805x-ac": 25, "friendlyarm,nanopi-k2": 20, "bananapi,bpi-m5": 28, "radxa,zero2": 25, "radxa,rockpi-e": 25,
		"radxa,zero-3w": 27, "friendlyarm,nanopc-t6": 28, "friendlyarm,cm3588-nas": 28, "indiedroid,nova": 28, "sinovoip,bpi-m2-zero": 28,
	} {
		if h.named[compatible] != want {
			t.Errorf("%s: the device tree names %d pins, want %d", compatible, h.named[compatible], want)
		}
	}
}

// checkHeader returns how many pins the device tree agrees with.
func checkHeader(t *testing.T, name string, b board.Board) (agreed int) {
	chip := func(label string) (board.Chip, bool) {
		i := slices.IndexFunc(b.Chips, func(c board.Chip) bool { return c.Label == label })
		if i < 0 {
			return board.Chip{}, false
		}
		return b.Chips[i], true
	}
	counted := strings.HasPrefix(b.SoC, "AM335") || slices.Contains(b.Compatible, "ti,am33xx") // see am335xLine
	rp1 := slices.Contains(b.Compatible, "brcm,bcm2712")                                       // not in Linux 6.12
	for _, pin := range b.Header.Pins {
		c, ok := chip(pin.Chip)
		if pin.Chip != "" && !ok && !counted && !rp1 {
			t.Errorf("%s: no controller %s for %s", name, pin.Chip, pin)
		}
		if ok && len(c.Lines) > 0 && pin.Offset >= len(c.Lines) {
			t.Errorf("%s: %s has %d lines, %s is line %d", name, pin.Chip, len(c.Lines), pin, pin.Offset)
		}
	}
	// Both give GPIO21 and GPIO27 the other's name: pin 13 of the first revision is
	// GPIO21 by https://elinux.org/RPi_Low-level_peripherals, and of the second, which
	// has the Model A too, GPIO27.
	swapped := b.Compatible[0] == "raspberrypi,model-a" || b.Compatible[0] == "raspberrypi,model-b"
	for _, c := range b.Chips {
		for offset, line := range c.Lines {
			var ref string
			if m := pinNames.FindStringSubmatch(line.Name); m != nil {
				n, _ := strconv.Atoi(m[1])
				ref = "pin " + strconv.Itoa(n)
			} else if m := capeNames.FindStringSubmatch(line.Name); m != nil {
				ref = m[1]
			} else if b.Name == "raspberrypi" && !swapped && strings.HasPrefix(c.Label, "pinctrl-") {
				ref = line.Name
				if other := piNames[line.Name]; other != "" {
					ref = other
				}
			}
			pin, ok := b.Header.Pin(ref)
			if !ok {
				continue
			}
			agreed++
			if pin.Offset != offset || !counted && pin.Chip != c.Label {
				t.Errorf("%s: %s is %s:%d by the table, %s:%d by the device tree", name, pin, pin.Chip, pin.Offset, c.Label, offset)
			}
		}
	}
	switch pins := b.Header.I2CPins(); {
	case len(pins) != 0 && len(pins) != 2:
		t.Errorf("%s: bus on %v", name, pins)
	case len(pins) == 2:
		buses := 0
		for _, bus := range b.I2C {
			if b.Header.IsI2C(bus.Alias, bus.Node) {
				buses++
			}
		}
		if buses != 1 && !rp1 {
			t.Errorf("%s: %d buses are on the header", name, buses)
		}
	}
	return agreed
}
