package tpm

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"errors"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"

	"github.com/mecha-org/mecha-agent/gateway"
	"github.com/mecha-org/mecha-agent/keystore"
	"github.com/mecha-org/mecha-agent/keystore/tpm/tpmtest"
)

// seal makes a credential as a gateway does, for an EK and an AK.
func seal(t testing.TB, ekPublic, akPublic, content []byte) (credential, secret []byte) {
	t.Helper()
	ek, err := tpm2.Unmarshal[tpm2.TPMTPublic](ekPublic)
	without(t, err)
	ak, err := tpm2.Unmarshal[tpm2.TPMTPublic](akPublic)
	without(t, err)
	name, err := tpm2.ObjectName(ak)
	without(t, err)
	to, err := tpm2.ImportEncapsulationKey(ek)
	without(t, err)
	id, encrypted, err := tpm2.CreateCredential(rand.Reader, to, name.Buffer, content)
	without(t, err)
	sized := func(b []byte) []byte { return append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...) }
	return sized(id), sized(encrypted)
}

// certifier certifies endorsement keys as the maker of a TPM does.
type certifier struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

func newCertifier(t testing.TB) certifier {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	without(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "maker"}, IsCA: true,
		BasicConstraintsValid: true, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	without(t, err)
	cert, err := x509.ParseCertificate(der)
	without(t, err)
	return certifier{key, cert}
}

func (m certifier) certify(t testing.TB, public tpm2.TPM2BPublic) []byte {
	t.Helper()
	area, err := public.Contents()
	without(t, err)
	pub, err := tpm2.Pub(*area)
	without(t, err)
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(2),
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}, m.cert, pub, m.key)
	without(t, err)
	return der
}

// write puts data into an NV index that everybody may read.
func write(t testing.TB, c *conn, index tpm2.TPMHandle, data []byte) {
	t.Helper()
	platform := tpm2.AuthHandle{Handle: tpm2.TPMRHPlatform, Auth: tpm2.PasswordAuth(nil)}
	_, err := tpm2.NVDefineSpace{AuthHandle: platform, PublicInfo: tpm2.New2B(tpm2.TPMSNVPublic{
		NVIndex: index, NameAlg: tpm2.TPMAlgSHA256, DataSize: uint16(len(data)),
		Attributes: tpm2.TPMANV{PPWrite: true, PPRead: true, OwnerRead: true, AuthRead: true, NoDA: true, PlatformCreate: true},
	})}.Execute(c)
	without(t, err)
	for begin := 0; begin < len(data); begin += nvChunk {
		about, err := tpm2.NVReadPublic{NVIndex: index}.Execute(c)
		without(t, err)
		_, err = tpm2.NVWrite{AuthHandle: platform, NVIndex: &tpm2.NamedHandle{Handle: index, Name: about.NVName},
			Data:   tpm2.TPM2BMaxNVBuffer{Buffer: data[begin:min(begin+nvChunk, len(data))]},
			Offset: uint16(begin)}.Execute(c)
		without(t, err)
	}
}

// primaryEK makes an endorsement key from a template and frees it.
func primaryEK(t testing.TB, c *conn, template tpm2.TPMTPublic) (tpm2.TPM2BPublic, tpm2.TPM2BName) {
	t.Helper()
	r, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHEndorsement, InPublic: tpm2.New2B(template)}.Execute(c)
	without(t, err)
	flush(c, r.ObjectHandle)
	return r.OutPublic, r.Name
}

