package provision

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/mecha-org/mecha-agent/gateway"
)

const (
	defaultInterval = 5 * time.Second // RFC 8628, section 3.2, where the gateway names none
	slowDown        = 5 * time.Second // RFC 8628, section 3.5, added at every slow_down
	firstBackoff    = time.Second
	lastBackoff     = time.Minute
	afterClaim      = time.Hour // a claim is followed, and asked for: the gateway ends it sooner
)

// offer is one code from its announcement to its end. mu of the Provisioner
// guards the fields that change.
type offer struct {
	session     gateway.Session
	fingerprint string // of the key behind it, empty when not known
	made        time.Time
	restored    bool          // found at the start
	requested   bool          // by GenerateCode
	kick        chan struct{} // capacity 1: next was brought forward

	closing   bool          // off the panel; see close
	doubtful  bool          // the end came from before a restart, by another clock perhaps
	end       time.Time     // the last moment to ask: of the code, then of closing or claim
	asking    bool          // a poll is on its way, due at once, or what it found is not in the status yet
	polls     int           // that have ended
	err       error         // of the last poll, nil while it is only unclaimed
	interval  time.Duration // grows with every slow_down
	hold      time.Time     // nobody asks the gateway before
	next      time.Time     // the background asks at
	machineID string        // once claimed
}

func newOffer(s gateway.Session, now time.Time) *offer {
	o := &offer{session: s, made: now, end: s.Expires, kick: make(chan struct{}, 1), interval: s.Interval}
	if o.interval <= 0 {
		o.interval = defaultInterval
	}
	o.next = now.Add(jittered(o.interval))
	return o
}

// plain reports that the gateway is the original cloud: it knows no device
// codes, and its answer to a code that nobody claimed is some error.
func (o *offer) plain() bool { return o.session.DeviceCode == "" }

// alive reports whether there is still something to be had from the gateway.
func (o *offer) alive(now time.Time) bool { return now.Before(o.end) }

// answered notes the end of a poll that found no claim.
func (o *offer) answered() { o.asking, o.polls = false, o.polls+1 }

// verdict is what an error of the gateway means for the exchange.
type verdict uint8

const (
	fatal   verdict = iota
	pending         // nobody claimed the code: ask again after the interval
	slower          // RFC 8628, slow_down
	again           // back off, then ask again
	gone            // the code is no more
)

// Kinds that are not listed are fatal.
var (
	onAnnounce = [...]verdict{gateway.Internal: again, gateway.Unreachable: again, gateway.Deadline: again,
		gateway.TooMany: again}
	onAsk = [...]verdict{gateway.Internal: again, gateway.Unreachable: again, gateway.Deadline: again,
		gateway.TooMany: again, gateway.SlowDown: slower, gateway.Pending: pending, gateway.NotFound: gone}
	onAskPlain = [...]verdict{gateway.Internal: again, gateway.Unreachable: again, gateway.Deadline: again,
		gateway.TooMany: again, gateway.SlowDown: slower, gateway.Pending: pending, gateway.NotFound: pending, gateway.BadRequest: pending}
	// Unauthorized: the one-time token is void, the next manifest has another.
	onSign = [...]verdict{gateway.Internal: again, gateway.Unreachable: again, gateway.Deadline: again,
		gateway.TooMany: again, gateway.Unauthorized: again}
)

// judge looks err up in one of the tables above.
func judge(table []verdict, err error) verdict {
	if k := gateway.KindOf(err); int(k) < len(table) {
		return table[k]
	}
	return fatal
}

// judge is what an error of a poll means. Closing wants to know one thing: has
// the code been claimed? Slow_down is a no as good as pending; a rate limit, which
// counts others too, is no answer.
func (o *offer) judge(err error) verdict {
	table := onAsk[:]
	if o.plain() {
		table = onAskPlain[:]
	}
	switch v := judge(table, err); {
	case !o.closing, v == again, v == pending && o.doubtful:
		return v
	default:
		return gone
	}
}

