// Package host opens the parts of the Linux machine that this process runs on:
// GPIO lines through the [character device], I2C buses through i2c-dev, the lights
// of /sys/class/leds, and the keys of input devices. It is what board.Wire asks
// for a real board.
//
// A part opens its device when it is first used and again after a failure, so a
// part may come and go, and a permission that is mended is noticed. GPIO lines are
// found by the label of their controller, never by its number, which changes from
// one kernel to the next.
//
// A line to read from that has gone reads High, which is "released": a device
// that vanishes must never look like a button that is held.
//
// Nothing here waits longer than the kernel does: a transfer on an I2C bus, or to
// a GPIO expander on one, ends with the timeout of its adapter, a second or so.
//
// [character device]: https://docs.kernel.org/userspace-api/gpio/chardev.html
package host

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
	"periph.io/x/conn/v3/i2c"

	"github.com/mecha-org/mecha-agent/board"
)

// Consumer is the name under which the kernel lists the GPIO lines of this
// program (gpioinfo shows it).
const Consumer = "mecha-agent"

// Host is this machine. Its methods may be called from several goroutines, and so
// may those of the parts that it opens.
type Host struct {
	dev, leds string // folders: /dev, /sys/class/leds
	ioctl     ioctl
	openBus   func(number int) (i2c.BusCloser, error)
}

// New returns this machine. It opens nothing.
func New() *Host {
	return &Host{dev: "/dev", leds: "/sys/class/leds", ioctl: systemIoctl, openBus: openBus}
}

// ioctl is the system call: arg points to what the request says. Tests put a
// kernel of their own here.
type ioctl func(fd uintptr, request uint, arg unsafe.Pointer) error

func systemIoctl(fd uintptr, request uint, arg unsafe.Pointer) error {
	for {
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, fd, uintptr(request), uintptr(arg))
		switch errno {
		case 0:
			return nil
		case unix.EINTR: // before anything was done
		default:
			return errno
		}
	}
}

// on calls ioctl for an open file and leaves its mode alone, which Fd would not.
func (call ioctl) on(f *os.File, request uint, arg unsafe.Pointer) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var errno error
	if err := raw.Control(func(fd uintptr) { errno = call(fd, request, arg) }); err != nil {
		return err
	}
	return errno
}

var _ board.Host = (*Host)(nil)
