package disk

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"fmt"

	"github.com/mecha-org/mecha-agent/keystore"
)

// maxFile bounds what is read of a key file, in bytes. A P-384 key has about
// 300, an RSA key of 16384 bits (to be named as such) about 13,000.
const maxFile = 16 << 10

const pemType = "PRIVATE KEY"

// Object identifiers of RFC 5480, sections 2.1.1 and 2.1.1.1. Never assigned to.
var (
	oidECPublicKey = asn1.ObjectIdentifier{1, 2, 840, 10045, 2, 1}
	oidP256        = asn1.ObjectIdentifier{1, 2, 840, 10045, 3, 1, 7}
	oidP384        = asn1.ObjectIdentifier{1, 3, 132, 0, 34}
)

// encode returns the key as PKCS#8 PEM.
func encode(priv *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(priv)
	if err != nil {
		return nil, fmt.Errorf("marshalling: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: pemType, Bytes: der}), nil
}

// parse reads what encode writes: one PEM block, nothing before or after it. It
// tells a key of another kind (ErrWrongKind) from a file that is no key any more
// (ErrDamaged). Its errors hold no byte of the text.
func parse(text []byte) (*ecdsa.PrivateKey, error) {
	text = bytes.TrimSpace(text)
	if len(text) == 0 {
		return nil, fmt.Errorf("%w: it is empty", keystore.ErrDamaged)
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("%w: no complete PEM block", keystore.ErrDamaged)
	}
	switch block.Type {
	case pemType:
	case "EC PRIVATE KEY", "RSA PRIVATE KEY", "DSA PRIVATE KEY", "OPENSSH PRIVATE KEY",
		"ENCRYPTED PRIVATE KEY", "TSS2 PRIVATE KEY", "EC PARAMETERS":
		return nil, fmt.Errorf("%w in PKCS#8: the PEM block is %q", keystore.ErrWrongKind, block.Type)
	default:
		return nil, fmt.Errorf("%w: the PEM block is not a private key", keystore.ErrDamaged)
	}
	// pem.Decode skips what it cannot read and takes headers. Blanks aside, the
	// file must be the block and nothing else.
	if !bytes.Equal(squash(pem.EncodeToMemory(&pem.Block{Type: pemType, Bytes: block.Bytes})), squash(text)) {
		return nil, fmt.Errorf("%w: text around the PEM block", keystore.ErrDamaged)
	}
	return parseDER(block.Bytes)
}

func parseDER(der []byte) (*ecdsa.PrivateKey, error) {
	// The outer layer is read here because crypto/x509 does not tell "an algorithm
	// I do not know" from "not PKCS#8" by type of error.
	var outer struct {
		Version    int
		Algorithm  pkix.AlgorithmIdentifier
		PrivateKey []byte
		Attributes asn1.RawValue `asn1:"optional,tag:0"`
	}
	if rest, err := asn1.Unmarshal(der, &outer); err != nil || len(rest) != 0 {
		return nil, fmt.Errorf("%w: not PKCS#8", keystore.ErrDamaged)
	}
	if !outer.Algorithm.Algorithm.Equal(oidECPublicKey) {
		return nil, fmt.Errorf("%w: its algorithm is %s", keystore.ErrWrongKind, outer.Algorithm.Algorithm)
	}
	var curve asn1.ObjectIdentifier
	if _, err := asn1.Unmarshal(outer.Algorithm.Parameters.FullBytes, &curve); err != nil {
		return nil, fmt.Errorf("%w: it names no curve", keystore.ErrDamaged)
	}
	if !curve.Equal(oidP256) && !curve.Equal(oidP384) {
		return nil, fmt.Errorf("%w: its curve is %s", keystore.ErrWrongKind, curve)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	priv, ok := parsed.(*ecdsa.PrivateKey)
	if err != nil || !ok {
		return nil, fmt.Errorf("%w: not a valid ECDSA key", keystore.ErrDamaged)
	}
	return priv, nil
}

// squash drops all blanks and line ends.
func squash(text []byte) []byte { return bytes.Join(bytes.Fields(text), nil) }