// await returns when the gateway may and should be asked, with errGone when there
// is no more sense in it.
func (p *Provisioner) await(ctx context.Context, o *offer) error {
	for {
		p.mu.Lock()
		now := time.Now()
		over := !o.alive(now)
		if over && !o.closing && o.machineID == "" {
			p.close(o)
			over = false
		}
		next, end := o.next, o.end
		p.mu.Unlock()
		switch {
		case over:
			return errGone
		case !now.Before(next):
			return nil
		case end.Before(next):
			next = end
		}
		if err := sleep(ctx, next.Sub(now), o.kick); err != nil {
			return err
		}
	}
}

// ask polls once and writes down what follows from the answer. It returns no
// manifest and no error while the claim is to be waited for.
func (p *Provisioner) ask(ctx context.Context, o *offer, b *backoff) (*gateway.Manifest, error) {
	p.mu.Lock()
	o.asking = true
	p.mu.Unlock()
	call, cancel := context.WithTimeout(ctx, p.c.CallTimeout)
	m, err := p.c.Gateway.FindManifest(call, o.session.Code, o.session.DeviceCode)
	cancel()
	v := fatal
	switch {
	case err != nil:
		v, err = o.judge(err), failed(stepAsk, err)
	default:
		if err = checkManifest(m); err == nil {
			v = pending
		}
	}

	p.mu.Lock()
	defer p.mu.Unlock()
	defer p.wakeLocked()
	if ctx.Err() != nil { // stopped: the answer, if it came, can be asked for again
		return nil, ctx.Err()
	}
	now := time.Now()
	switch v {
	// With these, and with a claim, asking stays set until the status tells:
	// nobody is to hear "not claimed" in between.
	case gone:
		return nil, errGone
	case fatal:
		return nil, err
	case slower:
		o.interval += slowDown
	}
	o.hold = now.Add(max(o.interval, retryAfter(err)))
	if v == again {
		// Less often than the interval, RFC 8628, section 3.5.
		o.err, o.next = err, o.hold.Add(b.next())
		o.answered()
		p.retrying(err, o.next.Sub(now))
		return nil, nil
	}
	o.next = o.hold.Add(jittered(o.interval) - o.interval)
	if v == slower {
		o.answered()
		p.log.Warn("the gateway asks to slow down", "interval", o.interval)
		return nil, nil
	}
	if o.machineID == "" { // after the claim the last error tells why it takes so long
		o.err = nil
		p.setLocked(func(s *Status) { s.blame(nil) })
	}
	*b = backoff{}
	if err == nil {
		return &m, nil
	}
	if o.closing {
		p.reopen(o, now)
	}
	o.answered()
	return nil, nil
}

// retrying notes an error that the exchange outlives. mu is held.
func (p *Provisioner) retrying(err error, wait time.Duration) {
	p.log.Warn("trying again", "error", err, "kind", gateway.KindOf(err).String(), "wait", wait)
	p.setLocked(func(s *Status) { s.blame(err) })
}

// backoff is exponential with full jitter: each wait is anything up to a bound
// that doubles.
type backoff struct{ bound time.Duration }

func (b *backoff) next() time.Duration {
	b.bound = min(max(firstBackoff, 2*b.bound), lastBackoff)
	return rand.N(b.bound + 1)
}

// jittered returns d and up to a quarter more, so that a fleet that was switched
// on together does not ask together. Never less: the interval is a promise.
func jittered(d time.Duration) time.Duration { return d + rand.N(d/4+1) }

// retryAfter returns how long the gateway asked to be left alone.
func retryAfter(err error) time.Duration {
	if e, ok := err.(*gateway.Error); ok {
		return e.RetryAfter
	}
	return 0
}

// sleep waits for d, or less when kicked. It returns ctx's error when ctx ends.
func sleep(ctx context.Context, d time.Duration, kick <-chan struct{}) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-kick:
	case <-t.C:
	}
	return ctx.Err()
}
