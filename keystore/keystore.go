// Package keystore names what holds the device's private key: a crypto.Signer
// whose private part never leaves it. keystore/disk keeps it in a file,
// keystore/tpm in a security chip; keystore/choose decides between them;
// keystoretest is the suite that every implementation passes.
package keystore

import (
	"context"
	"crypto"
	"errors"
	"io"
)

// Curve is the elliptic curve of a new key.
type Curve string

// The curves that a key may lie on (FIPS 186-5 names).
const (
	P256 Curve = "P-256"
	P384 Curve = "P-384"
)

// Errors that every Store promises; compare with errors.Is.
var (
	ErrNotExist  = errors.New("no key")
	ErrExists    = errors.New("a key is already there")
	ErrExposed   = errors.New("key can be read by others")
	ErrDamaged   = errors.New("key file is damaged")
	ErrWrongKind = errors.New("not an ECDSA key on P-256 or P-384")
	ErrLost      = errors.New("no hardware here can use the key") // its file is whole
)

// Info is what is known about a key, none of it secret.
type Info struct {
	Backend     string // "disk" or "tpm"
	Curve       Curve
	Fingerprint string // see gateway.Fingerprint
	Path        string // file that holds the key or its handle
}

// Key is a private key at work. Sign is safe for concurrent use. Close frees
// what the key holds; signing after it is an error.
type Key interface {
	crypto.Signer
	Info() Info
	io.Closer
}

// Store makes, opens and deletes keys by the path of the file that holds them
// (or, for hardware, their handle).
type Store interface {
	// Create makes a key. It returns ErrExists when path is taken. When it
	// returns, the key is on stable storage.
	Create(ctx context.Context, path string) (Key, error)
	// Open returns ErrNotExist, ErrExposed, ErrDamaged or ErrWrongKind.
	Open(ctx context.Context, path string) (Key, error)
	// Delete makes the key unusable. It returns ErrNotExist when there is none.
	Delete(ctx context.Context, path string) error
}

// Attester is a Store whose keys come with evidence that they cannot leave it: a
// TPM's. Encodings are those of the TPM 2.0 Library, part 2; certificates are DER.
type Attester interface {
	// AttestIdentity returns the TPMT_PUBLIC of the endorsement key (EK), which the
	// TPM's maker certifies, and of the attestation key (AK), which signs what the
	// TPM says. ekCerts are the EK's certificate and what the TPM has of the chain
	// above it; none when the TPM has none.
	AttestIdentity(ctx context.Context) (ekCerts [][]byte, ekPublic, akPublic []byte, err error)
	// Activate opens a TPM2B_ID_OBJECT with its TPM2B_ENCRYPTED_SECRET, which only
	// the TPM with that EK and that AK can, and returns what it holds.
	Activate(ctx context.Context, credential, secret []byte) ([]byte, error)
	// Certify has the AK say that key is in the same TPM. It returns the key's
	// TPMT_PUBLIC, the statement (TPMS_ATTEST) with qualifying in it, at most 32
	// bytes, and the AK's TPMT_SIGNATURE over it.
	Certify(ctx context.Context, key Key, qualifying []byte) (keyPublic, attest, signature []byte, err error)
}
