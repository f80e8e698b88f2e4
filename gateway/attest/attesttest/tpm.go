package attesttest

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"sync"

	"github.com/google/go-tpm/tpm2"

	"github.com/mecha-org/mecha-agent/gateway"
)

// Options is how a TPM differs from one with all its keys on P-256, an EK
// certificate and the truth in all that it says.
type Options struct {
	RSA   int            // bits of an RSA EK: 2048, 3072 or 4096; 0: the EK is on Curve
	Curve elliptic.Curve // of EK, AK and device key; P-256 or P-384
	High  bool           // the EK is made by a template of the high range: with SHA-384 on P-384, and user authorisation
	RSAAK bool           // the AK is RSA of 2048 bits, with RSAPSS

	NoCertificate bool
	EK, AK, Key   func(*tpm2.TPMTPublic)     // changes what is public of a key
	Certificate   func(*x509.Certificate)    // changes the template of the EK certificate
	Identity      func(*gateway.TPMIdentity) // changes what is announced
	Statement     func(*tpm2.TPMSAttest)     // changes what is signed
	Evidence      func(*gateway.Evidence)    // changes what is sent
}

// TPM is a TPM in software, with one device key.
type TPM struct {
	o        Options
	identity gateway.TPMIdentity
	ek       crypto.PrivateKey
	ak       crypto.Signer
	key      *ecdsa.PrivateKey
	ekPublic tpm2.TPMTPublic
	akName   []byte
	public   tpm2.TPMTPublic // of the device key
}

// NewTPM makes a TPM.
func (m *Maker) NewTPM(o Options) (*TPM, error) {
	if o.Curve == nil {
		o.Curve = elliptic.P256()
	}
	t := &TPM{o: o}
	if err := t.makeKeys(); err != nil {
		return nil, err
	}
	if !o.NoCertificate {
		template, err := ekTemplate(m.now)
		if err != nil {
			return nil, err
		}
		change(o.Certificate, template)
		pub := t.ek.(interface{ Public() crypto.PublicKey }).Public()
		if template.PublicKey != nil { // it was changed
			pub = template.PublicKey
		}
		cert, err := create(template, m.Intermediate, pub, m.key)
		if err != nil {
			return nil, err
		}
		t.identity.EKCertificates = [][]byte{cert.Raw, m.Intermediate.Raw}
	}
	change(o.Identity, &t.identity)
	return t, nil
}

func change[T any](f func(*T), v *T) {
	if f != nil {
		f(v)
	}
}

func (t *TPM) makeKeys() (err error) {
	if t.ek, err = t.makeEK(); err != nil {
		return err
	}
	t.ekPublic = ekPublic(t.ek.(interface{ Public() crypto.PublicKey }).Public(), t.o.High)
	change(t.o.EK, &t.ekPublic)

	if t.ak, err = ecdsa.GenerateKey(t.o.Curve, rand.Reader); err != nil {
		return err
	}
	if t.o.RSAAK {
		if t.ak, err = rsaKey(2048); err != nil {
			return err
		}
	}
	ak := signingPublic(t.ak.Public(), true)
	change(t.o.AK, &ak)
	if t.akName, err = nameOf(ak); err != nil {
		return err
	}

	if t.key, err = ecdsa.GenerateKey(t.o.Curve, rand.Reader); err != nil {
		return err
	}
	t.public = signingPublic(t.key.Public(), false)
	change(t.o.Key, &t.public)
	t.identity.EKPublic, t.identity.AKPublic = tpm2.Marshal(t.ekPublic), tpm2.Marshal(ak)
	return nil
}

func (t *TPM) makeEK() (crypto.PrivateKey, error) {
	if t.o.RSA != 0 {
		return rsaKey(t.o.RSA)
	}
	return ecdsa.GenerateKey(t.o.Curve, rand.Reader)
}

// rsaKeys are made once: the longest take a second and more.
var rsaKeys sync.Map // of int to func() (*rsa.PrivateKey, error)

func rsaKey(bits int) (*rsa.PrivateKey, error) {
	make, _ := rsaKeys.LoadOrStore(bits, sync.OnceValues(func() (*rsa.PrivateKey, error) {
		return rsa.GenerateKey(rand.Reader, bits)
	}))
	return make.(func() (*rsa.PrivateKey, error))()
}

// Key returns the device key. That the private part can be had is what makes this
// a TPM for tests.
func (t *TPM) Key() *ecdsa.PrivateKey { return t.key }

// Identity returns what is announced. It has the shape that provision.Attester wants.
func (t *TPM) Identity(context.Context) (gateway.TPMIdentity, error) { return t.identity, nil }

// Prove opens the challenge's credential and makes the statement about the device
// key for a request.
func (t *TPM) Prove(_ context.Context, c gateway.Challenge, csrDER []byte) (gateway.Evidence, error) {
	activated, err := t.Activate(c)
	if err != nil {
		return gateway.Evidence{}, err
	}
	e := gateway.Evidence{KeyPublic: tpm2.Marshal(t.public), Activated: activated}
	name, err := nameOf(t.public)
	if err != nil {
		return gateway.Evidence{}, err
	}
	qualifying := sha256.Sum256(append(append([]byte{}, c.Nonce...), csrDER...))
	statement := tpm2.TPMSAttest{
		Magic:           tpm2.TPMGeneratedValue,
		Type:            tpm2.TPMSTAttestCertify,
		QualifiedSigner: tpm2.TPM2BName{Buffer: t.akName},
		ExtraData:       tpm2.TPM2BData{Buffer: qualifying[:]},
		Attested:        tpm2.NewTPMUAttest(tpm2.TPMSTAttestCertify, &tpm2.TPMSCertifyInfo{Name: tpm2.TPM2BName{Buffer: name}}),
	}
	change(t.o.Statement, &statement)
	e.Attest = tpm2.Marshal(statement)
	if e.Signature, err = t.sign(e.Attest); err != nil {
		return gateway.Evidence{}, err
	}
	change(t.o.Evidence, &e)
	return e, nil
}

// sign signs with the AK, as TPM2_Certify does.
func (t *TPM) sign(message []byte) ([]byte, error) {
	digest := sha256.Sum256(message)
	switch k := t.ak.(type) {
	case *ecdsa.PrivateKey:
		r, s, err := ecdsa.Sign(rand.Reader, k, digest[:])
		if err != nil {
			return nil, err
		}
		return tpm2.Marshal(tpm2.TPMTSignature{SigAlg: tpm2.TPMAlgECDSA,
			Signature: tpm2.NewTPMUSignature(tpm2.TPMAlgECDSA, &tpm2.TPMSSignatureECC{Hash: tpm2.TPMAlgSHA256,
				SignatureR: tpm2.TPM2BECCParameter{Buffer: r.Bytes()}, SignatureS: tpm2.TPM2BECCParameter{Buffer: s.Bytes()}})}), nil
	case *rsa.PrivateKey:
		sig, err := rsa.SignPSS(rand.Reader, k, crypto.SHA256, digest[:], nil)
		if err != nil {
			return nil, err
		}
		return tpm2.Marshal(tpm2.TPMTSignature{SigAlg: tpm2.TPMAlgRSAPSS,
			Signature: tpm2.NewTPMUSignature(tpm2.TPMAlgRSAPSS, &tpm2.TPMSSignatureRSA{Hash: tpm2.TPMAlgSHA256,
				Sig: tpm2.TPM2BPublicKeyRSA{Buffer: sig}})}), nil
	}
	return nil, fmt.Errorf("attesttest: no signature with %T", t.ak)
}
