package tpm

import (
	"bytes"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/google/go-tpm/tpm2"

	"github.com/mecha-org/mecha-agent/keystore"
)

// A key at rest is a "TSS2 PRIVATE KEY" (draft-bottomley-tpm2-keys, section 3.1):
// its public part, and its private part as only its TPM can read it, below the
// handle of its parent. openssl's tpm2 provider reads and writes the same.
const pemType = "TSS2 PRIVATE KEY"

// maxKeyFile bounds what is read of a key file, in bytes. A P-384 key has about
// 500, an RSA key (to be named as such) less than 3,000.
const maxKeyFile = 16 << 10

// oidLoadable says that TPM2_Load takes the key (draft-bottomley-tpm2-keys,
// section 3.1.1). Never assigned to.
var oidLoadable = asn1.ObjectIdentifier{2, 23, 133, 10, 1, 3}

// blob is a key at rest.
type blob struct {
	parent  tpm2.TPMHandle // the owner hierarchy, or a persistent key
	public  tpm2.TPM2BPublic
	private tpm2.TPM2BPrivate
}

// Of handles: TCG TPM 2.0 Library, part 2, section 7.
const (
	persistentFirst = 0x81000000
	persistentLast  = 0x81FFFFFF
)

// Tags of the optional fields, all EXPLICIT.
const (
	tagEmptyAuth = iota
	tagPolicy
	tagSecret
	tagAuthPolicy
	tagDescription
	tagRSAParent
)

