package hw

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// PanelConfig is what a Panel is made of. All of it may be missing.
type PanelConfig struct {
	Screens []Screen
	LEDs    *LEDs
	// Sleep is how long a screen shows a view that asks for nothing (ModeIdle, ModeDone,
	// ModeFailed) before it goes dark. 0: never. A screen whose Sleep says
	// errors.ErrUnsupported has no light, and counts as awake.
	Sleep time.Duration
	Log   *slog.Logger     // nil: no log
	Clock func() time.Time // what screens are told the time by; nil: time.Now
}

// Panel keeps every screen and the LEDs showing the newest view. A nil *Panel
// shows nothing.
type Panel struct {
	screens []*screen
	leds    *LEDs
	sleep   time.Duration
	clock   func() time.Time
	outages []*outage // of the screens and of the groups of the LEDs, in this order

	mu    sync.Mutex
	shown View      // by Show
	cover *View     // nil: shown is what is to be seen
	fresh time.Time // when what is to be seen changed, or somebody came
}

// screen is a Screen and where it stands.
type screen struct {
	Screen
	*outage
	changed chan struct{} // holds a token when there is news for it
	asleep  bool          // guarded by Panel.mu
}

// NewPanel returns a panel that shows the zero View, ModeIdle, once Run is called.
func NewPanel(c PanelConfig) *Panel {
	p := &Panel{leds: c.LEDs, sleep: c.Sleep, clock: c.Clock}
	if p.clock == nil {
		p.clock = time.Now
	}
	for _, s := range c.Screens {
		o := newOutage(c.Log, name(s))
		p.screens = append(p.screens, &screen{Screen: s, outage: o, changed: make(chan struct{}, 1)})
		p.outages = append(p.outages, o)
	}
	p.outages = append(p.outages, p.leds.outages(c.Log)...)
	return p
}

// Show makes v the view to show. It returns at once, however slow the screens
// are; of views that come faster than they can be drawn only the last is.
func (p *Panel) Show(v View) {
	p.change(func() { p.shown = v })
}

// Cover shows v in the place of what Show is given, until Uncover. It returns at
// once.
func (p *Panel) Cover(v View) {
	p.change(func() { p.cover = &v })
}

// Uncover ends a Cover: what Show was given last is shown again.
func (p *Panel) Uncover() {
	p.change(func() { p.cover = nil })
}

// change does f, and has the parts show what is to be seen then if it is another.
func (p *Panel) change(f func()) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	before := p.view()
	f()
	if v := p.view(); v != before {
		p.leds.Show(v)
		p.refresh()
	}
}

// view returns what is to be seen; p.mu is held.
func (p *Panel) view() View {
	if p.cover != nil {
		return *p.cover
	}
	return p.shown
}

// refresh has the screens drawn, and the time until they sleep begin anew; p.mu
// is held.
func (p *Panel) refresh() {
	p.fresh = time.Now()
	for _, s := range p.screens {
		select {
		case s.changed <- struct{}{}:
		default: // it has not seen the last one yet
		}
	}
}

