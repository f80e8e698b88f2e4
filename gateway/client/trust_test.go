package client_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/mecha-org/mecha-agent/gateway"
	"github.com/mecha-org/mecha-agent/gateway/client"
	"github.com/mecha-org/mecha-agent/gateway/gatewaytest"
	"github.com/mecha-org/mecha-agent/proto/provisioning"
)

type pinger struct {
	provisioningpb.UnimplementedGatewayServiceServer
}

func (pinger) Ping(context.Context, *provisioningpb.PingRequest) (*provisioningpb.PingResponse, error) {
	return &provisioningpb.PingResponse{}, nil
}

// servers starts both doors with the certificate, and returns their URLs.
func servers(t *testing.T, cert tls.Certificate) map[string]string {
	t.Helper()
	web := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	web.TLS = &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
	web.Config.ErrorLog = silent()
	web.StartTLS()
	t.Cleanup(web.Close)

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer(grpc.Creds(credentials.NewServerTLSFromCert(&cert)))
	provisioningpb.RegisterGatewayServiceServer(s, pinger{})
	go s.Serve(l) //nolint:errcheck // ends with Stop
	t.Cleanup(s.Stop)
	return map[string]string{"https": web.URL, "grpcs": "grpcs://" + l.Addr().String()}
}

func TestTrust(t *testing.T) {
	now := time.Now()
	ca, other := newCA(t, now), newCA(t, now)
	folder := t.TempDir()
	file := func(name, text string) string {
		name = filepath.Join(folder, name)
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	anchors, strangers := file("ca.pem", "the gateway's root\n"+ca.RootPEM()), file("other.pem", other.RootPEM())
	pin, colons := ca.RootFingerprint(), colonize(ca.RootFingerprint())

	good := gatewaytest.ServerCert{}
	expired := gatewaytest.ServerCert{NotBefore: now.Add(-48 * time.Hour), NotAfter: now.Add(-24 * time.Hour)}
	future := gatewaytest.ServerCert{NotBefore: now.Add(24 * time.Hour), NotAfter: now.Add(48 * time.Hour)}
	named := gatewaytest.ServerCert{Names: []string{"gateway.example", "192.0.2.1"}}
	machine := gatewaytest.ServerCert{Usage: x509.ExtKeyUsageClientAuth}
	withRoot := gatewaytest.ServerCert{Names: []string{"127.0.0.1"}} // its chain is followed by the pinned root
	yesteryear := func() time.Time { return now.Add(-12 * time.Hour) }

	for _, c := range []struct {
		name   string
		signer *gatewaytest.CA
		cert   gatewaytest.ServerCert
		cfg    client.Config
		says   string // empty: trusted
	}{
		{"right pin", ca, good, client.Config{RootFingerprint: pin}, ""},
		{"right pin with colons", ca, good, client.Config{RootFingerprint: colons}, ""},
		{"wrong pin", ca, good, client.Config{RootFingerprint: other.RootFingerprint()}, "root_fingerprint"},
		{"right pin, wrong host", ca, named, client.Config{RootFingerprint: pin}, "is not for 127.0.0.1"},
		// The stranger signs, and shows the pinned root (public) behind its leaf.
		{"right pin, leaf of another CA", other, gatewaytest.ServerCert{Root: ca}, client.Config{RootFingerprint: pin}, "does not lead to the root pinned"},
		{"right pin, whole chain of another CA", other, withRoot, client.Config{RootFingerprint: pin}, "does not lead to the root pinned"},
		{"right pin, expired leaf", ca, expired, client.Config{RootFingerprint: pin}, "expired at"},
		{"right pin, leaf not yet valid", ca, future, client.Config{RootFingerprint: pin}, "not yet valid: check the clock"},
		{"right pin, clock in the past", ca, good, client.Config{RootFingerprint: pin, Now: yesteryear}, "not yet valid: check the clock"},
		{"right pin, machine's certificate", ca, machine, client.Config{RootFingerprint: pin}, "not fit for a server"},

		{"right file", ca, good, client.Config{TrustFile: anchors}, ""},
		{"wrong file", ca, good, client.Config{TrustFile: strangers}, "does not lead to the anchors"},
		{"right file, wrong host", ca, named, client.Config{TrustFile: anchors}, "is not for 127.0.0.1"},
		{"right file, expired leaf", ca, expired, client.Config{TrustFile: anchors}, "expired at"},
		{"right file, clock in the past", ca, good, client.Config{TrustFile: anchors, Now: yesteryear}, "not yet valid: check the clock"},
		{"right file, machine's certificate", ca, machine, client.Config{TrustFile: anchors}, "not fit for a server"},

		{"file wins over pin", ca, good, client.Config{TrustFile: anchors, RootFingerprint: other.RootFingerprint()}, ""},
		{"wrong file wins over right pin", ca, good, client.Config{TrustFile: strangers, RootFingerprint: pin}, "does not lead to the anchors"},
		{"no file, right pin", ca, good, client.Config{TrustFile: filepath.Join(folder, "none.pem"), RootFingerprint: pin}, ""},
		{"no file, no pin", ca, good, client.Config{TrustFile: filepath.Join(folder, "none.pem")}, "does not lead to the system's roots"},
		{"neither", ca, good, client.Config{}, "does not lead to the system's roots"},
	} {
		cert, err := c.signer.Server(c.cert)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(c.name, "whole chain") {
			ours, err := ca.Server(good)
			if err != nil {
				t.Fatal(err)
			}
			cert.Certificate = append(cert.Certificate, ours.Certificate[1:]...)
		}
		for scheme, at := range servers(t, cert) {
			t.Run(c.name+"/"+scheme, func(t *testing.T) {
				c.cfg.ServerURL = at
				err := open(t, c.cfg).Ping(context.Background())
				if c.says == "" {
					if err != nil {
						t.Fatalf("%v\nhint: %s", err, gateway.HintOf(err))
					}
					return
				}
				wantKind(t, err, gateway.Unreachable, c.says, "sign of life")
			})
		}
	}
}

// A host that is a name goes another way through crypto/tls than an address.
func TestTrustByName(t *testing.T) {
	ca := newCA(t, time.Now())
	for _, c := range []struct {
		names []string
		says  string
	}{{[]string{"localhost"}, ""}, {[]string{"127.0.0.1"}, "is not for localhost"}} {
		cert, err := ca.Server(gatewaytest.ServerCert{Names: c.names})
		if err != nil {
			t.Fatal(err)
		}
		for _, at := range servers(t, cert) {
			at = strings.Replace(at, "127.0.0.1", "localhost", 1)
			err := open(t, client.Config{ServerURL: at, RootFingerprint: ca.RootFingerprint()}).Ping(context.Background())
			if c.says != "" {
				wantKind(t, err, gateway.Unreachable, c.says)
			} else if err != nil {
				t.Errorf("%s: %v", at, err)
			}
		}
	}
}

func TestTLS12AtLeast(t *testing.T) {
	ca := newCA(t, time.Now())
	cert, err := ca.Server(gatewaytest.ServerCert{})
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	web.TLS = &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}
	web.Config.ErrorLog = silent()
	web.StartTLS()
	defer web.Close()
	u, err := url.Parse(web.URL)
	if err != nil {
		t.Fatal(err)
	}
	for _, scheme := range []string{"https://", "grpcs://"} {
		err := open(t, client.Config{ServerURL: scheme + u.Host, RootFingerprint: ca.RootFingerprint()}).Ping(context.Background())
		wantKind(t, err, gateway.Unreachable, "protocol version")
	}
}

func TestTrustFileThatIsNone(t *testing.T) {
	ca := newCA(t, time.Now())
	folder := t.TempDir()
	root := ca.RootPEM()
	for name, c := range map[string]struct{ text, says string }{
		"empty":         {"", "holds no PEM certificate"},
		"garbage":       {"\x00\x01garbage", "holds no PEM certificate"},
		"json":          {`["` + root + `"]`, "broken or cut short"},
		"a key":         {"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "PRIVATE KEY"},
		"broken second": {root + "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "block 2"},
		"cut second":    {root + root[:100], "block 2"},
		"huge":          {strings.Repeat("\n", 5<<20), "longer"},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(folder, name)
			if err := os.WriteFile(file, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			// The right pin does not help: a file that is there is meant.
			_, err := client.New(client.Config{ServerURL: "https://host", TrustFile: file, RootFingerprint: ca.RootFingerprint()})
			wantKind(t, err, gateway.BadRequest, c.says, file, "remove the file")
		})
	}
	_, err := client.New(client.Config{ServerURL: "https://host", TrustFile: folder})
	wantKind(t, err, gateway.BadRequest, "trust anchors")
}
