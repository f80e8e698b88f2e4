package host

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
	"unsafe"

	"periph.io/x/conn/v3/gpio"

	"github.com/mecha-org/mecha-agent/board"
)

// From linux/input.h and linux/input-event-codes.h.
const (
	evSyn      = 0x00
	evKey      = 0x01
	synDropped = 3
	keyCount   = 0x300 // KEY_CNT

	keyReleased = 0
	keyPressed  = 1 // 2 is the autorepeat

	// An event begins with the time as two longs: 16 bytes on a 32-bit program,
	// also on a 64-bit kernel, and 24 on a 64-bit one.
	eventHead = 2 * int(unsafe.Sizeof(uintptr(0)))
	eventSize = eventHead + 8
)

type keyBits [keyCount / 8]byte

// On the little-endian machines that we build for, the kernel's array of longs is
// one of bytes.
func (b *keyBits) has(code uint16) bool {
	return int(code) < keyCount && b[code/8]>>(code%8)&1 != 0
}

// readIoctl is _IOC(_IOC_READ, 'E', number, size) of asm-generic/ioctl.h.
func readIoctl(number, size uintptr) uint {
	return uint(2<<30 | size<<16 | 'E'<<8 | number)
}

var (
	eviocgname = readIoctl(0x06, 256)
	eviocgkey  = readIoctl(0x18, keyCount/8)       // which keys are held
	eviocgbit  = readIoctl(0x20+evKey, keyCount/8) // which keys there are
)

// Key returns a key of an input device, such as a gpio-keys button: gpio.Low while
// it is held. It keeps Input's contract, with one change: there is no pull to ask
// for. When In finds the device gone, or another in its place, it looks for one of
// the same name that has the key.
//
// Others read the device too: systemd-logind acts on KEY_POWER unless its
// HandlePowerKey says ignore.
func (h *Host) Key(device string, code uint16) board.Input {
	return &key{
		named:  named{fmt.Sprintf("key %d of %s", code, filepath.Base(device)), int(code)},
		host:   h,
		device: device,
		code:   code,
	}
}

type key struct {
	named
	host *Host
	code uint16

	watch watch

	mu     sync.Mutex
	device string
	title  string // what the device calls itself; empty before it was opened
	edge   gpio.Edge
	closed bool
}

// In opens the device. pull is ignored.
func (k *key) In(_ gpio.Pull, edge gpio.Edge) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed {
		return fmt.Errorf("reading %s: %w", k.name, os.ErrClosed)
	}
	if err := k.watch.shut(); err != nil {
		return fmt.Errorf("reading %s: %w", k.name, err)
	}
	f, err := k.open(k.device)
	if err != nil && k.title != "" {
		f, err = k.find(err)
	}
	if err != nil {
		return fmt.Errorf("reading %s: %w", k.name, err)
	}
	if err := k.watch.open(f); err != nil {
		return fmt.Errorf("reading %s: %w", k.name, err)
	}
	k.edge = edge
	return nil
}

// open opens a device that has the key and, from the second time on, the title of
// the first.
func (k *key) open(path string) (*os.File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, explain(path, err)
	}
	var keys keyBits
	var title [256]byte
	err = errors.Join(
		k.host.ioctl.on(f, eviocgbit, unsafe.Pointer(&keys)),
		k.host.ioctl.on(f, eviocgname, unsafe.Pointer(&title)),
	)
	switch {
	case err != nil:
		err = fmt.Errorf("asking %s for its keys: %w", path, err)
	case !keys.has(k.code):
		err = fmt.Errorf("%s (%s) has no key %d: %w", path, text(title[:]), k.code, board.ErrAbsent)
	case k.title != "" && k.title != text(title[:]):
		err = fmt.Errorf("%s is %q now, not %q: %w", path, text(title[:]), k.title, board.ErrAbsent)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	k.device, k.title = path, text(title[:])
	return f, nil
}

// find opens the device by its title among all. It returns why when none is it.
func (k *key) find(why error) (*os.File, error) {
	folder := filepath.Dir(k.device)
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, why // the folder goes with the last device
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), "event") {
			if f, err := k.open(filepath.Join(folder, e.Name())); err == nil {
				return f, nil
			}
		}
	}
	return nil, why
}

// Read returns gpio.Low while the key is held. As a side effect the kernel takes
// the key's events away that wait to be read: they are in the answer.
func (k *key) Read() gpio.Level {
	var keys keyBits
	if err := k.watch.ioctl(k.host.ioctl, eviocgkey, unsafe.Pointer(&keys)); err != nil {
		return gpio.High
	}
	return gpio.Level(!keys.has(k.code))
}

// WaitForEdge waits until the key is pressed or released, for d at most.
func (k *key) WaitForEdge(d time.Duration) bool {
	deadline := until(d)
	var b [16 * eventSize]byte
	for {
		n, err := k.watch.next(b[:], deadline)
		if err != nil {
			return false
		}
		if k.take(b[:n]) {
			return true
		}
	}
}

// take goes through events, all of them, and tells whether the edge that In asked
// for is among them.
func (k *key) take(b []byte) (edge bool) {
	for e := range slices.Chunk(b, eventSize) {
		if len(e) < eventSize {
			break // the kernel gives whole ones only
		}
		e = e[eventHead:]
		kind, code := binary.LittleEndian.Uint16(e), binary.LittleEndian.Uint16(e[2:])
		value := binary.LittleEndian.Uint32(e[4:])
		switch {
		case kind == evSyn && code == synDropped:
			// The kernel has thrown events away. What it has now is newer than the
			// rest of b, and how it came to it is lost.
			return edge || k.wants(k.Read())
		case kind == evKey && code == k.code && (value == keyPressed || value == keyReleased):
			edge = k.wants(value == keyReleased) || edge
		}
	}
	return edge
}

// wants tells whether In asked for edges to this level.
func (k *key) wants(to gpio.Level) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.edge == gpio.BothEdges ||
		k.edge == gpio.FallingEdge && to == gpio.Low || k.edge == gpio.RisingEdge && to == gpio.High
}

// Halt ends the waits for an edge until the next In.
func (k *key) Halt() error {
	k.watch.halt()
	return nil
}

// Pull returns gpio.PullNoChange: the driver sees to it.
func (k *key) Pull() gpio.Pull { return gpio.PullNoChange }

// DefaultPull returns gpio.PullNoChange.
func (k *key) DefaultPull() gpio.Pull { return gpio.PullNoChange }

// Close closes the device. A WaitForEdge ends.
func (k *key) Close() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.closed = true
	if err := k.watch.shut(); err != nil {
		return fmt.Errorf("closing %s: %w", k.name, err)
	}
	return nil
}
