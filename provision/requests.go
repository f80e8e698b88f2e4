package provision

import (
	"context"
	"time"

	"github.com/mecha-org/mecha-agent/gateway"
)

// Ping asks the gateway whether it is there. The error's kind says why not.
func (p *Provisioner) Ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, p.c.CallTimeout)
	defer cancel()
	if err := p.c.Gateway.Ping(ctx); err != nil {
		return failed(stepPing, err)
	}
	return nil
}

// begin admits a request. The context it returns ends with Run, too; end lets
// the next one in.
func (p *Provisioner) begin(ctx context.Context, step string) (_ context.Context, end func(), _ error) {
	if !p.busy.try() {
		return nil, nil, failed(step, errBusy)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	leave := func() { cancel(nil); p.busy.release() }
	select {
	case <-p.ready:
	case <-ctx.Done():
		err := interrupted(ctx, step) // before leave gives ctx another cause
		leave()
		return nil, nil, err
	}
	p.mu.Lock()
	run, ended := p.run, p.ended
	p.mu.Unlock()
	if ended {
		leave()
		return nil, nil, failed(step, errStopping)
	}
	stop := context.AfterFunc(run, func() { cancel(errStopping) })
	return ctx, func() { stop(); leave() }, nil
}

// ProvisionByCode reports whether the machine has got its identity by code. It
// asks the gateway once, unless that was asked less than its interval ago; when
// the code is claimed it waits for the identity and returns true, or why not.
// False without an error: no operator has claimed the code yet.
//
// The error's kind is BadRequest for what is no code, Precondition for one that
// is not on the panel, AlreadyRunning while another request is at work, Deadline
// when ctx ends first (the exchange goes on), else that of the step that failed.
func (p *Provisioner) ProvisionByCode(ctx context.Context, text string) (bool, error) {
	code, err := gateway.ParseCode(text)
	if err != nil {
		return false, &gateway.Error{Kind: gateway.BadRequest, Step: stepByCode, Err: err,
			Advice: "type the code as the panel shows it"}
	}
	ctx, end, err := p.begin(ctx, stepByCode)
	if err != nil {
		return false, err
	}
	defer end()
	if err := p.retryKept(ctx, code); err != nil {
		return false, err
	}
	p.mu.Lock()
	o := p.offer
	polls := 0
	if o != nil {
		polls = o.polls
	}
	for {
		done, ok, err := p.answer(o, code, polls)
		news := p.news
		p.mu.Unlock()
		if done {
			return ok, err
		}
		select {
		case <-news:
		case <-ctx.Done():
			return false, interrupted(ctx, stepByCode)
		}
		p.mu.Lock()
	}
}

// answer tells what is known about code, or that it is not known yet: then it
// has seen to it that the gateway is asked. mu is held.
func (p *Provisioner) answer(o *offer, code string, polls int) (done, ok bool, err error) {
	now := time.Now()
	switch {
	case p.last.code == code:
		p.last.told = true
		return true, p.last.err == nil, p.last.err
	case p.offer == nil && o == nil:
		return true, false, refusal(gateway.Precondition, stepByCode, "no code was generated",
			"press the button or ask for a code first")
	case p.offer != o || o.session.Code != code:
		return true, false, refusal(gateway.Precondition, stepByCode, "that code is no longer on the panel",
			"use the code that the panel shows now")
	case o.machineID != "" || o.asking:
		return false, false, nil
	case o.polls > polls || now.Before(o.hold):
		return true, false, o.err
	}
	o.next = now
	select {
	case o.kick <- struct{}{}:
	default:
	}
	return false, false, nil
}

// retryKept tries the claim of code again when only the disk was in its way.
func (p *Provisioner) retryKept(ctx context.Context, code string) error {
	p.mu.Lock()
	again := p.kept != nil && p.kept.session.Code == code && p.kept.alive(time.Now())
	p.mu.Unlock()
	if !again {
		return nil
	}
	if err := p.ctl.take(ctx); err != nil {
		return failed(stepByCode, err)
	}
	defer p.ctl.release()
	p.resume(time.Now().Add(p.c.Window)) // nothing, when a press came first
	return nil
}

// Deprovision stops the exchange, removes the identity and forgets the session.
// It returns what was removed, also together with an error.
func (p *Provisioner) Deprovision(ctx context.Context) ([]string, error) {
	ctx, end, err := p.begin(ctx, stepRemove)
	if err != nil {
		return nil, err
	}
	defer end()
	if err := p.ctl.take(ctx); err != nil {
		return nil, failed(stepRemove, err)
	}
	defer p.ctl.release()
	p.halt(true)
	bounded, cancel := context.WithTimeout(ctx, vaultTimeout)
	removed, err := p.c.Vault.Remove(bounded)
	cancel()
	if err != nil {
		err = failed(stepRemove, err)
	}
	p.mu.Lock()
	p.saved = true // to be sure: what could not be read at the start goes as well
	p.mu.Unlock()
	if e := p.forget(ctx); err == nil {
		err = e
	}
	identity, unread := p.identity(context.WithoutCancel(ctx))
	p.mu.Lock()
	defer p.mu.Unlock()
	p.offer, p.kept, p.last = nil, nil, outcome{}
	p.tpm = nil // the next key may be elsewhere
	p.setLocked(func(s *Status) {
		if unread == nil {
			identity(s)
		}
		s.rest()
		s.blame(err)
	})
	p.log.Info("deprovisioned", "removed", len(removed))
	return removed, err
}
