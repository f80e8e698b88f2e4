package identity

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/mecha-org/mecha-agent/gateway"
)

// MaxPEM bounds the certificate, the root and the whole bundle, each, in bytes.
// A certificate has 600 to 2,500.
const MaxPEM = 64 << 10

// ClockSkew is how far this machine's clock may be behind the gateway's when a
// certificate has just been made.
const ClockSkew = 10 * time.Minute

// Verify checks a gateway's answer in full and returns what is to be stored:
// the one certificate in it is for pub, names machineID, is no CA, is valid at
// now (give or take ClockSkew at the beginning), and leads through the bundle to
// the root, which is a self-signed CA, for TLS client authentication (RFC 5280,
// section 6). Of the bundle only the intermediates of that chain are returned,
// so that nothing unverified is stored. Each error wraps ErrUnverified and names
// the check that failed; the one of a certificate that is not valid yet wraps
// ErrClock, too.
func Verify(machineID string, pub crypto.PublicKey, answer gateway.Issued, now time.Time) (Identity, error) {
	c, err := parseChain(answer)
	if err != nil {
		return Identity{}, fmt.Errorf("%w: %w", ErrUnverified, err)
	}
	id, err := c.check(machineID, pub, now)
	if err != nil {
		return Identity{}, fmt.Errorf("%w: %w", ErrUnverified, err)
	}
	return id, nil
}

// chain is an answer that has been parsed and not yet believed.
type chain struct {
	leaf, root *x509.Certificate
	bundle     []*x509.Certificate
}

func parseChain(answer gateway.Issued) (chain, error) {
	var c chain
	var err error
	if c.leaf, err = parseOne(answer.Cert); err != nil {
		return c, fmt.Errorf("certificate: %w", err)
	}
	if c.root, err = parseOne(answer.RootCert); err != nil {
		return c, fmt.Errorf("root: %w", err)
	}
	size := 0
	for i, text := range answer.CABundle {
		if size += len(text); size > MaxPEM {
			return c, fmt.Errorf("CA bundle: longer than %d bytes", MaxPEM)
		}
		certs, err := parseCerts(text)
		if err != nil {
			return c, fmt.Errorf("CA bundle, entry %d: %w", i+1, err)
		}
		c.bundle = append(c.bundle, certs...)
	}
	return c, nil
}

func parseOne(text string) (*x509.Certificate, error) {
	certs, err := parseCerts(text)
	switch {
	case err != nil:
		return nil, err
	case len(certs) == 0:
		return nil, errors.New("it is empty")
	case len(certs) > 1:
		return nil, fmt.Errorf("%d certificates where one is expected", len(certs))
	}
	return certs[0], nil
}

// parseCerts reads certificates in PEM, with blanks and nothing else between
// them. None at all is no error.
func parseCerts(text string) ([]*x509.Certificate, error) {
	if len(text) > MaxPEM {
		return nil, fmt.Errorf("longer than %d bytes", MaxPEM)
	}
	var certs []*x509.Certificate
	for rest := []byte(text); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return nil, errors.New("a PEM block that is no certificate")
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("parsing: %w", err)
		}
		certs = append(certs, cert)
	}
	// pem.Decode skips what it cannot read and takes headers. Blanks aside, the
	// text must be what the certificates print.
	if squash(encodeCerts(certs...)) != squash(text) {
		return nil, errors.New("text that is not PEM, or a PEM block cut short")
	}
	return certs, nil
}

func encodeCerts(certs ...*x509.Certificate) string {
	var b bytes.Buffer
	for _, c := range certs {
		// Writing to a buffer never fails, and there are no headers to be wrong.
		_ = pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
	}
	return b.String()
}

// squash drops all blanks and line ends.
func squash(text string) string { return strings.Join(strings.Fields(text), "") }

