package provision

import (
	"context"
	"time"
)

// How soon, and how often at the least, an identity is looked at again that could
// not be read at the start: a TPM whose driver comes late, a disk that is checked.
const (
	firstLook = 5 * time.Second
	lastLook  = 5 * time.Minute
)

// readAgain has the identity looked at again after a while. mu is held.
func (p *Provisioner) readAgain(ctx context.Context, wait time.Duration) {
	if p.ended || ctx.Err() != nil {
		return
	}
	p.unread = time.AfterFunc(wait, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.ended || p.unread == nil {
			return
		}
		p.wg.Go(func() {
			p.lookAgain(ctx)
			p.mu.Lock()
			defer p.mu.Unlock()
			if p.unread != nil {
				p.readAgain(ctx, min(2*wait, lastLook))
			}
		})
	})
}

// read notes that the identity could be read, or that nobody wants it any more.
func (p *Provisioner) read() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.unread != nil {
		p.unread.Stop()
		p.unread = nil
	}
}

// lookAgain reads the identity if it could not be read so far. What the exchange
// is doing meanwhile goes on, and so does what it says.
func (p *Provisioner) lookAgain(ctx context.Context) {
	p.mu.Lock()
	unread := p.unread != nil
	p.mu.Unlock()
	if !unread {
		return
	}
	identity, err := p.identity(ctx)
	if ctx.Err() != nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	still := p.status.State == Failed && p.work == nil
	p.setLocked(func(s *Status) {
		switch {
		case err == nil && still:
			identity(s)
			s.rest()
			s.blame(nil)
		case err == nil:
			identity(s)
		case still:
			s.blame(err)
		}
	})
}
