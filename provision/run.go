package provision

import (
	"context"
	"errors"
	"time"

	"github.com/mecha-org/mecha-agent/gateway"
)

// Run restores what a restart interrupted and works until ctx ends; then it
// stops what runs, closes all watchers and returns nil. What was saved stays for
// the next Run of another Provisioner: one runs once, a second call is an error.
func (p *Provisioner) Run(ctx context.Context) error {
	p.mu.Lock()
	if p.run != nil {
		p.mu.Unlock()
		return errors.New("provision: Run was called before")
	}
	p.run = ctx
	p.mu.Unlock()
	p.restore(ctx)
	close(p.ready)
	for {
		select {
		case <-ctx.Done():
			p.mu.Lock()
			p.ended = true
			p.awaitExpiry() // no more
			p.mu.Unlock()
			p.read()
			close(p.stopped)
			p.wg.Wait()
			p.mu.Lock()
			defer p.mu.Unlock()
			for w := range p.watchers {
				p.unwatch(w)
			}
			return nil
		case <-p.pressed:
			p.press(ctx)
		}
	}
}

// restore finds the identity and the session of the last run.
func (p *Provisioner) restore(ctx context.Context) {
	identity, err := p.identity(ctx)
	if ctx.Err() != nil {
		return
	}
	p.mu.Lock()
	blank := p.status
	p.setLocked(func(s *Status) {
		if err != nil {
			s.State = Failed
			s.blame(err)
			p.readAgain(ctx, firstLook)
			return
		}
		identity(s)
		s.rest()
	})
	if p.status == blank {
		p.show() // nothing changed, but the panel has seen nothing yet
	}
	p.mu.Unlock()

	load, cancel := context.WithTimeout(ctx, vaultTimeout)
	s, err := p.c.Sessions.LoadSession(load)
	cancel()
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		p.log.Warn("reading the saved session", "error", err)
		return
	}
	if s == (gateway.Session{}) {
		return
	}
	p.saved = true
	// The clock may have gone back since, and it may be set any moment: from here
	// on what is left counts, not the time of day.
	now := time.Now()
	left := min(s.Expires.Sub(now), p.c.CodeLife)
	s.Expires = now.Add(left)
	o := newOffer(s, now)
	if code, err := gateway.ParseCode(s.Code); err != nil || code != s.Code || left <= 0 && o.plain() {
		p.forget(ctx)
		return
	}
	if made := s.Expires.Add(-p.c.CodeLife); made.Before(now) {
		o.made = made
	}
	o.restored = true
	o.hold = now.Add(o.interval) // the last run may have asked just now
	until := now.Add(p.c.Window)
	if left <= 0 || p.Status().Provisioned {
		until = now // nobody pressed anything: no further codes
	}
	if left > 0 {
		p.present(o)
	} else { // it may have been claimed before it ended, or stand still: that clock was not this one
		p.mu.Lock()
		p.offer = o
		p.close(o)
		o.doubtful, o.next = true, o.hold
		p.mu.Unlock()
	}
	p.launch(o, until)
}

// Press is the button. It never blocks.
func (p *Provisioner) Press() {
	select {
	case p.pressed <- struct{}{}:
	default:
	}
}

// press acts on the button. A request at work is about to change the panel
// anyway, and a claim is not given up for a fresh code.
func (p *Provisioner) press(ctx context.Context) {
	if !p.ctl.try() {
		return
	}
	defer p.ctl.release()
	p.lookAgain(ctx)
	p.mu.Lock()
	p.lookAtClock()
	if p.status.State == Provisioned && p.work == nil {
		p.show()
		p.mu.Unlock()
		return
	}
	p.mu.Unlock()
	if _, ok := p.halt(false); !ok || ctx.Err() != nil {
		return
	}
	until := time.Now().Add(p.c.Window)
	if p.resume(until) {
		return
	}
	p.mu.Lock()
	o := p.offer
	if o != nil {
		o.doubtful = false
		p.close(o) // and then a fresh one
	}
	p.setLocked(func(s *Status) {
		if s.blame(nil); o == nil {
			s.rest()
			s.Step = stepAnnounce
		}
	})
	p.mu.Unlock()
	p.launch(o, until)
}

// resume goes on with the claim that a failure of disk or key has left, if there
// is one that still stands. ctl is held.
func (p *Provisioner) resume(until time.Time) bool {
	p.mu.Lock()
	o := p.kept
	p.kept = nil
	if o == nil || !o.alive(time.Now()) {
		p.mu.Unlock()
		return false
	}
	o.next = o.hold
	p.last = outcome{}
	p.offer = o
	p.setLocked(func(s *Status) {
		s.State, s.Step = Claimed, stepAsk
		s.blame(nil)
	})
	p.mu.Unlock()
	p.launch(o, until)
	return true
}

// launch drives the exchange in the background: from o, or by announcing a
// code first. ctl is held, or Run has not begun to serve.
func (p *Provisioner) launch(o *offer, until time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return
	}
	ctx, cancel := context.WithCancel(p.run)
	w := &work{cancel: cancel, done: make(chan struct{}), until: until}
	p.work = w
	if o != nil {
		o.asking = o.closing // whoever asked was stopped
	}
	p.wg.Go(func() {
		defer cancel()
		w.unfinished = !p.drive(ctx, o, until)
		p.mu.Lock()
		if p.work == w { // resume may have launched the next one already
			p.work = nil
		}
		p.mu.Unlock()
		close(w.done)
	})
}

// halt stops the exchange and waits until it has. Unless force is set, it leaves
// one alone that an operator has claimed, and returns false. ctl is held.
func (p *Provisioner) halt(force bool) (*work, bool) {
	p.mu.Lock()
	w := p.work
	if s := p.status.State; !force && (s == Claimed || s == Signing) {
		p.mu.Unlock()
		return nil, false
	}
	if w != nil {
		w.cancel() // with mu held: see claim
	}
	p.mu.Unlock()
	if w != nil {
		<-w.done
	}
	return w, true
}
