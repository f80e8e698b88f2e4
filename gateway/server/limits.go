package server

import (
	"container/list"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/mecha-org/mecha-agent/gateway"
)

// wrongWindow is the time over which wrong codes, tokens and keys count
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
	pace    lru[netip.Prefix, *rate.Limiter]
	wrong   lru[guesser, *misses] // apart from pace: requests that cost nothing must not flush it
}

// guesser is whom wrong guesses are held against: an address or, of an operator
// who has shown an API key, that key, wherever it is used from.
type guesser struct {
	from netip.Prefix
	key  string
}

func byAddress(from netip.Prefix) guesser { return guesser{from: from} }

func byKey(key string) guesser { return guesser{key: key} }

// misses are the wrong guesses of one guesser, oldest first and at most
// Limits.WrongCodes.
type misses []missed

type missed struct {
	when time.Time
	code string // a user code that nothing proved, else empty
}

func newLimiter(l Limits, now func() time.Time) *limiter {
	return &limiter{
		limits:  l,
		now:     now,
		overall: rate.NewLimiter(rate.Limit(l.Overall), max(1, int(l.Overall))),
		pace:    newLRU[netip.Prefix, *rate.Limiter](maxAddresses),
		wrong:   newLRU[guesser, *misses](maxAddresses),
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
// otherwise guessing would go on until it hits. It is asked before a user code is
// looked up, which can be guessed, and not before a secret of 256 bits, which
// cannot: whoever has the right one of those is not to pay for others at the same
// address. A code that was counted in the window already is no new guess: agents
// that announce nothing ask for theirs until it is claimed.
func (l *limiter) guess(who guesser, code string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, err := l.guessLocked(who, code)
	return err
}

// guessLocked also says whether the code was counted already.
func (l *limiter) guessLocked(who guesser, code string) (counted bool, err error) {
	m, ok := l.wrong.get(who)
	if !ok {
		return false, nil
	}
	now := l.now()
	for len(*m) > 0 && now.Sub((*m)[0].when) >= wrongWindow {
		*m = (*m)[1:]
	}
	if code != "" && slices.ContainsFunc(*m, func(w missed) bool { return w.code == code }) {
		return true, nil
	}
	if len(*m) < l.limits.WrongCodes {
		return false, nil
	}
	whose := "from this address"
	if who.key != "" {
		whose = "by this API key"
	}
	return false, tooMany((*m)[0].when.Add(wrongWindow).Sub(now), "too many wrong codes, tokens or keys "+whose)
}

// miss counts a wrong guess and returns err, or the refusal when the limit is
// reached, be it by guesses made at the same moment. code is a user code that no
// secret came with, else empty: it counts once in the window.
func (l *limiter) miss(who guesser, code string, err error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	counted, refusal := l.guessLocked(who, code)
	switch {
	case refusal != nil:
		return refusal
	case counted:
		return err
	}
	m, ok := l.wrong.get(who)
	if !ok {
		m = &misses{}
		l.wrong.put(who, m)
	}
	*m = append(*m, missed{l.now(), code})
	return err
}

// sweep forgets addresses that have nothing held against them.
func (l *limiter) sweep() {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	l.pace.drop(func(p *rate.Limiter) bool { return p.TokensAt(now) >= float64(l.limits.Burst) })
	l.wrong.drop(func(m *misses) bool {
		return len(*m) == 0 || now.Sub((*m)[len(*m)-1].when) >= wrongWindow
	})
}

func tooMany(wait time.Duration, why string) error {
	return &gateway.Error{Kind: gateway.TooMany, Err: errors.New(why), RetryAfter: wait}
}

// lru is a map of bounded size that forgets what was not used for longest.
type lru[K comparable, V any] struct {
	most  int
	order *list.List // of *entry[K, V], newest first
	items map[K]*list.Element
}

type entry[K comparable, V any] struct {
	key   K
	value V
}

func newLRU[K comparable, V any](most int) lru[K, V] {
	return lru[K, V]{most: most, order: list.New(), items: make(map[K]*list.Element)}
}

func (c *lru[K, V]) get(k K) (V, bool) {
	e, ok := c.items[k]
	if !ok {
		var none V
		return none, false
	}
	c.order.MoveToFront(e)
	return e.Value.(*entry[K, V]).value, true
}

func (c *lru[K, V]) put(k K, v V) {
	if c.order.Len() >= c.most {
		c.remove(c.order.Back())
	}
	c.items[k] = c.order.PushFront(&entry[K, V]{k, v})
}

func (c *lru[K, V]) remove(e *list.Element) {
	delete(c.items, e.Value.(*entry[K, V]).key)
	c.order.Remove(e)
}

func (c *lru[K, V]) drop(stale func(V) bool) {
	for e := c.order.Back(); e != nil; {
		prev := e.Prev()
		if stale(e.Value.(*entry[K, V]).value) {
			c.remove(e)
		}
		e = prev
	}
}
