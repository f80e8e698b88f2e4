package provision

import (
	"context"
	"errors"
	"time"

	"github.com/mecha-org/mecha-agent/gateway"
)

const (
	maxTaken    = 5 // codes tried in one announcement
	plainLength = 6 // characters that the original cloud takes
)

// kept is an error after which the claim still stands: the disk or the key
// failed, not the exchange.
type kept struct{ error }

func (k kept) Unwrap() error { return k.error }

// drive runs the exchange, from o or from the announcement of a code, and goes
// on with fresh codes until the window is over. It returns false when it was
// stopped before the end.
func (p *Provisioner) drive(ctx context.Context, o *offer, until time.Time) bool {
	for {
		if o == nil {
			if o = p.offerCode(ctx, until); o == nil {
				return ctx.Err() == nil
			}
		}
		err := p.follow(ctx, o)
		switch more := time.Now().Before(until); {
		case err == nil:
			return true
		case ctx.Err() != nil:
			return false // the session is saved for whoever goes on
		case !errors.Is(err, errGone):
			p.fail(ctx, o, err)
			return true
		default:
			p.retire(ctx, o, more)
			if !more {
				return true
			}
			o = nil
		}
	}
}

// announce makes a code and announces it. The verdict says what an error means
// in the background.
func (p *Provisioner) announce(ctx context.Context) (*offer, verdict, error) {
	csr, fingerprint, err := p.request(ctx, boardName(p.c.Board.Serial))
	if err != nil {
		return nil, fatal, err
	}
	tpm := p.identify(ctx)
	for range maxTaken {
		var s gateway.Session
		code := gateway.NewCode(p.c.CodeLength)
		call, cancel := context.WithTimeout(ctx, p.c.CallTimeout)
		s, err = p.c.Gateway.Announce(call, gateway.Announcement{Code: code, CSR: csr, Board: p.c.Board, TPM: tpm})
		cancel()
		now := time.Now()
		switch {
		case err == nil && s.DeviceCode == "":
			// Not to be mistaken for the original cloud, where a code is all it takes.
			return nil, fatal, refusal(gateway.Internal, stepAnnounce, "the gateway's answer has no device code",
				"the gateway is at fault; its log may say more")
		case err == nil && !now.Before(s.Expires):
			return nil, fatal, refusal(gateway.Internal, stepAnnounce, "the gateway's answer has already expired",
				"compare the clocks of this machine and the gateway")
		case err == nil:
			s.Code = code
			if end := now.Add(p.c.CodeLife); s.Expires.After(end) {
				s.Expires = end
			}
			o := newOffer(s, now)
			o.fingerprint = fingerprint
			return o, pending, nil
		case errors.Is(err, gateway.ErrNoAnnounce):
			if len(code) > plainLength {
				code = gateway.NewCode(plainLength)
			}
			o := newOffer(gateway.Session{Code: code, Expires: now.Add(p.c.CodeLife)}, now)
			o.fingerprint = fingerprint
			return o, pending, nil
		case gateway.KindOf(err) != gateway.Taken:
			return nil, judge(onAnnounce[:], err), declined(stepAnnounce, err)
		}
	}
	return nil, fatal, failed(stepAnnounce, err)
}

// offerCode announces, saves and shows a code, and tries again with back-off
// while the gateway cannot be reached. It returns nil when there is none: ctx
// ended, the window is over, or it failed.
func (p *Provisioner) offerCode(ctx context.Context, until time.Time) *offer {
	for b := (backoff{}); ; {
		o, v, err := p.announce(ctx)
		if err == nil {
			v, err = fatal, p.save(ctx, o.session)
		}
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil:
			p.present(o)
			return o
		case v == fatal:
			p.fail(ctx, nil, err)
			return nil
		}
		wait := max(b.next(), retryAfter(err))
		p.mu.Lock()
		p.retrying(err, wait)
		p.mu.Unlock()
		left := time.Until(until)
		if sleep(ctx, min(wait, left), nil) != nil {
			return nil
		}
		if left <= wait {
			p.retire(ctx, nil, false)
			return nil
		}
	}
}

// present puts a saved code on the panel.
func (p *Provisioner) present(o *offer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.presentLocked(o)
}

// presentLocked is present with mu held.
func (p *Provisioner) presentLocked(o *offer) {
	p.offer, p.kept = o, nil
	p.setLocked(func(s *Status) {
		s.State, s.Step = CodeShown, ""
		s.Code, s.CodeMade, s.CodeExpires = o.session.Code, o.made, o.session.Expires
		s.KeyFingerprint = o.fingerprint
		s.ClaimURL = o.session.VerificationURIComplete
		if s.ClaimURL == "" {
			s.ClaimURL = o.session.VerificationURI
		}
		s.blame(nil)
	})
}

// follow takes a code to its claim and the claim to an identity.
func (p *Provisioner) follow(ctx context.Context, o *offer) error {
	var polls, signs backoff
	for {
		if err := p.await(ctx, o); err != nil {
			return err
		}
		m, err := p.ask(ctx, o, &polls)
		if err != nil {
			return err
		}
		if m == nil {
			continue
		}
		if done, err := p.obtain(ctx, o, *m, &signs); done || err != nil {
			return err
		}
	}
}

