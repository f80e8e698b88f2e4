package sim

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"periph.io/x/conn/v3/gpio"
	"periph.io/x/conn/v3/physic"
)

// codeLEDs is how many LEDs show a character of the code.
const codeLEDs = 5

// maxHistory is how many changes are kept for those who watch. A code of 12
// characters makes less than 100.
const maxHistory = 4096

// LEDState is what the LEDs show from a moment on.
type LEDState struct {
	At     time.Time `json:"at"`     // when it came to be
	Bits   uint8     `json:"bits"`   // of the five code LEDs, Board.LEDs.Bits[0] being bit 4
	Strobe bool      `json:"strobe"` // the bits hold still
}

// errBehind is what a watcher gets who missed changes.
var errBehind = errors.New("more LED changes than could be kept")

// lights keeps the state of the LEDs and every change of it.
type lights struct {
	mu      sync.Mutex
	history []LEDState    // the last one is the present
	dropped int           // changes that are no longer in history
	changed chan struct{} // closed at the next change
}

func newLights() *lights {
	return &lights{
		history: []LEDState{{At: time.Now()}},
		changed: make(chan struct{}),
	}
}

// set changes the state by f and keeps it when it differs.
func (l *lights) set(f func(*LEDState)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	old := l.history[len(l.history)-1]
	now := old
	if f(&now); now == old {
		return
	}
	now.At = time.Now()
	if len(l.history) == maxHistory {
		l.history = append(l.history[:0], l.history[maxHistory/2:]...)
		l.dropped += maxHistory / 2
	}
	l.history = append(l.history, now)
	close(l.changed)
	l.changed = make(chan struct{})
}

// now returns the present state and the cursor of the next one.
func (l *lights) now() (LEDState, int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.history[len(l.history)-1], l.dropped + len(l.history)
}

// since returns the states from the cursor on and the cursor of the next one,
// and a channel that is closed when there are more. It fails when some of them
// are no longer kept.
func (l *lights) since(cursor int) ([]LEDState, int, <-chan struct{}, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if cursor < l.dropped {
		return nil, 0, nil, errBehind
	}
	list := append([]LEDState(nil), l.history[cursor-l.dropped:]...)
	return list, cursor + len(list), l.changed, nil
}

// led is one LED, lit while its line is high.
type led struct {
	name   string
	number int
	lights *lights
	put    func(s *LEDState, on bool)
}

// newLEDs returns the code LEDs, the most significant first, and the strobe.
func newLEDs(l *lights) (bits []gpio.PinOut, strobe gpio.PinOut) {
	for i := range codeLEDs {
		mask := uint8(1) << (codeLEDs - 1 - i)
		bits = append(bits, &led{
			name: fmt.Sprintf("LED%d", codeLEDs-1-i), number: i, lights: l,
			put: func(s *LEDState, on bool) {
				s.Bits &^= mask
				if on {
					s.Bits |= mask
				}
			},
		})
	}
	return bits, &led{
		name: "STROBE", number: codeLEDs, lights: l,
		put: func(s *LEDState, on bool) { s.Strobe = on },
	}
}

func (p *led) String() string   { return p.name }
func (p *led) Halt() error      { return nil }
func (p *led) Name() string     { return p.name }
func (p *led) Number() int      { return p.number }
func (p *led) Function() string { return string(gpio.OUT) }

// Out lights the LED or puts it out.
func (p *led) Out(level gpio.Level) error {
	p.lights.set(func(s *LEDState) { p.put(s, bool(level)) })
	return nil
}

// PWM is refused, as lines of Linux's GPIO character device do.
func (p *led) PWM(gpio.Duty, physic.Frequency) error {
	return fmt.Errorf("%s: no pulse width modulation", p.name)
}

var _ gpio.PinOut = (*led)(nil)
