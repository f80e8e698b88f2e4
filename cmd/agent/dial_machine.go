package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"google.golang.org/grpc/credentials"

	"github.com/mecha-org/mecha-agent/cmd/internal/cli"
	"github.com/mecha-org/mecha-agent/identity"
	"github.com/mecha-org/mecha-agent/settings"
)

// asMachine are the credentials of a client that shows this machine's certificate
// and talks to the machine a.machine alone. The key is to be closed when the
// connection is.
func (a *app) asMachine(ctx context.Context) (_ credentials.TransportCredentials, key io.Closer, err error) {
	if a.address == "" || strings.HasPrefix(a.address, "unix:") {
		return nil, nil, cli.Usage(errors.New("--machine is for a connection over TLS"), "pass --address HOST:PORT, too")
	}
	cfg, _, err := a.load()
	if err != nil {
		return nil, nil, err
	}
	cert, roots, err := ownCertificate(cfg.Provisioning.Paths)
	if err != nil {
		return nil, nil, fmt.Errorf("reading this machine's certificate: %w", err)
	}
	own, err := openOwnKey(ctx, cfg)
	if err != nil {
		return nil, nil, err
	}
	if pub, ok := cert.Leaf.PublicKey.(*ecdsa.PublicKey); !ok || !pub.Equal(own.Public()) {
		return nil, nil, errors.Join(errors.New("this machine's key and certificate do not belong together"), own.Close())
	}
	cert.PrivateKey = own
	return credentials.NewTLS(&tls.Config{
		MinVersion: tls.VersionTLS13,
		// Whichever CAs the server names: this is the one certificate there is.
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &cert, nil },
		// Not less than the standard verification: a machine's certificate names no
		// host, and is for clients, so that it never passes for the gateway's.
		// machineVerifier checks the chain and who it is.
		InsecureSkipVerify: true,
		VerifyConnection:   machineVerifier(roots, a.machine),
	}), own, nil
}

// ownCertificate reads this machine's certificate from the configured paths.
func ownCertificate(p settings.Paths) (tls.Certificate, *x509.CertPool, error) {
	var id identity.Identity
	for path, text := range map[string]*string{p.Machine.Cert: &id.CertPEM, p.CABundle.Cert: &id.BundlePEM, p.Root.Cert: &id.RootPEM} {
		data, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return tls.Certificate{}, nil, cli.Fail(exitWrongState, fmt.Errorf("there is none: %w", err),
				"this machine has no identity to show: ask at the other machine, or run mecha-agent provision")
		}
		if err != nil {
			return tls.Certificate{}, nil, err
		}
		*text = string(data)
	}
	return machineCertificate(id)
}

// machineVerifier accepts the machine of that name under roots, nobody else.
func machineVerifier(roots *x509.CertPool, name string) func(tls.ConnectionState) error {
	return func(s tls.ConnectionState) error {
		between := x509.NewCertPool()
		for _, c := range s.PeerCertificates[1:] {
			between.AddCert(c)
		}
		leaf := s.PeerCertificates[0] // a TLS client always gets one
		if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between,
			KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
			return &tls.CertificateVerificationError{UnverifiedCertificates: s.PeerCertificates, Err: err}
		}
		if leaf.Subject.CommonName != name {
			return fmt.Errorf("tls: machine %q answers, not %q", leaf.Subject.CommonName, name)
		}
		return nil
	}
}