// prove goes through the exchange with a gateway: the credential ties AK and EK,
// the statement ties the device key to the AK.
func prove(t testing.TB, s *Store) (ekCerts [][]byte, ekPublic []byte) {
	t.Helper()
	k := create(t, s, newKeyPath(t))
	ekCerts, ekPublic, akPublic, err := s.AttestIdentity(t.Context())
	without(t, err)
	content := []byte("32 bytes that nobody else knows.")
	credential, secret := seal(t, ekPublic, akPublic, content)
	got, err := s.Activate(t.Context(), credential, secret)
	if err != nil || !bytes.Equal(got, content) {
		t.Fatalf("activated %q, %v", got, err)
	}
	nonce := sha256.Sum256([]byte("nonce and request"))
	keyPublic, statement, signature, err := s.Certify(t.Context(), k, nonce[:])
	without(t, err)

	area, err := tpm2.Unmarshal[tpm2.TPMTPublic](keyPublic)
	without(t, err)
	if pub, err := signer(area); err != nil || !pub.Equal(k.Public()) {
		t.Errorf("it certified another key: %v", err)
	}
	name, err := tpm2.ObjectName(area)
	without(t, err)
	attest, err := tpm2.Unmarshal[tpm2.TPMSAttest](statement)
	without(t, err)
	info, err := attest.Attested.Certify()
	without(t, err)
	if !bytes.Equal(info.Name.Buffer, name.Buffer) || !bytes.Equal(attest.ExtraData.Buffer, nonce[:]) {
		t.Errorf("it says %+v", attest)
	}
	ak, err := tpm2.Unmarshal[tpm2.TPMTPublic](akPublic)
	without(t, err)
	pub, err := tpm2.Pub(*ak)
	without(t, err)
	sig, err := tpm2.Unmarshal[tpm2.TPMTSignature](signature)
	without(t, err)
	pair, err := sig.Signature.ECDSA()
	without(t, err)
	digest := sha256.Sum256(statement)
	if !ecdsa.Verify(pub.(*ecdsa.PublicKey), digest[:], new(big.Int).SetBytes(pair.SignatureR.Buffer), new(big.Int).SetBytes(pair.SignatureS.Buffer)) {
		t.Error("the AK did not sign it")
	}
	sign(t, k) // and the key works as before
	return ekCerts, ekPublic
}

// Every way in which makers provide an endorsement key.
func TestEvidence(t *testing.T) {
	m := newCertifier(t)
	for name, template := range map[tpm2.TPMHandle]tpm2.TPMTPublic{
		0x01c0000a: tpm2.ECCEKTemplate, 0x01c00014: highECC(tpm2.TPMECCNistP256), 0x01c00016: highECC(tpm2.TPMECCNistP384),
		0x01c00002: tpm2.RSAEKTemplate, 0x01c00012: highRSA(),
	} {
		t.Run(strings.ToUpper(big.NewInt(int64(name)).Text(16)), func(t *testing.T) {
			socket := tpmtest.Start(t)
			c := raw(t, socket)
			public, _ := primaryEK(t, c, template)
			cert := m.certify(t, public)
			write(t, c, name, append(bytes.Clone(cert), make([]byte, 600)...)) // an index longer than the certificate
			write(t, c, chainFirst, m.cert.Raw)
			certs, ekPublic := prove(t, newTestStore(t, Config{Path: socket}))
			if !slices.EqualFunc(certs, [][]byte{cert, m.cert.Raw}, bytes.Equal) || !bytes.Equal(ekPublic, public.Bytes()) {
				t.Errorf("got %d certificates, %x", len(certs), ekPublic)
			}
		})
	}
}

// swtpm_setup makes endorsement keys as the profile says, and so do our templates.
func TestEvidencePrepared(t *testing.T) {
	chip, chain := tpmtest.Prepared(t)
	c := raw(t, chip.Socket)
	for handle, template := range map[tpm2.TPMHandle]tpm2.TPMTPublic{ekHandleECC: highECC(tpm2.TPMECCNistP384), ekHandleRSA: tpm2.RSAEKTemplate} {
		r, err := tpm2.ReadPublic{ObjectHandle: handle}.Execute(c)
		without(t, err)
		if _, name := primaryEK(t, c, template); !bytes.Equal(name.Buffer, r.Name.Buffer) {
			t.Errorf("0x%08x: our template makes another key", uint32(handle))
		}
	}
	certs, _ := prove(t, newTestStore(t, Config{Path: chip.Socket}))
	if len(certs) != 1 {
		t.Fatalf("%d certificates", len(certs))
	}
	cert, err := x509.ParseCertificate(certs[0])
	without(t, err)
	without(t, cert.CheckSignatureFrom(chain[0]))
}

// A TPM without certificates has an endorsement key all the same, and one whose
// certificate is for another key has none.
func TestEvidenceWithoutCertificate(t *testing.T) {
	socket := tpmtest.Start(t)
	if certs, _ := prove(t, newTestStore(t, Config{Path: socket})); len(certs) != 0 {
		t.Errorf("%d certificates", len(certs))
	}
	c := raw(t, socket)
	public, _ := primaryEK(t, c, highECC(tpm2.TPMECCNistP256))
	write(t, c, 0x01c0000a, newCertifier(t).certify(t, public))
	if certs, _ := prove(t, newTestStore(t, Config{Path: socket})); len(certs) != 0 {
		t.Errorf("%d certificates", len(certs))
	}
}

