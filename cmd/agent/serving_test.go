package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/mecha-org/mecha-agent/gateway/gatewaytest"
	"github.com/mecha-org/mecha-agent/identity"
	"github.com/mecha-org/mecha-agent/keystore"
	"github.com/mecha-org/mecha-agent/keystore/disk"
	"github.com/mecha-org/mecha-agent/keystore/tpm"
	"github.com/mecha-org/mecha-agent/keystore/tpm/tpmtest"
	provisioningpb "github.com/mecha-org/mecha-agent/proto/provisioning"
	"github.com/mecha-org/mecha-agent/provision"
	"github.com/mecha-org/mecha-agent/rpc"
	"github.com/mecha-org/mecha-agent/settings"
)

// TestServedKeys: each kind of key serves, over a restart the same one, and a TPM
// that lost its power serves again.
func TestServedKeys(t *testing.T) {
	onDisk := func(c keystore.Curve) func(*testing.T) keystore.Store {
		return func(t *testing.T) keystore.Store {
			s, err := disk.New(c)
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
	}
	inTPM := func(c keystore.Curve, chip func(*testing.T) *tpmtest.TPM) func(*testing.T) keystore.Store {
		return func(t *testing.T) keystore.Store {
			s, err := tpm.New(tpm.Config{Path: chip(t).Socket, Curve: c})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { s.Close() })
			return s
		}
	}
	for _, c := range []struct {
		name  string
		curve keystore.Curve
		chip  bool
	}{
		{"disk P-256", keystore.P256, false}, {"disk P-384", keystore.P384, false},
		{"tpm P-256", keystore.P256, true}, {"tpm P-384", keystore.P384, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			open := onDisk(c.curve)
			var chip *tpmtest.TPM
			if c.chip {
				chip = tpmtest.New(t)
				open = inTPM(c.curve, func(*testing.T) *tpmtest.TPM { return chip })
			}
			b := newServed(t)
			b.provision(open(t), "machine-1")
			first, stop := b.serve(open(t))
			if name, err := b.ask(first); name != "machine-1" || err != nil {
				t.Fatalf("%q answered, %v", name, err)
			}
			key := b.key
			if chip != nil {
				chip.Kill()
				chip.On()
				// The one handshake that meets the broken connection may fail.
				if _, err := b.ask(first); err != nil {
					t.Logf("after the power cut: %v", err)
				}
				if name, err := b.ask(first); name != "machine-1" || err != nil {
					t.Errorf("after the power cut of the TPM: %q, %v", name, err)
				}
			}
			stop()
			again, stop := b.serve(open(t))
			begin := time.Now()
			if name, err := b.ask(again); name != "machine-1" || err != nil || !b.key.Equal(key) {
				t.Errorf("after a restart: %q, %v, the same key: %t", name, err, b.key.Equal(key))
			}
			opened := time.Since(begin)
			begin = time.Now()
			const calls = 20
			for range calls {
				if _, err := b.ask(again); err != nil {
					t.Error(err)
				}
			}
			t.Logf("the first call %v, the next ones %v each", opened, time.Since(begin)/calls)
			stop()
		})
	}
}

// TestServedIdentity: what the store says, in the service's words.
func TestServedIdentity(t *testing.T) {
	b := newServed(t)
	keys, err := disk.New(keystore.P256)
	if err != nil {
		t.Fatal(err)
	}
	store := b.open(keys)
	defer store.Close()
	id := served{store}
	if _, err := id.Open(t.Context()); !errors.Is(err, rpc.ErrNoIdentity) || !errors.Is(err, identity.ErrNone) {
		t.Errorf("without an identity: %v", err)
	}
	changed := id.Changed()
	b.commit(store, "machine-1")
	select {
	case <-changed:
	default:
		t.Error("the commit was not told")
	}
	c, err := id.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Certificate.Certificate) != 2 || c.Certificate.Leaf.Subject.CommonName != "machine-1" || c.Roots == nil {
		t.Errorf("a chain of %d for %v", len(c.Certificate.Certificate), c.Certificate.Leaf.Subject)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := id.Open(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// servedMachine is a machine's folder, its fleet's CA, and a client of the fleet.
type servedMachine struct {
	t      *testing.T
	dir    string
	ca     *gatewaytest.CA
	client tls.Certificate
	key    *ecdsa.PublicKey // of who answered last
}

func newServed(t *testing.T) *servedMachine {
	t.Helper()
	ca, err := gatewaytest.NewCA("Fleet", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	client, err := ca.Server(gatewaytest.ServerCert{Usage: x509.ExtKeyUsageClientAuth})
	if err != nil {
		t.Fatal(err)
	}
	return &servedMachine{t: t, dir: t.TempDir(), ca: ca, client: client}
}

func (b *servedMachine) open(keys keystore.Store) *identity.Store {
	b.t.Helper()
	at := func(name string) string { return filepath.Join(b.dir, name) }
	s, err := identity.Open(b.t.Context(), identity.Paths{Key: at("key"), CSR: at("csr"), Cert: at("cert"),
		CABundle: at("bundle"), Root: at("root"), State: at("state")}, keys)
	if err != nil {
		b.t.Fatal(err)
	}
	return s
}

func (b *servedMachine) commit(store *identity.Store, name string) {
	b.t.Helper()
	key, err := store.Key(b.t.Context())
	if err != nil {
		b.t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: name}}, key)
	if err != nil {
		b.t.Fatal(err)
	}
	answer, err := b.ca.Machine(key.Public(), name, time.Now())
	if err != nil {
		b.t.Fatal(err)
	}
	csr := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))
	if err := store.Commit(b.t.Context(), name, csr, answer); err != nil {
		b.t.Fatal(err)
	}
}

func (b *servedMachine) provision(keys keystore.Store, name string) {
	b.t.Helper()
	store := b.open(keys)
	defer store.Close()
	b.commit(store, name)
}

// serve runs the agent's service on a port of TLS, as the settings would.
func (b *servedMachine) serve(keys keystore.Store) (address string, stop func()) {
	b.t.Helper()
	store := b.open(keys)
	log := slog.New(slog.DiscardHandler)
	listeners, err := rpc.Listen(b.t.Context(), endpoint(settings.Server{URL: "127.0.0.1", TLS: true}, store, log))
	if err != nil {
		b.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	x := &exchange{status: []provision.Status{{}}}
	go func() { done <- rpc.Serve(ctx, rpc.Config{Exchange: x, Log: log}, listeners...) }()
	return listeners[0].Addr().String(), func() {
		b.t.Helper()
		cancel()
		if err := errors.Join(<-done, store.Close()); err != nil {
			b.t.Error(err)
		}
	}
}

// ask asks for the status and returns whose certificate the answer came with.
func (b *servedMachine) ask(address string) (name string, err error) {
	b.t.Helper()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(b.ca.RootPEM()))
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{
		Certificates: []tls.Certificate{b.client}, InsecureSkipVerify: true,
		VerifyConnection: func(s tls.ConnectionState) error {
			name = s.PeerCertificates[0].Subject.CommonName
			b.key, _ = s.PeerCertificates[0].PublicKey.(*ecdsa.PublicKey)
			return machineVerifier(roots, name)(s)
		}})))
	if err != nil {
		b.t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(b.t.Context(), 20*time.Second)
	defer cancel()
	_, err = provisioningpb.NewProvisioningServiceClient(conn).Status(ctx, &provisioningpb.StatusRequest{})
	return name, err
}
