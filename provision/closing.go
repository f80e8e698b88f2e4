package provision

import (
	"context"
	"time"

	"github.com/mecha-org/mecha-agent/gateway"
)

// lookTimeout bounds the question after a code that is to be replaced, while a
// client waits for the new one. The gateway has just answered.
const lookTimeout = 5 * time.Second

// close takes a code off the panel whose time is over or that a person does not
// want any more. It is not given up yet: an operator may have claimed it since
// the last poll. So the gateway is asked once more, at once, and again with
// back-off while it cannot be reached: a fresh code is not to be had then either.
// mu is held.
func (p *Provisioner) close(o *offer) {
	now := time.Now()
	o.closing, o.asking, o.next, o.end = true, true, now, now.Add(afterClaim)
	p.setLocked(func(s *Status) {
		s.rest()
		s.Step = stepClosing
	})
}

// reopen puts a code back on the panel that had ended by the clock of an earlier
// run only: the gateway knows it still, and will say when it is over. mu is held.
func (p *Provisioner) reopen(o *offer, now time.Time) {
	o.closing, o.doubtful = false, false
	o.made, o.session.Expires = now, now.Add(p.c.CodeLife)
	o.end = o.session.Expires
	p.presentLocked(o)
}

// lookPause is the least time between two such questions.
const lookPause = 500 * time.Millisecond

// look asks whether a code was claimed that is about to be replaced, again while
// there is no answer. None within lookTimeout counts as no: the successor is
// announced already. ctl is held, and nobody drives the exchange.
func (p *Provisioner) look(ctx context.Context, o *offer) (gateway.Manifest, bool) {
	call, cancel := context.WithTimeout(ctx, min(lookTimeout, p.c.CallTimeout))
	defer cancel()
	m, err := p.c.Gateway.FindManifest(call, o.session.Code, o.session.DeviceCode)
	for err != nil && judge(onAsk[:], err) == again && sleep(call, max(retryAfter(err), lookPause), nil) == nil {
		m, err = p.c.Gateway.FindManifest(call, o.session.Code, o.session.DeviceCode)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	o.hold = time.Now().Add(max(o.interval, retryAfter(err))) // should it stand on
	if o.next.Before(o.hold) {
		o.next = o.hold
	}
	return m, err == nil && checkManifest(m) == nil
}
