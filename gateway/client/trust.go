package client

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/mecha-org/mecha-agent/gateway"
)

// maxTrustFile is the most that is read of a file of anchors, in bytes; the
// system's own bundle has about 220 kB.
const maxTrustFile = 4 << 20

// trust is why the gateway is believed. The zero value is the system's roots.
type trust struct {
	anchors *x509.CertPool
	pin     *[sha256.Size]byte
}

// String names the source for a hint.
func (t trust) String() string {
	switch {
	case t.anchors != nil:
		return "the anchors in provisioning.paths.server.cert"
	case t.pin != nil:
		return "the root pinned by provisioning.root_fingerprint"
	}
	return "the system's roots"
}

// errPin is what verification fails with when the pinned root is not shown.
var errPin = errors.New("no certificate that the gateway shows has the pinned fingerprint")

// loadTrust reads both settings, so that a wrong one is told even while the
// other one is used.
func loadTrust(cfg Config) (trust, error) {
	refuse := func(step, advice string, err error) (trust, error) {
		return trust{}, &gateway.Error{Kind: gateway.BadRequest, Step: step, Err: err, Advice: advice}
	}
	var t trust
	if cfg.RootFingerprint != "" {
		pin, err := parsePin(cfg.RootFingerprint)
		if err != nil {
			return refuse("reading the pinned root's fingerprint",
				"it is what `openssl x509 -in root.pem -noout -fingerprint -sha256` prints", err)
		}
		t.pin = &pin
	}
	if cfg.TrustFile != "" {
		anchors, err := readAnchors(cfg.TrustFile)
		switch {
		case errors.Is(err, fs.ErrNotExist): // "used when the file exists"
		case err != nil:
			return refuse("reading the gateway's trust anchors",
				"write the gateway's root certificate there as PEM, or remove the file", err)
		default:
			t = trust{anchors: anchors}
		}
	}
	return t, nil
}

func parsePin(s string) (pin [sha256.Size]byte, err error) {
	b, err := hex.DecodeString(strings.ReplaceAll(strings.TrimSpace(s), ":", ""))
	if err != nil {
		return pin, errors.New("it has a character that is neither hex nor a colon, or an odd number of digits")
	}
	if len(b) != len(pin) {
		return pin, fmt.Errorf("it has %d bytes, want the %d of SHA-256", len(b), len(pin))
	}
	return [sha256.Size]byte(b), nil
}

// readAnchors takes a file only when all PEM in it is certificates: one of three
// that is skipped in silence would be found out much later.
func readAnchors(name string) (*x509.CertPool, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxTrustFile+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxTrustFile {
		return nil, fmt.Errorf("%s: longer than %d bytes", name, maxTrustFile)
	}
	pool, n := x509.NewCertPool(), 0
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			break
		}
		n++
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("%s: PEM block %d is %q, want CERTIFICATE", name, n, block.Type)
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s: PEM block %d: %w", name, n, err)
		}
		pool.AddCert(cert)
	}
	switch {
	case strings.Contains(string(text), "-----BEGIN"):
		return nil, fmt.Errorf("%s: PEM block %d is broken or cut short", name, n+1)
	case n == 0:
		return nil, fmt.Errorf("%s: it holds no PEM certificate", name)
	}
	return pool, nil
}

// tlsConfig returns the configuration for connections to the peer.
func (p *peer) tlsConfig() *tls.Config {
	c := &tls.Config{
		MinVersion: tls.VersionTLS12,
		ServerName: p.host,
		RootCAs:    p.trust.anchors, // nil: the system's
		Time:       p.Now,
	}
	if p.trust.pin != nil {
		// Not less than the standard verification, only later: crypto/tls knows
		// no anchor that arrives with the chain, so it is told to leave the chain
		// alone, and verifyPinned does all that it would have done, with the
		// pinned certificate as the only root. VerifyConnection runs on every
		// handshake, also on resumed ones, and its error ends the connection
		// before a byte of ours is sent.
		c.InsecureSkipVerify = true
		c.VerifyConnection = p.verifyPinned
	}
	return c
}

// verifyPinned verifies chain, dates, host name and the server's right to be a
// server. The name is the one in server_url: ConnectionState.ServerName is
// empty for an IP address, and x509 would then check no name at all.
func (p *peer) verifyPinned(cs tls.ConnectionState) error {
	if len(cs.PeerCertificates) == 0 || p.host == "" {
		return errPin
	}
	roots, between, found := x509.NewCertPool(), x509.NewCertPool(), false
	for i, cert := range cs.PeerCertificates {
		switch {
		case sha256.Sum256(cert.Raw) == *p.trust.pin:
			roots.AddCert(cert)
			found = true
		case i > 0:
			between.AddCert(cert)
		}
	}
	if !found {
		return errPin
	}
	_, err := cs.PeerCertificates[0].Verify(x509.VerifyOptions{
		DNSName:       p.host,
		Roots:         roots,
		Intermediates: between,
		CurrentTime:   p.Now(),
		KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	if err != nil {
		// The chain goes along as it does in crypto/tls, for the hint on the clock.
		return &tls.CertificateVerificationError{UnverifiedCertificates: cs.PeerCertificates, Err: err}
	}
	return nil
}
