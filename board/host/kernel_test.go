package host

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/mecha-org/mecha-agent/board"
)

// kernel is the GPIO side of a kernel: it answers ioctls on the files of a folder
// that stands for /dev.
type kernel struct {
	t   *testing.T
	dev string

	mu       sync.Mutex
	chips    map[string]*fakeChip // by path
	requests map[uintptr]*request // by the file that was given out
	log      []*request           // in order
}

type fakeChip struct {
	label  string
	lines  []board.Line
	refuse func(unix.GPIOV2LineRequest) error // of GET_LINE
	broken error                              // of every ioctl
}

// request is a line that was taken.
type request struct {
	unix.GPIOV2LineRequest
	chip   *fakeChip
	values []uint64 // that were set, the first one included
	value  uint64   // to be read
	events *os.File // where edges are written to
	gone   error
}

func newKernel(t *testing.T) (*kernel, *Host) {
	k := &kernel{t: t, dev: t.TempDir(), chips: map[string]*fakeChip{}, requests: map[uintptr]*request{}}
	return k, &Host{dev: k.dev, leds: filepath.Join(k.dev, "leds"), ioctl: k.ioctl}
}

// plug puts a controller with n lines at a number.
func (k *kernel) plug(number int, label string, n int) *fakeChip {
	k.t.Helper()
	c := &fakeChip{label: label, lines: make([]board.Line, n)}
	k.move(c, number)
	return c
}

// move gives a controller another number.
func (k *kernel) move(c *fakeChip, number int) {
	k.t.Helper()
	k.mu.Lock()
	defer k.mu.Unlock()
	for path, other := range k.chips {
		if other == c {
			delete(k.chips, path)
			os.Remove(path)
		}
	}
	path := filepath.Join(k.dev, fmt.Sprintf("gpiochip%d", number))
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		k.t.Fatal(err)
	}
	k.chips[path] = c
}

// chip is what Chips would say of a controller.
func (k *kernel) chip(number int, label string) board.Chip {
	return board.Chip{Device: filepath.Join(k.dev, fmt.Sprintf("gpiochip%d", number)), Label: label}
}

// last is the latest request.
func (k *kernel) last() *request {
	k.t.Helper()
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.log) == 0 {
		k.t.Fatal("no line was taken")
	}
	return k.log[len(k.log)-1]
}

func (k *kernel) ioctl(fd uintptr, number uint, arg unsafe.Pointer) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if r := k.requests[fd]; r != nil {
		return r.ioctl(number, arg)
	}
	path, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
	if err != nil {
		return err
	}
	c := k.chips[path]
	switch {
	case c == nil:
		return unix.ENOTTY
	case c.broken != nil:
		return c.broken
	}
	switch number {
	case unix.GPIO_GET_CHIPINFO_IOCTL:
		info := (*unix.GPIOChipInfo)(arg)
		copy(info.Name[:], filepath.Base(path))
		copy(info.Label[:], c.label)
		info.Lines = uint32(len(c.lines))
	case unix.GPIO_V2_GET_LINEINFO_IOCTL:
		info := (*unix.GPIOV2LineInfo)(arg)
		line := c.lines[info.Offset]
		copy(info.Name[:], line.Name)
		copy(info.Consumer[:], line.Consumer)
		info.Flags = flagInput
		if line.Used {
			info.Flags |= flagUsed
		}
	case unix.GPIO_V2_GET_LINE_IOCTL:
		return k.take(c, (*unix.GPIOV2LineRequest)(arg))
	default:
		return unix.EINVAL
	}
	return nil
}

func (k *kernel) take(c *fakeChip, q *unix.GPIOV2LineRequest) error {
	if c.lines[q.Offsets[0]].Used {
		return unix.EBUSY
	}
	if c.refuse != nil {
		if err := c.refuse(*q); err != nil {
			return err
		}
	}
	var ends [2]int
	if err := unix.Pipe2(ends[:], unix.O_CLOEXEC); err != nil {
		return err
	}
	q.Fd = int32(ends[0])
	r := &request{GPIOV2LineRequest: *q, chip: c, events: os.NewFile(uintptr(ends[1]), "edges")}
	k.t.Cleanup(func() { r.events.Close() })
	for _, a := range q.Config.Attrs[:q.Config.Num_attrs] {
		if a.Attr.Id == unix.GPIO_V2_LINE_ATTR_ID_OUTPUT_VALUES {
			r.values = append(r.values, a.Attr.Flags)
		}
	}
	k.requests[uintptr(ends[0])] = r
	k.log = append(k.log, r)
	return nil
}

func (r *request) ioctl(number uint, arg unsafe.Pointer) error {
	if r.gone != nil {
		return r.gone
	}
	v := (*unix.GPIOV2LineValues)(arg)
	switch number {
	case unix.GPIO_V2_LINE_GET_VALUES_IOCTL:
		v.Bits = r.value & v.Mask
	case unix.GPIO_V2_LINE_SET_VALUES_IOCTL:
		r.values = append(r.values, v.Bits&v.Mask)
	default:
		return unix.EINVAL
	}
	return nil
}

// edge changes the value and reports it.
func (k *kernel) edge(r *request, value uint64) {
	k.t.Helper()
	k.mu.Lock()
	r.value = value
	k.mu.Unlock()
	b := make([]byte, 48)
	binary.NativeEndian.PutUint32(b[8:], unix.GPIO_V2_LINE_EVENT_FALLING_EDGE-uint32(value))
	if _, err := r.events.Write(b); err != nil {
		k.t.Fatal(err)
	}
}

// unplug takes the line's controller away, as a USB one.
func (k *kernel) unplug(r *request) {
	k.mu.Lock()
	defer k.mu.Unlock()
	r.gone = unix.ENODEV
	r.events.Close()
	for path, c := range k.chips {
		if c == r.chip {
			os.Remove(path)
		}
	}
}

// held tells whether the line is still taken: a pipe without a reader breaks.
func (r *request) held(t *testing.T) bool {
	t.Helper()
	p := []unix.PollFd{{Fd: int32(r.events.Fd())}}
	if _, err := unix.Poll(p, 0); err != nil {
		t.Fatal(err)
	}
	return p[0].Revents&unix.POLLERR == 0
}

// TestSizes holds the structures of x/sys to those of linux/gpio.h, which are the
// same on every architecture.
func TestSizes(t *testing.T) {
	for _, c := range []struct {
		name      string
		got, want uintptr
	}{
		{"gpiochip_info", unsafe.Sizeof(unix.GPIOChipInfo{}), 68},
		{"gpio_v2_line_values", unsafe.Sizeof(unix.GPIOV2LineValues{}), 16},
		{"gpio_v2_line_config", unsafe.Sizeof(unix.GPIOV2LineConfig{}), 272},
		{"gpio_v2_line_request", unsafe.Sizeof(unix.GPIOV2LineRequest{}), 592},
		{"gpio_v2_line_info", unsafe.Sizeof(unix.GPIOV2LineInfo{}), 256},
		{"gpio_v2_line_event", unsafe.Sizeof(unix.GPIOV2LineEvent{}), 48},
	} {
		if c.got != c.want {
			t.Errorf("%s has %d bytes, the kernel's has %d", c.name, c.got, c.want)
		}
	}
}
