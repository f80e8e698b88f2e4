package attest

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"errors"
	"fmt"

	"github.com/google/go-tpm/tpm2"
)

// unmarshal reads exactly one structure: what it prints again must be the very
// bytes that came, so nothing follows it and no two encodings mean the same. The
// decoder works by reflection; should it ever panic on a stranger's bytes, that
// is a refusal and not the end of the gateway.
func unmarshal[T tpm2.Marshallable, P interface {
	*T
	tpm2.Unmarshallable
}](name string, b []byte, most int) (v *T, err error) {
	defer func() {
		if r := recover(); r != nil {
			v, err = nil, refuse(Form, "%s: cannot be read", name)
		}
	}()
	switch {
	case len(b) == 0:
		return nil, refuse(Form, "%s: it is missing", name)
	case len(b) > most:
		return nil, refuse(Form, "%s: %d bytes, at most %d are taken", name, len(b), most)
	}
	v, err = tpm2.Unmarshal[T, P](b)
	if err != nil {
		return nil, refuse(Form, "%s: truncated or of another kind", name)
	}
	if !bytes.Equal(tpm2.Marshal(*v), b) {
		return nil, refuse(Form, "%s: not in its one encoding, or something follows it", name)
	}
	return v, nil
}

// public is a TPMT_PUBLIC that was read, with its key.
type public struct {
	tpm2.TPMTPublic
	name []byte // nameAlg and digest (TPM 2.0 Library, part 1, 16)
	key  crypto.PublicKey
}

// parsePublic reads a TPMT_PUBLIC. check is whose it is, for errors that are not
// of form.
func parsePublic(check Check, b []byte) (*public, error) {
	t, err := unmarshal[tpm2.TPMTPublic](string(check), b, maxPublic)
	if err != nil {
		return nil, err
	}
	if h := hashOf(t.NameAlg); h == 0 {
		return nil, refuse(check, "its name is made with algorithm %#x, want SHA-256, SHA-384 or SHA-512", t.NameAlg)
	}
	name, err := tpm2.ObjectName(t)
	if err != nil {
		return nil, refuse(check, "its name: %w", err)
	}
	p := &public{TPMTPublic: *t, name: name.Buffer}
	if p.key, err = keyOf(t); err != nil {
		return nil, refuse(check, "%w", err)
	}
	return p, nil
}

// keyOf takes RSA of 2048, 3072 and 4096 bits with the exponent 65537, and ECC on
// P-256 and P-384: what the TCG EK Credential Profile has templates for, and RSA
// 4096 beside.
func keyOf(t *tpm2.TPMTPublic) (crypto.PublicKey, error) {
	pub, err := tpm2.Pub(*t)
	if err != nil {
		return nil, errors.New("it is neither RSA nor ECC on a NIST curve")
	}
	switch k := pub.(type) {
	case *rsa.PublicKey:
		params, err := t.Parameters.RSADetail()
		if err != nil {
			return nil, err
		}
		bits := k.N.BitLen()
		if bits != int(params.KeyBits) || bits != 2048 && bits != 3072 && bits != 4096 {
			return nil, fmt.Errorf("RSA of %d bits, want 2048, 3072 or 4096", bits)
		}
		if k.N.Bit(0) == 0 { // crypto/rsa refuses to encrypt to it
			return nil, errors.New("RSA with an even modulus")
		}
		if k.E != 65537 {
			return nil, fmt.Errorf("RSA with the exponent %d, want 65537", k.E)
		}
	case *ecdsa.PublicKey:
		if size := k.Curve.Params().BitSize; size != 256 && size != 384 {
			return nil, fmt.Errorf("ECC on %s, want P-256 or P-384", k.Curve.Params().Name)
		}
		if _, err := k.ECDH(); err != nil {
			return nil, errors.New("its point is not on the curve")
		}
	}
	return pub, nil
}

// hashOf returns 0 for what is not taken.
func hashOf(alg tpm2.TPMIAlgHash) crypto.Hash {
	switch alg {
	case tpm2.TPMAlgSHA256:
		return crypto.SHA256
	case tpm2.TPMAlgSHA384:
		return crypto.SHA384
	case tpm2.TPMAlgSHA512:
		return crypto.SHA512
	}
	return 0
}

// wants refuses a key whose attributes are not as they must be (TPM 2.0 Library,
// part 2, 8.3). All keys here are made inside the TPM and stay there.
func (p *public) wants(check Check, restricted, sign, decrypt bool) error {
	a := p.ObjectAttributes
	for _, w := range []struct {
		name      string
		got, want bool
	}{
		{"fixedTPM", a.FixedTPM, true},
		{"fixedParent", a.FixedParent, true},
		{"sensitiveDataOrigin", a.SensitiveDataOrigin, true},
		{"restricted", a.Restricted, restricted},
		{"sign", a.SignEncrypt, sign},
		{"decrypt", a.Decrypt, decrypt},
	} {
		if w.got != w.want {
			state := map[bool]string{true: "set", false: "clear"}
			return refuse(check, "its attribute %s is %s, must be %s", w.name, state[w.got], state[w.want])
		}
	}
	return nil
}
