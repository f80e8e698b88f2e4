// Package ca is the certificate authority behind the gateway: a root that signs
// one intermediate and an empty revocation list, and an intermediate that signs
// machines, their revocation list and, when asked, the gateway's own TLS
// certificate. Made on first start, keys 0600, Go's
// crypto/x509 behind a small interface.
package ca

import (
	"context"
	"crypto/x509"
	"time"

	"github.com/mecha-org/mecha-agent/gateway"
)

// Machine is whom a certificate is for.
type Machine struct {
	ID          string
	Attestation gateway.Attestation // becomes a certificate policy, see gateway.Attestation.PolicyOID; empty: none
}

// Authority signs machine certificates. Implementations are safe for
// concurrent use.
type Authority interface {
	// Sign issues a certificate for the CSR's key with the machine's id as common
	// name and URI SAN, whatever else the CSR asks for. The CSR has been checked by
	// gateway.ParseCSR.
	Sign(ctx context.Context, csr *x509.CertificateRequest, m Machine, now time.Time) (*x509.Certificate, error)
	// Chain returns the intermediates, the issuer of machine certificates first,
	// and the root.
	Chain() (intermediates []*x509.Certificate, root *x509.Certificate)
	// Validity is how long a machine certificate is valid.
	Validity() time.Duration
	// CRL returns a signed DER revocation list (RFC 5280, section 5) of what the
	// issuer of machine certificates has signed.
	CRL(ctx context.Context, revoked []x509.RevocationListEntry, now time.Time) ([]byte, error)
	// RootCRL returns the root's DER revocation list, which is about the
	// intermediates. Nil: there is none.
	RootCRL() []byte
}
