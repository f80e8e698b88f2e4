package server

import (
	"sync"
	"time"
)

// polls remembers when a code was last asked for while nobody had claimed it, so
// that a device which asks too often can be told (RFC 8628, slow_down). It holds
// requests of the store only, and those for one interval.
type polls struct {
	interval time.Duration
	now      func() time.Time

	mu   sync.Mutex
	last map[int64]time.Time
}

func newPolls(interval time.Duration, now func() time.Time) *polls {
	return &polls{interval: interval, now: now, last: make(map[int64]time.Time)}
}

// poll returns how long to wait when this poll came earlier than half of the
// interval after the last one; jitter and slow networks make the half.
func (p *polls) poll(id int64) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	if last, ok := p.last[id]; ok {
		if since := now.Sub(last); since >= 0 && since < p.interval/2 {
			return p.interval - since
		}
	}
	p.last[id] = now
	return 0
}

func (p *polls) sweep() {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	for id, last := range p.last {
		if now.Sub(last) >= p.interval {
			delete(p.last, id)
		}
	}
}
