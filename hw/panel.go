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
	Log     *slog.Logger     // nil: no log
	Clock   func() time.Time // nil: time.Now
}

// How long a part that failed is left alone: doubling from the first to the last.
const (
	firstRetry = time.Second
	lastRetry  = time.Minute
)

// Panel keeps every screen and the LEDs showing the newest view. A nil *Panel
// shows nothing.
type Panel struct {
	screens []Screen
	leds    *LEDs
	log     *slog.Logger
	clock   func() time.Time

	mu      sync.Mutex
	view    View
	changed []chan struct{} // one for every screen, holds a token when view is new
}

// NewPanel returns a panel that shows the zero View, ModeIdle, once Run is called.
func NewPanel(c PanelConfig) *Panel {
	p := &Panel{screens: c.Screens, leds: c.LEDs, log: c.Log, clock: c.Clock}
	if p.log == nil {
		p.log = slog.New(slog.DiscardHandler)
	}
	if p.clock == nil {
		p.clock = time.Now
	}
	for range p.screens {
		p.changed = append(p.changed, make(chan struct{}, 1))
	}
	return p
}

// Show makes v the view to show. It returns at once, however slow the screens
// are; of views that come faster than they can be drawn only the last is.
func (p *Panel) Show(v View) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.view == v {
		return
	}
	p.view = v
	p.leds.Show(v)
	for _, c := range p.changed {
		select {
		case c <- struct{}{}:
		default: // the screen has not seen the last one yet
		}
	}
}

// Run shows what Show is given until ctx ends; then it closes the screens, puts
// the LEDs out, and returns what went wrong with that, if anything did. A part
// that fails does not end it and does not hold up the others: it is tried again
// after one second, doubling up to a minute, and with every new view. Its
// failure and its recovery are logged once each. Screens are drawn when the view
// changes, and once a second for as long as a code stands. Call Run once.
func (p *Panel) Run(ctx context.Context) error {
	if p == nil {
		<-ctx.Done()
		return nil
	}
	var wg sync.WaitGroup
	errs := make([]error, len(p.screens)+1)
	for i, s := range p.screens {
		wg.Go(func() { errs[i] = p.runScreen(ctx, s, p.changed[i]) })
	}
	wg.Go(func() { errs[len(p.screens)] = p.runLEDs(ctx) })
	wg.Wait()
	<-ctx.Done() // a panel without parts waits as well
	return errors.Join(errs...)
}

// runScreen keeps one screen up to date and closes it in the end.
func (p *Panel) runScreen(ctx context.Context, s Screen, changed <-chan struct{}) error {
	o := outage{log: p.log, part: name(s)}
	timer := time.NewTimer(0) // draws the first view
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			if err := s.Close(); err != nil && !o.broken() {
				return fmt.Errorf("closing %s: %w", o.part, err)
			}
			return nil // a screen that is broken need not be told
		case <-changed:
		case <-timer.C:
		}
		p.mu.Lock()
		v := p.view
		p.mu.Unlock()
		now := p.clock()
		next := untilTick(v, now)
		if o.note(s.Show(v, now)) {
			next = o.retry
		}
		if next > 0 {
			timer.Reset(next)
		} else {
			timer.Stop()
		}
	}
}

// untilTick returns when v must be drawn again although it does not change, 0 for
// never: on the full seconds before the end of a code, and at the end.
func untilTick(v View, now time.Time) time.Duration {
	if v.Mode != ModeCode || v.Expires.IsZero() {
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

// runLEDs keeps the LEDs running.
func (p *Panel) runLEDs(ctx context.Context) error {
	o := outage{log: p.log, part: "the LEDs"}
	for {
		err := p.leds.run(ctx, func() { o.note(nil) })
		if ctx.Err() != nil {
			if o.broken() {
				return nil
			}
			return err
		}
		o.note(err)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(o.retry):
		}
	}
}

// outage follows a part through failure and recovery.
type outage struct {
	log   *slog.Logger
	part  string
	retry time.Duration // until the next try; 0 while the part works
}

// note takes the result of a try, logs it when it is news, and says whether it
// was a failure.
func (o *outage) note(err error) (failed bool) {
	switch {
	case err == nil && o.broken():
		o.log.Info("panel works again", "part", o.part)
		o.retry = 0
	case err != nil && o.broken():
		o.retry = min(2*o.retry, lastRetry)
	case err != nil:
		o.log.Warn("panel failed, trying again", "part", o.part, "error", err)
		o.retry = firstRetry
	}
	return err != nil
}

func (o *outage) broken() bool { return o.retry > 0 }

// name returns what to call a screen in a log.
func name(s Screen) string {
	if n, ok := s.(fmt.Stringer); ok {
		return n.String()
	}
	return "a screen"
}
