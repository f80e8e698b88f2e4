package provision

import (
	"context"
	"time"

	"github.com/mecha-org/mecha-agent/gateway"
)

// untoldFor is how long GenerateCode hands out a completed code that nobody was
// told about. The deployed GUI asks for a code every 60 s and after its claim
// every 20 s: without this, a claim that the background completed just before
// would never be told.
const untoldFor = 2 * time.Minute

// GenerateCode announces a fresh code, shows it and returns it; the exchange
// then goes on in the background as after a press. On an error everything is as
// it was, but for Status.Error. A code that an operator has already claimed is
// not given up: it is returned instead, also when its claim waits for the disk,
// and so is, once, one that was completed without anybody being told, so that
// ProvisionByCode can tell.
//
// The error's kind is AlreadyRunning while another request is at work,
// Unreachable, Deadline, TooMany and the like as the gateway's.
func (p *Provisioner) GenerateCode(ctx context.Context) (string, error) {
	ctx, end, err := p.begin(ctx, stepAnnounce)
	if err != nil {
		return "", err
	}
	defer end()
	if err := p.ctl.take(ctx); err != nil {
		return "", failed(stepAnnounce, err)
	}
	defer p.ctl.release()
	asked := time.Now()
	p.resume(asked.Add(p.c.Window))
	if code, ok := p.standing(asked); ok {
		return code, nil
	}
	p.mu.Lock()
	if p.work == nil { // else what is shown is shown on
		p.setLocked(func(s *Status) { s.Step = stepAnnounce })
	}
	p.mu.Unlock()
	// The code that is shown stands until its successor does: a claim may come
	// meanwhile, and an error changes nothing.
	fresh, _, err := p.announce(ctx)
	if code, ok := p.standing(asked); ok {
		return code, nil
	}
	if err != nil {
		if ctx.Err() != nil {
			err = interrupted(ctx, stepAnnounce)
		}
		p.log.Warn("no code could be announced", "error", err, "kind", gateway.KindOf(err).String())
		p.unchanged(err)
		return "", err
	}
	return p.replace(ctx, fresh, asked)
}

// standing returns the code that GenerateCode hands out instead of a fresh one:
// it is claimed, or it was completed and nobody knows.
func (p *Provisioner) standing(asked time.Time) (string, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if o := p.offer; o != nil && o.machineID != "" {
		o.requested = true
		return o.session.Code, true
	}
	l := &p.last
	if p.status.State != Provisioned || l.code == "" || l.err != nil || l.told {
		return "", false
	}
	// Completed while the caller waited, or for one who asked before.
	if l.at.Before(asked) && (!l.requested || time.Since(l.at) > untoldFor) {
		return "", false
	}
	l.told = true
	return l.code, true
}

// replace puts a code that was announced in the place of what the background
// works on, unless that was claimed. ctl is held.
func (p *Provisioner) replace(ctx context.Context, fresh *offer, asked time.Time) (string, error) {
	before, ok := p.halt(false)
	if code, ok := p.standing(asked); ok {
		return code, nil
	}
	p.mu.Lock()
	old := p.offer
	if !ok { // a claim that ended this very moment
		defer p.mu.Unlock()
		p.last.told = true
		return p.last.code, p.last.err
	}
	p.mu.Unlock()
	if old != nil {
		if m, ok := p.look(ctx, old); ok {
			if done, err := p.claim(ctx, old, m); !done && err == nil {
				old.next, old.requested = time.Now(), true
				p.launch(old, asked.Add(p.c.Window))
				return old.session.Code, nil
			}
			if code, ok := p.standing(asked); ok {
				return code, nil
			}
		}
	}
	err := ctx.Err()
	if err == nil {
		err = p.save(ctx, fresh.session)
	}
	if ctx.Err() != nil {
		err = interrupted(ctx, stepAnnounce)
	}
	if err != nil {
		if before != nil && before.unfinished {
			p.launch(old, before.until)
		}
		p.unchanged(err)
		return "", err
	}
	fresh.requested = true
	p.present(fresh)
	p.launch(fresh, asked.Add(p.c.Window))
	return fresh.session.Code, nil
}

// unchanged notes why there is no fresh code; what runs goes on.
func (p *Provisioner) unchanged(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.setLocked(func(s *Status) {
		if p.work == nil {
			s.Step = ""
		}
		s.blame(err)
	})
}
