package tpm

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"github.com/mecha-org/mecha-agent/keystore/internal/keyfile"
)

// ekKind is a way in which makers provide an endorsement key: where its
// certificate is, where the key may be persistent, and how it is made anew. TCG EK
// Credential Profile, sections 2.2.1.4 and 2.2.1.5 (indices), B.3 (templates L)
// and B.4 (templates H).
type ekKind struct {
	certificate tpm2.TPMHandle
	persistent  tpm2.TPMHandle
	template    func() tpm2.TPMTPublic
}

// ekKinds begins with those that take least time to make.
func ekKinds() []ekKind {
	return []ekKind{
		{0x01c0000a, ekHandleECC, func() tpm2.TPMTPublic { return tpm2.ECCEKTemplate }},
		{0x01c00014, ekHandleECC, func() tpm2.TPMTPublic { return highECC(tpm2.TPMECCNistP256) }},
		{0x01c00016, ekHandleECC, func() tpm2.TPMTPublic { return highECC(tpm2.TPMECCNistP384) }},
		{0x01c00002, ekHandleRSA, func() tpm2.TPMTPublic { return tpm2.RSAEKTemplate }},
		{0x01c00012, ekHandleRSA, highRSA},
	}
}

// The certificates above the endorsement key's, in this order: EK Credential
// Profile, section 2.2.1.5.2.
const (
	nvFirst    = 0x01c00000
	chainFirst = 0x01c00100
	chainLast  = 0x01c001ff
)

// Policies of the H templates: the endorsement hierarchy's password, or what an NV
// index says. EK Credential Profile, section B.6.5, "PolicyB".
var (
	policyB256, _ = hex.DecodeString("ca3d0a99a2b93906f7a3342414efcfb3a385d44cd1fd459089d19b5071c0b7a0")
	policyB384, _ = hex.DecodeString("b26e7d28d11a50bc53d882bcf5fd3a1a074148bb35d3b4e4cb1c0ad9bde419cacb47ba09699646150f9fc000f3f80e12")
)

// high changes what H templates have of their own: they take the key's empty
// password too, and their unique field is empty.
func high(p tpm2.TPMTPublic) tpm2.TPMTPublic {
	p.ObjectAttributes.UserWithAuth = true
	p.AuthPolicy = tpm2.TPM2BDigest{Buffer: policyB256}
	return p
}

func highRSA() tpm2.TPMTPublic {
	p := high(tpm2.RSAEKTemplate)
	p.Unique = tpm2.NewTPMUPublicID(tpm2.TPMAlgRSA, &tpm2.TPM2BPublicKeyRSA{})
	return p
}

func highECC(curve tpm2.TPMECCCurve) tpm2.TPMTPublic {
	p := high(tpm2.ECCEKTemplate)
	p.Unique = tpm2.NewTPMUPublicID(tpm2.TPMAlgECC, &tpm2.TPMSECCPoint{})
	if curve == tpm2.TPMECCNistP384 {
		p.NameAlg = tpm2.TPMAlgSHA384
		p.AuthPolicy = tpm2.TPM2BDigest{Buffer: policyB384}
		p.Parameters = tpm2.NewTPMUPublicParms(tpm2.TPMAlgECC, &tpm2.TPMSECCParms{
			Symmetric: tpm2.TPMTSymDefObject{
				Algorithm: tpm2.TPMAlgAES,
				KeyBits:   tpm2.NewTPMUSymKeyBits(tpm2.TPMAlgAES, tpm2.TPMKeyBits(256)),
				Mode:      tpm2.NewTPMUSymMode(tpm2.TPMAlgAES, tpm2.TPMAlgCFB),
			},
			CurveID: tpm2.TPMECCNistP384,
		})
	}
	return p
}

// ek is an endorsement key: where it is from, and what is public of it.
type ek struct {
	kind         ekKind
	isPersistent bool
	certificates [][]byte
	public       tpm2.TPM2BPublic
	id           name    // as chip.identify returns it
	from         string  // as chip.identify returns it
	here         bool    // it was found on this connection
	loaded       *object // nil: to be loaded
}

// findEK looks for the endorsement key that the maker certifies, else takes the
// one that is made from template L-2. It stays loaded, for a challenge to come.
func (c *chip) findEK(t transport.TPM) error {
	if c.ek != nil && c.ek.here {
		return nil
	}
	c.dropEK(t)
	c.ek = nil
	indices, err := handles(t, nvFirst)
	if err != nil {
		return err
	}
	for _, kind := range ekKinds() {
		if !slices.Contains(indices, kind.certificate) {
			continue
		}
		der, err := readCertificates(t, kind.certificate)
		if err != nil {
			return err
		}
		if len(der) == 0 {
			c.log.Warn("an EK certificate of the TPM cannot be read", "index", source(kind.certificate))
			continue
		}
		for _, persistent := range []bool{true, false} {
			e := &ek{kind: kind, isPersistent: persistent, certificates: der[:1], id: hash(der[0]), from: source(kind.certificate)}
			k, err := c.loadEK(t, e)
			if persistent && errors.Is(err, tpm2.TPMRCHandle) {
				continue
			}
			if err != nil {
				return err
			}
			if !certifies(der[0], k.public) {
				k.free(t)
				continue
			}
			above, err := c.chain(t, indices)
			e.certificates = append(e.certificates, above...)
			c.found(e, k)
			return err
		}
		c.log.Warn("an EK certificate of the TPM is for another key", "index", source(kind.certificate))
	}
	e := &ek{kind: ekKinds()[0], from: madeEK}
	k, err := c.loadEK(t, e)
	if err != nil {
		return err
	}
	e.id = k.name.Buffer
	c.found(e, k)
	return nil
}