// obtain makes one try at the certificate. Without an error and not done, the
// manifest is to be asked for again: it comes with a fresh one-time token, so a
// lost answer costs nothing.
func (p *Provisioner) obtain(ctx context.Context, o *offer, m gateway.Manifest, b *backoff) (done bool, err error) {
	if completed, err := p.claim(ctx, o, m); completed || err != nil {
		return completed, err
	}
	csr, _, err := p.request(ctx, m.MachineID)
	if err != nil {
		return false, kept{err}
	}
	p.set(func(s *Status) { s.State, s.Step = Signing, stepSign })
	r := gateway.SignRequest{URL: m.CertSignURL, CSR: csr, MachineID: m.MachineID, Type: gateway.Provision, Token: m.Token,
		Evidence: p.evidence(ctx, m.Challenge, csr)}
	if r.URL == "" {
		r.URL = p.c.SignURL
	}
	call, cancel := context.WithTimeout(ctx, p.c.CallTimeout)
	answer, err := p.c.Gateway.Sign(call, r)
	cancel()
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	if err != nil {
		v := judge(onSign[:], err)
		if err = declined(stepSign, err); v == fatal {
			return false, err
		}
		p.retry(o, err, b)
		return false, nil
	}
	p.set(func(s *Status) { s.Step = stepStore })
	store, cancel := context.WithTimeout(ctx, vaultTimeout)
	err = p.c.Vault.Commit(store, m.MachineID, csr, answer)
	cancel()
	switch {
	case err == nil:
		p.complete(ctx, o)
		return true, nil
	case errors.Is(err, ErrClock): // the gateway hands the same certificate out again
		p.retry(o, early(stepStore, err), b)
		return false, nil
	case storage(err):
		return false, kept{unstored(stepStore, err)}
	}
	return false, failed(stepStore, err)
}

// retry goes back to the claim, to ask for it again after a while.
func (p *Provisioner) retry(o *offer, err error, b *backoff) {
	now, wait := time.Now(), max(b.next(), retryAfter(err))
	p.mu.Lock()
	defer p.mu.Unlock()
	o.err = err
	o.next = now.Add(wait)
	if o.next.Before(o.hold) {
		o.next = o.hold
	}
	p.setLocked(func(s *Status) { s.State, s.Step = Claimed, stepAsk })
	p.retrying(err, o.next.Sub(now))
}

// claim notes that an operator claimed the code. From here on nobody gives the
// code up for a fresh one, so it does not happen once ctx was cancelled.
func (p *Provisioner) claim(ctx context.Context, o *offer, m gateway.Manifest) (completed bool, err error) {
	if o.restored && !p.Status().Provisioned { // it may have been unreadable at the start
		if identity, err := p.identity(ctx); err == nil {
			p.set(identity)
		}
	}
	p.mu.Lock()
	if ctx.Err() != nil {
		p.mu.Unlock()
		return false, ctx.Err()
	}
	// Power failed between the identity's commit and the session's end: a gateway
	// with an announce route gives the same id for the same key only, so the key
	// of this claim is the one in use, and a new one would be refused. The
	// original cloud may keep ids, and signs for any key: there it is done again.
	completed = o.restored && !o.plain() && p.status.Provisioned && p.status.MachineID == m.MachineID
	first := o.machineID == ""
	o.machineID, o.asking, o.closing = m.MachineID, false, false
	if first {
		o.end = time.Now().Add(afterClaim)
	}
	p.setLocked(func(s *Status) {
		s.State, s.Step = Claimed, stepAsk
		s.Code, s.ClaimURL = "", ""
		s.CodeMade, s.CodeExpires = time.Time{}, time.Time{}
	})
	p.mu.Unlock()
	switch {
	case completed:
		p.complete(ctx, o)
	case first && o.plain(): // an announced code is asked after at every start
		s := o.session
		s.Expires = o.end
		if err := p.save(ctx, s); err != nil && ctx.Err() == nil {
			p.log.Warn("a restart would forget the claim", "error", err)
		}
	}
	return completed, nil
}

// complete ends the exchange with an identity in use.
func (p *Provisioner) complete(ctx context.Context, o *offer) {
	ctx = context.WithoutCancel(ctx) // it has happened: a shutdown does not undo it
	identity, err := p.identity(ctx)
	if err != nil {
		p.log.Warn("reading the new identity", "error", err)
	}
	p.mu.Lock()
	p.last = outcome{code: o.session.Code, requested: o.requested, at: time.Now()}
	p.setLocked(func(s *Status) {
		if s.Provisioned = true; err != nil {
			s.MachineID = o.machineID
		} else {
			identity(s)
		}
		s.rest()
		s.blame(nil)
	})
	p.offer = nil
	p.mu.Unlock()
	p.forget(ctx)
}

// fail ends the exchange, or the try to begin one when o is nil.
func (p *Provisioner) fail(ctx context.Context, o *offer, cause error) {
	var k kept
	keep := o != nil && errors.As(cause, &k)
	if !keep {
		p.forget(ctx)
	}
	identity, err := p.identity(ctx)
	p.mu.Lock()
	if o != nil {
		p.last = outcome{code: o.session.Code, err: cause, at: time.Now()}
	}
	if keep {
		p.kept = o
	}
	p.log.Warn("the exchange failed", "error", cause, "kind", gateway.KindOf(cause).String())
	p.setLocked(func(s *Status) {
		if err == nil {
			identity(s)
		}
		s.rest()
		s.State = Failed
		s.blame(cause)
	})
	p.offer = nil
	p.mu.Unlock()
}

// retire takes a code that has ended off the panel. more says that another one
// is about to be announced.
func (p *Provisioner) retire(ctx context.Context, o *offer, more bool) {
	p.mu.Lock()
	if o != nil && o.machineID != "" { // whoever waits for it wants to know why
		err := o.err
		if err == nil {
			err = refusal(gateway.NotFound, stepAsk, "the claim has expired", "claim a fresh code")
		}
		p.last = outcome{code: o.session.Code, err: err, at: time.Now()}
	}
	p.offer = nil
	p.setLocked(func(s *Status) {
		s.rest()
		if more {
			s.Step = stepAnnounce
		}
	})
	p.mu.Unlock()
	if !more {
		p.forget(ctx)
	}
}
