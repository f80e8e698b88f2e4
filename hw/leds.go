package hw

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"periph.io/x/conn/v3/gpio"
)

// LEDConfig is what LEDs are made of: three groups, each of which may be empty.
// A line that is high is lit.
type LEDConfig struct {
	// Bits show a code in binary, five bits a character, the most significant first.
	// With fewer than five lines they show patterns and no codes; more are left alone.
	Bits   []gpio.PinOut
	Strobe gpio.PinOut // lit while Bits hold still; may be nil

	Single gpio.PinOut   // shows a code in Morse
	RGB    []gpio.PinOut // red, green, blue: a colour for the state, no codes

	Pace time.Duration // how long a character stands on Bits; DefaultLEDPace when not positive
	Dot  time.Duration // of Morse; DefaultLEDDot when not positive
}

// DefaultLEDPace is how long a character stands when nothing else is asked for.
const DefaultLEDPace = time.Second

// DefaultLEDDot is how long a dot is when nothing else is asked for. The word
// PARIS with the gap after it is 50 dots, so that this is five words a minute, the
// speed at which beginners read.
const DefaultLEDDot = 240 * time.Millisecond

// LEDs are the lights of a panel. A nil *LEDs does nothing.
type LEDs struct {
	groups []*group
}

// NewLEDs returns the LEDs of c. They are dark until Run.
func NewLEDs(c LEDConfig) *LEDs {
	if c.Pace <= 0 {
		c.Pace = DefaultLEDPace
	}
	if c.Dot <= 0 {
		c.Dot = DefaultLEDDot
	}
	l := new(LEDs)
	add := func(g *group) {
		g.changed = make(chan struct{}, 1)
		l.groups = append(l.groups, g)
	}
	if bits := c.Bits[:min(ledBits, len(c.Bits))]; len(bits) > 0 {
		code := func(code string) []step { return binarySteps(code, c.Pace) }
		if len(bits) < ledBits {
			code = noCode
		}
		add(&group{name: "the code LEDs", kind: bitsGroup, code: code, lines: lights{pins: bits, width: ledBits, strobe: c.Strobe}})
	}
	if c.Single != nil {
		code := func(code string) []step { return morseSteps(code, c.Dot) }
		add(&group{name: "the single LED", kind: singleGroup, code: code, lines: lights{pins: []gpio.PinOut{c.Single}, width: 1}})
	}
	if rgb := c.RGB[:min(3, len(c.RGB))]; len(rgb) > 0 {
		add(&group{name: "the RGB LED", kind: rgbGroup, code: noCode, lines: lights{pins: rgb, width: 3}})
	}
	return l
}

func noCode(string) []step { return nil }

// Show makes v what Run plays. It returns at once. What is being played goes on
// when it is that of v, too: a code is read to its end while the words change.
func (l *LEDs) Show(v View) {
	if l == nil {
		return
	}
	for _, g := range l.groups {
		g.show(v)
	}
}

// Run plays what Show was given until ctx ends, and leaves the lines dark; an
// error says that a line could not be made so. Groups run by themselves: one that
// fails is tried again after a second, doubling up to a minute, and with every new
// view. It sleeps for as long as nothing changes: for good with a steady pattern.
func (l *LEDs) Run(ctx context.Context) error { return l.run(ctx, l.outages(nil)) }

// outages returns one for each group.
func (l *LEDs) outages(log *slog.Logger) (all []*outage) {
	if l == nil {
		return nil
	}
	for _, g := range l.groups {
		all = append(all, newOutage(log, g.name))
	}
	return all
}

// run is Run with the outages of the groups.
func (l *LEDs) run(ctx context.Context, outages []*outage) error {
	if l == nil {
		<-ctx.Done()
		return nil
	}
	var wg sync.WaitGroup
	errs := make([]error, len(l.groups))
	for i, g := range l.groups {
		wg.Go(func() { errs[i] = g.run(ctx, outages[i]) })
	}
	wg.Wait()
	<-ctx.Done() // without groups, too
	return errors.Join(errs...)
}

// group is a number of lines that show the same thing.
type group struct {
	name  string
	kind  groupKind
	code  func(string) []step // one round of a code; nil: it has characters that cannot be shown
	lines lights

	mu      sync.Mutex
	view    View
	changed chan struct{} // holds one token when view is new
}

func (g *group) show(v View) {
	g.mu.Lock()
	defer g.mu.Unlock()
	same := g.view.Mode == v.Mode && g.view.Code == v.Code &&
		(v.Mode != ModeReset || g.view.Made.Equal(v.Made) && g.view.Expires.Equal(v.Expires))
	g.view = v
	if same {
		return
	}
	select {
	case g.changed <- struct{}{}:
	default: // run has not seen the last one yet
	}
}

// run keeps the group playing until ctx ends, and makes it dark.
func (g *group) run(ctx context.Context, o *outage) error {
	for ctx.Err() == nil {
		p, v := g.program()
		if o.note(g.play(ctx, p, v, func() { o.note(nil) })) {
			g.rest(ctx, o.retry)
		}
	}
	err := g.lines.dark()
	if o.broken() {
		return nil // it was said before
	}
	return err
}

// rest waits for d, for a new view or for ctx to end.
func (g *group) rest(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-g.changed:
	case <-t.C:
	}
}

// program returns what to play for the view as it is now.
func (g *group) program() (pattern, View) {
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case <-g.changed:
	default:
	}
	v := g.view
	if int(v.Mode) >= len(patterns) {
		v.Mode = ModeIdle
	}
	if v.Mode == ModeCode {
		if steps := g.code(v.Code); steps != nil {
			return pattern{steps: steps}, v
		}
	}
	return patterns[v.Mode][g.kind], v
}

// play plays a pattern until the view changes, ctx ends or a line fails. It calls
// works whenever all of a round has been shown.
func (g *group) play(ctx context.Context, p pattern, v View, works func()) error {
	timer := time.NewTimer(0)
	timer.Stop()
	defer timer.Stop()
	start := time.Now()
	steps := p.lead.steps(v, start)
	if len(steps) == 0 {
		steps = p.steps
	}
	for i := 0; ; {
		if err := g.lines.set(steps[i].lit); err != nil {
			return err
		}
		if i == len(steps)-1 {
			works()
		}
		if steps[i].d > 0 {
			timer.Reset(steps[i].d)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-g.changed:
			return nil
		case <-timer.C:
		}
		if i++; i == len(steps) {
			i, steps = 0, p.steps
			if p.limit > 0 && time.Since(start) >= p.limit {
				steps = []step{{p.rest, 0}}
			}
		}
	}
}
