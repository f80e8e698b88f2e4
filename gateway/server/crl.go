package server

import (
	"context"
	"crypto/x509"
	"fmt"
	"math/big"
	"sync"
	"time"

	"github.com/mecha-org/mecha-agent/gateway"
)

// Root returns the root certificate, PEM.
func (s *Service) Root() string { return s.root }

// RootCRL returns the root's revocation list, DER. The error's kind is NotFound
// when the CA has none.
func (s *Service) RootCRL() ([]byte, error) {
	der := s.ca.RootCRL()
	if der == nil {
		return nil, fail(gateway.NotFound, "the root has no revocation list")
	}
	return der, nil
}

// crlLife is how long a revocation list is handed out again: signing one for
// everybody who asks would be an easy way to keep the gateway busy.
const crlLife = time.Minute

type crlCache struct {
	mu   sync.Mutex
	der  []byte
	made time.Time
}

func (c *crlCache) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.der = nil
}

// CRL returns the revocation list, DER (RFC 5280, section 5). A revocation made
// here is in it at once.
func (s *Service) CRL(ctx context.Context) ([]byte, error) {
	s.crl.mu.Lock()
	defer s.crl.mu.Unlock()
	now := s.now()
	if age := now.Sub(s.crl.made); s.crl.der != nil && age >= 0 && age < crlLife {
		return s.crl.der, nil
	}
	revoked, err := s.store.Revoked(ctx, now)
	if err != nil {
		return nil, fmt.Errorf("listing revoked certificates: %w", err)
	}
	entries := make([]x509.RevocationListEntry, 0, len(revoked))
	for _, cert := range revoked {
		serial, ok := new(big.Int).SetString(cert.Serial, 16)
		if !ok {
			return nil, fmt.Errorf("certificate of machine %s has no proper serial number", cert.MachineID)
		}
		entries = append(entries, x509.RevocationListEntry{SerialNumber: serial, RevocationTime: cert.Revoked})
	}
	der, err := s.ca.CRL(ctx, entries, now)
	if err != nil {
		return nil, fmt.Errorf("signing the revocation list: %w", err)
	}
	s.crl.der, s.crl.made = der, now
	return der, nil
}
