package oled

import (
	"slices"
	"strings"
)

// Controller is a row of the table: a chip and the glass that it drives.
type Controller struct {
	Name          string // what Open takes
	Width, Height int    // pixels; the height is a multiple of 8
	Sheet         string // the data sheet, or the model that the row is made for
	// offset is the column of the chip's memory behind the leftmost pixel.
	offset int
	// init is sent before the first picture, one command with its arguments per
	// row. It leaves the display off: it is switched on when the memory is full,
	// so that nobody sees the noise that is in it after power-up.
	init [][]byte
}

// controllers is the table of what Open knows. Every value that a module's
// wiring does not dictate is the reset value of the data sheet.
var controllers = []Controller{
	{
		Name: "ssd1306-128x64", Width: 128, Height: 64,
		Sheet: "https://cdn-shop.adafruit.com/datasheets/SSD1306.pdf",
		init: [][]byte{
			{0xAE},       // display off
			{0xD5, 0x80}, // clock: divide by 1, default frequency
			{0xA8, 0x3F}, // multiplex ratio: 64 rows
			{0xD3, 0x00}, // no vertical shift
			{0x40},       // start line 0
			{0x8D, 0x14}, // charge pump on, needed by modules fed with 3.3 V only
			{0x20, 0x02}, // page addressing
			{0xA1},       // column 127 is segment 0: the connector is above the glass
			{0xC8},       // rows scanned from the last: likewise
			{0xDA, 0x12}, // COM pins: alternative, as 64-row glass is wired
			{0x81, 0x7F}, // contrast: half
			{0xD9, 0xF1}, // pre-charge, the value for the charge pump
			{0xDB, 0x20}, // V(COMH) deselect level 0.77 VCC
			{0xA4},       // show the memory
			{0xA6},       // 1 is lit
		},
	},
	{
		Name: "ssd1306-128x32", Width: 128, Height: 32,
		Sheet: "https://cdn-shop.adafruit.com/datasheets/SSD1306.pdf",
		init: [][]byte{
			{0xAE},
			{0xD5, 0x80},
			{0xA8, 0x1F}, // multiplex ratio: 32 rows
			{0xD3, 0x00},
			{0x40},
			{0x8D, 0x14},
			{0x20, 0x02},
			{0xA1},
			{0xC8},
			{0xDA, 0x02}, // COM pins: sequential, as 32-row glass is wired
			{0x81, 0x7F},
			{0xD9, 0xF1},
			{0xDB, 0x20},
			{0xA4},
			{0xA6},
		},
	},
	{
		Name: "ssd1309-128x64", Width: 128, Height: 64,
		Sheet: "https://www.hpinfotech.ro/SSD1309.pdf",
		init: [][]byte{
			{0xFD, 0x12}, // unlock the commands
			{0xAE},
			{0xD5, 0x70},
			{0xA8, 0x3F},
			{0xD3, 0x00},
			{0x40},
			{0x20, 0x02}, // no charge pump: this chip is fed with VCC
			{0xA1},
			{0xC8},
			{0xDA, 0x12},
			{0x81, 0x7F},
			{0xD9, 0x22},
			{0xDB, 0x34},
			{0xA4},
			{0xA6},
		},
	},
	{
		// 132 columns of memory, of which the glass shows the middle 128. It has
		// page addressing only, so no 0x20.
		Name: "sh1106-128x64", Width: 128, Height: 64, offset: 2,
		Sheet: "https://www.pololu.com/file/0J1813/SH1106.pdf",
		init: [][]byte{
			{0xAE},
			{0xD5, 0x50},
			{0xA8, 0x3F},
			{0xD3, 0x00},
			{0x40},
			{0xAD, 0x8B}, // DC-DC converter on, allowed only while the display is off
			{0x32},       // pump voltage 8.0 V
			{0xA1},
			{0xC8},
			{0xDA, 0x12},
			{0x81, 0x80},
			{0xD9, 0x22},
			{0xDB, 0x35},
			{0xA4},
			{0xA6},
		},
	},
	{
		// The Pictiva panel that QEMU emulates. The model knows neither 0x20 nor
		// 0x8D and paints on when it is sent them.
		Name: "ssd0303-96x16", Width: 96, Height: 16, offset: 36,
		Sheet: "https://gitlab.com/qemu-project/qemu/-/blob/master/hw/display/ssd0303.c",
		init: [][]byte{
			{0xAE},
			{0xD5, 0x80},
			{0xA8, 0x0F},
			{0xD3, 0x00},
			{0x40},
			{0xA0},
			{0xC0},
			{0x81, 0x80},
			{0xA4},
			{0xA6},
		},
	},
}

// Controllers returns the table of what Open knows, the most common first.
func Controllers() []Controller { return slices.Clone(controllers) }

// names returns the names that Open knows, sorted.
func names() []string {
	names := make([]string, 0, len(controllers))
	for i := range controllers {
		names = append(names, controllers[i].Name)
	}
	slices.Sort(names)
	return names
}

func find(name string) (*Controller, bool) {
	i := slices.IndexFunc(controllers, func(c Controller) bool { return strings.EqualFold(c.Name, name) })
	if i < 0 {
		return nil, false
	}
	return &controllers[i], true
}
