package ca

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"time"
)

// ServerCertificate returns a TLS certificate for a server of these names: DNS
// names ("*." in front allowed) or IP addresses. Its key is fresh, on P-256, and
// is nowhere but in memory; it is valid for 90 days. The chain it shows has the
// root, which TLS would not need: a device that pins the root's fingerprint has
// to see it. The error wraps ErrPolicy for no name and for what is none.
func (l *Local) ServerCertificate(names []string, now time.Time) (tls.Certificate, error) {
	cert, err := l.serverCertificate(names, now)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("making a server certificate: %w", err)
	}
	return cert, nil
}

func (l *Local) serverCertificate(names []string, now time.Time) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template, err := l.leafTemplate(&key.PublicKey, now, serverLife)
	if err != nil {
		return tls.Certificate{}, err
	}
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	if err := addNames(template, names); err != nil {
		return tls.Certificate{}, err
	}
	if len(template.DNSNames) > 0 && len(template.DNSNames[0]) <= maxCommonName {
		// For people; whoever verifies reads the SAN (RFC 9525, section 2).
		template.Subject = pkix.Name{CommonName: template.DNSNames[0]}
	}
	leaf, err := l.create(template, &key.PublicKey)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.Certificate{
		Certificate: [][]byte{leaf.Raw, l.intermediate.Raw, l.root.Raw},
		PrivateKey:  key,
		Leaf:        leaf,
	}, nil
}

func addNames(template *x509.Certificate, names []string) error {
	if len(names) == 0 {
		return fmt.Errorf("%w: a server certificate needs a name", ErrPolicy)
	}
	seen := map[string]bool{}
	for _, name := range names {
		name = strings.TrimSuffix(strings.ToLower(name), ".")
		if seen[name] {
			continue
		}
		seen[name] = true
		if ip, err := netip.ParseAddr(strings.Trim(name, "[]")); err == nil && ip.Zone() == "" {
			template.IPAddresses = append(template.IPAddresses, ip.Unmap().AsSlice())
			continue
		}
		if !isHostName(strings.TrimPrefix(name, "*.")) {
			return fmt.Errorf("%w: %q is neither a DNS name nor an IP address", ErrPolicy, name)
		}
		template.DNSNames = append(template.DNSNames, name)
	}
	return nil
}

// isHostName takes labels of letters, digits and inner dashes (RFC 1123,
// section 2.1), whose last is no number.
func isHostName(name string) bool {
	if name == "" || len(name) > 253 {
		return false
	}
	labels := strings.Split(name, ".")
	for _, label := range labels {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		if strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			return false
		}
	}
	return strings.Trim(labels[len(labels)-1], "0123456789") != ""
}

// ServerTLS returns a function for tls.Config.GetCertificate that shows a
// ServerCertificate of these names and makes a new one at two thirds of its
// life. now may be nil for time.Now. The error is that of the first certificate.
func (l *Local) ServerTLS(names []string, now func() time.Time) (func(*tls.ClientHelloInfo) (*tls.Certificate, error), error) {
	if now == nil {
		now = time.Now
	}
	r := &renewer{make: func(at time.Time) (tls.Certificate, error) { return l.ServerCertificate(names, at) }}
	if _, err := r.get(now()); err != nil {
		return nil, err
	}
	return func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return r.get(now()) }, nil
}

// renewer holds a certificate and replaces it in time.
type renewer struct {
	make func(time.Time) (tls.Certificate, error)

	mu   sync.Mutex
	cert *tls.Certificate
}

func (r *renewer) get(now time.Time) (*tls.Certificate, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.cert != nil && fresh(r.cert.Leaf, now) {
		return r.cert, nil
	}
	next, err := r.make(now)
	switch {
	case err == nil:
		r.cert = &next
	case r.cert == nil || now.After(r.cert.Leaf.NotAfter):
		return nil, err
	}
	return r.cert, nil // the one there was, when there is no better
}

// fresh says whether a certificate is in the first two thirds of its life.
func fresh(c *x509.Certificate, now time.Time) bool {
	life := c.NotAfter.Sub(c.NotBefore)
	return !now.Before(c.NotBefore) && now.Before(c.NotBefore.Add(life*2/3))
}
