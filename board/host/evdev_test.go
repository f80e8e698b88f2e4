package host

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
	"periph.io/x/conn/v3/gpio"

	"github.com/mecha-org/mecha-agent/board"
)

const keyPower = 116

// inputs is the input side of a kernel: named pipes that stand for devices.
type inputs struct {
	t       *testing.T
	dir     string
	mu      sync.Mutex
	devices map[string]*inputDevice // by path
}

type inputDevice struct {
	title  string
	has    keyBits
	held   keyBits
	events *os.File
	gone   bool
}

func newInputs(t *testing.T) (*inputs, *Host) {
	i := &inputs{t: t, dir: t.TempDir(), devices: map[string]*inputDevice{}}
	return i, &Host{ioctl: i.ioctl}
}

func (i *inputs) path(number int) string { return filepath.Join(i.dir, fmt.Sprintf("event%d", number)) }

func (i *inputs) plug(number int, title string, codes ...uint16) *inputDevice {
	i.t.Helper()
	path := i.path(number)
	if err := unix.Mkfifo(path, 0o600); err != nil {
		i.t.Fatal(err)
	}
	// For both, so that neither this nor a reader waits for another end.
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		i.t.Fatal(err)
	}
	i.t.Cleanup(func() { f.Close() })
	d := &inputDevice{title: title, events: f}
	for _, c := range codes {
		d.has.set(c, true)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.devices[path] = d
	return d
}

func (b *keyBits) set(code uint16, on bool) {
	b[code/8] &^= 1 << (code % 8)
	if on {
		b[code/8] |= 1 << (code % 8)
	}
}

// unplug takes a device away; who has it open reads the end of the pipe, where a
// kernel says ENODEV.
func (i *inputs) unplug(d *inputDevice) {
	i.mu.Lock()
	defer i.mu.Unlock()
	d.gone = true
	d.events.Close()
	for path, other := range i.devices {
		if other == d {
			os.Remove(path)
			delete(i.devices, path)
		}
	}
}

