package attesttest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"

	"github.com/google/go-tpm/tpm2"
)

// ekPublic is what the TCG EK Credential Profile's templates make, annex B: L-1
// and L-2 of the low range, H-1 to H-3 of the high one.
func ekPublic(key crypto.PublicKey, high bool) tpm2.TPMTPublic {
	p := tpm2.TPMTPublic{
		NameAlg: tpm2.TPMAlgSHA256,
		ObjectAttributes: tpm2.TPMAObject{FixedTPM: true, FixedParent: true, SensitiveDataOrigin: true,
			AdminWithPolicy: true, UserWithAuth: high, Restricted: true, Decrypt: true},
		AuthPolicy: tpm2.RSAEKTemplate.AuthPolicy,
	}
	bits := tpm2.TPMKeyBits(128)
	if k, ok := key.(*ecdsa.PublicKey); ok && k.Curve.Params().BitSize == 384 {
		p.NameAlg, bits = tpm2.TPMAlgSHA384, 256
		p.AuthPolicy.Buffer = make([]byte, 48) // any policy on SHA-384: it is not looked at
	}
	fill(&p, key, tpm2.TPMTSymDefObject{
		Algorithm: tpm2.TPMAlgAES,
		KeyBits:   tpm2.NewTPMUSymKeyBits(tpm2.TPMAlgAES, bits),
		Mode:      tpm2.NewTPMUSymMode(tpm2.TPMAlgAES, tpm2.TPMAlgCFB),
	}, false)
	return p
}

// signingPublic is an AK, when restricted, or a device key. The scheme is theirs:
// an AK has one, a device key leaves it open.
func signingPublic(key crypto.PublicKey, restricted bool) tpm2.TPMTPublic {
	p := tpm2.TPMTPublic{
		NameAlg: tpm2.TPMAlgSHA256,
		ObjectAttributes: tpm2.TPMAObject{FixedTPM: true, FixedParent: true, SensitiveDataOrigin: true,
			UserWithAuth: true, NoDA: true, Restricted: restricted, SignEncrypt: true},
	}
	fill(&p, key, tpm2.TPMTSymDefObject{}, restricted)
	return p
}

// fill puts the key's own parameters in, with a signature scheme on SHA-256 or
// none.
func fill(p *tpm2.TPMTPublic, key crypto.PublicKey, symmetric tpm2.TPMTSymDefObject, scheme bool) {
	switch k := key.(type) {
	case *rsa.PublicKey:
		params := &tpm2.TPMSRSAParms{Symmetric: symmetric, KeyBits: tpm2.TPMKeyBits(k.N.BitLen())}
		if scheme {
			params.Scheme = tpm2.TPMTRSAScheme{Scheme: tpm2.TPMAlgRSAPSS,
				Details: tpm2.NewTPMUAsymScheme(tpm2.TPMAlgRSAPSS, &tpm2.TPMSSigSchemeRSAPSS{HashAlg: tpm2.TPMAlgSHA256})}
		}
		p.Type = tpm2.TPMAlgRSA
		p.Parameters = tpm2.NewTPMUPublicParms(tpm2.TPMAlgRSA, params)
		p.Unique = tpm2.NewTPMUPublicID(tpm2.TPMAlgRSA, &tpm2.TPM2BPublicKeyRSA{Buffer: k.N.Bytes()})
	case *ecdsa.PublicKey:
		params := &tpm2.TPMSECCParms{Symmetric: symmetric, CurveID: tpm2.TPMECCNistP256}
		if k.Curve.Params().BitSize == 384 {
			params.CurveID = tpm2.TPMECCNistP384
		}
		if scheme {
			params.Scheme = tpm2.TPMTECCScheme{Scheme: tpm2.TPMAlgECDSA,
				Details: tpm2.NewTPMUAsymScheme(tpm2.TPMAlgECDSA, &tpm2.TPMSSigSchemeECDSA{HashAlg: tpm2.TPMAlgSHA256})}
		}
		point, err := k.Bytes() // 4, X, Y (SEC 1, section 2.3.3)
		if err != nil {
			panic(err) // never: the key was made here
		}
		size := (len(point) - 1) / 2
		p.Type = tpm2.TPMAlgECC
		p.Parameters = tpm2.NewTPMUPublicParms(tpm2.TPMAlgECC, params)
		p.Unique = tpm2.NewTPMUPublicID(tpm2.TPMAlgECC, &tpm2.TPMSECCPoint{
			X: tpm2.TPM2BECCParameter{Buffer: point[1 : 1+size]}, Y: tpm2.TPM2BECCParameter{Buffer: point[1+size:]}})
	}
}

func nameOf(p tpm2.TPMTPublic) ([]byte, error) {
	n, err := tpm2.ObjectName(&p)
	if err != nil {
		return nil, err
	}
	return n.Buffer, nil
}