// check is Verify after parsing.
func (c chain) check(machineID string, pub crypto.PublicKey, now time.Time) (Identity, error) {
	leaf := c.leaf
	if machineID == "" {
		return Identity{}, errors.New("machine id: it is empty")
	}
	if err := gateway.CheckKey(pub); err != nil {
		return Identity{}, fmt.Errorf("our key: %w", err)
	}
	if !pub.(interface{ Equal(crypto.PublicKey) bool }).Equal(leaf.PublicKey) {
		return Identity{}, errors.New("key: the certificate is for another key")
	}
	if leaf.Subject.CommonName != machineID {
		return Identity{}, fmt.Errorf("common name: it is %q, the machine is %q", leaf.Subject.CommonName, machineID)
	}
	if leaf.IsCA {
		return Identity{}, errors.New("basic constraints: the certificate is a CA")
	}
	if err := checkValidity(leaf, now); err != nil {
		return Identity{}, err
	}
	if err := checkRoot(c.root); err != nil {
		return Identity{}, fmt.Errorf("root: %w", err)
	}
	path, err := c.path(now)
	if err != nil {
		return Identity{}, fmt.Errorf("chain: %w", err)
	}
	return Identity{
		MachineID: machineID,
		NotBefore: leaf.NotBefore,
		NotAfter:  leaf.NotAfter,
		CertPEM:   encodeCerts(leaf),
		BundlePEM: encodeCerts(path[1 : len(path)-1]...),
		RootPEM:   encodeCerts(c.root),
	}, nil
}

func checkValidity(leaf *x509.Certificate, now time.Time) error {
	from, to := leaf.NotBefore.Format(time.RFC3339), leaf.NotAfter.Format(time.RFC3339)
	switch {
	case !leaf.NotAfter.After(leaf.NotBefore):
		return fmt.Errorf("validity: it ends (%s) before it begins (%s)", to, from)
	case leaf.NotBefore.After(now.Add(ClockSkew)):
		return &hinted{
			err:  fmt.Errorf("validity: it begins at %s, it is now %s: %w", from, now.UTC().Format(time.RFC3339), ErrClock),
			hint: "set the clock of this machine, or wait until it has the time from the network",
		}
	case !leaf.NotAfter.After(now):
		return &hinted{
			err:  fmt.Errorf("validity: it ended at %s, it is now %s", to, now.UTC().Format(time.RFC3339)),
			hint: "compare the clocks of this machine and of the gateway",
		}
	}
	return nil
}

func checkRoot(root *x509.Certificate) error {
	if !root.BasicConstraintsValid || !root.IsCA {
		return errors.New("it is not a CA")
	}
	if !bytes.Equal(root.RawSubject, root.RawIssuer) {
		return errors.New("it is not self-signed: issuer and subject differ")
	}
	if err := root.CheckSignatureFrom(root); err != nil {
		return fmt.Errorf("it is not self-signed: %w", err)
	}
	return nil
}

// path returns the certificates from leaf to root.
func (c chain) path(now time.Time) ([]*x509.Certificate, error) {
	roots, mids := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(c.root)
	// A CA made a moment ago by a gateway whose clock is ahead: the chain is
	// judged at the moment its youngest certificate begins, within the skew.
	at := now
	for _, cert := range append([]*x509.Certificate{c.leaf, c.root}, c.bundle...) {
		if cert.NotBefore.After(at) && !cert.NotBefore.After(now.Add(ClockSkew)) {
			at = cert.NotBefore
		}
	}
	for _, cert := range c.bundle {
		mids.AddCert(cert)
	}
	paths, err := c.leaf.Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: mids, CurrentTime: at,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return nil, err
	}
	return paths[0], nil
}

// issued is about when the certificate was made: the moment when the youngest
// of the chain begins. What was stored then is whole today, whatever the clock
// says: a board may start in the past, and an expired certificate is not damage.
func (c chain) issued() time.Time {
	at := c.leaf.NotBefore
	for _, cert := range append([]*x509.Certificate{c.root}, c.bundle...) {
		if cert.NotBefore.After(at) && cert.NotBefore.Before(c.leaf.NotAfter) {
			at = cert.NotBefore
		}
	}
	return at
}
