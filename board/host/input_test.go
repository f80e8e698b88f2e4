package host

import (
	"errors"
	"io/fs"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"periph.io/x/conn/v3/gpio"

	"github.com/mecha-org/mecha-agent/board"
)

// debounced is the debounce period of a request in microseconds, or 0.
func debounced(r unix.GPIOV2LineRequest) uint64 {
	for _, a := range r.Config.Attrs[:r.Config.Num_attrs] {
		if a.Attr.Id == unix.GPIO_V2_LINE_ATTR_ID_DEBOUNCE && a.Mask == 1 {
			return a.Attr.Flags
		}
	}
	return 0
}

func TestInputFlags(t *testing.T) {
	const in, low, rising, falling, up, down, off = 1 << 2, 1 << 1, 1 << 4, 1 << 5, 1 << 8, 1 << 9, 1 << 10
	for _, c := range []struct {
		name       string
		activeHigh bool
		pull       gpio.Pull
		edge       gpio.Edge
		flags      uint64
		debounce   uint64
	}{
		{"a button to ground", false, gpio.PullUp, gpio.BothEdges, in | rising | falling | up, 5000},
		{"a button to the supply", true, gpio.PullUp, gpio.BothEdges, in | low | rising | falling | down, 5000},
		{"presses alone", false, gpio.PullUp, gpio.FallingEdge, in | falling | up, 5000},
		{"releases alone", true, gpio.PullDown, gpio.RisingEdge, in | low | rising | up, 5000},
		{"its own resistor", false, gpio.Float, gpio.BothEdges, in | rising | falling | off, 5000},
		{"as it is", false, gpio.PullNoChange, gpio.NoEdge, in, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			k, h := newKernel(t)
			k.plug(0, "soc", 4)
			p := h.Input(k.chip(0, "soc"), 3, c.activeHigh)
			if err := p.In(c.pull, c.edge); err != nil {
				t.Fatal(err)
			}
			r := k.last()
			if r.Offsets[0] != 3 || r.Config.Flags != c.flags || debounced(r.GPIOV2LineRequest) != c.debounce || text(r.Consumer[:]) != Consumer {
				t.Errorf("line %d, flags %#x, want %#x; debounce %d, want %d; consumer %q", r.Offsets[0],
					r.Config.Flags, c.flags, debounced(r.GPIOV2LineRequest), c.debounce, text(r.Consumer[:]))
			}
			if p.Pull() != c.pull {
				t.Errorf("pull %v, want %v", p.Pull(), c.pull)
			}
			if err := p.Close(); err != nil || r.held(t) {
				t.Errorf("Close: %v, held %v", err, r.held(t))
			}
		})
	}
}

// TestInputLacking lets controllers refuse what they have not: the line must be
// taken with what is left.
func TestInputLacking(t *testing.T) {
	const bias = flagPullUp
	noBias := func(errno error) func(unix.GPIOV2LineRequest) error {
		return func(r unix.GPIOV2LineRequest) error {
			if r.Config.Flags&bias != 0 {
				return errno
			}
			return nil
		}
	}
	noFilter := func(errno error) func(unix.GPIOV2LineRequest) error {
		return func(r unix.GPIOV2LineRequest) error {
			if debounced(r) != 0 {
				return errno
			}
			return nil
		}
	}
	for _, c := range []struct {
		name   string
		refuse func(unix.GPIOV2LineRequest) error
		pull   gpio.Pull
		filter bool
	}{
		{"no pull, EINVAL", noBias(unix.EINVAL), gpio.PullNoChange, true},
		{"no pull, ENOTSUPP", noBias(unix.Errno(524)), gpio.PullNoChange, true},
		{"no filter, EOPNOTSUPP", noFilter(unix.EOPNOTSUPP), gpio.PullUp, false},
		{"no filter, ENXIO", noFilter(unix.ENXIO), gpio.PullUp, false},
		{"neither", func(r unix.GPIOV2LineRequest) error {
			return errors.Join(noBias(unix.EINVAL)(r), noFilter(unix.EOPNOTSUPP)(r))
		}, gpio.PullNoChange, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			k, h := newKernel(t)
			k.plug(0, "soc", 1).refuse = c.refuse
			p := h.Input(k.chip(0, "soc"), 0, false)
			if err := p.In(gpio.PullUp, gpio.BothEdges); err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			if r := k.last(); p.Pull() != c.pull || (debounced(r.GPIOV2LineRequest) != 0) != c.filter {
				t.Errorf("pull %v, want %v; filter %v, want %v", p.Pull(), c.pull, !c.filter, c.filter)
			}
		})
	}
}

