package host

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	"periph.io/x/conn/v3/i2c"
	"periph.io/x/conn/v3/i2c/i2ctest"
)

// buses gives out buses that fail as they are told, in periph's words.
type buses struct {
	errs   []error // of Tx, in order
	opens  int
	closes int
}

func (b *buses) open(int) (i2c.BusCloser, error) {
	b.opens++
	return &fakeBus{buses: b}, nil
}

type fakeBus struct {
	i2ctest.Record
	*buses
}

func (b *fakeBus) Tx(address uint16, w, r []byte) error {
	err := b.errs[0]
	b.errs = b.errs[1:]
	return err
}

func (b *fakeBus) Close() error {
	b.closes++
	return nil
}

// inWords is how periph's sysfs wraps an error.
func inWords(err error) error { return fmt.Errorf("sysfs-i2c: %v", err) }

func TestI2C(t *testing.T) {
	for _, c := range []struct {
		name   string
		err    error
		is     error
		text   string
		reopen bool
	}{
		{"ENXIO", inWords(unix.ENXIO), unix.ENXIO, "nothing answers at 0x3c on I2C1: no such device or address", false},
		{"EREMOTEIO", inWords(unix.EREMOTEIO), unix.EREMOTEIO, "nothing answers at 0x3c on I2C1: remote I/O error", false},
		{"EIO", inWords(unix.EIO), unix.EIO, "talking to 0x3c on I2C1: input/output error", true},
		{"ETIMEDOUT", inWords(unix.ETIMEDOUT), unix.ETIMEDOUT, "connection timed out", true},
		{"ENODEV", inWords(unix.ENODEV), unix.ENODEV, "no such device", true},
		{"ESHUTDOWN", inWords(unix.ESHUTDOWN), unix.ESHUTDOWN, "transport endpoint shutdown", true},
		{"not the kernel's", errors.New("sysfs-i2c: invalid address"), nil, "talking to 0x3c on I2C1: sysfs-i2c: invalid address", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := &buses{errs: []error{nil, c.err, nil}}
			h := &Host{openBus: b.open}
			bus := h.I2C(1)
			if b.opens != 0 {
				t.Error("the bus is opened before it is used")
			}
			if err := bus.Tx(0x3c, []byte{0}, nil); err != nil {
				t.Fatal(err)
			}
			err := bus.Tx(0x3c, []byte{0}, nil)
			if err == nil || !strings.Contains(err.Error(), c.text) || c.is != nil && !errors.Is(err, c.is) {
				t.Errorf("error %v, want %q", err, c.text)
			}
			if err := bus.Tx(0x3c, []byte{0}, nil); err != nil {
				t.Error(err)
			}
			want := 1
			if c.reopen {
				want = 2
			}
			if b.opens != want || b.closes != want-1 {
				t.Errorf("opened %d times and closed %d times, want %d and %d", b.opens, b.closes, want, want-1)
			}
			if err := bus.Close(); err != nil || b.closes != want {
				t.Errorf("Close: %v; closed %d times of %d", err, b.closes, want)
			}
			if err := bus.Tx(0x3c, []byte{0}, nil); !errors.Is(err, fs.ErrClosed) || b.opens != want {
				t.Errorf("Tx after Close: %v", err)
			}
		})
	}
}

// TestI2COpen asks for the kind of an error that periph has put into words.
func TestI2COpen(t *testing.T) {
	dev := t.TempDir()
	// As i2c-dev it is a folder, which nobody can open for writing.
	if err := os.Mkdir(filepath.Join(dev, "i2c-2"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dev, "i2c-3"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	h := &Host{dev: dev, openBus: func(n int) (i2c.BusCloser, error) {
		return nil, fmt.Errorf("sysfs-i2c: bus #%d: no luck", n)
	}}
	for _, c := range []struct {
		number     int
		is         error
		text, hint string
	}{
		{1, fs.ErrNotExist, "opening I2C1: open " + dev + "/i2c-1: no such file", "modprobe i2c-dev"},
		{2, unix.EISDIR, "opening I2C2: ", ""},
		{3, nil, "opening I2C3: sysfs-i2c: bus #3: no luck", ""},
	} {
		err := h.I2C(c.number).Tx(0x3c, []byte{0}, nil)
		if err == nil || !strings.Contains(err.Error(), c.text) || c.is != nil && !errors.Is(err, c.is) {
			t.Errorf("error %v, want %q", err, c.text)
		}
		if hint := hintOf(err); !strings.Contains(hint, c.hint) || (hint == "") != (c.hint == "") {
			t.Errorf("hint %q, want %q", hint, c.hint)
		}
	}
}

// TestErrnoIn holds periph to its way of wrapping, with the real package: no
// machine has so many buses.
func TestErrnoIn(t *testing.T) {
	_, err := openBus(1 << 20)
	if errno, ok := errnoIn(err); !ok || errno != unix.ENOENT {
		t.Errorf("%v is number %d, %v", err, errno, ok)
	}
	var all []string
	for e := unix.Errno(1); e <= unix.EHWPOISON; e++ {
		words := e.Error()
		if e == unix.EDEADLOCK || strings.HasPrefix(words, "errno ") || slices.Contains(all, words) {
			continue
		}
		all = append(all, words)
		if got, ok := errnoIn(inWords(e)); !ok || got != e {
			t.Errorf("%q is number %d, %v; want %d", words, got, ok, e)
		}
	}
	if len(all) < 100 {
		t.Errorf("only %d errors have words", len(all))
	}
}

func TestI2CSpeed(t *testing.T) {
	bus := New().I2C(1)
	if err := bus.SetSpeed(400000); !errors.Is(err, errors.ErrUnsupported) {
		t.Error(err)
	}
	if bus.String() != "I2C1" {
		t.Errorf("name %q", bus)
	}
}