func (i *inputs) ioctl(fd uintptr, number uint, arg unsafe.Pointer) error {
	path, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
	if err != nil {
		return err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	d := i.devices[path]
	if d == nil {
		return unix.ENODEV
	}
	switch number { // the numbers of linux/input.h, as strace shows them
	case 0x81004506: // EVIOCGNAME(256)
		copy((*[256]byte)(arg)[:], d.title)
	case 0x80604521: // EVIOCGBIT(EV_KEY, 96)
		*(*keyBits)(arg) = d.has
	case 0x80604518: // EVIOCGKEY(96)
		*(*keyBits)(arg) = d.held
	default:
		return unix.EINVAL
	}
	return nil
}

type event struct {
	kind, code uint16
	value      int32
}

// send writes events as this machine's kernel does; keys change with them.
func (i *inputs) send(d *inputDevice, events ...event) {
	i.t.Helper()
	var b []byte
	i.mu.Lock()
	for _, e := range events {
		if e.kind == evKey {
			d.held.set(e.code, e.value != 0)
		}
		b = append(b, make([]byte, unsafe.Sizeof(unix.Timeval{}))...)
		b = binary.NativeEndian.AppendUint16(b, e.kind)
		b = binary.NativeEndian.AppendUint16(b, e.code)
		b = binary.NativeEndian.AppendUint32(b, uint32(e.value))
	}
	i.mu.Unlock()
	if _, err := d.events.Write(b); err != nil {
		i.t.Fatal(err)
	}
}

func TestKey(t *testing.T) {
	sync := event{evSyn, 0, 0}
	press, release, repeat := event{evKey, keyPower, 1}, event{evKey, keyPower, 0}, event{evKey, keyPower, 2}
	other := event{evKey, 30, 1}
	for _, c := range []struct {
		name   string
		edge   gpio.Edge
		events []event
		seen   bool
		level  gpio.Level
	}{
		{"press", gpio.BothEdges, []event{press, sync}, true, gpio.Low},
		{"press and release", gpio.BothEdges, []event{press, sync, release, sync}, true, gpio.High},
		{"release", gpio.BothEdges, []event{release, sync}, true, gpio.High},
		{"another key", gpio.BothEdges, []event{other, sync}, false, gpio.High},
		{"autorepeat", gpio.BothEdges, []event{repeat, sync}, false, gpio.Low},
		{"not a key", gpio.BothEdges, []event{{4, keyPower, 1}, sync}, false, gpio.High},
		{"press, of releases", gpio.RisingEdge, []event{press, sync}, false, gpio.Low},
		{"release, of releases", gpio.RisingEdge, []event{release, sync}, true, gpio.High},
		{"press, of presses", gpio.FallingEdge, []event{press, sync}, true, gpio.Low},
		{"release, of presses", gpio.FallingEdge, []event{release, sync}, false, gpio.High},
		{"press and release, of presses", gpio.FallingEdge, []event{press, sync, release, sync}, true, gpio.High},
		{"dropped", gpio.BothEdges, []event{{evSyn, synDropped, 0}, sync}, true, gpio.High},
		{"dropped while released, of presses", gpio.FallingEdge, []event{{evSyn, synDropped, 0}, press, release}, false, gpio.High},
		{"dropped while held, of presses", gpio.FallingEdge, []event{{evSyn, synDropped, 0}, release, press}, true, gpio.Low},
	} {
		t.Run(c.name, func(t *testing.T) {
			i, h := newInputs(t)
			d := i.plug(0, "gpio-keys", keyPower, 30)
			k := h.Key(i.path(0), keyPower)
			if err := k.In(gpio.PullUp, c.edge); err != nil {
				t.Fatal(err)
			}
			defer k.Close()
			i.send(d, c.events...)
			if seen := k.WaitForEdge(time.Millisecond); seen != c.seen {
				t.Errorf("edge %v, want %v", seen, c.seen)
			}
			if level := k.Read(); level != c.level {
				t.Errorf("level %v, want %v", level, c.level)
			}
		})
	}
}

// TestKeyWaitsOn checks that events of other keys do not end a wait.
func TestKeyWaitsOn(t *testing.T) {
	i, h := newInputs(t)
	d := i.plug(0, "gpio-keys", keyPower, 30)
	k := h.Key(i.path(0), keyPower)
	if err := k.In(gpio.PullUp, gpio.BothEdges); err != nil {
		t.Fatal(err)
	}
	edge := make(chan bool)
	go func() { edge <- k.WaitForEdge(-1) }()
	for range 40 { // more than one read takes
		i.send(d, event{evKey, 30, 1}, event{evSyn, 0, 0}, event{evKey, 30, 0}, event{evSyn, 0, 0})
	}
	i.send(d, event{evKey, keyPower, 1}, event{evSyn, 0, 0})
	if !<-edge || k.Read() != gpio.Low {
		t.Error("the press was missed")
	}
	k.Halt()
	if k.WaitForEdge(-1) {
		t.Error("an edge after Halt")
	}
	if err := k.Close(); err != nil {
		t.Error(err)
	}
	released(t, k)
	if err := k.In(gpio.PullUp, gpio.BothEdges); !errors.Is(err, os.ErrClosed) {
		t.Errorf("In after Close: %v", err)
	}
}

func TestKeyRefused(t *testing.T) {
	i, h := newInputs(t)
	i.plug(0, "keyboard", 30)
	k := h.Key(i.path(0), keyPower)
	if err := k.In(gpio.PullUp, gpio.BothEdges); !errors.Is(err, board.ErrAbsent) || !strings.Contains(err.Error(), "(keyboard) has no key 116") {
		t.Errorf("error %v", err)
	}
	released(t, k)
	if err := h.Key(i.path(1), keyPower).In(gpio.PullUp, gpio.BothEdges); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v", err)
	}
	if err := h.Key(i.path(0), keyCount).In(gpio.PullUp, gpio.BothEdges); !errors.Is(err, board.ErrAbsent) {
		t.Errorf("error %v", err)
	}
}

// TestKeyGone pulls the device out while its key is held. It is back with another
// number, and another device has its old one.
func TestKeyGone(t *testing.T) {
	i, h := newInputs(t)
	d := i.plug(0, "gpio-keys", keyPower)
	k := h.Key(i.path(0), keyPower)
	if err := k.In(gpio.PullUp, gpio.BothEdges); err != nil {
		t.Fatal(err)
	}
	i.send(d, event{evKey, keyPower, 1}, event{evSyn, 0, 0})
	if !k.WaitForEdge(-1) || k.Read() != gpio.Low {
		t.Fatal("the key is not held")
	}
	edge := make(chan bool)
	go func() { edge <- k.WaitForEdge(-1) }()
	i.unplug(d)
	if <-edge {
		t.Error("going away was taken for an edge")
	}
	released(t, k)
	if err := k.In(gpio.PullUp, gpio.BothEdges); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v", err)
	}
	i.plug(0, "keyboard", keyPower)
	i.plug(1, "gpio-keys", 30)
	if err := k.In(gpio.PullUp, gpio.BothEdges); !errors.Is(err, board.ErrAbsent) {
		t.Errorf("error %v", err)
	}
	back := i.plug(2, "gpio-keys", keyPower)
	if err := k.In(gpio.PullUp, gpio.BothEdges); err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	i.send(back, event{evKey, keyPower, 1}, event{evSyn, 0, 0})
	if !k.WaitForEdge(-1) || k.Read() != gpio.Low {
		t.Error("the key is back, its edges are not")
	}
}
