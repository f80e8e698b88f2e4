package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/mecha-org/mecha-agent/identity"
	"github.com/mecha-org/mecha-agent/rpc"
)

// served is the machine's identity as the agent's own TLS port uses it.
type served struct{ store *identity.Store }

// Changed implements rpc.MachineIdentity.
func (s served) Changed() <-chan struct{} { return s.store.Changed() }

// Open implements rpc.MachineIdentity. An identity that changes between two looks
// at it is an error; Changed has told of it then.
func (s served) Open(ctx context.Context) (*rpc.MachineCredential, error) {
	id, err := s.store.Load(ctx)
	if err != nil {
		return nil, servable(err)
	}
	key, err := s.store.Signer(ctx)
	if err != nil {
		return nil, servable(err)
	}
	cert, roots, err := machineCertificate(id)
	if err == nil && !cert.Leaf.PublicKey.(*ecdsa.PublicKey).Equal(key.Public()) {
		err = errors.New("the identity changed while it was read")
	}
	if err != nil {
		return nil, errors.Join(err, key.Close())
	}
	cert.PrivateKey = key
	return &rpc.MachineCredential{Certificate: cert, Roots: roots, Close: key.Close}, nil
}

// servable says in the service's words that there is no identity.
func servable(err error) error {
	if errors.Is(err, identity.ErrNone) {
		return fmt.Errorf("%w: %w", rpc.ErrNoIdentity, err)
	}
	return err
}

// machineCertificate is a verified identity as crypto/tls takes it, without its key.
func machineCertificate(id identity.Identity) (tls.Certificate, *x509.CertPool, error) {
	var cert tls.Certificate
	for rest := []byte(id.CertPEM + id.BundlePEM); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		cert.Certificate = append(cert.Certificate, block.Bytes)
	}
	roots := x509.NewCertPool()
	if len(cert.Certificate) == 0 || !roots.AppendCertsFromPEM([]byte(id.RootPEM)) {
		return cert, nil, errors.New("the identity lacks its certificate or its root")
	}
	var err error
	cert.Leaf, err = x509.ParseCertificate(cert.Certificate[0])
	return cert, roots, err
}
