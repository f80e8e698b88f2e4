package host

import (
	"errors"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	"periph.io/x/conn/v3/gpio"

	"github.com/mecha-org/mecha-agent/board"
)

func TestOutput(t *testing.T) {
	for _, c := range []struct {
		name      string
		activeLow bool
		flags     uint64
	}{
		{"lit by high", false, 1 << 3},
		{"lit by low", true, 1<<3 | 1<<1},
	} {
		t.Run(c.name, func(t *testing.T) {
			k, h := newKernel(t)
			k.plug(0, "soc", 8)
			o := h.Output(k.chip(0, "soc"), 5, c.activeLow)
			if len(k.log) != 0 {
				t.Error("the line is taken before it is used")
			}
			for _, l := range []gpio.Level{gpio.High, gpio.Low, gpio.High} {
				if err := o.Out(l); err != nil {
					t.Fatal(err)
				}
			}
			r := k.last()
			if r.Offsets[0] != 5 || r.Num_lines != 1 || r.Config.Flags != c.flags || text(r.Consumer[:]) != "mecha-agent" {
				t.Errorf("took line %d of %d with flags %#x as %q", r.Offsets[0], r.Num_lines, r.Config.Flags, text(r.Consumer[:]))
			}
			if a := r.Config.Attrs[0]; r.Config.Num_attrs != 1 || a.Mask != 1 {
				t.Errorf("attributes %+v", a)
			}
			if !r.held(t) {
				t.Error("the line is not held")
			}
			if err := o.Close(); err != nil {
				t.Fatal(err)
			}
			if want := []uint64{1, 0, 1, 0}; !slices.Equal(r.values, want) || len(k.log) != 1 {
				t.Errorf("values %v, want %v; taken %d times", r.values, want, len(k.log))
			}
			if r.held(t) {
				t.Error("Close has not given the line back")
			}
			if err := o.Out(gpio.High); !errors.Is(err, fs.ErrClosed) {
				t.Errorf("Out after Close: %v", err)
			}
			if err := o.Close(); err != nil {
				t.Errorf("second Close: %v", err)
			}
		})
	}
}

func TestOutputNeverUsed(t *testing.T) {
	k, h := newKernel(t)
	k.plug(0, "soc", 1)
	if err := h.Output(k.chip(0, "soc"), 0, false).Close(); err != nil || len(k.log) != 0 {
		t.Errorf("error %v, %d lines taken", err, len(k.log))
	}
}

// TestOutputComesBack takes the controller away and puts it back with another
// number.
func TestOutputComesBack(t *testing.T) {
	k, h := newKernel(t)
	c := k.plug(0, "usb", 2)
	o := h.Output(k.chip(0, "usb"), 1, false)
	if err := o.Out(gpio.High); err != nil {
		t.Fatal(err)
	}
	first := k.last()
	k.unplug(first)
	if err := o.Out(gpio.Low); !errors.Is(err, unix.ENODEV) {
		t.Errorf("error %v, want ENODEV", err)
	}
	if err := o.Out(gpio.Low); !errors.Is(err, board.ErrAbsent) {
		t.Errorf("error %v, want ErrAbsent", err)
	}
	k.plug(0, "another", 2)
	k.move(c, 7)
	if err := o.Out(gpio.High); err != nil {
		t.Fatal(err)
	}
	if r := k.last(); r == first || r.chip != c || !slices.Equal(r.values, []uint64{1}) {
		t.Errorf("took %+v of %s", r.values, r.chip.label)
	}
	if err := o.Close(); err != nil {
		t.Error(err)
	}
}

func TestOutputRefused(t *testing.T) {
	for _, c := range []struct {
		name   string
		set    func(*fakeChip)
		offset int
		is     error
		text   string
		hint   string
	}{
		{"in use by a driver", func(c *fakeChip) { c.lines[0] = board.Line{Consumer: "spi0 CS0", Used: true} }, 0,
			unix.EBUSY, `setting line soc:0: in use by "spi0 CS0": device or resource busy`, "choose another line"},
		{"in use by nobody knows whom", func(c *fakeChip) { c.lines[0].Used = true }, 0,
			unix.EBUSY, "in use by another program", "choose another line"},
		{"no such line", func(*fakeChip) {}, 2, board.ErrAbsent, "no line 2, only 0 to 1", ""},
		{"not an output", func(c *fakeChip) { c.refuse = refuseAll(unix.EIO) }, 0, unix.EIO, "input/output error", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			k, h := newKernel(t)
			c.set(k.plug(0, "soc", 2))
			err := h.Output(k.chip(0, "soc"), c.offset, false).Out(gpio.High)
			if !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.text) {
				t.Errorf("error %v, want %q", err, c.text)
			}
			if hint := hintOf(err); !strings.Contains(hint, c.hint) || (hint == "") != (c.hint == "") {
				t.Errorf("hint %q, want %q", hint, c.hint)
			}
		})
	}
}

func refuseAll(err error) func(unix.GPIOV2LineRequest) error {
	return func(unix.GPIOV2LineRequest) error { return err }
}

func TestLineName(t *testing.T) {
	lines := []board.Line{{Name: "GPIO0"}, {}}
	for _, c := range []struct {
		chip   board.Chip
		offset int
		want   string
	}{
		{board.Chip{Label: "soc", Lines: lines}, 0, "GPIO0"},
		{board.Chip{Label: "soc", Lines: lines}, 1, "soc:1"},
		{board.Chip{Label: "soc", Lines: lines}, 2, "soc:2"},
		{board.Chip{Device: "/dev/gpiochip3"}, 4, "/dev/gpiochip3:4"},
	} {
		o := New().Output(c.chip, c.offset, false)
		if o.Name() != c.want || o.String() != c.want || o.Number() != c.offset {
			t.Errorf("got %s, %s, %d; want %s, %d", o.Name(), o, o.Number(), c.want, c.offset)
		}
	}
}

func TestNoPWM(t *testing.T) {
	o := New().Output(board.Chip{Label: "soc"}, 1, false)
	if err := o.PWM(gpio.DutyHalf, 0); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("error %v", err)
	}
}
