package keystoretest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"testing"
	"time"

	"github.com/mecha-org/mecha-agent/gateway"
	"github.com/mecha-org/mecha-agent/keystore"
)

// certificateRequest makes a PKCS#10 request and reads it as the gateway does.
func certificateRequest(t *testing.T, open func(*testing.T) keystore.Store) {
	k := create(t, open(t), newPath(t))
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject: pkix.Name{CommonName: "machine-1"},
	}, k)
	if err != nil {
		t.Fatal(err)
	}
	csr, err := x509.ParseCertificateRequest(der)
	if err != nil {
		t.Fatal(err)
	}
	if err := csr.CheckSignature(); err != nil {
		t.Error(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})
	if csr, err = gateway.ParseCSR(string(text)); err != nil {
		t.Fatal(err)
	}
	if !csr.PublicKey.(*ecdsa.PublicKey).Equal(k.Public()) || csr.Subject.CommonName != "machine-1" {
		t.Error("the request holds another key or name")
	}
}

// tlsServer and tlsClient hold both ends of a mutual handshake, once with the
// key on each side.
func tlsServer(t *testing.T, open func(*testing.T) keystore.Store) {
	peer, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	handshake(t, create(t, open(t), newPath(t)), peer)
}

func tlsClient(t *testing.T, open func(*testing.T) keystore.Store) {
	peer, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	handshake(t, peer, create(t, open(t), newPath(t)))
}

func handshake(t *testing.T, server, client crypto.Signer) {
	t.Helper()
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		serverCert, serverPool := selfSigned(t, server)
		clientCert, clientPool := selfSigned(t, client)
		a, b := net.Pipe()
		deadline := time.Now().Add(30 * time.Second) // a slow chip signs in 0.1 s
		a.SetDeadline(deadline)
		b.SetDeadline(deadline)
		done := make(chan error, 1)
		go func() {
			done <- tls.Server(a, &tls.Config{
				Certificates: []tls.Certificate{serverCert}, MaxVersion: version,
				ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clientPool,
			}).HandshakeContext(t.Context())
			a.Close()
		}()
		conn := tls.Client(b, &tls.Config{
			Certificates: []tls.Certificate{clientCert}, MaxVersion: version,
			RootCAs: serverPool, ServerName: "machine.test",
		})
		err := conn.HandshakeContext(t.Context())
		if err == nil {
			// In TLS 1.3 the client is through before the server has checked its
			// certificate; the server's end decides, and needs us to read.
			_, _ = conn.Read(make([]byte, 1))
		}
		b.Close()
		if err := errors.Join(err, <-done); err != nil {
			t.Errorf("%s: %v", tls.VersionName(version), err)
		}
	}
}

func selfSigned(t *testing.T, key crypto.Signer) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "machine.test"},
		DNSNames:  []string{"machine.test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, pool
}