// A credential is for one TPM and one AK, and nonsense is refused.
func TestActivateRefuses(t *testing.T) {
	s, other := newTestStore(t, Config{Path: tpmtest.Start(t)}), newTestStore(t, Config{Path: tpmtest.Start(t)})
	_, ek, ak, err := s.AttestIdentity(t.Context())
	without(t, err)
	_, otherEK, otherAK, err := other.AttestIdentity(t.Context())
	without(t, err)
	content := make([]byte, 32)
	for name, c := range map[string]struct{ ek, ak []byte }{"another TPM": {otherEK, ak}, "another AK": {ek, otherAK}} {
		credential, secret := seal(t, c.ek, c.ak, content)
		if got, err := s.Activate(t.Context(), credential, secret); err == nil {
			t.Errorf("%s: activated %x", name, got)
		}
	}
	credential, secret := seal(t, ek, ak, content)
	for _, c := range [][2][]byte{{nil, secret}, {credential, nil}, {credential[:9], secret}, {secret, credential}} {
		if got, err := s.Activate(t.Context(), c[0], c[1]); err == nil {
			t.Errorf("nonsense: activated %x", got)
		}
	}
	got, err := s.Activate(t.Context(), credential, secret)
	if err != nil || !bytes.Equal(got, content) {
		t.Errorf("after all that: %x, %v", got, err)
	}
}

func TestCertifyRefuses(t *testing.T) {
	socket := tpmtest.Start(t)
	s := newTestStore(t, Config{Path: socket})
	k := create(t, s, newKeyPath(t))
	if _, _, _, err := s.Certify(t.Context(), k, make([]byte, maxQualifying+1)); err == nil {
		t.Error("too much qualifying data is taken")
	}
	if _, _, _, err := newTestStore(t, Config{Path: socket}).Certify(t.Context(), k, nil); err == nil {
		t.Error("the key of another store is taken")
	}
	without(t, k.Close())
	if _, _, _, err := s.Certify(t.Context(), k, nil); !errors.Is(err, errKeyClosed) {
		t.Errorf("a closed key: %v", err)
	}
}

// With a password of the endorsement hierarchy there is no evidence, and there are
// keys.
func TestEndorsementPassword(t *testing.T) {
	socket := tpmtest.Start(t)
	_, err := tpm2.HierarchyChangeAuth{
		AuthHandle: tpm2.AuthHandle{Handle: tpm2.TPMRHEndorsement, Auth: tpm2.PasswordAuth(nil)},
		NewAuth:    tpm2.TPM2BAuth{Buffer: []byte("secret")}}.Execute(raw(t, socket))
	without(t, err)
	s := newTestStore(t, Config{Path: socket})
	if _, _, _, err := s.AttestIdentity(t.Context()); !errors.Is(err, ErrEndorsementAuth) || !strings.Contains(gateway.HintOf(err), "endorsement") {
		t.Errorf("got %v, hint %q", err, gateway.HintOf(err))
	}
	path := newKeyPath(t)
	k := create(t, s, path)
	sign(t, k)
	without(t, k.Close())
	clearTPM(t, socket) // which takes the password away too
	if _, err := s.Open(t.Context(), path); !errors.Is(err, ErrCleared) || !strings.Contains(err.Error(), "another TPM") {
		t.Errorf("cleared, without the endorsement key's name: %v", err)
	}
}

// The evidence of a P-384 key, and a power cut between its parts.
func TestEvidenceAfterPowerCut(t *testing.T) {
	chip := tpmtest.New(t)
	s := newTestStore(t, Config{Path: chip.Socket, Curve: keystore.P384})
	k := create(t, s, newKeyPath(t))
	_, ek, ak, err := s.AttestIdentity(t.Context())
	without(t, err)
	chip.Kill()
	chip.On()
	credential, secret := seal(t, ek, ak, []byte("content"))
	if got, err := s.Activate(t.Context(), credential, secret); err != nil || string(got) != "content" {
		t.Errorf("activated %q, %v", got, err)
	}
	chip.Kill()
	chip.On()
	if _, _, _, err := s.Certify(t.Context(), k, nil); err != nil {
		t.Error(err)
	}
	digest := sha256.Sum256(nil)
	if _, err := k.Sign(nil, digest[:], crypto.SHA256); err != nil {
		t.Error(err)
	}
}
