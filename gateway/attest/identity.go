package attest

import (
	"crypto/x509"
	"time"

	"github.com/google/go-tpm/tpm2"

	"github.com/mecha-org/mecha-agent/gateway"
)

// Identity is a TPM's identity whose keys are what they must be.
type Identity struct {
	TPM gateway.TPM // Reason says why no maker is proven
	// Unproven is nil when a trusted maker vouches for the EK. Else it is an *Error
	// of the check Maker: there is no certificate, none that can be read, none that
	// is valid or none of a maker that the operator trusts.
	Unproven error
}

// CheckIdentity looks at what came with an announcement, at the time now. It
// refuses, with an *Error, what does not parse, keys whose attributes or
// algorithms are not those of an EK and an AK, and a certificate that is not for
// the EK. That no trusted maker vouches for the EK is no refusal: Unproven says
// it.
//
// Until the credential of a challenge came back, nothing ties the AK to the EK.
func CheckIdentity(id gateway.TPMIdentity, roots *Roots, now time.Time) (Identity, error) {
	if err := checkBounds(id); err != nil {
		return Identity{}, err
	}
	ek, err := parseEK(id.EKPublic)
	if err != nil {
		return Identity{}, err
	}
	if _, err := parseAK(id.AKPublic); err != nil {
		return Identity{}, err
	}
	fingerprint, err := gateway.Fingerprint(ek.key)
	if err != nil {
		return Identity{}, refuse(EndorsementKey, "%w", err)
	}
	out := Identity{TPM: gateway.TPM{EKFingerprint: fingerprint}}
	leaf, others, err := parseChain(id.EKCertificates)
	if err == nil {
		if err := isFor(leaf, ek.key); err != nil {
			return Identity{}, err
		}
		out.TPM.EKSerial = serialOf(leaf)
		out.TPM.Maker, err = roots.verify(leaf, others, now)
	}
	if out.Unproven = err; err != nil {
		out.TPM.Reason = err.Error()
	}
	return out, nil
}

func checkBounds(id gateway.TPMIdentity) error {
	if n := len(id.EKCertificates); n > maxChain {
		return refuse(Form, "%d EK certificates, at most %d are taken", n, maxChain)
	}
	for _, c := range id.EKCertificates {
		if len(c) > maxCertificate {
			return refuse(Form, "an EK certificate of %d bytes, at most %d are taken", len(c), maxCertificate)
		}
	}
	return nil
}

// parseChain returns the EK certificate and those that came along. Of the others
// it drops what it cannot read: a chain may do without.
func parseChain(list [][]byte) (leaf *x509.Certificate, others []*x509.Certificate, err error) {
	if len(list) == 0 {
		return nil, nil, refuse(Maker, "the TPM has no EK certificate").
			hint("some firmware TPMs have theirs at the maker's: let the device fetch it, or let the policy be recorded")
	}
	leaf, err = parseEKCertificate(list[0])
	if err != nil {
		return nil, nil, refuse(Maker, "the EK certificate cannot be read: %w", err)
	}
	for _, b := range list[1:] {
		if c, err := parseEKCertificate(b); err == nil {
			others = append(others, c)
		}
	}
	return leaf, others, nil
}

// parseEK takes a restricted decryption key as all templates of the TCG EK
// Credential Profile (annex B, L and H ranges) make it. Their policies are not
// looked at: they say who may use the EK on its device, not what it is.
func parseEK(b []byte) (*public, error) {
	ek, err := parsePublic(EndorsementKey, b)
	if err != nil {
		return nil, err
	}
	if err := ek.wants(EndorsementKey, true, false, true); err != nil {
		return nil, err
	}
	var symmetric tpm2.TPMTSymDefObject
	var scheme tpm2.TPMAlgID
	if p, err := ek.Parameters.RSADetail(); err == nil {
		symmetric, scheme = p.Symmetric, p.Scheme.Scheme
	} else if p, err := ek.Parameters.ECCDetail(); err == nil {
		symmetric, scheme = p.Symmetric, p.Scheme.Scheme
	}
	if scheme != tpm2.TPMAlgNull {
		return nil, refuse(EndorsementKey, "it has a scheme of its own, %#x", scheme)
	}
	bits, errBits := symmetric.KeyBits.AES()
	mode, errMode := symmetric.Mode.AES()
	if symmetric.Algorithm != tpm2.TPMAlgAES || errBits != nil || errMode != nil ||
		*bits != 128 && *bits != 192 && *bits != 256 || *mode != tpm2.TPMAlgCFB {
		return nil, refuse(EndorsementKey, "it does not protect with AES in CFB mode")
	}
	return ek, nil
}

// parseAK takes a restricted signing key: one that signs nothing but what the TPM
// itself has made.
func parseAK(b []byte) (*public, error) {
	ak, err := parsePublic(AttestationKey, b)
	if err != nil {
		return nil, err
	}
	if err := ak.wants(AttestationKey, true, true, false); err != nil {
		return nil, err
	}
	return ak, nil
}
