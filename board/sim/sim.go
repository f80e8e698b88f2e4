// Package sim is a board of emulated parts: an SSD1306 display that decodes what
// the driver really sends, six LEDs and a button. It stands in for hardware in
// the demo and in tests, and is driven and watched over a Unix socket (see
// Control). No production binary links it.
package sim

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/mecha-org/mecha-agent/board"
)

// Options of Open.
const (
	OptionControl    = "control"    // path of the control socket; none without it
	OptionModel      = "model"      // default "Simulated board"
	OptionSerial     = "serial"     // default "SIM-0001"
	OptionController = "controller" // of the display; only DefaultController for now
)

// DefaultController is the display that is emulated, a row of hw/oled's table.
const DefaultController = "ssd1306-128x64"

// optionError is an option that a person can mend.
type optionError struct{ text, hint string }

func (e *optionError) Error() string { return "simulated board: " + e.text }

// Hint says what to write instead.
func (e *optionError) Hint() string { return e.hint }

// Open returns a board named "sim" with all parts. Its control socket, when the
// options name one, is served until ctx ends or the board is closed; the parts
// go on as long as somebody holds them. An error about an option has a hint.
func Open(ctx context.Context, options map[string]string) (board.Board, error) {
	b := board.Board{
		Name:         "sim",
		Vendor:       "Mecha",
		Model:        "Simulated board",
		Serial:       "SIM-0001",
		Architecture: board.Architecture(),
	}
	var control string
	for _, name := range slices.Sorted(maps.Keys(options)) {
		value := options[name]
		switch name {
		case OptionControl:
			control = value
		case OptionModel:
			b.Model = value
		case OptionSerial:
			b.Serial = value
		case OptionController:
			if value != DefaultController {
				return board.Board{}, &optionError{
					fmt.Sprintf("no emulation of the display controller %q", value),
					"set " + OptionController + " to " + DefaultController + ", or leave it out",
				}
			}
		default:
			return board.Board{}, &optionError{
				fmt.Sprintf("unknown option %q", name),
				"known options are " + strings.Join([]string{OptionControl, OptionController, OptionModel, OptionSerial}, ", "),
			}
		}
	}

	p := &parts{display: NewSSD1306(), lights: newLights(), button: newButton()}
	bits, strobe := newLEDs(p.lights)
	b.Display = &board.Display{Bus: p.display, Address: Address, Controller: DefaultController}
	b.LEDs = &board.LEDs{Bits: bits, Strobe: strobe}
	b.Button = p.button
	if control != "" {
		s, err := serve(ctx, control, p)
		if err != nil {
			return board.Board{}, err
		}
		b.OnClose(s)
	}
	return b, nil
}

// parts are the emulated parts of one board.
type parts struct {
	display *SSD1306
	lights  *lights
	button  *button
}
