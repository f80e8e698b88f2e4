// Package hosttest is a board.Host without a machine: it records what is opened,
// hands out parts that a test reads and moves, and checks that all are closed.
package hosttest

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"periph.io/x/conn/v3/gpio"
	"periph.io/x/conn/v3/physic"

	"github.com/mecha-org/mecha-agent/board"
)

// Host is a machine with the given controllers. The zero value has none.
type Host struct {
	Controllers []board.Chip
	ChipsErr    error                                // what Chips returns besides
	Transfer    func(addr uint16, w, r []byte) error // what the I2C buses do; nil: nobody answers

	mu     sync.Mutex
	opened []string
	parts  map[string]*Part
	faults []error
}

// Part is what Host opened: a line, a light, a key or a bus.
type Part struct {
	Inverted bool  // activeLow of an output, activeHigh of an input
	Fail     error // what Out, In and Tx return

	name   string
	host   *Host
	closed bool
	level  gpio.Level
	edges  chan struct{}
}

// Chips implements board.Host.
func (h *Host) Chips() ([]board.Chip, error) { return slices.Clone(h.Controllers), h.ChipsErr }

// Output implements board.Host. The part is called "LABEL:OFFSET".
func (h *Host) Output(c board.Chip, offset int, activeLow bool) board.Output {
	return h.open(fmt.Sprintf("%s:%d", c.Label, offset), activeLow)
}

// Input implements board.Host. The part is called "LABEL:OFFSET".
func (h *Host) Input(c board.Chip, offset int, activeHigh bool) board.Input {
	return h.open(fmt.Sprintf("%s:%d", c.Label, offset), activeHigh).released()
}

// I2C implements board.Host. The part is called "i2c-NUMBER".
func (h *Host) I2C(number int) board.Conn {
	return bus{h.open(fmt.Sprintf("i2c-%d", number), false)}
}

// LED implements board.Host. The part is called "led NAME of STATE".
func (h *Host) LED(name, state string) board.Output {
	return h.open(fmt.Sprintf("led %s of %s", name, state), false)
}

// Key implements board.Host. The part is called "key CODE of DEVICE".
func (h *Host) Key(device string, code uint16) board.Input {
	return h.open(fmt.Sprintf("key %d of %s", code, device), false).released()
}

func (h *Host) open(name string, inverted bool) *Part {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.parts == nil {
		h.parts = map[string]*Part{}
	}
	if old := h.parts[name]; old != nil && !old.closed {
		h.faults = append(h.faults, fmt.Errorf("%s was opened twice", name))
	}
	p := &Part{name: name, Inverted: inverted, host: h, edges: make(chan struct{}, 1)}
	h.parts[name] = p
	h.opened = append(h.opened, name)
	return p
}

// released is the level of a button that nobody holds.
func (p *Part) released() *Part {
	p.level = gpio.High
	return p
}

// Opened returns what was opened, in order.
func (h *Host) Opened() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.opened)
}

// Part returns what was opened under this name, nil when nothing was.
func (h *Host) Part(name string) *Part {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.parts[name]
}

// Check returns what was done wrong: a part opened twice, left open, closed twice
// or used after its end.
func (h *Host) Check() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	errs := slices.Clone(h.faults)
	for name, p := range h.parts {
		if !p.closed {
			errs = append(errs, fmt.Errorf("%s was left open", name))
		}
	}
	return errors.Join(errs...)
}

// use says whether the part may be used.
func (p *Part) use() error {
	p.host.mu.Lock()
	defer p.host.mu.Unlock()
	if p.closed {
		err := fmt.Errorf("%s was used after its end", p.name)
		p.host.faults = append(p.host.faults, err)
		return err
	}
	return p.Fail
}

// Out implements gpio.PinOut.
func (p *Part) Out(l gpio.Level) error {
	if err := p.use(); err != nil {
		return err
	}
	p.Set(l)
	return nil
}

// Set changes the level from outside: of an input, low is held.
func (p *Part) Set(l gpio.Level) {
	p.host.mu.Lock()
	defer p.host.mu.Unlock()
	if p.level == l {
		return
	}
	p.level = l
	select {
	case p.edges <- struct{}{}:
	default:
	}
}

// In implements gpio.PinIn.
func (p *Part) In(gpio.Pull, gpio.Edge) error { return p.use() }

// Read implements gpio.PinIn; of an output it is what was last written.
func (p *Part) Read() gpio.Level {
	p.host.mu.Lock()
	defer p.host.mu.Unlock()
	return p.level
}

// WaitForEdge implements gpio.PinIn.
func (p *Part) WaitForEdge(timeout time.Duration) bool {
	var late <-chan time.Time
	if timeout >= 0 {
		late = time.After(timeout)
	}
	select {
	case <-p.edges:
		return true
	case <-late:
		return false
	}
}

// Halt implements conn.Resource: it ends a WaitForEdge.
func (p *Part) Halt() error {
	select {
	case p.edges <- struct{}{}:
	default:
	}
	return nil
}

// Name implements pin.Pin.
func (p *Part) Name() string { return p.name }

// String implements conn.Resource.
func (p *Part) String() string { return p.name }

// Number implements pin.Pin.
func (*Part) Number() int { return -1 }

// Function implements pin.Pin.
func (*Part) Function() string { return "" }

// Pull implements gpio.PinIn.
func (*Part) Pull() gpio.Pull { return gpio.PullNoChange }

// DefaultPull implements gpio.PinIn.
func (*Part) DefaultPull() gpio.Pull { return gpio.PullNoChange }

// PWM implements gpio.PinOut.
func (*Part) PWM(gpio.Duty, physic.Frequency) error { return errors.New("no PWM") }

// Close implements io.Closer.
func (p *Part) Close() error {
	p.host.mu.Lock()
	defer p.host.mu.Unlock()
	if p.closed {
		p.host.faults = append(p.host.faults, fmt.Errorf("%s was closed twice", p.name))
	}
	p.closed = true
	return nil
}

// bus is a Part as an I2C bus.
type bus struct{ *Part }

// String implements i2c.Bus.
func (b bus) String() string { return b.name }

// SetSpeed implements i2c.Bus.
func (b bus) SetSpeed(physic.Frequency) error { return b.use() }

// Tx implements i2c.Bus.
func (b bus) Tx(addr uint16, w, r []byte) error {
	if err := b.use(); err != nil {
		return err
	}
	if b.host.Transfer == nil {
		return errors.New("no device answers")
	}
	return b.host.Transfer(addr, w, r)
}

var (
	_ board.Host   = (*Host)(nil)
	_ board.Output = (*Part)(nil)
	_ board.Input  = (*Part)(nil)
	_ board.Conn   = bus{}
)
