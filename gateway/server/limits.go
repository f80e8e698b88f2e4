package server

import (
	"container/list"
	"errors"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/mecha-org/mecha-agent/gateway"
)

// wrongWindow is the time over which wrong credentials of one address count
// (RFC 8628, section 5.1: brute force of the user code).
const wrongWindow = 10 * time.Minute

// maxAddresses bounds how many addresses are remembered, so that an attacker
// with many cannot fill the memory; the one unseen for longest is forgotten.
const maxAddresses = 1 << 14

// limiter is what one address, and all together, may ask. Addresses come from
// the connection: X-Forwarded-For is not trusted, since anybody can send it.
type limiter struct {
	limits Limits
	now    func() time.Time

	mu      sync.Mutex
	overall *rate.Limiter
	pace    lru[*rate.Limiter]
	wrong   lru[*misses] // apart from pace: requests that cost nothing must not flush it
}

// misses are the wrong credentials of one address.
type misses struct {
	times []time.Time // oldest first, at most Limits.WrongCodes
	last  string      // what missOnce counted last
}

func newLimiter(l Limits, now func() time.Time) *limiter {
	return &limiter{
		limits:  l,
		now:     now,
		overall: rate.NewLimiter(rate.Limit(l.Overall), max(1, int(l.Overall))),
		pace:    newLRU[*rate.Limiter](maxAddresses),
		wrong:   newLRU[*misses](maxAddresses),
	}
}

// network returns what counts as one address: a home or a site has a whole /64.
func network(addr netip.Addr) netip.Prefix {
	addr = addr.Unmap().WithZone("")
	bits := 32
	if addr.Is6() {
		bits = 64
	}
	p, err := addr.Prefix(bits)
	if err != nil {
		return netip.Prefix{} // no IP address: all such share one
	}
	return p
}

// admit counts one request and refuses it when it is one too many. The address
// is asked first, so that a single one cannot use up what is there for all.
func (l *limiter) admit(from netip.Prefix) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	pace, ok := l.pace.get(from)
	if !ok {
		pace = rate.NewLimiter(rate.Limit(l.limits.PerAddress), l.limits.Burst)
		l.pace.put(from, pace)
	}
	if wait := take(pace, now); wait > 0 {
		return tooMany(wait, "too many requests from this address")
	}
	if wait := take(l.overall, now); wait > 0 {
		return tooMany(wait, "the gateway has too many requests at the moment")
	}
	return nil
}

// take takes one token, or says how long until there is one.
func take(l *rate.Limiter, now time.Time) time.Duration {
	r := l.ReserveN(now, 1)
	wait := r.DelayFrom(now)
	if wait > 0 {
		r.CancelAt(now)
	}
	return wait
}

// guess refuses whoever has guessed wrong too often, right guesses included:
// otherwise guessing would go on until it hits.
func (l *limiter) guess(from netip.Prefix) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.guessLocked(from)
}

func (l *limiter) guessLocked(from netip.Prefix) error {
	m, ok := l.wrong.get(from)
	if !ok {
		return nil
	}
	now := l.now()
	for len(m.times) > 0 && now.Sub(m.times[0]) >= wrongWindow {
		m.times = m.times[1:]
	}
	if len(m.times) < l.limits.WrongCodes {
		return nil
	}
	return tooMany(m.times[0].Add(wrongWindow).Sub(now),
		"too many wrong codes, tokens or keys from this address")
}

// miss counts a wrong guess and returns err, or the refusal when other guesses
// made at the same moment have reached the limit already.
func (l *limiter) miss(from netip.Prefix, err error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.missLocked(from, err)
}

func (l *limiter) missLocked(from netip.Prefix, err error) error {
	if refusal := l.guessLocked(from); refusal != nil {
		return refusal
	}
	m, ok := l.wrong.get(from)
	if !ok {
		m = &misses{}
		l.wrong.put(from, m)
	}
	m.times = append(m.times, l.now())
	return err
}

// missOnce is miss, but asking the same again counts no second time: agents that
// announce nothing have to ask for a code until it is claimed.
func (l *limiter) missOnce(from netip.Prefix, what string, err error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if m, ok := l.wrong.get(from); ok && m.last == what {
		if refusal := l.guessLocked(from); refusal != nil {
			return refusal
		}
		return err
	}
	err = l.missLocked(from, err)
	if m, ok := l.wrong.get(from); ok {
		m.last = what
	}
	return err
}

// sweep forgets addresses that have nothing held against them.
func (l *limiter) sweep() {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	l.pace.drop(func(p *rate.Limiter) bool { return p.TokensAt(now) >= float64(l.limits.Burst) })
	l.wrong.drop(func(m *misses) bool {
		return len(m.times) == 0 || now.Sub(m.times[len(m.times)-1]) >= wrongWindow
	})
}

func tooMany(wait time.Duration, why string) error {
	return &gateway.Error{Kind: gateway.TooMany, Err: errors.New(why), RetryAfter: wait}
}

// lru is a map of bounded size that forgets what was not used for longest.
type lru[V any] struct {
	most  int
	order *list.List // of *entry[V], newest first
	items map[netip.Prefix]*list.Element
}

type entry[V any] struct {
	key   netip.Prefix
	value V
}

func newLRU[V any](most int) lru[V] {
	return lru[V]{most: most, order: list.New(), items: make(map[netip.Prefix]*list.Element)}
}

func (c *lru[V]) get(k netip.Prefix) (V, bool) {
	e, ok := c.items[k]
	if !ok {
		var none V
		return none, false
	}
	c.order.MoveToFront(e)
	return e.Value.(*entry[V]).value, true
}

func (c *lru[V]) put(k netip.Prefix, v V) {
	if c.order.Len() >= c.most {
		c.remove(c.order.Back())
	}
	c.items[k] = c.order.PushFront(&entry[V]{k, v})
}

func (c *lru[V]) remove(e *list.Element) {
	delete(c.items, e.Value.(*entry[V]).key)
	c.order.Remove(e)
}

func (c *lru[V]) drop(stale func(V) bool) {
	for e := c.order.Back(); e != nil; {
		prev := e.Prev()
		if stale(e.Value.(*entry[V]).value) {
			c.remove(e)
		}
		e = prev
	}
}
