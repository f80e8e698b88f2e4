// Package attest judges the evidence that a device key lives in a TPM: the
// endorsement key (EK) and its certificate, the attestation key (AK), the
// credential that ties one to the other, and the statement of the AK that the
// device key is in the same TPM. It talks to no TPM and keeps no state. All that
// it reads comes from strangers: every input has a bound, and one that is not
// exactly what the TPM 2.0 Library (part 2) says is refused.
//
// What makes the proof: the EK certificate says that a maker put the EK into a
// TPM. Only the TPM with that EK can open the credential, and it does so only for
// the AK whose Name the credential was made for. The AK is restricted: it signs
// nothing but what the TPM itself says. The TPM says that it holds the device
// key, that the key was made inside and cannot leave. The statement holds a hash
// of the gateway's nonce and of the request for the certificate, so it is fresh
// and for this request.
package attest

import "fmt"

// The bounds of what is read, in bytes. An RSA key of 4096 bits makes the longest
// TPMT_PUBLIC (some 560) and TPMT_SIGNATURE (518), three names on SHA-512 the
// longest TPMS_ATTEST (some 270); EK certificates have 900 to 1,800.
const (
	maxPublic      = 1 << 10
	maxAttest      = 512
	maxSignature   = 1 << 10
	maxCertificate = 4 << 10
	maxChain       = 6 // certificates
)

// NonceSize is the length of the challenge's nonce and of the credential's
// secret, in bytes. Every EK that is taken can carry it: the most is the size of
// the EK's name hash (TPM 2.0 Library, part 1, 24.3), and the least of those is
// SHA-256.
const NonceSize = 32

// Check is what was looked at when evidence was refused.
type Check string

// The checks, in the order in which they are made.
const (
	Form           Check = "form"            // the encoding: truncated, oversized, or of something else
	EndorsementKey Check = "endorsement key" // attributes and algorithms of the EK
	AttestationKey Check = "attestation key" // attributes and algorithms of the AK
	Certificate    Check = "EK certificate"  // it is for the EK, and says what it is for
	Maker          Check = "TPM maker"       // the certificate leads to a root that the operator trusts, and is valid
	DeviceKey      Check = "device key"      // attributes, and that it is the request's key
	Statement      Check = "statement"       // what TPM2_Certify made: about this key
	Nonce          Check = "nonce"           // it is the statement for this challenge and this request
	Signature      Check = "signature"       // the AK has signed the statement
	Activation     Check = "activation"      // the TPM with the EK has opened the credential for the AK
)

// Error says which check refused the evidence, and why. Its text holds no secret.
type Error struct {
	Check  Check
	Err    error
	Advice string // what a person can do, or empty
}

// Error returns "check: why".
func (e *Error) Error() string { return string(e.Check) + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Hint returns what a person can do about it, or "".
func (e *Error) Hint() string { return e.Advice }

func refuse(c Check, format string, a ...any) *Error {
	return &Error{Check: c, Err: fmt.Errorf(format, a...)}
}

func (e *Error) hint(advice string) *Error {
	e.Advice = advice
	return e
}
