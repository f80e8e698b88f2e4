package tpm

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"io"
	"math/big"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"github.com/mecha-org/mecha-agent/keystore"
	"github.com/mecha-org/mecha-agent/keystore/tpm/tpmtest"
)

// What the Store is held against: the same sequences without it, straight on
// go-tpm, by somebody who knows what this one TPM has and that nothing goes wrong.

// chips are the TPMs of the benchmarks.
var chips = []struct {
	name  string
	start func(t testing.TB) *tpmtest.TPM
	srk   bool    // it is persistent
	ek    *bareEK // nil: to be made
}{
	{"all flushed", func(t testing.TB) *tpmtest.TPM { return tpmtest.New(t) }, false, nil},
	{"EK persistent", shipped, false, &bareEK{0x01c00016, ekHandleECC}},
	{"EK and SRK persistent", owned, true, &bareEK{0x01c00016, ekHandleECC}},
}

// bareEK is where an endorsement key and its certificate are.
type bareEK struct{ certificate, persistent tpm2.TPMHandle }

// bareKey is a short way to a loaded key: no session, no check, no file.
func bareKey(b *testing.B, t transport.TPM) (srk, key tpm2.TPMHandle, name tpm2.TPM2BName) {
	parent, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHOwner, InPublic: tpm2.New2B(srkTemplate())}.Execute(t)
	without(b, err)
	auth := &tpm2.NamedHandle{Handle: parent.ObjectHandle, Name: parent.Name}
	made, err := tpm2.Create{ParentHandle: auth, InPublic: tpm2.New2B(keyTemplate(keystore.P256))}.Execute(t)
	without(b, err)
	loaded, err := tpm2.Load{ParentHandle: auth, InPublic: made.OutPublic, InPrivate: made.OutPrivate}.Execute(t)
	without(b, err)
	return parent.ObjectHandle, loaded.ObjectHandle, loaded.Name
}

func bareSign(b *testing.B, t transport.TPM, key tpm2.TPMHandle, name tpm2.TPM2BName, digest []byte) {
	_, err := tpm2.Sign{KeyHandle: &tpm2.NamedHandle{Handle: key, Name: name}, Digest: tpm2.TPM2BDigest{Buffer: digest},
		InScheme: tpm2.TPMTSigScheme{Scheme: tpm2.TPMAlgECDSA,
			Details: tpm2.NewTPMUSigScheme(tpm2.TPMAlgECDSA, &tpm2.TPMSSchemeHash{HashAlg: tpm2.TPMAlgSHA256})},
		Validation: tpm2.TPMTTKHashCheck{Tag: tpm2.TPMSTHashCheck}}.Execute(t)
	without(b, err)
}

// bare does what a provisioning must: a key below the storage root key, made and
// used through a session that is salted and encrypts, since that is what keeps the
// bus out, and its file on stable storage, in a form that openssl loads.
type bare struct {
	b       *testing.B
	t       transport.TPM
	made    bool // the SRK, which was not persistent
	srk     tpm2.NamedHandle
	key     tpm2.NamedHandle
	public  *ecdsa.PublicKey
	session tpm2.Session
	end     func() error
}

func newBare(b *testing.B, t transport.TPM, persistent bool, path string) *bare {
	j := &bare{b: b, t: t}
	file := blob{parent: srkHandle}
	var parent tpm2.TPM2BPublic
	if persistent {
		r, err := tpm2.ReadPublic{ObjectHandle: tpm2.TPMHandle(srkHandle)}.Execute(t)
		without(b, err)
		parent, j.srk = r.OutPublic, tpm2.NamedHandle{Handle: srkHandle, Name: r.Name}
	} else {
		r, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHOwner, InPublic: tpm2.New2B(srkTemplate())}.Execute(t)
		without(b, err)
		parent, j.srk, j.made = r.OutPublic, tpm2.NamedHandle{Handle: r.ObjectHandle, Name: r.Name}, true
		file.parent = tpm2.TPMRHOwner
	}
	area, err := parent.Contents()
	without(b, err)
	j.session, j.end, err = tpm2.HMACSession(t, tpm2.TPMAlgSHA256, 16,
		tpm2.Salted(j.srk.Handle, *area), tpm2.AESEncryption(128, tpm2.EncryptIn))
	without(b, err)
	template := keyTemplate(keystore.P256)
	r, err := tpm2.CreateLoaded{ParentHandle: tpm2.AuthHandle{Handle: j.srk.Handle, Name: j.srk.Name, Auth: j.session},
		InPublic: tpm2.New2BTemplate(&template)}.Execute(t)
	without(b, err)
	j.key = tpm2.NamedHandle{Handle: r.ObjectHandle, Name: r.Name}
	area, err = r.OutPublic.Contents()
	without(b, err)
	j.public, err = signer(area)
	without(b, err)

	file.public, file.private = r.OutPublic, r.OutPrivate
	text, err := file.encode()
	without(b, err)
	f, err := os.OpenFile(path+".tmp", os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	without(b, err)
	_, err = f.Write(text)
	without(b, err)
	without(b, f.Sync())
	without(b, f.Close())
	without(b, os.Rename(path+".tmp", path))
	dir, err := os.Open(filepath.Dir(path))
	without(b, err)
	without(b, dir.Sync())
	without(b, dir.Close())
	return j
}

