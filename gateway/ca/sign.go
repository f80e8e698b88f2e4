package ca

import (
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net/url"
	"time"

	"github.com/mecha-org/mecha-agent/gateway"
)

// crlLife is how long a revocation list stands for itself when its reader
// cannot get a newer one: over a week-end without gateway. A reader should ask
// once a day.
const crlLife = 7 * 24 * time.Hour

// Sign implements Authority. The certificate begins a few minutes before now
// and ends with the intermediate at the latest. The serial is random: whoever
// stores it sees to it that it is the only one. The error wraps ErrPolicy for a
// machine id other than 1 to 64 of A-Z a-z 0-9 . _ : - and for a key that
// gateway.CheckKey refuses, ErrEnded when the intermediate's time is over.
func (l *Local) Sign(ctx context.Context, csr *x509.CertificateRequest, m Machine, now time.Time) (*x509.Certificate, error) {
	cert, err := l.sign(ctx, csr, m, now)
	if err != nil {
		return nil, fmt.Errorf("signing a machine certificate: %w", err)
	}
	return cert, nil
}

func (l *Local) sign(ctx context.Context, csr *x509.CertificateRequest, m Machine, now time.Time) (*x509.Certificate, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := checkMachineID(m.ID); err != nil {
		return nil, err
	}
	if csr == nil {
		return nil, fmt.Errorf("%w: no signing request", ErrPolicy)
	}
	if err := gateway.CheckKey(csr.PublicKey); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrPolicy, err)
	}
	template, err := l.leafTemplate(csr.PublicKey.(*ecdsa.PublicKey), now, l.options.Validity)
	if err != nil {
		return nil, err
	}
	template.Subject = pkix.Name{Organization: []string{l.options.Name}, CommonName: m.ID}
	template.URIs = []*url.URL{machineURI(m.ID)}
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	if oid, ok := m.Attestation.PolicyOID(); ok {
		template.Policies = []x509.OID{oid}
	} else if m.Attestation != "" {
		return nil, fmt.Errorf("%w: no certificate policy stands for the attestation %q", ErrPolicy, m.Attestation)
	}
	return l.create(template, csr.PublicKey)
}

func (l *Local) create(template *x509.Certificate, pub any) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, template, l.intermediate, pub, l.key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// CRL implements Authority. The list says what the intermediate's certificates
// are worth, and stands for a week. Its number (RFC 5280, 5.2.3) is the time in
// microseconds since 1970, or one more than the number before: it grows over
// restarts without a counter on disk, as long as the clock is not set back over
// one.
func (l *Local) CRL(ctx context.Context, revoked []x509.RevocationListEntry, now time.Time) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	der, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{
		SignatureAlgorithm:        signatureFor(&l.key.PublicKey),
		RevokedCertificateEntries: revoked,
		Number:                    big.NewInt(l.nextCRLNumber(now)),
		ThisUpdate:                seconds(now),
		NextUpdate:                seconds(now.Add(crlLife)),
	}, l.intermediate, l.key)
	if err != nil {
		return nil, fmt.Errorf("signing the revocation list: %w", err)
	}
	return der, nil
}

func (l *Local) nextCRLNumber(now time.Time) int64 {
	for {
		last := l.crlNumber.Load()
		next := max(now.UnixMicro(), last+1)
		if l.crlNumber.CompareAndSwap(last, next) {
			return next
		}
	}
}
