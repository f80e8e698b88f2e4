package host

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/mecha-org/mecha-agent/board"
)

func hintOf(err error) string {
	var h interface{ Hint() string }
	if errors.As(err, &h) {
		return h.Hint()
	}
	return ""
}

func TestChips(t *testing.T) {
	k, h := newKernel(t)
	k.plug(10, "expander", 1)
	soc := k.plug(2, "pinctrl-rp1", 3)
	soc.lines[0] = board.Line{Name: "ID_SDA"}
	soc.lines[1] = board.Line{Name: "GPIO17", Consumer: "sysfs", Used: true}
	soc.lines[2] = board.Line{Name: strings.Repeat("x", 32)} // the kernel ends it, this one does not
	k.plug(11, "", 0)
	if err := os.Symlink("gpiochip2", filepath.Join(k.dev, "gpiochip4")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"gpiochip", "gpiochipx", "gpiochip-1", "gpio"} {
		if err := os.WriteFile(filepath.Join(k.dev, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := h.Chips()
	if err != nil {
		t.Fatal(err)
	}
	want := []board.Chip{
		{Device: filepath.Join(k.dev, "gpiochip2"), Label: "pinctrl-rp1", Lines: soc.lines},
		{Device: filepath.Join(k.dev, "gpiochip10"), Label: "expander", Lines: []board.Line{{}}},
		{Device: filepath.Join(k.dev, "gpiochip11"), Label: "gpiochip11"},
	}
	if !slices.EqualFunc(got, want, func(a, b board.Chip) bool {
		return a.Device == b.Device && a.Label == b.Label && slices.Equal(a.Lines, b.Lines)
	}) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

// TestChipsBroken checks that one controller's failure does not hide the others.
func TestChipsBroken(t *testing.T) {
	k, h := newKernel(t)
	k.plug(0, "gone", 1).broken = unix.ENODEV
	k.plug(1, "here", 1)
	chips, err := h.Chips()
	if len(chips) != 1 || chips[0].Label != "here" {
		t.Errorf("got %v", chips)
	}
	if !errors.Is(err, unix.ENODEV) || !strings.Contains(err.Error(), "gpiochip0") {
		t.Errorf("error %v", err)
	}
}

func TestChipsWithoutDev(t *testing.T) {
	h := &Host{dev: filepath.Join(t.TempDir(), "dev")}
	if chips, err := h.Chips(); len(chips) != 0 || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, %v", chips, err)
	}
}

func TestFindChip(t *testing.T) {
	type plugged map[int]string
	for _, c := range []struct {
		name   string
		there  plugged
		number int
		label  string
		want   string // device, or text of the error
		absent bool
	}{
		{"where it was", plugged{0: "a", 1: "b"}, 1, "b", "gpiochip1", false},
		{"moved", plugged{0: "b", 1: "a"}, 1, "b", "gpiochip0", false},
		{"one of two, where it was", plugged{0: "b", 3: "b", 4: "b"}, 3, "b", "gpiochip3", false},
		{"two, and it moved", plugged{0: "b", 3: "b", 4: "a"}, 4, "b", `several are "b", and none is `, false},
		{"gone", plugged{0: "a"}, 0, "b", `"b"`, true},
		{"by number alone", plugged{0: "a", 1: "b"}, 1, "", "gpiochip1", false},
		{"no such number", plugged{0: "a"}, 1, "", "gpiochip1", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			k, h := newKernel(t)
			for number, label := range c.there {
				k.plug(number, label, 1)
			}
			got, err := h.findChip(k.chip(c.number, c.label))
			if err != nil {
				if !strings.Contains(err.Error(), c.want) || errors.Is(err, board.ErrAbsent) != c.absent {
					t.Errorf("error %v", err)
				}
				return
			}
			defer got.file.Close()
			if filepath.Base(got.file.Name()) != c.want {
				t.Errorf("got %s, want %s", got.file.Name(), c.want)
			}
		})
	}
}

// TestFindChipRefused checks that "not allowed" is not told as "not there".
func TestFindChipRefused(t *testing.T) {
	k, h := newKernel(t)
	k.plug(0, "a", 1).broken = unix.EACCES
	if _, err := h.findChip(k.chip(0, "b")); !errors.Is(err, fs.ErrPermission) || errors.Is(err, board.ErrAbsent) {
		t.Errorf("error %v", err)
	}
	k.plug(1, "b", 1) // another that may be opened
	c, err := h.findChip(k.chip(0, "b"))
	if err != nil {
		t.Fatal(err)
	}
	c.file.Close()
}

func TestOldKernel(t *testing.T) {
	k, h := newKernel(t)
	k.plug(0, "a", 1)
	h.ioctl = func(fd uintptr, number uint, arg unsafe.Pointer) error {
		if number == unix.GPIO_V2_GET_LINEINFO_IOCTL {
			return unix.EINVAL
		}
		return k.ioctl(fd, number, arg)
	}
	if _, err := h.Chips(); !errors.Is(err, unix.EINVAL) || !strings.Contains(hintOf(err), "Linux 5.10") {
		t.Errorf("error %v, hint %q", err, hintOf(err))
	}
}
