// Package attesttest is a maker of TPMs and its TPMs, in plain Go: they make the
// keys, certificates, statements and answers that gateway/attest judges, good ones
// unless told otherwise. A TPM here opens credentials as TPM2_ActivateCredential
// does, integrity first, so that a wrong one fails here too.
package attesttest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"time"
)

// Maker is the CA of a maker of TPMs: a root and an intermediate, ECDSA P-256.
type Maker struct {
	Root, Intermediate *x509.Certificate

	key *ecdsa.PrivateKey // of the intermediate
	now time.Time
}

// NewMaker makes a maker whose CA is valid for ten years from a day before now on.
func NewMaker(name string, now time.Time) (*Maker, error) {
	return NewMakerUntil(name, now, now.AddDate(10, 0, 0))
}

// NewMakerUntil is NewMaker with another end of the intermediate.
func NewMakerUntil(name string, now, end time.Time) (*Maker, error) {
	m := &Maker{now: now}
	rootKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	if m.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return nil, err
	}
	root := authority(name+" root", now, now.AddDate(10, 0, 0))
	if m.Root, err = create(root, root, rootKey.Public(), rootKey); err != nil {
		return nil, err
	}
	m.Intermediate, err = create(authority(name+" intermediate", now, end), m.Root, m.key.Public(), rootKey)
	return m, err
}

func authority(name string, now, end time.Time) *x509.Certificate {
	begin := now.Add(-24 * time.Hour)
	if end.Before(now) {
		begin = end.AddDate(-1, 0, 0)
	}
	return &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: begin, NotAfter: end,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, BasicConstraintsValid: true, IsCA: true,
	}
}

func create(template, parent *x509.Certificate, pub crypto.PublicKey, key crypto.Signer) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, template, parent, pub, key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// ekTemplate is an EK certificate as the TCG EK Credential Profile wants it: no
// subject, the TPM's name as a directoryName in a critical SAN.
func ekTemplate(now time.Time) (*x509.Certificate, error) {
	name := pkix.RDNSequence{
		{{Type: asn1.ObjectIdentifier{2, 23, 133, 2, 1}, Value: "id:54455354"}}, // TPMManufacturer
		{{Type: asn1.ObjectIdentifier{2, 23, 133, 2, 2}, Value: "attesttest"}},  // TPMModel
		{{Type: asn1.ObjectIdentifier{2, 23, 133, 2, 3}, Value: "id:00010000"}}, // TPMVersion
	}
	der, err := asn1.Marshal(name)
	if err != nil {
		return nil, err
	}
	directory := asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 4, IsCompound: true, Bytes: der}
	san, err := asn1.Marshal([]asn1.RawValue{directory})
	if err != nil {
		return nil, err
	}
	return &x509.Certificate{
		SerialNumber: big.NewInt(0x5eed), NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(5, 0, 0),
		KeyUsage: x509.KeyUsageKeyEncipherment, BasicConstraintsValid: true,
		UnknownExtKeyUsage: []asn1.ObjectIdentifier{{2, 23, 133, 8, 1}},
		ExtraExtensions:    []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Critical: true, Value: san}},
	}, nil
}
