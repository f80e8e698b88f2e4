package attest

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"math/big"

	"github.com/google/go-tpm/tpm2"

	"github.com/mecha-org/mecha-agent/gateway"
)

// Request is what evidence has to be for.
type Request struct {
	AKPublic []byte   // TPMT_PUBLIC of the AK that was announced
	Nonce    []byte   // of the challenge
	Secret   [32]byte // SHA-256 of what the challenge's credential holds
	CSR      *x509.CertificateRequest
}

// CheckEvidence returns nil when the key of the request lives in the TPM whose AK
// was announced: the key cannot leave it, the AK says so for this challenge and
// this request, and the TPM has opened the challenge's credential. The error is an
// *Error.
func CheckEvidence(e gateway.Evidence, r Request) error {
	ak, err := parseAK(r.AKPublic)
	if err != nil {
		return err
	}
	key, err := parsePublic(DeviceKey, e.KeyPublic)
	if err != nil {
		return err
	}
	if err := key.wants(DeviceKey, false, true, false); err != nil {
		return err
	}
	if k, ok := key.key.(*ecdsa.PublicKey); !ok || !k.Equal(r.CSR.PublicKey) {
		return refuse(DeviceKey, "the TPM's key is not the one of the request")
	}
	if err := checkStatement(e.Attest, key.name, r); err != nil {
		return err
	}
	if err := checkSignature(ak.key, e.Attest, e.Signature); err != nil {
		return err
	}
	got := sha256.Sum256(e.Activated)
	if len(e.Activated) != NonceSize || subtle.ConstantTimeCompare(got[:], r.Secret[:]) != 1 {
		return refuse(Activation, "the credential was not opened by the TPM that was announced")
	}
	return nil
}

// checkStatement reads what TPM2_Certify made (TPM 2.0 Library, part 2, 10.12.12,
// and part 3, 18.2).
func checkStatement(b, name []byte, r Request) error {
	a, err := unmarshal[tpm2.TPMSAttest](string(Statement), b, maxAttest)
	if err != nil {
		return err
	}
	if a.Magic != tpm2.TPMGeneratedValue {
		return refuse(Statement, "a TPM did not make it: it begins with %#x", uint32(a.Magic))
	}
	certified, err := a.Attested.Certify()
	if err != nil || a.Type != tpm2.TPMSTAttestCertify {
		return refuse(Statement, "it is of the type %#x, want that of TPM2_Certify", uint16(a.Type))
	}
	if !bytes.Equal(certified.Name.Buffer, name) {
		return refuse(Statement, "it is about another key")
	}
	want := gateway.Qualifying(r.Nonce, r.CSR.Raw)
	if len(r.Nonce) != NonceSize || !bytes.Equal(a.ExtraData.Buffer, want[:]) {
		return refuse(Nonce, "the statement is for another challenge or another request")
	}
	return nil
}

// checkSignature checks the AK's signature (TPM 2.0 Library, part 2, 11.3.4).
func checkSignature(ak crypto.PublicKey, message, signature []byte) error {
	s, err := unmarshal[tpm2.TPMTSignature](string(Signature), signature, maxSignature)
	if err != nil {
		return err
	}
	wrong := refuse(Signature, "it is not that of the announced attestation key")
	switch k := ak.(type) {
	case *ecdsa.PublicKey:
		ecc, err := s.Signature.ECDSA()
		if err != nil {
			return wrong
		}
		digest := digestOf(ecc.Hash, message)
		r, t := new(big.Int).SetBytes(ecc.SignatureR.Buffer), new(big.Int).SetBytes(ecc.SignatureS.Buffer)
		if digest == nil || !ecdsa.Verify(k, digest, r, t) {
			return wrong
		}
	case *rsa.PublicKey:
		if p, err := s.Signature.RSASSA(); err == nil {
			if d := digestOf(p.Hash, message); d == nil || rsa.VerifyPKCS1v15(k, hashOf(p.Hash), d, p.Sig.Buffer) != nil {
				return wrong
			}
			return nil
		}
		p, err := s.Signature.RSAPSS()
		if err != nil {
			return wrong
		}
		if d := digestOf(p.Hash, message); d == nil || rsa.VerifyPSS(k, hashOf(p.Hash), d, p.Sig.Buffer, nil) != nil {
			return wrong
		}
	default:
		return wrong
	}
	return nil
}

// digestOf returns nil for a hash that is not taken.
func digestOf(alg tpm2.TPMIAlgHash, message []byte) []byte {
	h := hashOf(alg)
	if h == 0 {
		return nil
	}
	d := h.New()
	d.Write(message)
	return d.Sum(nil)
}