func TestInputRefused(t *testing.T) {
	for _, c := range []struct {
		name string
		set  func(*fakeChip)
		is   error
		text string
		hint string
		asks int // how often the line is asked for
	}{
		{"in use", func(c *fakeChip) { c.lines[0] = board.Line{Consumer: "reset", Used: true} }, unix.EBUSY, `in use by "reset"`, "another line", 0},
		{"no edges", func(c *fakeChip) { c.refuse = refuseAll(unix.ENXIO) }, unix.ENXIO, "it has no interrupt", "reports edges", 4},
		{"gone", func(c *fakeChip) { c.refuse = refuseAll(unix.ENODEV) }, unix.ENODEV, "reading line soc:0: no such device", "", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			k, h := newKernel(t)
			chip := k.plug(0, "soc", 1)
			c.set(chip)
			asked := 0
			if refuse := chip.refuse; refuse != nil {
				chip.refuse = func(r unix.GPIOV2LineRequest) error { asked++; return refuse(r) }
			}
			p := h.Input(k.chip(0, "soc"), 0, false)
			err := p.In(gpio.PullUp, gpio.BothEdges)
			if !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.text) {
				t.Errorf("error %v, want %q", err, c.text)
			}
			if hint := hintOf(err); !strings.Contains(hint, c.hint) || (hint == "") != (c.hint == "") {
				t.Errorf("hint %q, want %q", hint, c.hint)
			}
			if asked != c.asks {
				t.Errorf("asked for the line %d times, want %d", asked, c.asks)
			}
			released(t, p)
		})
	}
}

