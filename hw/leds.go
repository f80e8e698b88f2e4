package hw

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"periph.io/x/conn/v3/gpio"
)

// LEDAlphabet gives the characters that LEDs can show: the value of a character
// is its place, 0 to 31. It is Crockford's base32
// (https://www.crockford.com/base32.html), the alphabet of provisioning codes.
const LEDAlphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

// ledBits is how many lines show a character.
const ledBits = 5

// DefaultLEDPace is how long a character stands when nothing else is asked for.
const DefaultLEDPace = time.Second

// How a code is played, in parts of the pace: a character stands for one pace
// with the strobe lit, then all is dark for half of one, and for two before the
// first character of each round. A person (or hwtest.DecodeLEDs) tells the
// rounds apart by a gap that is longer than a character stands.
const (
	charGapHalves  = 1
	roundGapHalves = 4
)

// step is a part of a pattern: what is lit, and for how many halves of the pace.
type step struct {
	bits   uint8 // bit 4 is the first line
	halves int   // 0: for good
}

// pattern is what the lines do in a mode: steps, again and again. A step that
// lasts for good costs nothing, while one that ends wakes the processor: a pattern of a mode
// in which nothing else runs comes to rest.
type pattern struct {
	steps []step
	limit time.Duration // after the first round that ends later, rest is shown; 0: never
	rest  uint8         // for good
}

// failedBlinks is how long a failure asks for attention.
const failedBlinks = 10 * time.Minute

// patterns are what the five lines do in each mode. The strobe is dark in all of
// them: it is lit only while a character of a code holds still. Waiting, a code
// and work move for as long as they last; the exchange is awake then, too.
var patterns = [...]pattern{
	// Dark: nothing runs.
	ModeIdle: {steps: []step{{0b00000, 0}}},
	// One light runs from the first line to the last: asking the gateway.
	ModeWaiting: {steps: []step{{0b10000, 1}, {0b01000, 1}, {0b00100, 1}, {0b00010, 1}, {0b00001, 1}}},
	// The code is played; this is for panels that cannot: all lines blink evenly.
	ModeCode: {steps: []step{{0b11111, 2}, {0b00000, 2}}},
	// A bar fills from the first line: claimed, the certificate is on its way.
	ModeWorking: {steps: []step{{0b00000, 1}, {0b10000, 1}, {0b11000, 1}, {0b11100, 1}, {0b11110, 1}, {0b11111, 1}}},
	// All lit and steady: the machine has its identity.
	ModeDone: {steps: []step{{0b11111, 0}}},
	// The outer and the middle lines blink in turn with the two between them: it
	// failed. After ten minutes the two are lit and steady: it failed, and nobody
	// has come. (On a panel of one line that is dark, never what "done" is.)
	ModeFailed: {steps: []step{{0b10101, 1}, {0b01010, 1}}, limit: failedBlinks, rest: 0b01010},
	// All blink quickly: letting the button go removes the identity.
	ModeReset: {steps: []step{{0b11111, 1}, {0b00000, 1}}},
}

// LEDs shows views on five lines and a strobe. A nil *LEDs does nothing.
type LEDs struct {
	bits   []gpio.PinOut
	strobe gpio.PinOut
	pace   time.Duration

	mu      sync.Mutex
	view    View
	changed chan struct{} // holds one token when view is new

	// Of Run alone: what the lines show, one bit each, the strobe at 1<<ledBits.
	shown uint8
	known bool
}

// NewLEDs returns the LEDs on bits, the most significant first, and strobe, which
// may be nil. With fewer than five bits it shows patterns and no codes; more than
// five are left alone. A character of a code stands for pace, DefaultLEDPace when
// that is not positive.
func NewLEDs(bits []gpio.PinOut, strobe gpio.PinOut, pace time.Duration) *LEDs {
	if pace <= 0 {
		pace = DefaultLEDPace
	}
	return &LEDs{bits: bits[:min(ledBits, len(bits))], strobe: strobe, pace: pace, changed: make(chan struct{}, 1)}
}

