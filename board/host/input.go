package host

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
	"periph.io/x/conn/v3/gpio"

	"github.com/mecha-org/mecha-agent/board"
)

// debounce is how long a line must hold its level before the kernel reports it.
// Most of a push button's bouncing is shorter, so one press wakes this process
// twice and no more. It is done in the kernel where the controller cannot.
const debounce = 5 * time.Millisecond

// Input returns a line to read from. It is periph's gpio.PinIn, with these points
// made certain:
//
//   - In takes the line, or takes it anew; errors are those of Output. It asks for
//     debouncing, and for the pull in the sense of the button: gpio.PullUp is what
//     keeps it released, so a pull-down when activeHigh. A controller that has
//     neither is no error; Pull says which pull there is.
//   - WaitForEdge(d) with a negative d waits without end. Edges since In are kept,
//     16 of them, and several may be taken for one.
//   - Halt ends a WaitForEdge, and those that start later, until the next In.
//   - When the line is gone Read returns gpio.High, which is released, and
//     WaitForEdge false at once: In says why. Both do so before the first In.
func (h *Host) Input(c board.Chip, offset int, activeHigh bool) board.Input {
	return &input{named: lineName(c, offset), host: h, chip: c, activeHigh: activeHigh}
}

type input struct {
	named
	host       *Host
	chip       board.Chip
	activeHigh bool
	watch      watch

	mu     sync.Mutex
	pull   gpio.Pull
	closed bool
}

// In takes the line. The one that is held already is given back first: the kernel
// has no other way to empty its queue of edges.
func (p *input) In(pull gpio.Pull, edge gpio.Edge) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	err := error(os.ErrClosed)
	if !p.closed {
		err = p.take(pull, edge)
	}
	if err != nil {
		return fmt.Errorf("reading line %s: %w", p.name, err)
	}
	return nil
}

// biases are the flags of a pull, for a line that is active low and for one that
// is active high, where the pull is the other way round.
var biases = map[gpio.Pull][2]uint64{
	gpio.PullUp:   {flagPullUp, flagPullDown},
	gpio.PullDown: {flagPullDown, flagPullUp},
	gpio.Float:    {flagBiasDisabled, flagBiasDisabled},
}

// edges are the flags of an edge. A line that is active high is asked for as active
// low, to read Low while it is active; the kernel turns its edges round likewise.
var edges = map[gpio.Edge]uint64{
	gpio.RisingEdge:  flagEdgeRising,
	gpio.FallingEdge: flagEdgeFalling,
	gpio.BothEdges:   flagEdgeRising | flagEdgeFalling,
}

func (p *input) take(pull gpio.Pull, edge gpio.Edge) error {
	p.pull = gpio.PullNoChange
	if err := p.watch.shut(); err != nil {
		return err
	}
	c, err := p.host.findChip(p.chip)
	if err != nil {
		return err
	}
	defer c.file.Close()
	flags, bias := flagInput|edges[edge], biases[pull][0]
	if p.activeHigh {
		flags, bias = flags|flagActiveLow, biases[pull][1]
	}
	var filter []unix.GPIOV2LineAttribute
	if edge != gpio.NoEdge {
		// A union: on the little-endian machines that we build for, its 32 bits of
		// microseconds are the low ones.
		filter = []unix.GPIOV2LineAttribute{{Id: unix.GPIO_V2_LINE_ATTR_ID_DEBOUNCE, Flags: uint64(debounce.Microseconds())}}
	}
	// From what is best to what every controller can do. Drivers refuse what they
	// cannot with one of several numbers.
	tries := []struct {
		bias   uint64
		filter []unix.GPIOV2LineAttribute
	}{{bias, filter}, {0, filter}, {bias, nil}, {0, nil}}
	var first error
	for _, t := range tries {
		f, err := c.request(p.number, flags|t.bias, t.filter...)
		if err == nil {
			if t.bias != 0 {
				p.pull = pull
			}
			return p.watch.open(f)
		}
		if !lacking(err) {
			return err
		}
		if first == nil {
			first = err
		}
	}
	return first
}

// notSupported is ENOTSUPP of the kernel, which is for its own use and yet escapes
// from some drivers.
const notSupported = unix.Errno(524)

// lacking tells whether a controller may have refused what it lacks, and would
// accept less.
func lacking(err error) bool {
	var errno unix.Errno
	return errors.As(err, &errno) &&
		(errno == unix.EINVAL || errno == unix.EOPNOTSUPP || errno == notSupported || errno == unix.ENXIO)
}

// Read returns the level: gpio.Low while the button is held.
func (p *input) Read() gpio.Level {
	v := unix.GPIOV2LineValues{Mask: 1}
	if err := p.watch.ioctl(p.host.ioctl, unix.GPIO_V2_LINE_GET_VALUES_IOCTL, unsafe.Pointer(&v)); err != nil {
		return gpio.High
	}
	return v.Bits&1 != 0
}

// WaitForEdge waits for an edge, for d at most.
func (p *input) WaitForEdge(d time.Duration) bool {
	var events [16 * int(unsafe.Sizeof(unix.GPIOV2LineEvent{}))]byte
	_, err := p.watch.next(events[:], until(d))
	return err == nil
}

// Halt ends the waits for an edge until the next In.
func (p *input) Halt() error {
	p.watch.halt()
	return nil
}

// Pull returns the pull that In was asked for, if the controller has it.
func (p *input) Pull() gpio.Pull {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.pull
}

// DefaultPull returns gpio.PullNoChange: the kernel does not tell.
func (p *input) DefaultPull() gpio.Pull { return gpio.PullNoChange }

// Close gives the line back. A WaitForEdge ends.
func (p *input) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	if err := p.watch.shut(); err != nil {
		return fmt.Errorf("giving line %s back: %w", p.name, err)
	}
	return nil
}
