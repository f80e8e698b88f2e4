package host

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
	"periph.io/x/conn/v3/i2c"
	"periph.io/x/conn/v3/physic"
	"periph.io/x/host/v3/sysfs"

	"github.com/mecha-org/mecha-agent/board"
)

// I2C returns the bus behind /dev/i2c-number. Tx opens it at the first call, and
// again after an error that says more than that nobody answered. Its errors wrap
// the kernel's number (unix.ENXIO or unix.EREMOTEIO: no answer), or
// fs.ErrPermission or fs.ErrNotExist with a hint. A transfer is bounded by the
// timeout of the adapter, which is a second where its driver says nothing else.
func (h *Host) I2C(number int) board.Conn {
	return &conn{host: h, number: number}
}

type conn struct {
	host   *Host
	number int

	mu     sync.Mutex
	bus    i2c.BusCloser // nil: not open
	closed bool
}

// String names the bus as periph does: "I2C1".
func (c *conn) String() string { return "I2C" + strconv.Itoa(c.number) }

// Tx writes w to the device at address and then reads r from it, without a stop
// in between. Both empty do nothing.
func (c *conn) Tx(address uint16, w, r []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.open(); err != nil {
		return err
	}
	err := c.bus.Tx(address, w, r)
	if err == nil {
		return nil
	}
	errno, known := errnoIn(err)
	switch {
	case !known:
		return fmt.Errorf("talking to 0x%02x on %s: %w", address, c, err)
	case noAnswer(errno):
		return fmt.Errorf("nothing answers at 0x%02x on %s: %w", address, c, errno)
	}
	// The adapter may have been unbound and be back; only a new file finds it.
	c.bus.Close()
	c.bus = nil
	return fmt.Errorf("talking to 0x%02x on %s: %w", address, c, errno)
}

// noAnswer tells whether an adapter says that no device has acknowledged: ENXIO
// is how it should, EREMOTEIO is how many do, bcm2835 and DesignWare among them.
// https://docs.kernel.org/i2c/fault-codes.html
func noAnswer(errno unix.Errno) bool {
	return errno == unix.ENXIO || errno == unix.EREMOTEIO
}

func (c *conn) open() error {
	if c.closed {
		return fmt.Errorf("opening %s: %w", c, os.ErrClosed)
	}
	if c.bus != nil {
		return nil
	}
	bus, err := c.host.openBus(c.number)
	if err == nil {
		c.bus = bus
		return nil
	}
	// periph keeps the words of an error and drops its kind: ask again.
	path := filepath.Join(c.host.dev, "i2c-"+strconv.Itoa(c.number))
	f, again := os.OpenFile(path, os.O_RDWR, 0)
	switch {
	case again == nil:
		f.Close()
	case errors.Is(again, os.ErrNotExist):
		err = &hinted{again, "switch the bus on in the device tree, and load i2c-dev: sudo modprobe i2c-dev"}
	default:
		err = explain(path, again)
	}
	return fmt.Errorf("opening %s: %w", c, err)
}

func openBus(number int) (i2c.BusCloser, error) {
	b, err := sysfs.NewI2C(number)
	if err != nil {
		return nil, err // not b: a nil pointer in an interface is not nil
	}
	return b, nil
}

// errnoIn finds the kernel's number behind an error of periph's sysfs, which ends
// with its words and wraps nothing.
func errnoIn(err error) (unix.Errno, bool) {
	const last = unix.EHWPOISON // the largest that Linux has
	words := err.Error()
	for e := unix.Errno(1); e <= last; e++ {
		if strings.HasSuffix(words, ": "+e.Error()) {
			return e, true
		}
	}
	return 0, false
}

// SetSpeed is refused: Linux sets the clock of a bus in the device tree (property
// clock-frequency; on a Raspberry Pi dtparam=i2c_arm_baudrate).
func (c *conn) SetSpeed(physic.Frequency) error {
	return fmt.Errorf("setting the clock of %s: %w", c, errors.ErrUnsupported)
}

// Close closes the bus. A transfer that runs is waited for.
func (c *conn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	if c.bus == nil {
		return nil
	}
	err := c.bus.Close()
	c.bus = nil
	return err
}
