// Package screentest emulates the displays of package screen that show characters,
// each alone on an I²C bus. They decode what a driver sends as the data sheets
// say, keep a list of what these do not allow, and draw what a person sees.
package screentest

import (
	"fmt"
	"sync"
	"syscall"
	"time"

	"periph.io/x/conn/v3/i2c"
	"periph.io/x/conn/v3/physic"
)

// chip is what all emulations have: an address, a bus whose transfers take time,
// and faults.
type chip struct {
	mu     sync.Mutex
	addr   uint16
	name   string
	speed  physic.Frequency
	spent  time.Duration // on the bus
	begin  time.Time
	faults []string
}

func newChip(name string, addr uint16) chip {
	return chip{name: name, addr: addr, speed: 100 * physic.KiloHertz, begin: time.Now()}
}

// String names the bus.
func (c *chip) String() string { return "test-i2c-1" }

// SetSpeed sets the clock that the time of a transfer is reckoned with; it is 100
// kHz before. It refuses what is above 400 kHz.
func (c *chip) SetSpeed(f physic.Frequency) error {
	if f <= 0 || f > 400*physic.KiloHertz {
		return fmt.Errorf("%s does not run at %s", c.name, f)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.speed = f
	return nil
}

// Faults returns what a driver did that the data sheet does not allow, in order.
func (c *chip) Faults() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]string{}, c.faults...)
}

func (c *chip) fault(format string, args ...any) {
	if len(c.faults) < 20 { // the first ones tell most
		c.faults = append(c.faults, fmt.Sprintf(format, args...))
	}
}

// acknowledge refuses other addresses, with the error that Linux has for it.
func (c *chip) acknowledge(addr uint16) error {
	if addr != c.addr {
		return fmt.Errorf("%s: no acknowledge from address %#02x: %w", c.String(), addr, syscall.ENXIO)
	}
	c.clocks(1 + clocksPerByte) // the start and the address
	return nil
}

// clocks lets the time of some clock periods go by.
func (c *chip) clocks(n int) { c.spent += time.Duration(n) * c.speed.Period() }

// now is the time since the chip was made: the transfers and the waits between.
func (c *chip) now() time.Duration { return c.spent + time.Since(c.begin) }

// clocksPerByte are eight bits and the acknowledge (UM10204, section 3.1.5).
const clocksPerByte = 9

// Meter counts what goes over a bus. It is not safe for concurrent use.
type Meter struct {
	i2c.Bus
	Transfers int
	Bytes     int // with the addresses
	Clocks    int // periods of the bus's clock: nine a byte, one for each start and stop
}

// Tx counts a transfer, also one that fails.
func (m *Meter) Tx(addr uint16, w, r []byte) error {
	m.Transfers++
	m.Clocks++ // stop
	for _, b := range [][]byte{w, r} {
		if len(b) > 0 {
			m.Bytes += 1 + len(b)
			m.Clocks += 1 + clocksPerByte*(1+len(b))
		}
	}
	return m.Bus.Tx(addr, w, r)
}

// Time returns how long the clocks take.
func (m *Meter) Time(f physic.Frequency) time.Duration { return time.Duration(m.Clocks) * f.Period() }

// Reset sets all counts to zero.
func (m *Meter) Reset() { m.Transfers, m.Bytes, m.Clocks = 0, 0, 0 }

// Buses is one bus with several chips on it.
type Buses []i2c.Bus

// String names the bus.
func (b Buses) String() string { return "test-i2c-1" }

// SetSpeed sets the clock of every chip.
func (b Buses) SetSpeed(f physic.Frequency) error {
	for _, bus := range b {
		if err := bus.SetSpeed(f); err != nil {
			return err
		}
	}
	return nil
}

// Tx asks the chips one after the other, and returns what the last says when none
// acknowledges.
func (b Buses) Tx(addr uint16, w, r []byte) error {
	err := fmt.Errorf("%s: no acknowledge from address %#02x: %w", b, addr, syscall.ENXIO)
	for _, bus := range b {
		if err = bus.Tx(addr, w, r); err == nil {
			return nil
		}
	}
	return err
}

var (
	_ i2c.Bus = (*Meter)(nil)
	_ i2c.Bus = Buses(nil)
)