func (c *chip) found(e *ek, k *object) {
	e.public, e.here, e.loaded = k.public, true, k
	c.ek = e
}

func (c *chip) dropEK(t transport.TPM) {
	if c.ek != nil && c.ek.loaded != nil {
		c.ek.loaded.free(t)
		c.ek.loaded = nil
	}
}

func (c *chip) chain(t transport.TPM, indices []tpm2.TPMHandle) (all [][]byte, err error) {
	for _, h := range indices {
		if h >= chainFirst && h <= chainLast && len(all) < 8 {
			more, err := readCertificates(t, h)
			if err != nil {
				return nil, err
			}
			all = append(all, more...)
		}
	}
	return all, nil
}

// object is something loaded for one purpose.
type object struct {
	handle    tpm2.TPMHandle
	name      tpm2.TPM2BName
	public    tpm2.TPM2BPublic
	transient bool
}

func (o *object) free(t transport.TPM) {
	if o.transient {
		flush(t, o.handle)
	}
}

// ErrEndorsementAuth says that evidence cannot be had without a password.
var ErrEndorsementAuth = errors.New("the TPM's endorsement hierarchy has a password")

// primary makes a key of the endorsement hierarchy.
func (c *chip) primary(t transport.TPM, template tpm2.TPMTPublic) (*object, error) {
	var r *tpm2.CreatePrimaryResponse
	err := c.room(t, func() (err error) {
		r, err = tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHEndorsement, InPublic: tpm2.New2B(template)}.Execute(t)
		return err
	})
	if errors.Is(err, tpm2.TPMRCBadAuth) {
		return nil, keyfile.WithHint(fmt.Errorf("%w: %w", ErrEndorsementAuth, err), "take the password away: tpm2_changeauth -c endorsement -p PASSWORD")
	}
	if err != nil {
		return nil, err
	}
	return &object{r.ObjectHandle, r.Name, r.OutPublic, true}, nil
}

func (c *chip) loadEK(t transport.TPM, e *ek) (*object, error) {
	c.spare(t)
	if e.isPersistent {
		r, err := c.readPublic(t, e.kind.persistent)
		if err != nil {
			return nil, fmt.Errorf("reading the endorsement key: %w", err)
		}
		return &object{handle: e.kind.persistent, name: r.Name, public: r.OutPublic}, nil
	}
	k, err := c.primary(t, e.kind.template())
	if err != nil {
		return nil, fmt.Errorf("making the endorsement key: %w", err)
	}
	return k, nil
}

// certifies says whether a certificate is for a key.
func certifies(der []byte, public tpm2.TPM2BPublic) bool {
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return false
	}
	area, err := public.Contents()
	if err != nil {
		return false
	}
	key, err := tpm2.Pub(*area)
	if err != nil {
		return false
	}
	switch key := key.(type) {
	case *rsa.PublicKey:
		return key.Equal(cert.PublicKey)
	case *ecdsa.PublicKey:
		return key.Equal(cert.PublicKey)
	}
	return false
}

const (
	nvChunk = 512     // bytes at once; every TPM of the PC Client profile gives that many
	nvMost  = 8 << 10 // bytes of one index
)

// readCertificates reads the DER structures in an NV index, which may be longer
// than they are. None is no error.
func readCertificates(t transport.TPM, index tpm2.TPMHandle) ([][]byte, error) {
	about, err := tpm2.NVReadPublic{NVIndex: index}.Execute(t)
	if err != nil {
		return nil, fmt.Errorf("reading NV index 0x%08x: %w", uint32(index), err)
	}
	public, err := about.NVPublic.Contents()
	if err != nil {
		return nil, fmt.Errorf("reading NV index 0x%08x: %w", uint32(index), err)
	}
	if !public.Attributes.Written || public.DataSize > nvMost {
		return nil, nil
	}
	whole := tpm2.NamedHandle{Handle: index, Name: about.NVName}
	reader := tpm2.AuthHandle{Handle: index, Name: about.NVName, Auth: tpm2.PasswordAuth(nil)}
	if !public.Attributes.AuthRead {
		reader = tpm2.AuthHandle{Handle: tpm2.TPMRHOwner, Auth: tpm2.PasswordAuth(nil)}
	}
	var data []byte
	for len(data) < int(public.DataSize) {
		r, err := tpm2.NVRead{AuthHandle: reader, NVIndex: &whole, Offset: uint16(len(data)),
			Size: min(nvChunk, public.DataSize-uint16(len(data)))}.Execute(t)
		if err != nil {
			return nil, fmt.Errorf("reading NV index 0x%08x: %w", uint32(index), err)
		}
		if len(r.Data.Buffer) == 0 {
			return nil, fmt.Errorf("%w: NV index 0x%08x ends early", ErrGarbage, uint32(index))
		}
		data = append(data, r.Data.Buffer...)
	}
	return split(data), nil
}

// split cuts what begins with DER SEQUENCEs into them. What follows is padding.
func split(data []byte) (all [][]byte) {
	for {
		var one asn1.RawValue
		rest, err := asn1.Unmarshal(data, &one)
		if err != nil || one.Tag != asn1.TagSequence || one.Class != asn1.ClassUniversal {
			return all
		}
		all = append(all, bytes.Clone(one.FullBytes))
		data = rest
	}
}