// Wake lights the screens that sleep, and says whether any did. Those that do not
// sleep stay awake for another PanelConfig.Sleep.
func (p *Panel) Wake() bool {
	if p == nil {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	asleep := false
	for _, s := range p.screens {
		asleep = asleep || s.asleep
		s.asleep = false
	}
	p.refresh()
	return asleep
}

// Trouble returns a line for each part that does not work: its name, why, and in
// brackets what can be done about it. nil: all work.
func (p *Panel) Trouble() []string {
	if p == nil {
		return nil
	}
	var lines []string
	for _, o := range p.outages {
		if line := o.trouble(); line != "" {
			lines = append(lines, line)
		}
	}
	return lines
}

// Run shows what Show is given until ctx ends; then it closes the screens, puts
// the LEDs out, and returns what went wrong with that, if anything did. A part
// that fails does not end it and does not hold up the others: it is tried again
// after one second, doubling up to a minute, and with every new view. Its
// failure and its recovery are logged once each, unless it says ErrAbsent.
//
// Screens are drawn when the view changes, and once a second for as long as a code
// stands or a reset counts down. While nothing changes nothing runs. Call Run once.
func (p *Panel) Run(ctx context.Context) error {
	if p == nil {
		<-ctx.Done()
		return nil
	}
	p.mu.Lock()
	p.fresh = time.Now()
	p.mu.Unlock()
	var wg sync.WaitGroup
	errs := make([]error, len(p.screens)+1)
	for i, s := range p.screens {
		wg.Go(func() { errs[i] = p.runScreen(ctx, s) })
	}
	wg.Go(func() { errs[len(p.screens)] = p.leds.run(ctx, p.outages[len(p.screens):]) })
	wg.Wait()
	<-ctx.Done() // a panel without parts waits as well
	return errors.Join(errs...)
}

// runScreen keeps one screen up to date and closes it in the end.
func (p *Panel) runScreen(ctx context.Context, s *screen) error {
	timer := time.NewTimer(0) // draws the first view
	defer timer.Stop()
	var mended time.Time
	for {
		select {
		case <-ctx.Done():
			if err := s.Close(); err != nil && !s.broken() {
				return fmt.Errorf("closing %s: %w", s.part, err)
			}
			return nil // a screen that is broken need not be told
		case <-s.changed:
		case <-timer.C:
		}
		v, fresh := p.current()
		if s.broken() {
			mended = time.Now() // if this try is the one that works
		}
		if mended.After(fresh) {
			fresh = mended // who plugs in a display wants to see something
		}
		if next := p.draw(s, v, fresh); next > 0 {
			timer.Reset(next)
		} else {
			timer.Stop()
		}
	}
}

// current returns what is to be seen, and since when.
func (p *Panel) current() (View, time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.view(), p.fresh
}

// draw shows v on s, or lets s sleep when v has stood for long enough, and returns
// when it is to be called again; 0: not before there is news.
func (p *Panel) draw(s *screen, v View, fresh time.Time) time.Duration {
	left := time.Duration(0) // until it is time to sleep
	if p.sleep > 0 && atRest(v.Mode) {
		left = p.sleep - time.Since(fresh)
		if left <= 0 {
			return p.darken(s)
		}
	}
	p.setAsleep(s, false)
	now := p.clock()
	if s.note(s.Show(v, now)) {
		if s.absent && (v.Mode == ModeIdle || v.Mode == ModeDone) {
			return lastRetry // nobody waits for it
		}
		return s.retry
	}
	if tick := untilTick(v, now); tick > 0 {
		return tick // such a view does not sleep
	}
	return left
}

// darken lets s sleep.
func (p *Panel) darken(s *screen) time.Duration {
	err := s.Sleep()
	if errors.Is(err, errors.ErrUnsupported) {
		return 0 // it has no light, and stays as it is
	}
	if s.note(err) {
		return s.retry
	}
	p.setAsleep(s, true)
	return 0
}

func (p *Panel) setAsleep(s *screen, asleep bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s.asleep = asleep
}

// atRest tells whether a view of this mode asks nobody for anything.
func atRest(m Mode) bool { return m == ModeIdle || m == ModeDone || m == ModeFailed }

// untilTick returns when v must be drawn again although it does not change, 0 for
// never: on the full seconds before the end of a code or of the countdown to a
// reset, and at the end.
func untilTick(v View, now time.Time) time.Duration {
	if v.Mode != ModeCode && v.Mode != ModeReset || v.Expires.IsZero() {
		return 0
	}
	left := v.Expires.Sub(now)
	if left <= 0 {
		return 0
	}
	if part := left % time.Second; part > 0 {
		return part
	}
	return time.Second
}

// name returns what to call a screen in a log.
func name(s Screen) string {
	if n, ok := s.(fmt.Stringer); ok {
		return n.String()
	}
	return "a screen"
}