// encode returns the key as PEM. It leaves the description out, which versions of
// tpm2-openssl up to 1.1.1 refuse.
func (b blob) encode() ([]byte, error) {
	der, err := asn1.Marshal(struct {
		Type      asn1.ObjectIdentifier
		EmptyAuth bool `asn1:"explicit,tag:0"`
		Parent    int64
		Public    []byte
		Private   []byte
	}{oidLoadable, true, int64(b.parent), tpm2.Marshal(b.public), tpm2.Marshal(b.private)})
	if err != nil {
		return nil, fmt.Errorf("marshalling: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: pemType, Bytes: der}), nil
}

// blockError says that the file holds a key of another kind.
type blockError struct{ block string }

func (e *blockError) Error() string {
	return fmt.Sprintf("%v in a TPM: the PEM block is %q", keystore.ErrWrongKind, e.block)
}

func (e *blockError) Unwrap() error { return keystore.ErrWrongKind }

// decode reads what encode and openssl's tpm2 provider write: one PEM block and
// nothing else. It tells a key of another kind (ErrWrongKind) from a file that is
// no key any more (ErrDamaged).
func decode(text []byte) (blob, error) {
	text = bytes.TrimSpace(text)
	if len(text) == 0 {
		return blob{}, fmt.Errorf("%w: it is empty", keystore.ErrDamaged)
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return blob{}, fmt.Errorf("%w: no complete PEM block", keystore.ErrDamaged)
	}
	switch block.Type {
	case pemType:
	case "PRIVATE KEY", "EC PRIVATE KEY", "EC PARAMETERS", "RSA PRIVATE KEY", "ENCRYPTED PRIVATE KEY", "OPENSSH PRIVATE KEY":
		return blob{}, &blockError{block.Type}
	default:
		return blob{}, fmt.Errorf("%w: the PEM block is not a key of a TPM", keystore.ErrDamaged)
	}
	whole := pem.EncodeToMemory(&pem.Block{Type: pemType, Bytes: block.Bytes})
	if !bytes.Equal(squash(whole), squash(text)) {
		return blob{}, fmt.Errorf("%w: text around the PEM block", keystore.ErrDamaged)
	}
	return decodeDER(block.Bytes)
}

// squash drops all blanks and line ends.
func squash(text []byte) []byte { return bytes.Join(bytes.Fields(text), nil) }

func decodeDER(der []byte) (blob, error) {
	notASN1 := fmt.Errorf("%w: not the ASN.1 of a TPM's key", keystore.ErrDamaged)
	var outer asn1.RawValue
	if rest, err := asn1.Unmarshal(der, &outer); err != nil || len(rest) > 0 ||
		outer.Class != asn1.ClassUniversal || outer.Tag != asn1.TagSequence || !outer.IsCompound {
		return blob{}, notASN1
	}
	var kind asn1.ObjectIdentifier
	rest, err := asn1.Unmarshal(outer.Bytes, &kind)
	if err != nil {
		return blob{}, notASN1
	}
	if !kind.Equal(oidLoadable) {
		return blob{}, fmt.Errorf("%w: its type is %s, not a loadable key", keystore.ErrWrongKind, kind)
	}
	emptyAuth, other := false, ""
	for next := 0; ; { // the optional fields stand in the order of their tags
		var field asn1.RawValue
		after, err := asn1.Unmarshal(rest, &field)
		if err != nil {
			return blob{}, notASN1
		}
		if field.Class != asn1.ClassContextSpecific {
			break
		}
		if field.Tag < next || field.Tag > tagRSAParent || !field.IsCompound {
			return blob{}, notASN1
		}
		next, rest = field.Tag+1, after
		switch field.Tag {
		case tagEmptyAuth:
			if emptyAuth, err = boolean(field.Bytes); err != nil {
				return blob{}, notASN1
			}
		case tagRSAParent:
			if _, err := boolean(field.Bytes); err != nil {
				return blob{}, notASN1
			}
			other = "it has an RSA parent"
		case tagPolicy, tagAuthPolicy:
			other = "it is bound to a policy"
		case tagSecret:
			other = "it is not loadable"
		case tagDescription: // words for a person
		}
	}
	var parent int64
	var public, private []byte
	for _, field := range []any{&parent, &public, &private} {
		if rest, err = asn1.Unmarshal(rest, field); err != nil {
			return blob{}, notASN1
		}
	}
	switch {
	case len(rest) > 0:
		return blob{}, notASN1
	case other != "":
		return blob{}, fmt.Errorf("%w: %s", keystore.ErrWrongKind, other)
	case !emptyAuth:
		return blob{}, fmt.Errorf("%w: it has a password", keystore.ErrWrongKind)
	case parent != int64(tpm2.TPMRHOwner) && (parent < persistentFirst || parent > persistentLast):
		return blob{}, fmt.Errorf("%w: its parent 0x%08x is neither the owner hierarchy nor persistent", keystore.ErrWrongKind, parent)
	}
	b := blob{parent: tpm2.TPMHandle(parent)}
	if err := b.parts(public, private); err != nil {
		return blob{}, err
	}
	return b, nil
}

// boolean reads a BOOLEAN. openssl's tpm2 provider writes TRUE as 0x01, which is
// BER; encoding/asn1 takes the 0xff of DER alone.
func boolean(der []byte) (bool, error) {
	if len(der) != 3 || der[0] != asn1.TagBoolean || der[1] != 1 {
		return false, errors.New("not a BOOLEAN")
	}
	return der[2] != 0, nil
}

// parts reads the TPM2B_PUBLIC and the TPM2B_PRIVATE, and whether they are a key
// that signs.
func (b *blob) parts(public, private []byte) error {
	p, err := tpm2.Unmarshal[tpm2.TPM2BPublic](public)
	if err != nil || !bytes.Equal(tpm2.Marshal(*p), public) {
		return fmt.Errorf("%w: its public part is not whole", keystore.ErrDamaged)
	}
	area, err := p.Contents()
	if err != nil {
		return fmt.Errorf("%w: its public part is not whole", keystore.ErrDamaged)
	}
	if _, err := signer(area); err != nil {
		return err
	}
	v, err := tpm2.Unmarshal[tpm2.TPM2BPrivate](private)
	if err != nil || !bytes.Equal(tpm2.Marshal(*v), private) || len(v.Buffer) == 0 {
		return fmt.Errorf("%w: its private part is not whole", keystore.ErrDamaged)
	}
	b.public, b.private = *p, *v
	return nil
}
