package board

import (
	"io"

	"periph.io/x/conn/v3/gpio"
	"periph.io/x/conn/v3/i2c"
)

// Wiring says what is connected to the board, and where. The zero value says
// nothing: Wire takes what the family's table and the machine itself offer.
//
// A line is named by its pin on the header ("pin 11", or "P9.12" where pins have
// labels), by the name that the kernel or the header has for it ("GPIO17"), or by
// the label of its controller and its offset ("pinctrl-bcm2711:17").
type Wiring struct {
	Display DisplayWiring
	LEDs    LEDWiring
	Button  ButtonWiring
	State   string // folder for what must be put back after a crash; empty: nothing is
}

// DisplayWiring is the display's part of a Wiring.
type DisplayWiring struct {
	Controller string // row of hw/screen's table, "auto" or "", or "none"
	Bus        string // "/dev/i2c-1", "i2c-1", or an alias or a node of the device tree; empty: the header's
	Address    uint16 // 7 bits; 0: ask the controller's usual ones
}

// LEDWiring is the LEDs' part of a Wiring. Lines are lit by a high level, unless
// ActiveLow.
type LEDWiring struct {
	Code      []string // five lines, the most significant first, or none
	Strobe    string
	Single    string
	RGB       []string // three lines: red, green, blue; or none
	Onboard   string   // name in /sys/class/leds, used as Single; "auto" or "": the family's, when nothing else can show a code; "none"
	ActiveLow bool
}

// ButtonWiring is the button's part of a Wiring: a line or a key, or neither.
type ButtonWiring struct {
	Line       string
	Key        string // label of a gpio-keys button ("Power Button"), or its code's name ("KEY_POWER") or number
	ActiveHigh bool   // the button pulls the line up, not to ground
}

// Host opens parts of the machine that this process runs on. The parts open their
// device at the first use and again after a failure, so that opening here does not
// fail and a part may come and go. Package board/host is one.
type Host interface {
	// Chips returns the GPIO controllers as they are now, with who holds a line.
	Chips() ([]Chip, error)
	// Output is a line to write to; high is lit, also when activeLow.
	Output(chip Chip, offset int, activeLow bool) Output
	// Input is a line to read from, low while it is active, whatever activeHigh is.
	Input(chip Chip, offset int, activeHigh bool) Input
	// I2C is the bus behind a /dev/i2c-N.
	I2C(number int) Conn
	// LED is a light of /sys/class/leds. What drove it before is written to a file
	// in the folder state and put back by Close, or by the next LED after a crash.
	LED(name, state string) Output
	// Key is a button of an input device, low while it is held.
	Key(device string, code uint16) Input
}

// Output, Input and Conn are parts that hold a device.
type (
	Output interface {
		gpio.PinOut
		io.Closer
	}
	Input interface {
		gpio.PinIn
		io.Closer
	}
	Conn interface {
		i2c.Bus
		io.Closer
	}
)
