package tpm

import (
	"crypto"
	"crypto/ecdsa"
	"fmt"

	"github.com/google/go-tpm/tpm2"

	"github.com/mecha-org/mecha-agent/keystore"
)

// srkHandle is where the storage root key is persistent, where a TPM has been
// given one: TCG TPM v2.0 Provisioning Guidance, section 7.5.1.
const srkHandle = 0x81000001

// Where endorsement keys are persistent, in TPMs that have been given one: TCG EK
// Credential Profile, section 2.2.1, and the Provisioning Guidance, table 2.
const (
	ekHandleRSA = 0x81010001
	ekHandleECC = 0x81010016
)

// storageECC are the parameters of ECC storage keys and endorsement keys.
func storageECC() tpm2.TPMUPublicParms {
	return tpm2.NewTPMUPublicParms(tpm2.TPMAlgECC, &tpm2.TPMSECCParms{
		Symmetric: tpm2.TPMTSymDefObject{
			Algorithm: tpm2.TPMAlgAES,
			KeyBits:   tpm2.NewTPMUSymKeyBits(tpm2.TPMAlgAES, tpm2.TPMKeyBits(128)),
			Mode:      tpm2.NewTPMUSymMode(tpm2.TPMAlgAES, tpm2.TPMAlgCFB),
		},
		CurveID: tpm2.TPMECCNistP256,
	})
}

// srkTemplate is the storage root key that TSS2 keys below the owner hierarchy
// are made under: the P-256 key with an empty unique field (template H-2 of the
// TCG EK Credential Profile with storage attributes; draft-bottomley-tpm2-keys,
// section 3.1.8). It has no dictionary-attack protection, as what is made under it:
// a power cut while such a key is loaded counts as a failed try.
func srkTemplate() tpm2.TPMTPublic {
	return tpm2.TPMTPublic{
		Type:    tpm2.TPMAlgECC,
		NameAlg: tpm2.TPMAlgSHA256,
		ObjectAttributes: tpm2.TPMAObject{FixedTPM: true, FixedParent: true, SensitiveDataOrigin: true,
			UserWithAuth: true, NoDA: true, Restricted: true, Decrypt: true},
		Parameters: storageECC(),
		Unique:     tpm2.NewTPMUPublicID(tpm2.TPMAlgECC, &tpm2.TPMSECCPoint{}),
	}
}

// isSRK says whether a persistent key is fit to be the parent of ours.
func isSRK(p *tpm2.TPMTPublic) bool {
	a := p.ObjectAttributes
	return p.Type == tpm2.TPMAlgECC && a.NoDA && a.Restricted && a.Decrypt && !a.SignEncrypt &&
		a.FixedTPM && a.FixedParent && a.UserWithAuth
}

// keyTemplate is a key that signs and does nothing else, and never leaves its TPM.
// Its scheme is open, so that TLS may choose the hash.
func keyTemplate(curve keystore.Curve) tpm2.TPMTPublic {
	id := tpm2.TPMECCNistP256
	if curve == keystore.P384 {
		id = tpm2.TPMECCNistP384
	}
	return tpm2.TPMTPublic{
		Type:    tpm2.TPMAlgECC,
		NameAlg: tpm2.TPMAlgSHA256,
		ObjectAttributes: tpm2.TPMAObject{FixedTPM: true, FixedParent: true, SensitiveDataOrigin: true,
			UserWithAuth: true, NoDA: true, SignEncrypt: true},
		Parameters: tpm2.NewTPMUPublicParms(tpm2.TPMAlgECC, &tpm2.TPMSECCParms{CurveID: id}),
		Unique:     tpm2.NewTPMUPublicID(tpm2.TPMAlgECC, &tpm2.TPMSECCPoint{}),
	}
}

// signer returns the public key of an area that TPM2_Sign takes without more than
// an empty password, else keystore.ErrWrongKind or keystore.ErrDamaged.
func signer(p *tpm2.TPMTPublic) (*ecdsa.PublicKey, error) {
	if p.Type != tpm2.TPMAlgECC {
		return nil, fmt.Errorf("%w: its algorithm is 0x%04x", keystore.ErrWrongKind, uint16(p.Type))
	}
	parms, err := p.Parameters.ECCDetail()
	if err != nil {
		return nil, fmt.Errorf("%w: its parameters are not whole", keystore.ErrDamaged)
	}
	if parms.CurveID != tpm2.TPMECCNistP256 && parms.CurveID != tpm2.TPMECCNistP384 {
		return nil, fmt.Errorf("%w: its curve is 0x%04x", keystore.ErrWrongKind, uint16(parms.CurveID))
	}
	if s := parms.Scheme.Scheme; s != tpm2.TPMAlgNull && s != tpm2.TPMAlgECDSA {
		return nil, fmt.Errorf("%w: its scheme is 0x%04x", keystore.ErrWrongKind, uint16(s))
	}
	if a := p.ObjectAttributes; !a.SignEncrypt || a.Restricted || !a.UserWithAuth {
		return nil, fmt.Errorf("%w: it is not for signing", keystore.ErrWrongKind)
	}
	point, err := p.Unique.ECC()
	if err != nil {
		return nil, fmt.Errorf("%w: its public point is not whole", keystore.ErrDamaged)
	}
	curve, err := parms.CurveID.Curve()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", keystore.ErrWrongKind, err)
	}
	size := (curve.Params().BitSize + 7) / 8
	if len(point.X.Buffer) > size || len(point.Y.Buffer) > size {
		return nil, fmt.Errorf("%w: its public point is too long", keystore.ErrDamaged)
	}
	// A TPM may leave leading zeros out.
	flat := make([]byte, 1+2*size)
	flat[0] = 4 // uncompressed: SEC 1, section 2.3.3
	copy(flat[1+size-len(point.X.Buffer):], point.X.Buffer)
	copy(flat[1+2*size-len(point.Y.Buffer):], point.Y.Buffer)
	pub, err := ecdsa.ParseUncompressedPublicKey(curve, flat)
	if err != nil {
		return nil, fmt.Errorf("%w: its public point is not on the curve", keystore.ErrDamaged)
	}
	return pub, nil
}

// hashes are those that ECDSA on a TPM takes, with their names there. Never
// assigned to.
var hashes = map[crypto.Hash]tpm2.TPMIAlgHash{
	crypto.SHA256: tpm2.TPMAlgSHA256,
	crypto.SHA384: tpm2.TPMAlgSHA384,
	crypto.SHA512: tpm2.TPMAlgSHA512,
}
