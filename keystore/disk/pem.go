package disk

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/mecha-org/mecha-agent/keystore"
	"github.com/mecha-org/mecha-agent/keystore/internal/keyfile"
)

// maxFile bounds what is read of a key file, in bytes. A P-384 key has about
// 300, an RSA key of 16384 bits (to be named as such) about 13,000.
const maxFile = 16 << 10

// PEM labels: RFC 7468 section 10, RFC 5915 section 4, openssl, and
// draft-bottomley-tpm2-keys.
const (
	pemType        = "PRIVATE KEY"
	sec1Type       = "EC PRIVATE KEY"
	parametersType = "EC PARAMETERS"
	tss2Type       = "TSS2 PRIVATE KEY"
)

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

// parse reads PKCS#8 as encode writes it, and SEC 1 (RFC 5915) as openssl does:
// one key, nothing before or after it but the "EC PARAMETERS" of openssl ecparam.
// It tells a key of another kind (ErrWrongKind) from a file that is no key any
// more (ErrDamaged). Its errors hold no byte of the text.
func parse(text []byte) (*ecdsa.PrivateKey, error) {
	text = bytes.TrimSpace(text)
	if len(text) == 0 {
		return nil, fmt.Errorf("%w: it is empty", keystore.ErrDamaged)
	}
	block, rest := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("%w: no complete PEM block", keystore.ErrDamaged)
	}
	var before []byte
	if block.Type == parametersType {
		before = pem.EncodeToMemory(block)
		if block, _ = pem.Decode(rest); block == nil {
			return nil, fmt.Errorf("%w: the PEM block of the key is missing", keystore.ErrDamaged)
		}
	}
	switch block.Type {
	case pemType, sec1Type:
	case "RSA PRIVATE KEY", "DSA PRIVATE KEY", "OPENSSH PRIVATE KEY", "ENCRYPTED PRIVATE KEY", tss2Type:
		return nil, &blockError{block.Type}
	default:
		return nil, fmt.Errorf("%w: the PEM block is not a private key", keystore.ErrDamaged)
	}
	if block.Headers["Proc-Type"] == "4,ENCRYPTED" {
		return nil, &blockError{"ENCRYPTED PRIVATE KEY"}
	}
	// pem.Decode skips what it cannot read and takes headers. Blanks aside, the
	// file must be the blocks and nothing else.
	whole := append(before, pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: block.Bytes})...)
	if !bytes.Equal(squash(whole), squash(text)) {
		return nil, fmt.Errorf("%w: text around the PEM block", keystore.ErrDamaged)
	}
	if block.Type == sec1Type {
		return parseSEC1(block.Bytes)
	}
	return parseDER(block.Bytes)
}

// blockError says that the file holds a key of another kind.
type blockError struct{ block string }

func (e *blockError) Error() string {
	return fmt.Sprintf("%v: the PEM block is %q", keystore.ErrWrongKind, e.block)
}

func (e *blockError) Unwrap() error { return keystore.ErrWrongKind }

// explain puts path and hint to an error of parse.
func explain(err error, path string) error {
	if !errors.Is(err, keystore.ErrWrongKind) {
		return keyfile.Damaged(err, path)
	}
	hint := "make a new key: remove " + keyfile.Quote(path) + " and provision the machine anew"
	var other *blockError
	if errors.As(err, &other) {
		switch other.block {
		case tss2Type:
			hint = "this key lives in a TPM: set keystore.backend to tpm"
		case "ENCRYPTED PRIVATE KEY":
			hint = "take its password away: openssl pkcs8 -topk8 -nocrypt -in " + keyfile.Quote(path)
		}
	}
	return keyfile.WithHint(fmt.Errorf("%s: %w", path, err), hint)
}

// parseSEC1 reads an ECPrivateKey of RFC 5915.
func parseSEC1(der []byte) (*ecdsa.PrivateKey, error) {
	// As in parseDER, the curve is read here to be told from damage.
	var outer struct {
		Version    int
		PrivateKey []byte
		Curve      asn1.ObjectIdentifier `asn1:"optional,explicit,tag:0"`
		PublicKey  asn1.BitString        `asn1:"optional,explicit,tag:1"`
	}
	if rest, err := asn1.Unmarshal(der, &outer); err != nil || len(rest) != 0 {
		return nil, fmt.Errorf("%w: not SEC 1", keystore.ErrDamaged)
	}
	if len(outer.Curve) == 0 {
		return nil, fmt.Errorf("%w: it names no curve", keystore.ErrDamaged)
	}
	if !outer.Curve.Equal(oidP256) && !outer.Curve.Equal(oidP384) {
		return nil, fmt.Errorf("%w: its curve is %s", keystore.ErrWrongKind, outer.Curve)
	}
	priv, err := x509.ParseECPrivateKey(der)
	if err != nil {
		return nil, fmt.Errorf("%w: not a valid ECDSA key", keystore.ErrDamaged)
	}
	return priv, nil
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
