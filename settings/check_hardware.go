package settings

import (
	"path/filepath"
	"time"
)

// hardware judges what can be judged without the board; the rest is the board's.
func (c *checker) hardware(h *Hardware) {
	if h.Board == "" {
		c.refuse("hardware.board", "write auto", "wants auto or the name of a board")
	}
	if !filepath.IsAbs(h.Console) {
		c.oneOf("hardware.console", h.Console, "auto", "on", "off")
	}
	if h.Display.Controller == "" {
		c.refuse("hardware.display.controller", "write auto or none", "wants the name of a controller")
	}
	// The rest is reserved: I2C specification UM10204, table 4.
	if a := h.Display.Address; a != 0 && (a < 0x08 || a > 0x77) {
		c.refuse("hardware.display.address", "", "wants 0x08 to 0x77, got %s", a)
	}
	if h.Display.Sleep != 0 {
		c.within("hardware.display.sleep", h.Display.Sleep, 10*time.Second, 24*time.Hour)
	}
	if n := len(h.LEDs.Code); n != 0 && n != 5 {
		c.refuse("hardware.leds.code", "a character of the code is five bits; for one light use hardware.leds.single", "wants five lines, got %d", n)
	}
	if h.LEDs.Strobe != "" && len(h.LEDs.Code) == 0 && c.fine("hardware.leds.code") {
		c.refuse("hardware.leds.strobe", "set hardware.leds.code too", "is of no use without the five lines of the code")
	}
	if n := len(h.LEDs.RGB); n != 0 && n != 3 {
		c.refuse("hardware.leds.rgb", "", "wants three lines, red, green and blue, got %d", n)
	}
	if h.LEDs.Onboard == "" {
		c.refuse("hardware.leds.onboard", "write auto or none", "wants the name of a light")
	}
	c.oneOf("hardware.leds.active", h.LEDs.Active, "high", "low")
	c.within("hardware.leds.pace", h.LEDs.Pace, 100*time.Millisecond, 10*time.Second)
	c.within("hardware.leds.dot", h.LEDs.Dot, 50*time.Millisecond, 2*time.Second)
	if h.Button.Line != "" && h.Button.Key != "" {
		c.refuse("hardware.button.key", "remove one of the two", "cannot stand beside hardware.button.line")
	}
	c.oneOf("hardware.button.active", h.Button.Active, "low", "high")
	c.within("hardware.button.hold", h.Button.Hold, 2*time.Second, 20*time.Second)
}