// Show makes v what Run plays. It returns at once. The same mode and code again
// change nothing: a code that is being read goes on.
func (l *LEDs) Show(v View) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	same := l.view.Mode == v.Mode && l.view.Code == v.Code
	l.view = v
	if same {
		return
	}
	select {
	case l.changed <- struct{}{}:
	default: // Run has not seen the last one yet
	}
}

// Run plays what Show was given until ctx ends, and leaves the lines dark. It
// sleeps for as long as nothing changes: for good with a steady pattern. An error
// means that a line could not be set; Run may be called again then.
func (l *LEDs) Run(ctx context.Context) error { return l.run(ctx, func() {}) }

// run is Run; it calls works when a program was played once without an error.
func (l *LEDs) run(ctx context.Context, works func()) error {
	if l == nil {
		<-ctx.Done()
		return nil
	}
	for {
		err := l.play(ctx, l.program(), works)
		if ctx.Err() != nil {
			return errors.Join(err, l.set(0))
		}
		if err != nil {
			return err
		}
	}
}

// program returns what to play for the view as it is now.
func (l *LEDs) program() pattern {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.changed:
	default:
	}
	m := l.view.Mode
	if int(m) >= len(patterns) {
		m = ModeIdle
	}
	if m == ModeCode && len(l.bits) == ledBits {
		if steps := codeSteps(l.view.Code); steps != nil {
			return pattern{steps: steps}
		}
	}
	return patterns[m]
}

// codeSteps returns one round of a code, nil when it has characters that are not
// in the alphabet or none at all.
func codeSteps(code string) []step {
	if code == "" {
		return nil
	}
	steps := []step{{0, roundGapHalves}}
	for i := range len(code) {
		value := strings.IndexByte(LEDAlphabet, code[i])
		if value < 0 {
			return nil
		}
		if i > 0 {
			steps = append(steps, step{0, charGapHalves})
		}
		steps = append(steps, step{strobeBit | uint8(value), 2})
	}
	return steps
}

const strobeBit = 1 << ledBits

// play plays a pattern until the view changes, ctx ends or a line fails.
func (l *LEDs) play(ctx context.Context, p pattern, works func()) error {
	timer := time.NewTimer(0)
	timer.Stop()
	defer timer.Stop()
	start, steps := time.Now(), p.steps
	for i := 0; ; i = (i + 1) % len(steps) {
		if i == 0 && p.limit > 0 && time.Since(start) >= p.limit {
			steps = []step{{p.rest, 0}}
		}
		if err := l.set(steps[i].bits); err != nil {
			return err
		}
		if i == len(steps)-1 {
			works()
		}
		if steps[i].halves > 0 {
			timer.Reset(time.Duration(steps[i].halves) * l.pace / 2)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-l.changed:
			return nil
		case <-timer.C:
		}
	}
}

// set lights the lines. The strobe goes out before they change and on after, so
// that they hold still for as long as it is lit.
func (l *LEDs) set(want uint8) error {
	if err := l.setLines(want); err != nil {
		l.known = false
		return err
	}
	l.shown, l.known = want, true
	return nil
}

func (l *LEDs) setLines(want uint8) error {
	was, all := l.shown, !l.known
	if l.strobe != nil && (all || was&strobeBit != 0) {
		if err := l.strobe.Out(gpio.Low); err != nil {
			return fmt.Errorf("setting the strobe LED: %w", err)
		}
	}
	for i, pin := range l.bits {
		mask := uint8(1) << (ledBits - 1 - i)
		if !all && (was^want)&mask == 0 {
			continue
		}
		if err := pin.Out(want&mask != 0); err != nil {
			return fmt.Errorf("setting LED %d: %w", i+1, err)
		}
	}
	if l.strobe != nil && want&strobeBit != 0 {
		if err := l.strobe.Out(gpio.High); err != nil {
			return fmt.Errorf("setting the strobe LED: %w", err)
		}
	}
	return nil
}
