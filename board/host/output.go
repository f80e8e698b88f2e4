package host

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
	"periph.io/x/conn/v3/gpio"

	"github.com/mecha-org/mecha-agent/board"
)

// Output returns a line to write to. Out takes the line at the first call and
// again after a failure; its errors wrap the kernel's number: unix.EBUSY when
// another holds the line, which the error names, unix.ENODEV when the controller
// has gone; or fs.ErrPermission or board.ErrAbsent. Close makes the line dark and
// gives it back; what its level is from then on is the controller's choice, most
// leave it.
func (h *Host) Output(c board.Chip, offset int, activeLow bool) board.Output {
	return &output{light: light{lineName(c, offset)}, host: h, chip: c, activeLow: activeLow}
}

type output struct {
	light
	host      *Host
	chip      board.Chip
	activeLow bool

	mu     sync.Mutex
	file   *os.File // nil: not taken, or lost
	closed bool
}

// Out lights the line with gpio.High and makes it dark with gpio.Low, whichever
// level that takes.
func (o *output) Out(l gpio.Level) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return fmt.Errorf("setting line %s: %w", o.name, os.ErrClosed)
	}
	var err error
	if o.file == nil {
		err = o.take(l)
	} else {
		err = o.set(l)
	}
	if err != nil {
		return fmt.Errorf("setting line %s: %w", o.name, err)
	}
	return nil
}

// take requests the line with its first value, so that it does not flash.
func (o *output) take(l gpio.Level) error {
	c, err := o.host.findChip(o.chip)
	if err != nil {
		return err
	}
	defer c.file.Close()
	flags := uint64(flagOutput)
	if o.activeLow {
		flags |= flagActiveLow
	}
	o.file, err = c.request(o.number, flags, unix.GPIOV2LineAttribute{Id: unix.GPIO_V2_LINE_ATTR_ID_OUTPUT_VALUES, Flags: bit(l)})
	return err
}

// set writes to the line, and gives it up when that fails.
func (o *output) set(l gpio.Level) error {
	v := unix.GPIOV2LineValues{Bits: bit(l), Mask: 1}
	err := o.host.ioctl.on(o.file, unix.GPIO_V2_LINE_SET_VALUES_IOCTL, unsafe.Pointer(&v))
	if err != nil {
		o.file.Close()
		o.file = nil
	}
	return err
}

// Close makes the line dark, if it was ever lit or taken, and gives it back.
func (o *output) Close() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	if o.file == nil {
		return nil
	}
	err := o.set(gpio.Low)
	if o.file != nil {
		err = errors.Join(err, o.file.Close())
		o.file = nil
	}
	if err != nil {
		return fmt.Errorf("giving line %s back: %w", o.name, err)
	}
	return nil
}

// bit is the value of a line in the kernel's bitmaps: 1 is active.
func bit(l gpio.Level) uint64 {
	if l {
		return 1
	}
	return 0
}