// Public and Sign make it a crypto.Signer.
func (j *bare) Public() crypto.PublicKey { return j.public }

func (j *bare) Sign(_ io.Reader, digest []byte, _ crypto.SignerOpts) ([]byte, error) {
	r, err := tpm2.Sign{KeyHandle: tpm2.AuthHandle{Handle: j.key.Handle, Name: j.key.Name, Auth: j.session},
		Digest: tpm2.TPM2BDigest{Buffer: digest},
		InScheme: tpm2.TPMTSigScheme{Scheme: tpm2.TPMAlgECDSA,
			Details: tpm2.NewTPMUSigScheme(tpm2.TPMAlgECDSA, &tpm2.TPMSSchemeHash{HashAlg: tpm2.TPMAlgSHA256})},
		Validation: tpm2.TPMTTKHashCheck{Tag: tpm2.TPMSTHashCheck}}.Execute(j.t)
	if err != nil {
		return nil, err
	}
	pair, err := r.Signature.Signature.ECDSA()
	if err != nil {
		return nil, err
	}
	return asn1.Marshal(struct{ R, S *big.Int }{
		new(big.Int).SetBytes(pair.SignatureR.Buffer), new(big.Int).SetBytes(pair.SignatureS.Buffer)})
}

func (j *bare) spare() {
	if j.made {
		flush(j.t, j.srk.Handle)
		j.made = false
	}
}

// evidence is what AttestIdentity, Activate and Certify are for.
func (j *bare) evidence(persistent *bareEK, credential, secret, qualifying []byte) {
	b, t := j.b, j.t
	j.spare()
	var ek object
	if persistent != nil {
		_, err := readCertificates(t, persistent.certificate)
		without(b, err)
		r, err := tpm2.ReadPublic{ObjectHandle: persistent.persistent}.Execute(t)
		without(b, err)
		ek = object{handle: persistent.persistent, name: r.Name, public: r.OutPublic}
	} else {
		r, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHEndorsement, InPublic: tpm2.New2B(tpm2.ECCEKTemplate)}.Execute(t)
		without(b, err)
		ek = object{handle: r.ObjectHandle, name: r.Name, public: r.OutPublic, transient: true}
	}
	ak, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHEndorsement, InPublic: tpm2.New2B(akTemplate())}.Execute(t)
	without(b, err)
	id, err := tpm2.Unmarshal[tpm2.TPM2BIDObject](credential)
	without(b, err)
	seed, err := tpm2.Unmarshal[tpm2.TPM2BEncryptedSecret](secret)
	without(b, err)
	auth, err := ekAuth(&ek)
	without(b, err)
	_, err = tpm2.ActivateCredential{
		ActivateHandle: tpm2.AuthHandle{Handle: ak.ObjectHandle, Name: ak.Name, Auth: j.session},
		KeyHandle:      tpm2.AuthHandle{Handle: ek.handle, Name: ek.name, Auth: auth},
		CredentialBlob: *id, Secret: *seed}.Execute(t)
	without(b, err)
	ek.free(t)
	_, err = tpm2.Certify{
		ObjectHandle:   tpm2.AuthHandle{Handle: j.key.Handle, Name: j.key.Name, Auth: j.session},
		SignHandle:     tpm2.AuthHandle{Handle: ak.ObjectHandle, Name: ak.Name, Auth: tpm2.PasswordAuth(nil)},
		QualifyingData: tpm2.TPM2BData{Buffer: qualifying},
		InScheme:       tpm2.TPMTSigScheme{Scheme: tpm2.TPMAlgNull}}.Execute(t)
	without(b, err)
	flush(t, ak.ObjectHandle)
}

func (j *bare) close() {
	flush(j.t, j.key.Handle)
	j.spare()
	without(j.b, j.end())
}

// request signs a request.
func request(b *testing.B, k crypto.Signer) {
	_, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "machine-1"}}, k)
	without(b, err)
}
