package server

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"

	"github.com/mecha-org/mecha-agent/gateway"
	"github.com/mecha-org/mecha-agent/gateway/attest"
	"github.com/mecha-org/mecha-agent/gateway/store"
)

// Policy is what the operator wants of TPMs.
type Policy string

// The policies.
const (
	// Recorded takes every machine, and writes down and certifies what its TPM has
	// proven. Evidence that is wrong is refused all the same: it is never needed.
	Recorded Policy = "recorded"
	// Required takes machines only whose TPM a trusted maker vouches for.
	Required Policy = "required"
	// Off asks for nothing and looks at nothing.
	Off Policy = "off"
)

// Attestation is what is asked of TPMs.
type Attestation struct {
	Policy Policy        // default Recorded
	Roots  *attest.Roots // the TPM makers that are trusted; Required needs one
}

// check refuses settings that could take no machine, and sets the default.
func (a *Attestation) check(unannounced bool) error {
	switch a.Policy {
	case "":
		a.Policy = Recorded
	case Recorded, Off:
	case Required:
		if a.Roots.Len() == 0 {
			return errors.New("attestation is required, and no TPM maker is trusted")
		}
		if unannounced {
			return errors.New("attestation is required, and codes that nobody announced bring none")
		}
	default:
		return fmt.Errorf("attestation policy %q is none", a.Policy)
	}
	return nil
}

// identify adds what an announcement proves of a TPM to the request. What does not
// parse is refused under either policy; the rest only where a TPM is required.
func (s *Service) identify(ctx context.Context, id *gateway.TPMIdentity, r *store.Request) error {
	policy := s.config.Attestation.Policy
	if policy == Off {
		return nil
	}
	if id == nil {
		if policy == Required {
			return fail(gateway.Precondition, "attestation: this gateway takes machines with a TPM only, and none was announced")
		}
		return nil
	}
	found, err := attest.CheckIdentity(*id, s.config.Attestation.Roots, s.now())
	if err != nil {
		if isForm(err) {
			return fail(gateway.BadRequest, "attestation: %w", err)
		}
		if policy == Required {
			return fail(gateway.Precondition, "attestation: %w", err)
		}
		s.log.InfoContext(ctx, "TPM not taken for one", "key", r.KeyFingerprint, "error", err)
		r.TPM = gateway.TPM{Reason: err.Error()}
		return nil
	}
	if found.Unproven != nil {
		s.log.InfoContext(ctx, "TPM not proven", "key", r.KeyFingerprint, "ek", found.TPM.EKFingerprint,
			"error", found.Unproven, "hint", gateway.HintOf(found.Unproven))
		if policy == Required {
			return fail(gateway.Precondition, "attestation: %w", found.Unproven)
		}
	}
	r.TPM, r.EKPublic, r.AKPublic = found.TPM, string(id.EKPublic), string(id.AKPublic)
	return nil
}

func isForm(err error) bool {
	var e *attest.Error
	return errors.As(err, &e) && e.Check == attest.Form
}

// expected is what the certificate will say if the TPM of the request proves itself.
func (s *Service) expected(r store.Request) gateway.Attestation {
	switch {
	case s.config.Attestation.Policy == Off:
		return ""
	case r.AKPublic == "":
		return gateway.SoftwareKey
	case r.TPM.Maker == "":
		return gateway.TPMUnproven
	}
	return gateway.TPMProven
}

// challenge makes the challenge that goes out with a token; nil when there is
// nothing to be asked.
func (s *Service) challenge(r store.Request) (*gateway.Challenge, store.Challenge, error) {
	if s.config.Attestation.Policy == Off || r.AKPublic == "" {
		return nil, store.Challenge{}, nil
	}
	c, secret, err := attest.NewChallenge([]byte(r.EKPublic), []byte(r.AKPublic))
	if err != nil {
		return nil, store.Challenge{}, fmt.Errorf("making a challenge: %w", err)
	}
	return &c, store.Challenge{Nonce: [32]byte(c.Nonce), Secret: sha256.Sum256(secret)}, nil
}

// attested is what the evidence that came with a request for a certificate proves.
// The challenge is the one that went out with the token: used up with it, void with
// it, and bound to code, machine and key as it is.
func (s *Service) attested(r store.Request, csr *x509.CertificateRequest, e *gateway.Evidence) (gateway.Attestation, gateway.TPM, error) {
	policy := s.config.Attestation.Policy
	switch {
	case policy == Off:
		return "", gateway.TPM{}, nil
	case e == nil && policy == Required:
		return "", gateway.TPM{}, fail(gateway.Precondition, "attestation: this gateway takes machines with a TPM only, and no evidence came with the request")
	case e == nil:
		if r.AKPublic != "" {
			r.TPM.Reason = "the TPM was announced, and no evidence came with the request"
		}
		return gateway.SoftwareKey, r.TPM, nil
	case r.Challenge == store.Challenge{}:
		return "", gateway.TPM{}, fail(gateway.Precondition, "attestation: evidence came, and no challenge went out: announce the TPM")
	}
	err := attest.CheckEvidence(*e, attest.Request{
		AKPublic: []byte(r.AKPublic), Nonce: r.Challenge.Nonce[:], Secret: r.Challenge.Secret, CSR: csr,
	})
	var refused *attest.Error
	switch {
	case err == nil:
	case isForm(err):
		return "", gateway.TPM{}, fail(gateway.BadRequest, "attestation: %w", err)
	case errors.As(err, &refused) && refused.Check == attest.Nonce:
		return "", gateway.TPM{}, fail(gateway.Unauthorized, "attestation: %w: ask for the manifest again", err)
	default:
		return "", gateway.TPM{}, fail(gateway.Precondition, "attestation: %w", err)
	}
	a := s.expected(r)
	if policy == Required && a != gateway.TPMProven { // announced before it was
		return "", gateway.TPM{}, fail(gateway.Precondition, "attestation: %s", r.TPM.Reason)
	}
	return a, r.TPM, nil
}
