package rpc

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	"github.com/mecha-org/mecha-agent/gateway"
	provisioningpb "github.com/mecha-org/mecha-agent/proto/provisioning"
)

func TestRefusesToServeStrangers(t *testing.T) {
	for _, e := range []Endpoint{
		{Host: "0.0.0.0"},
		{Host: "::"},
		{Host: "192.0.2.1"},
		{Host: "0.0.0.0", TLS: true, Cert: "c", Key: "k"}, // TLS alone lets everybody call
		{Host: "0.0.0.0", ClientCA: "ca"},
		{Host: "0.0.0.0", Machine: &machine{}},
		{Host: "0.0.0.0", TLS: true}, // nothing to prove itself with, and nobody says who may call
		{Host: "0.0.0.0", TLS: true, Cert: "c", Machine: &machine{}},
	} {
		ls, err := Listen(t.Context(), e)
		if !errors.Is(err, ErrExposed) || gateway.HintOf(err) == "" || len(ls) > 0 {
			t.Errorf("%+v: got %v, %v; want ErrExposed with a hint", e, ls, err)
		}
	}
	for _, e := range []Endpoint{{Host: "127.0.0.1"}, {Host: "localhost"}, {Host: "0.0.0.0", TLS: true, Machine: &machine{}}} {
		ls, err := Listen(t.Context(), e)
		if err != nil {
			t.Errorf("%+v: %v", e, err)
		}
		for _, l := range ls {
			l.Close()
		}
	}
}

func TestSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run", "a.sock")
	first, err := Listen(t.Context(), Endpoint{Socket: path})
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("mode is %v, %v; want 0660", info.Mode(), err)
	}
	if _, err := Listen(t.Context(), Endpoint{Socket: path}); !errors.Is(err, ErrInUse) || gateway.HintOf(err) == "" {
		t.Errorf("second agent: got %v, want ErrInUse with a hint", err)
	}
	// A power cut leaves the socket's file behind.
	first[0].Listener.(*net.UnixListener).SetUnlinkOnClose(false)
	first[0].Close()
	again, err := Listen(t.Context(), Endpoint{Socket: path})
	if err != nil {
		t.Fatalf("after a power cut: %v", err)
	}
	again[0].Close()
}

func TestSocketLeavesOtherFilesAlone(t *testing.T) {
	path := write(t, "a.sock", "a letter")
	if _, err := Listen(t.Context(), Endpoint{Socket: path}); err == nil || gateway.HintOf(err) == "" {
		t.Errorf("got %v, want an error with a hint", err)
	}
	if text, err := os.ReadFile(path); string(text) != "a letter" {
		t.Errorf("the file is now %q, %v", text, err)
	}
}

func TestPortInUse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	socket := filepath.Join(t.TempDir(), "a.sock")
	_, err = Listen(t.Context(), Endpoint{Host: "127.0.0.1", Port: l.Addr().(*net.TCPAddr).Port, Socket: socket})
	if err == nil || gateway.HintOf(err) == "" {
		t.Errorf("got %v, want an error with a hint", err)
	}
	if _, err := os.Stat(socket); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket stays behind: %v", err)
	}
}

// TestTLSWithClientCertificates: a client that the CA did not sign gets nothing.
func TestTLSWithClientCertificates(t *testing.T) {
	cert, key := selfSigned(t, "agent")
	friendCert, friendKey := selfSigned(t, "friend")
	strangerCert, strangerKey := selfSigned(t, "stranger")
	ls, err := Listen(t.Context(), Endpoint{Host: "127.0.0.1", TLS: true,
		Cert: write(t, "c.pem", cert), Key: write(t, "k.pem", key), ClientCA: write(t, "ca.pem", friendCert)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- Serve(ctx, Config{Exchange: &exchange{}, Log: slog.New(slog.DiscardHandler)}, ls...) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(cert))
	call := func(certPEM, keyPEM string) error {
		pair, err := tls.X509KeyPair([]byte(certPEM), []byte(keyPEM))
		if err != nil {
			t.Fatal(err)
		}
		conn, err := grpc.NewClient(ls[0].Addr().String(), grpc.WithTransportCredentials(credentials.NewTLS(
			&tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}})))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_, err = provisioningpb.NewProvisioningServiceClient(conn).Ping(t.Context(), &provisioningpb.PingRequest{})
		return err
	}
	if err := call(friendCert, friendKey); err != nil {
		t.Errorf("the friend: %v", err)
	}
	if err := call(strangerCert, strangerKey); status.Code(err) != codes.Unavailable {
		t.Errorf("the stranger: %v, want UNAVAILABLE", err)
	}
}
