package screen

import (
	"fmt"
	"slices"
	"strings"

	"periph.io/x/conn/v3/i2c"

	"github.com/mecha-org/mecha-agent/hw"
	"github.com/mecha-org/mecha-agent/hw/oled"
)

// Controller is a row of the table: a display as a person buys it.
type Controller struct {
	Name          string   // as in the settings
	Width, Height int      // of what Unit says
	Unit          string   // "pixels" or "characters"
	Addresses     []uint16 // the usual ones, the most common first
	Sheet         string   // link to the data sheet, or to the model that the row is made for

	open func(i2c.Bus, uint16) (hw.Screen, error) // touches no bus
}

// controllers is the table.
var controllers = append(oleds(),
	lcdRow(16, []byte{0x00, 0x40}),
	lcdRow(20, []byte{0x00, 0x40, 0x14, 0x54}), // rows 2 and 3 go on where 0 and 1 end
	Controller{
		Name: "ht16k33", Width: htDigits, Height: 1, Unit: "characters",
		Addresses: []uint16{0x70}, // without a bridge on A0 to A2
		Sheet:     "https://cdn-shop.adafruit.com/datasheets/ht16K33v110.pdf",
		open: func(bus i2c.Bus, addr uint16) (hw.Screen, error) {
			return &segments{dev: i2c.Dev{Bus: bus, Addr: addr}}, nil
		},
	},
)

// lcdRow is an HD44780 behind a PCF8574, or a PCF8574A, whose three address
// bridges are open.
func lcdRow(columns int, rows []byte) Controller {
	return Controller{
		Name: fmt.Sprintf("hd44780-%dx%d", columns, len(rows)), Width: columns, Height: len(rows), Unit: "characters",
		Addresses: []uint16{0x27, 0x3F},
		Sheet:     "https://www.sparkfun.com/datasheets/LCD/HD44780.pdf",
		open: func(bus i2c.Bus, addr uint16) (hw.Screen, error) {
			return &lcd{dev: i2c.Dev{Bus: bus, Addr: addr}, columns: columns, rows: rows}, nil
		},
	}
}

// oleds returns the rows of package oled. Their address is selected by a
// resistor on the back of the module (SSD1306 data sheet, section 8.1.5).
func oleds() (rows []Controller) {
	for _, c := range oled.Controllers() {
		rows = append(rows, Controller{
			Name: c.Name, Width: c.Width, Height: c.Height, Unit: "pixels", Addresses: []uint16{0x3C, 0x3D}, Sheet: c.Sheet,
			open: func(bus i2c.Bus, addr uint16) (hw.Screen, error) {
				d, err := oled.Open(bus, addr, c.Name)
				if err != nil {
					return nil, err
				}
				return hw.NewDrawerScreen(d, d.Close), nil
			},
		})
	}
	return rows
}

// Controllers returns the table of every display that Open knows, the most common
// first.
func Controllers() []Controller {
	rows := slices.Clone(controllers)
	for i := range rows {
		rows[i].Addresses = slices.Clone(rows[i].Addresses)
	}
	return rows
}

func find(name string) (Controller, bool) {
	i := slices.IndexFunc(controllers, func(c Controller) bool { return strings.EqualFold(c.Name, name) })
	if i < 0 {
		return Controller{}, false
	}
	return controllers[i], true
}

// known returns the names that Open takes, for a hint.
func known() string {
	names := []string{Auto}
	for _, c := range controllers {
		names = append(names, c.Name)
	}
	return strings.Join(names, ", ")
}
