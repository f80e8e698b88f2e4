package ca

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"time"
)

const restoreCRL = "restore " + rootCRLFile + " from its backup; if the root never revoked anything, move it away and bring " +
	rootKeyFile + " back: an empty list is made then"

// RootCRL implements Authority: the list (RFC 5280, section 5) of the
// intermediates that the root has revoked, which is none. It is nil for a CA that
// was made before there was such a list and whose root.key has been moved away.
//
// It is made with the root, and stands until the root's end: its key is in a
// place without network afterwards, and signs no second one. To revoke an
// intermediate takes root.key and a list with a higher number; this package
// makes none, but a root.crl that the root signed elsewhere (PEM) is taken as it
// is. A reader may hold on to the empty one until its end, so that whoever
// replaces a stolen intermediate also tells relying parties.
func (l *Local) RootCRL() []byte { return slices.Clone(l.rootCRL) }

// openRootCRL returns the root's list, made if need be; nil when there is none
// and the key that would sign it is kept elsewhere, or when the root has ended.
func (d dir) openRootCRL(root *x509.Certificate, key *ecdsa.PrivateKey, now time.Time) ([]byte, error) {
	der, err := d.read(rootCRLFile, pemCRL)
	switch {
	case errors.Is(err, ErrDamaged):
		return nil, hinted(err, restoreCRL)
	case err != nil:
		return nil, err
	case der != nil:
		return der, checkRootCRL(der, root)
	case key == nil, !now.Before(root.NotAfter):
		return nil, nil
	}
	der, err = x509.CreateRevocationList(rand.Reader, &x509.RevocationList{
		SignatureAlgorithm: signatureFor(&key.PublicKey),
		Number:             big.NewInt(now.UnixMicro()), // as Local.CRL does
		ThisUpdate:         later(seconds(now.Add(-caBackdated)), root.NotBefore),
		NextUpdate:         root.NotAfter,
	}, root, key)
	if err != nil {
		return nil, fmt.Errorf("making %s: %w", rootCRLFile, err)
	}
	if err := d.write(rootCRLFile, pemCRL, der, certMode); err != nil {
		return nil, fmt.Errorf("making %s: %w", rootCRLFile, err)
	}
	return der, nil
}

func checkRootCRL(der []byte, root *x509.Certificate) error {
	list, err := x509.ParseRevocationList(der)
	if err != nil {
		return hinted(fmt.Errorf("%w: %s: %w", ErrDamaged, rootCRLFile, err), restoreCRL)
	}
	if err := list.CheckSignatureFrom(root); err != nil {
		return hinted(fmt.Errorf("%w: %s is not signed by %s: %w", ErrMismatch, rootCRLFile, rootFile, err), restoreCRL)
	}
	return nil
}