// TestInputLent takes a line while another process of this program looks at it, and
// again when that one has let go of it: nothing of the refusal stays.
func TestInputLent(t *testing.T) {
	soon := func(err error) bool {
		var s interface{ Soon() bool }
		return errors.As(err, &s) && s.Soon()
	}
	k, h := newKernel(t)
	chip := k.plug(0, "soc", 1)
	p := h.Input(k.chip(0, "soc"), 0, false)
	for _, had := range []bool{false, true} {
		if had {
			if err := p.In(gpio.PullUp, gpio.BothEdges); err != nil {
				t.Fatal(err)
			}
		}
		for consumer, want := range map[string]bool{"reset": false, "": false, Consumer: true} {
			chip.lines[0] = board.Line{Consumer: consumer, Used: true}
			err := p.In(gpio.PullUp, gpio.BothEdges)
			if !errors.Is(err, unix.EBUSY) || soon(err) != want || hintOf(err) == "" {
				t.Errorf("held by %q: %v (%s), soon %t", consumer, err, hintOf(err), soon(err))
			}
			released(t, p)
		}
		if had && k.last().held(t) {
			t.Error("the line from before is still held")
		}
		chip.lines[0] = board.Line{}
		if err := p.In(gpio.PullUp, gpio.BothEdges); err != nil {
			t.Fatal(err)
		}
		k.edge(k.last(), 0)
		if !p.WaitForEdge(time.Minute) || p.Read() != gpio.Low {
			t.Error("the line is free, and a press is missed")
		}
	}
	chip.lines[0] = board.Line{}
	chip.refuse = refuseAll(unix.EBUSY)
	if err := p.In(gpio.PullUp, gpio.BothEdges); !soon(err) {
		t.Errorf("a line that was given back since: %v", err)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
}

// released checks that a line that is not there reads as a button that nobody
// holds, and that a wait for it does not last.
func released(t *testing.T, p gpio.PinIn) {
	t.Helper()
	if p.Read() != gpio.High {
		t.Error("a line that is not there reads as held")
	}
	if p.WaitForEdge(-1) {
		t.Error("an edge on a line that is not there")
	}
}

func TestInputEdges(t *testing.T) {
	k, h := newKernel(t)
	k.plug(0, "soc", 1)
	p := h.Input(k.chip(0, "soc"), 0, false)
	released(t, p)
	if err := p.In(gpio.PullUp, gpio.BothEdges); err != nil {
		t.Fatal(err)
	}
	r := k.last()
	for _, level := range []gpio.Level{gpio.High, gpio.Low, gpio.High, gpio.Low} {
		k.edge(r, bit(level))
		if !p.WaitForEdge(-1) {
			t.Error("the edge was missed")
		}
		if got := p.Read(); got != level {
			t.Errorf("level %v, want %v", got, level)
		}
		if p.WaitForEdge(0) {
			t.Error("one edge was reported twice")
		}
	}
	k.edge(r, 1) // while nobody waits
	if !p.WaitForEdge(0) {
		t.Error("an edge from before the wait was missed")
	}
}

// TestInputAgain checks that In gives the line back before it takes it anew, ends
// a wait, and forgets edges and a Halt from before.
func TestInputAgain(t *testing.T) {
	k, h := newKernel(t)
	k.plug(0, "soc", 1)
	p := h.Input(k.chip(0, "soc"), 0, false)
	if err := p.In(gpio.PullUp, gpio.BothEdges); err != nil {
		t.Fatal(err)
	}
	first := k.last()
	ended := make(chan bool)
	go func() { ended <- p.WaitForEdge(-1) }()
	if err := p.In(gpio.PullUp, gpio.NoEdge); err != nil {
		t.Fatal(err)
	}
	p.Halt()
	if <-ended {
		t.Error("In was taken for an edge")
	}
	k.edge(k.last(), 0)
	if err := p.In(gpio.PullUp, gpio.BothEdges); err != nil {
		t.Fatal(err)
	}
	if first.held(t) || k.log[1].held(t) || !k.last().held(t) {
		t.Error("the line was not given back before it was taken anew")
	}
	if p.WaitForEdge(0) {
		t.Error("an edge from before In was kept")
	}
	k.edge(k.last(), 0)
	if !p.WaitForEdge(time.Minute) {
		t.Error("a Halt from before In was kept")
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	released(t, p)
	if err := p.In(gpio.PullUp, gpio.BothEdges); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("In after Close: %v", err)
	}
}

// TestInputGone pulls the controller out while the button is held: at a wait, and
// at a read. It is back with another number.
func TestInputGone(t *testing.T) {
	for _, c := range []struct {
		name    string
		notices func(gpio.PinIn) bool
	}{
		{"by a wait", func(p gpio.PinIn) bool { return !p.WaitForEdge(-1) }},
		{"by a read", func(p gpio.PinIn) bool { return p.Read() == gpio.High && !p.WaitForEdge(-1) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			k, h := newKernel(t)
			chip := k.plug(0, "usb", 1)
			p := h.Input(k.chip(0, "usb"), 0, false)
			if err := p.In(gpio.PullUp, gpio.BothEdges); err != nil {
				t.Fatal(err)
			}
			r := k.last()
			k.edge(r, 0)
			if !p.WaitForEdge(-1) || p.Read() != gpio.Low {
				t.Fatal("the button is not held")
			}
			k.unplug(r)
			if !c.notices(p) {
				t.Error("it was not noticed")
			}
			released(t, p)
			if err := p.In(gpio.PullUp, gpio.BothEdges); !errors.Is(err, board.ErrAbsent) {
				t.Errorf("error %v, want ErrAbsent", err)
			}
			k.move(chip, 3)
			if err := p.In(gpio.PullUp, gpio.BothEdges); err != nil {
				t.Fatal(err)
			}
			k.edge(k.last(), 1)
			if !p.WaitForEdge(-1) || p.Read() != gpio.High {
				t.Error("the line is back, its edges are not")
			}
		})
	}
}
