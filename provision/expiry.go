package provision

import (
	"errors"
	"time"

	"github.com/mecha-org/mecha-agent/gateway"
)

// outlive turns the rest of a machine whose certificate has ended into a
// failure: nothing works with such an identity, and a press begins another.
// Provisioned stays what the vault says. An error that is there stays, too: it
// tells why there is no new certificate.
func (s *Status) outlive(now time.Time) {
	if s.State != Provisioned || s.Step != "" || s.CertificateExpires.IsZero() || now.Before(s.CertificateExpires) {
		return
	}
	s.State = Failed
	if s.Error == "" {
		s.blame(&gateway.Error{Kind: gateway.Precondition,
			Err:    errors.New("the machine certificate ended at " + s.CertificateExpires.UTC().Format(time.RFC3339)),
			Advice: "press the button or run mecha-agent provision for a new one"})
	}
}

// awaitExpiry sets the one timer for the end of the certificate in use, so that
// the panel tells of it. mu is held.
func (p *Provisioner) awaitExpiry() {
	if p.expiry != nil {
		p.expiry.Stop()
		p.expiry = nil
	}
	end := p.status.CertificateExpires
	if p.ended || end.IsZero() || !time.Now().Before(end) {
		return
	}
	p.expiry = time.AfterFunc(time.Until(end), func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.lookAtClock()
		p.awaitExpiry() // again, when the clock was set back
	})
}

// lookAtClock notices that the certificate has ended. The timer does so by
// itself, but not when the clock was set or the machine slept: so whoever asks
// for the status does, too. mu is held.
func (p *Provisioner) lookAtClock() {
	if !p.ended {
		p.setLocked(func(*Status) {})
	}
}
