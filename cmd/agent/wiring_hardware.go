package main

import (
	"github.com/mecha-org/mecha-agent/board"
	"github.com/mecha-org/mecha-agent/settings"
)

// wiring is what the settings say about the panel, in the board's words. What must
// be put back after a crash is written to the folder state.
func wiring(c settings.Hardware, state string) board.Wiring {
	return board.Wiring{
		Display: board.DisplayWiring{Controller: c.Display.Controller, Bus: c.Display.Bus, Address: uint16(c.Display.Address)},
		LEDs: board.LEDWiring{Code: c.LEDs.Code, Strobe: c.LEDs.Strobe, Single: c.LEDs.Single, RGB: c.LEDs.RGB,
			Onboard: c.LEDs.Onboard, ActiveLow: c.LEDs.Active == "low"},
		Button: board.ButtonWiring{Line: c.Button.Line, Key: c.Button.Key, ActiveHigh: c.Button.Active == "high"},
		State:  state,
	}
}
