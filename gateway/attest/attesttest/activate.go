package attesttest

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/hmac"
	"crypto/rsa"
	"errors"
	"fmt"

	"github.com/google/go-tpm/tpm2"

	"github.com/mecha-org/mecha-agent/gateway"
)

// ErrIntegrity is TPM_RC_INTEGRITY: the credential is for another AK or another
// EK, or was altered.
var ErrIntegrity = errors.New("attesttest: the credential is not for this TPM")

// Activate opens a challenge's credential, as TPM2_ActivateCredential does (TPM
// 2.0 Library, part 1, 24, and annexes B.10.4 and C.6.4).
func (t *TPM) Activate(c gateway.Challenge) ([]byte, error) {
	encrypted, err := content(c.Secret)
	if err != nil {
		return nil, fmt.Errorf("secret: %w", err)
	}
	blob, err := content(c.Credential)
	if err != nil {
		return nil, fmt.Errorf("credential: %w", err)
	}
	seed, err := t.seed(encrypted)
	if err != nil {
		return nil, err
	}
	hash, err := t.ekPublic.NameAlg.Hash()
	if err != nil {
		return nil, err
	}
	// TPMS_ID_OBJECT: the HMAC, sized, and what it is of.
	if len(blob) < 2+hash.Size() || int(blob[0])<<8|int(blob[1]) != hash.Size() {
		return nil, errors.New("attesttest: the credential is truncated")
	}
	sum, identity := blob[2:2+hash.Size()], blob[2+hash.Size():]
	mac := hmac.New(hash.New, tpm2.KDFa(hash, seed, "INTEGRITY", nil, nil, hash.Size()*8))
	mac.Write(identity)
	mac.Write(t.akName)
	if !hmac.Equal(mac.Sum(nil), sum) {
		return nil, ErrIntegrity
	}
	bits, err := symmetricBits(t.ekPublic)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(tpm2.KDFa(hash, seed, "STORAGE", t.akName, nil, bits))
	if err != nil {
		return nil, err
	}
	plain := make([]byte, len(identity))
	//lint:ignore SA1019 the TPM's mode; the HMAC above protects it
	cipher.NewCFBDecrypter(block, make([]byte, block.BlockSize())).XORKeyStream(plain, identity)
	return content(plain)
}

// content returns what stands in a TPM2B.
func content(b []byte) ([]byte, error) {
	if len(b) < 2 || int(b[0])<<8|int(b[1]) != len(b)-2 {
		return nil, errors.New("attesttest: the length of a TPM2B is wrong")
	}
	return b[2:], nil
}

// seed recovers the secret that the credential is protected with.
func (t *TPM) seed(encrypted []byte) ([]byte, error) {
	hash, err := t.ekPublic.NameAlg.Hash()
	if err != nil {
		return nil, err
	}
	switch k := t.ek.(type) {
	case *rsa.PrivateKey:
		seed, err := rsa.DecryptOAEP(hash.New(), nil, k, encrypted, []byte("IDENTITY\x00"))
		if err != nil {
			return nil, ErrIntegrity
		}
		return seed, nil
	case *ecdsa.PrivateKey:
		private, err := k.ECDH()
		if err != nil {
			return nil, err
		}
		point, err := tpm2.Unmarshal[tpm2.TPMSECCPoint](encrypted)
		if err != nil {
			return nil, err
		}
		size := (k.Curve.Params().BitSize + 7) / 8
		ephemeral, err := publicKey(private.Curve(), padded(point.X.Buffer, size), padded(point.Y.Buffer, size))
		if err != nil {
			return nil, ErrIntegrity
		}
		z, err := private.ECDH(ephemeral)
		if err != nil {
			return nil, err
		}
		own := private.PublicKey().Bytes()
		return tpm2.KDFe(hash, z, "IDENTITY", padded(point.X.Buffer, size), own[1:1+size], hash.Size()*8), nil
	}
	return nil, fmt.Errorf("attesttest: no EK of %T", t.ek)
}

func publicKey(curve ecdh.Curve, x, y []byte) (*ecdh.PublicKey, error) {
	return curve.NewPublicKey(append(append([]byte{4}, x...), y...))
}

func padded(b []byte, size int) []byte {
	return append(make([]byte, max(0, size-len(b))), b...)
}

func symmetricBits(p tpm2.TPMTPublic) (int, error) {
	var symmetric tpm2.TPMTSymDefObject
	if r, err := p.Parameters.RSADetail(); err == nil {
		symmetric = r.Symmetric
	} else if e, err := p.Parameters.ECCDetail(); err == nil {
		symmetric = e.Symmetric
	}
	bits, err := symmetric.KeyBits.AES()
	if err != nil {
		return 0, err
	}
	return int(*bits), nil
}
