package provision

import (
	"context"
	"encoding/pem"
	"time"

	"github.com/mecha-org/mecha-agent/gateway"
)

// attestTimeout bounds one call to the Attester. A TPM makes an RSA endorsement key
// in up to half a minute when it holds none.
const attestTimeout = 2 * time.Minute

// The steps that may fail without an end to the exchange: what follows from it is
// the gateway's to say.
const (
	stepIdentify = "asking the TPM for its identity"
	stepProve    = "asking the TPM for evidence"
)

// identify returns what the TPM says of itself; nil without a TPM and when it does
// not answer: then the announcement goes without, and a gateway that wants a TPM
// says so.
func (p *Provisioner) identify(ctx context.Context) *gateway.TPMIdentity {
	if p.c.Attester == nil {
		return nil
	}
	p.mu.Lock()
	known := p.tpm
	p.mu.Unlock()
	if known != nil {
		return known
	}
	call, cancel := context.WithTimeout(ctx, attestTimeout)
	defer cancel()
	id, err := p.c.Attester.Identity(call)
	if p.unattested(ctx, stepIdentify, err) {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tpm = id
	return id
}

// evidence answers the challenge of a manifest, for a request in PEM; nil when
// there is none to answer, or nobody who can.
func (p *Provisioner) evidence(ctx context.Context, c *gateway.Challenge, csr string) *gateway.Evidence {
	if c == nil || p.c.Attester == nil {
		return nil
	}
	block, _ := pem.Decode([]byte(csr))
	call, cancel := context.WithTimeout(ctx, attestTimeout)
	defer cancel()
	e, err := p.c.Attester.Prove(call, *c, block.Bytes)
	if p.unattested(ctx, stepProve, err) {
		p.mu.Lock()
		p.tpm = nil // it may have changed: the next announcement asks again
		p.mu.Unlock()
		return nil
	}
	return &e
}

// unattested notes how the TPM did, and reports whether it failed.
func (p *Provisioner) unattested(ctx context.Context, step string, err error) bool {
	if ctx.Err() != nil { // stopped, which says nothing of the TPM
		return err != nil
	}
	why := ""
	if err != nil {
		err = failed(step, err)
		why = err.Error()
		p.log.Warn("going on without evidence of the TPM", "error", err, "hint", gateway.HintOf(err))
	}
	p.set(func(s *Status) { s.Unattested = why })
	return err != nil
}
