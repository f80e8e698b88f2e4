package provision

import (
	"context"
	"log/slog"
	"slices"
	"time"
)

// transitions is the whole machine: where each state may lead, and why.
var transitions = [...][]State{
	Idle: {
		CodeShown,   // a code was announced, or a saved one found at the start
		Claimed,     // a code that had ended turns out to be claimed
		Provisioned, // at the start: an identity is on disk
		Failed,      // the gateway refuses the code, key or disk fail, or the certificate has ended
	},
	CodeShown: {
		Claimed,     // an operator claimed the code
		Idle,        // the code ended or is replaced, or everything was removed
		Provisioned, // the same while an old identity is in use
		Failed,      // the gateway refuses, or the disk fails
	},
	Claimed: {
		Signing,     // the request is on its way
		Idle,        // the session ended before the certificate came, or everything was removed
		Provisioned, // the session ended and the old identity stays, or it had been completed before a restart
		Failed,      // the manifest makes no sense, or key or gateway fail
	},
	Signing: {
		Provisioned, // verified and stored
		Claimed,     // the answer was lost, the token void or the clock behind: ask again
		Idle,        // everything was removed
		Failed,      // refused, does not verify, or cannot be stored
	},
	Provisioned: {
		CodeShown, // a new identity was asked for
		Claimed,   // a code that had ended turns out to be claimed
		Idle,      // everything was removed
		Failed,    // the certificate has ended, or the gateway refuses a new code; the identity stays
	},
	Failed: {
		CodeShown,   // a fresh code
		Claimed,     // the same claim again, after a failure of the disk or the key
		Idle,        // the button was pressed: a code is being announced
		Provisioned, // the same while an old identity is in use
	},
}

// CanBecome reports whether the transition table leads from s to t. Staying is
// no transition.
func (s State) CanBecome(t State) bool { return slices.Contains(transitions[s], t) }

// Status returns a snapshot of the exchange.
func (p *Provisioner) Status() Status {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lookAtClock()
	return p.status
}

// Watch returns a channel that gives the current status at once and every
// change after it. A slow reader misses what was overtaken and gets the latest.
// The channel is closed when ctx or Run ends.
func (p *Provisioner) Watch(ctx context.Context) <-chan Status {
	w := make(chan Status, 1)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lookAtClock()
	w <- p.status
	if p.ended || ctx.Err() != nil {
		close(w)
		return w
	}
	// The function takes mu: it cannot run before the watcher is entered.
	p.watchers[w] = context.AfterFunc(ctx, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.unwatch(w)
	})
	return w
}

// unwatch closes w once. mu is held.
func (p *Provisioner) unwatch(w chan Status) {
	if stop, ok := p.watchers[w]; ok {
		stop()
		delete(p.watchers, w)
		close(w)
	}
}

// set changes the status and tells everybody.
func (p *Provisioner) set(change func(*Status)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.setLocked(change)
}

// setLocked is set with mu held. Holding it while panel and watchers are told
// is what keeps the changes in order.
func (p *Provisioner) setLocked(change func(*Status)) {
	old := p.status
	change(&p.status)
	p.status.outlive(time.Now())
	if !p.status.CertificateExpires.Equal(old.CertificateExpires) {
		p.awaitExpiry()
	}
	if p.status == old {
		return
	}
	if from, to := old.State, p.status.State; from != to {
		if !from.CanBecome(to) {
			p.log.Error("transition outside the table", "from", from.String(), "to", to.String())
		}
		id := p.status.MachineID
		if p.offer != nil && p.offer.machineID != "" {
			id = p.offer.machineID
		}
		p.log.Info("state changed", slog.String("from", from.String()),
			slog.String("to", to.String()), slog.String("machine_id", id))
	}
	p.show()
	for w := range p.watchers {
		select {
		case <-w: // overtaken
		default:
		}
		w <- p.status // has room: all senders hold mu
	}
	p.wakeLocked()
}

// show puts the status on the panel. mu is held.
func (p *Provisioner) show() {
	if p.c.Panel != nil {
		p.c.Panel.Show(p.status)
	}
}

// wakeLocked wakes the requests that wait for news of the exchange. mu is held.
func (p *Provisioner) wakeLocked() {
	close(p.news)
	p.news = make(chan struct{})
}

// rest takes the code off the status and goes back to where nothing runs.
func (s *Status) rest() {
	s.State = Idle
	if s.Provisioned {
		s.State = Provisioned
	}
	s.Step, s.Code, s.ClaimURL, s.KeyFingerprint = "", "", "", ""
	s.CodeMade, s.CodeExpires = time.Time{}, time.Time{}
}

// blame writes down what failed and what a person can do.
func (s *Status) blame(err error) {
	s.Error, s.Hint = "", ""
	if err != nil {
		s.Error, s.Hint = err.Error(), hint(err)
	}
}
