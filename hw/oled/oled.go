// Package oled drives the small monochrome displays of the SSD1306 family over
// I²C. It writes page by page, which all of them understand, and differs between
// them by a table only: size, column offset and the commands that start them.
package oled

import (
	"errors"
	"fmt"
	"image"
	"image/color"
	"io"
	"strings"
	"sync"

	"periph.io/x/conn/v3/display"
	"periph.io/x/conn/v3/i2c"
	"periph.io/x/devices/v3/ssd1306/image1bit"
)

// ErrUnknownController is what Open wraps for a name that is not in the table.
var ErrUnknownController = errors.New("unknown display controller")

// ErrClosed is what Draw and Halt return after Close.
var ErrClosed = errors.New("display is closed")

// Control bytes (SSD1306 data sheet, section 8.1.5.2). Commands go with the Co
// bit set, which says "one byte follows": the form that every chip of the family
// and QEMU's model read. Data goes with Co clear, "data until the stop".
const (
	controlCommand = 0x80
	controlData    = 0x40
)

// Commands that every controller of the table knows.
const (
	cmdColumnLow  = 0x00 // or the low four bits
	cmdColumnHigh = 0x10 // or the high four bits
	cmdPage       = 0xB0 // or the page, a band of eight rows
	cmdOff        = 0xAE
	cmdOn         = 0xAF
)

// Display is a display on an I²C bus. It is safe for concurrent use.
type Display struct {
	dev  i2c.Dev
	chip *Controller

	mu     sync.Mutex
	want   *image1bit.VerticalLSB // the picture as drawn
	sent   []byte                 // what is in the display's memory; nil when not known
	closed bool
}

// Open returns the display at the 7-bit address addr (most often 0x3C) of bus.
// It does not touch the bus: the display is started by the first Draw, and again
// by the next one after a Draw that failed, so that it may be plugged in late.
// An error wraps ErrUnknownController and lists the known ones.
func Open(bus i2c.Bus, addr uint16, controller string) (*Display, error) {
	chip, ok := find(controller)
	if !ok {
		return nil, fmt.Errorf("%w %q, known are %s", ErrUnknownController, controller, strings.Join(names(), ", "))
	}
	if bus == nil {
		return nil, errors.New("opening display: no I2C bus")
	}
	if addr < 0x08 || addr > 0x77 { // the rest is reserved, I2C specification UM10204, table 4
		return nil, fmt.Errorf("opening display: address %#x is not between 0x8 and 0x77", addr)
	}
	return &Display{
		dev:  i2c.Dev{Bus: bus, Addr: addr},
		chip: chip,
		want: image1bit.NewVerticalLSB(image.Rect(0, 0, chip.Width, chip.Height)),
	}, nil
}

// String returns the controller and where it is.
func (d *Display) String() string {
	return fmt.Sprintf("%s at %#x of %s", d.chip.Name, d.dev.Addr, d.dev.Bus)
}

// ColorModel returns image1bit.BitModel.
func (d *Display) ColorModel() color.Model { return image1bit.BitModel }

// Bounds returns the size of the glass, from (0, 0).
func (d *Display) Bounds() image.Rectangle { return d.want.Rect }

// Draw puts the part of src from sp on into r and sends what changed, in each band of eight rows
// from the first changed column to the last.
// After an error the content of the display is unknown: the next Draw starts it
// anew and sends everything.
func (d *Display) Draw(r image.Rectangle, src image.Image, sp image.Point) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return ErrClosed
	}
	delta := sp.Sub(r.Min)
	r = r.Intersect(d.want.Rect).Intersect(src.Bounds().Sub(delta))
	paint(d.want, r, src, delta)
	return d.flush(true)
}

// Halt blanks the display and switches it off. The next Draw switches it on.
func (d *Display) Halt() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return ErrClosed
	}
	return d.off()
}

// Close blanks the display and switches it off for good. It leaves the bus open,
// which belongs to the caller. A second Close does nothing.
func (d *Display) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil
	}
	d.closed = true
	return d.off()
}

// off clears the memory before it switches off, so that a display that is
// started by somebody else does not show an old code.
func (d *Display) off() error {
	clear(d.want.Pix)
	err := d.flush(false)
	if err == nil {
		err = d.command(cmdOff)
	}
	d.sent = nil
	if err != nil {
		return fmt.Errorf("switching off the display: %w", err)
	}
	return nil
}

// flush sends what differs from what was sent. With on it switches the display
// on after it has started it.
func (d *Display) flush(on bool) error {
	starting := d.sent == nil
	sent := d.sent
	d.sent = nil // until all of it went well
	if starting {
		for _, c := range d.chip.init {
			if err := d.command(c...); err != nil {
				return fmt.Errorf("starting the display: %w", err)
			}
		}
		sent = make([]byte, len(d.want.Pix))
	}
	for page := range d.chip.Height / 8 {
		row := d.want.Pix[page*d.chip.Width:][:d.chip.Width]
		old := sent[page*d.chip.Width:][:d.chip.Width]
		from, to := 0, len(row)
		if !starting {
			from, to = changed(old, row)
		}
		if from == to {
			continue
		}
		if err := d.page(page, from, row[from:to]); err != nil {
			return fmt.Errorf("writing page %d of the display: %w", page, err)
		}
		copy(old, row)
	}
	if starting && on {
		if err := d.command(cmdOn); err != nil {
			return fmt.Errorf("switching on the display: %w", err)
		}
	}
	d.sent = sent
	return nil
}

// changed returns the columns from the first to the last that differ.
func changed(old, row []byte) (from, to int) {
	to = len(row)
	for from < to && old[from] == row[from] {
		from++
	}
	for to > from && old[to-1] == row[to-1] {
		to--
	}
	return from, to
}

// page writes columns of a band of eight rows.
func (d *Display) page(page, from int, columns []byte) error {
	from += d.chip.offset
	for _, c := range [...]byte{
		cmdPage | byte(page),
		cmdColumnLow | byte(from&0x0F),
		cmdColumnHigh | byte(from>>4),
	} {
		if err := d.command(c); err != nil {
			return err
		}
	}
	return d.dev.Tx(append([]byte{controlData}, columns...), nil)
}

// command writes one command with its arguments, each byte behind a control byte
// of its own, and nothing else in the same transaction: QEMU's model takes the
// byte after an argument for a command until it sees a stop.
func (d *Display) command(c ...byte) error {
	w := make([]byte, 0, 4)
	for _, b := range c {
		w = append(w, controlCommand, b)
	}
	return d.dev.Tx(w, nil)
}

// paint copies src, moved by delta, into r of dst.
func paint(dst *image1bit.VerticalLSB, r image.Rectangle, src image.Image, delta image.Point) {
	at := func(x, y int) image1bit.Bit { return image1bit.BitModel.Convert(src.At(x, y)).(image1bit.Bit) }
	if s, ok := src.(*image1bit.VerticalLSB); ok {
		at = s.BitAt
	}
	for y := r.Min.Y; y < r.Max.Y; y++ {
		for x := r.Min.X; x < r.Max.X; x++ {
			dst.SetBit(x, y, at(x+delta.X, y+delta.Y))
		}
	}
}

var (
	_ display.Drawer = (*Display)(nil)
	_ io.Closer      = (*Display)(nil)
)
