package gateway

import (
	"crypto/sha256"
	"fmt"
	"log/slog"
	"slices"
)

// Attestation says what was proven of where the key of a certificate lives.
type Attestation string

// What may be proven. The empty one stands for "nobody asked": the gateway's
// policy was off, or the gateway is older than the question.
const (
	// TPMProven: the key was made in a TPM and cannot leave it, and the TPM's
	// maker is one of those that the operator trusts.
	TPMProven Attestation = "tpm-proven"
	// TPMUnproven: something that acts as a TPM says so, but no trusted maker
	// vouches for it. Software can act as a TPM.
	TPMUnproven Attestation = "tpm-unproven"
	// SoftwareKey: there was no evidence of a TPM, or none that is worth something.
	SoftwareKey Attestation = "software"
)

// TPMIdentity is what a TPM says of itself, with an announcement. The encodings
// are those of the TPM 2.0 Library, part 2.
type TPMIdentity struct {
	EKCertificates [][]byte `json:"ek_certificates,omitempty"` // X.509 DER, the endorsement key's first; none when the TPM has none
	EKPublic       []byte   `json:"ek_public"`                 // TPMT_PUBLIC of the endorsement key
	AKPublic       []byte   `json:"ak_public"`                 // TPMT_PUBLIC of the attestation key
}

// Challenge is what the gateway wants evidence for. It stands for one request of
// a certificate; the next manifest holds another.
type Challenge struct {
	Nonce      []byte `json:"nonce"`      // 32 bytes
	Credential []byte `json:"credential"` // TPM2B_ID_OBJECT, for TPM2_ActivateCredential
	Secret     []byte `json:"secret"`     // TPM2B_ENCRYPTED_SECRET, for the same command
}

// Check refuses a challenge that no TPM could be asked with: each part is there, the
// nonce has 16 to 64 bytes, and the others at most 1 KiB (an EK of RSA 4096 makes
// a secret of 514 bytes).
func (c Challenge) Check() error {
	if n := len(c.Nonce); n < 16 || n > 64 {
		return fmt.Errorf("a nonce of %d bytes, want 16 to 64", n)
	}
	if n := len(c.Credential); n < 4 || n > 1<<10 {
		return fmt.Errorf("a credential of %d bytes, want 4 to 1024", n)
	}
	if n := len(c.Secret); n < 4 || n > 1<<10 {
		return fmt.Errorf("a secret of %d bytes, want 4 to 1024", n)
	}
	return nil
}

// Qualifying returns the qualifying data that TPM2_Certify is to be given to answer
// a challenge with this nonce: the SHA-256 of the nonce and the DER of the request.
func Qualifying(nonce, csrDER []byte) [32]byte {
	return sha256.Sum256(slices.Concat(nonce, csrDER))
}

// Evidence answers a Challenge, with the request for a certificate.
type Evidence struct {
	KeyPublic []byte `json:"key_public"` // TPMT_PUBLIC of the device key
	Attest    []byte `json:"attest"`     // TPMS_ATTEST of TPM2_Certify, qualifying data SHA-256(nonce || DER of the CSR)
	Signature []byte `json:"signature"`  // TPMT_SIGNATURE over it, by the attestation key
	Activated []byte `json:"activated"`  // what TPM2_ActivateCredential gave
}

// LogValue leaves out what is a secret until it was used.
func (e Evidence) LogValue() slog.Value {
	return slog.GroupValue(slog.Int("key_public", len(e.KeyPublic)), slog.Int("attest", len(e.Attest)))
}

// TPM is what the gateway knows of a machine's TPM. The zero TPM says that the
// machine told of none.
type TPM struct {
	EKFingerprint string `json:"ekFingerprint,omitempty"` // SHA-256 of the endorsement key's SubjectPublicKeyInfo, hex; empty: no TPM
	EKSerial      string `json:"ekSerial,omitempty"`      // of the EK certificate, hex
	Maker         string `json:"maker,omitempty"`         // the trusted root that the EK certificate leads to; empty: none
	Reason        string `json:"reason,omitempty"`        // why it is not proven, or not taken for a TPM at all
}
