package gatewaytest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"io"
	"log"
	"net"
	"time"

	"github.com/mecha-org/mecha-agent/gateway"
)

// validity is that of what the CA issues to machines.
const validity = 24 * time.Hour

// CA is a root and an intermediate, ECDSA P-256, in memory.
type CA struct {
	name            string
	root            *x509.Certificate
	intermediate    *x509.Certificate
	rootKey         *ecdsa.PrivateKey
	intermediateKey *ecdsa.PrivateKey
	now             time.Time
}

// NewCA makes a CA that is valid for ten years from a day before now on.
func NewCA(name string, now time.Time) (*CA, error) {
	ca := &CA{name: name, now: now}
	authority := func(cn string, pathLen int) *x509.Certificate {
		return &x509.Certificate{
			Subject:               pkix.Name{CommonName: cn},
			NotBefore:             now.Add(-24 * time.Hour),
			NotAfter:              now.AddDate(10, 0, 0),
			KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
			BasicConstraintsValid: true,
			IsCA:                  true,
			MaxPathLen:            pathLen,
			MaxPathLenZero:        pathLen == 0,
		}
	}
	var err error
	if ca.rootKey, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return nil, err
	}
	if ca.intermediateKey, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return nil, err
	}
	root := authority(name+" root", 1)
	if ca.root, err = create(root, root, ca.rootKey.Public(), ca.rootKey); err != nil {
		return nil, err
	}
	ca.intermediate, err = create(authority(name+" intermediate", 0), ca.root, ca.intermediateKey.Public(), ca.rootKey)
	return ca, err
}

// RootPEM returns the root's certificate.
func (ca *CA) RootPEM() string { return pemOf(ca.root) }

// RootFingerprint returns the SHA-256 of the root's DER in hex.
func (ca *CA) RootFingerprint() string {
	sum := sha256.Sum256(ca.root.Raw)
	return hex.EncodeToString(sum[:])
}

// Machine issues a machine certificate, valid for a day from a minute before
// now on.
func (ca *CA) Machine(pub crypto.PublicKey, machineID string, now time.Time) (gateway.Issued, error) {
	cert, err := create(&x509.Certificate{
		Subject:     pkix.Name{CommonName: machineID},
		NotBefore:   now.Add(-time.Minute),
		NotAfter:    now.Add(validity),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, ca.intermediate, pub, ca.intermediateKey)
	if err != nil {
		return gateway.Issued{}, err
	}
	return gateway.Issued{Cert: pemOf(cert), RootCert: ca.RootPEM(), CABundle: []string{pemOf(ca.intermediate)}}, nil
}

// ServerCert is what a server's certificate says; zero values take the defaults.
type ServerCert struct {
	Names     []string         // DNS names and IP addresses; default localhost, 127.0.0.1 and ::1
	NotBefore time.Time        // default a minute before the CA was made
	NotAfter  time.Time        // default a day after
	Usage     x509.ExtKeyUsage // default ServerAuth
	Root      *CA              // whose intermediate and root are shown; default the CA that signs
}

// Server issues a certificate for a TLS server, with the whole chain behind it.
func (ca *CA) Server(c ServerCert) (tls.Certificate, error) {
	if c.Names == nil {
		c.Names = []string{"localhost", "127.0.0.1", "::1"}
	}
	if c.NotBefore.IsZero() {
		c.NotBefore = ca.now.Add(-time.Minute)
	}
	if c.NotAfter.IsZero() {
		c.NotAfter = ca.now.Add(validity)
	}
	if c.Usage == x509.ExtKeyUsageAny {
		c.Usage = x509.ExtKeyUsageServerAuth
	}
	if c.Root == nil {
		c.Root = ca
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: "gateway"},
		NotBefore:   c.NotBefore,
		NotAfter:    c.NotAfter,
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{c.Usage},
	}
	for _, n := range c.Names {
		if ip := net.ParseIP(n); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, n)
		}
	}
	leaf, err := create(template, ca.intermediate, key.Public(), ca.intermediateKey)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.Certificate{PrivateKey: key, Leaf: leaf,
		Certificate: [][]byte{leaf.Raw, c.Root.intermediate.Raw, c.Root.root.Raw}}, nil
}

func create(template, parent *x509.Certificate, pub crypto.PublicKey, key crypto.Signer) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, template, parent, pub, key) // picks a random serial number
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

func pemOf(c *x509.Certificate) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
}

func tlsConfig(c tls.Certificate) *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{c}, MinVersion: tls.VersionTLS12}
}

func discard() *log.Logger { return log.New(io.Discard, "", 0) }
