package gateway

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
)

// MaxCSR is the most that a PEM certificate signing request may measure, in
// bytes. One for P-384 with a long name has about 700.
const MaxCSR = 8 << 10

// ErrBadCSR is what ParseCSR wraps.
var ErrBadCSR = errors.New("certificate signing request refused")

// ParseCSR reads a PKCS#10 request (RFC 2986) and takes it only when it is one
// PEM block, has an ECDSA key on P-256 or P-384, and is signed by that key.
func ParseCSR(text string) (*x509.CertificateRequest, error) {
	if len(text) > MaxCSR {
		return nil, fmt.Errorf("%w: longer than %d bytes", ErrBadCSR, MaxCSR)
	}
	block, rest := pem.Decode([]byte(text))
	switch {
	case block == nil:
		return nil, fmt.Errorf("%w: no PEM block", ErrBadCSR)
	case block.Type != "CERTIFICATE REQUEST" && block.Type != "NEW CERTIFICATE REQUEST":
		return nil, fmt.Errorf("%w: the PEM block is %q", ErrBadCSR, block.Type)
	case len(bytes.TrimSpace(rest)) != 0:
		return nil, fmt.Errorf("%w: text after the PEM block", ErrBadCSR)
	}
	csr, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBadCSR, err)
	}
	if err := CheckKey(csr.PublicKey); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBadCSR, err)
	}
	if err := csr.CheckSignature(); err != nil {
		return nil, fmt.Errorf("%w: its signature does not verify: %w", ErrBadCSR, err)
	}
	return csr, nil
}

// CheckKey takes ECDSA keys on P-256 and P-384 and no others.
func CheckKey(pub crypto.PublicKey) error {
	k, ok := pub.(*ecdsa.PublicKey)
	if !ok {
		return fmt.Errorf("the key is %T, want ECDSA on P-256 or P-384", pub)
	}
	if k.Curve != elliptic.P256() && k.Curve != elliptic.P384() {
		return fmt.Errorf("the key is on %s, want P-256 or P-384", k.Curve.Params().Name)
	}
	return nil
}

// Fingerprint returns the SHA-256 of the key's SubjectPublicKeyInfo in
// lower-case hex, the same on the device's panel and in the operator's tool.
func Fingerprint(pub crypto.PublicKey) (string, error) {
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return "", fmt.Errorf("marshalling public key: %w", err)
	}
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:]), nil
}
