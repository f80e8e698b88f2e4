package gatewaytest

import (
	"crypto/sha256"
	"crypto/x509"

	"github.com/mecha-org/mecha-agent/gateway"
	"github.com/mecha-org/mecha-agent/gateway/attest"
)

// Makers are the TPM makers that the gateway trusts; without them it trusts none.
func Makers(roots *attest.Roots) Option { return func(g *Gateway) { g.makers = roots } }

// RequireTPM makes the gateway refuse machines whose TPM does not prove itself.
func RequireTPM() Option { return func(g *Gateway) { g.required = true } }

// Attested returns what a machine's newest certificate was given for: empty before
// the first.
func (g *Gateway) Attested(machineID string) gateway.Attestation {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.attested[machineID]
}

// tpm is what was announced, and the newest challenge to it.
type tpm struct {
	id     gateway.TPMIdentity
	proven bool // a trusted maker vouches for it
	nonce  []byte
	secret [32]byte
}

// identify judges what was announced, as strictly as the real gateway does whose
// policy is "recorded" or, with RequireTPM, "required".
func (g *Gateway) identify(id *gateway.TPMIdentity) (*tpm, error) {
	switch {
	case id == nil && g.required:
		return nil, fail(gateway.Precondition, "a TPM is required, and none was announced")
	case id == nil:
		return nil, nil
	}
	found, err := attest.CheckIdentity(*id, g.makers, g.now())
	if err == nil && g.required {
		err = found.Unproven
	}
	if err != nil {
		return nil, &gateway.Error{Kind: gateway.Precondition, Err: err}
	}
	return &tpm{id: *id, proven: found.Unproven == nil}, nil
}

func (t *tpm) challenge() (*gateway.Challenge, error) {
	if t == nil {
		return nil, nil
	}
	c, secret, err := attest.NewChallenge(t.id.EKPublic, t.id.AKPublic)
	t.nonce, t.secret = c.Nonce, sha256.Sum256(secret)
	return &c, err
}

func (g *Gateway) prove(t *tpm, csr *x509.CertificateRequest, e *gateway.Evidence) (gateway.Attestation, error) {
	switch {
	case e == nil && g.required:
		return "", fail(gateway.Precondition, "a TPM is required, and no evidence came")
	case e == nil:
		return gateway.SoftwareKey, nil
	case t == nil:
		return "", fail(gateway.Precondition, "evidence came, and no TPM was announced")
	}
	err := attest.CheckEvidence(*e, attest.Request{AKPublic: t.id.AKPublic, Nonce: t.nonce, Secret: t.secret, CSR: csr})
	if err != nil {
		return "", &gateway.Error{Kind: gateway.Precondition, Err: err}
	}
	if !t.proven {
		return gateway.TPMUnproven, nil
	}
	return gateway.TPMProven, nil
}
