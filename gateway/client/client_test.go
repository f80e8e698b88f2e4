package client_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"strings"
	"testing"
	"time"

	"github.com/mecha-org/mecha-agent/gateway"
	"github.com/mecha-org/mecha-agent/gateway/client"
	"github.com/mecha-org/mecha-agent/provision"
)

var _ provision.Gateway = client.Client(nil)

// open returns a client that ends with the test.
func open(t *testing.T, cfg client.Config) client.Client {
	t.Helper()
	if cfg.Timeout == 0 {
		cfg.Timeout = 10 * time.Second // far more than any good answer takes
	}
	c, err := client.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// device is a key with its CSR.
type device struct{ key *ecdsa.PrivateKey }

func newDevice(t *testing.T) device {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return device{key}
}

func (d device) csr(t *testing.T, cn string) string {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: cn}}, d.key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))
}

// wantKind fails the test unless err has the kind, a step, and says all of says.
func wantKind(t *testing.T, err error, want gateway.Kind, says ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want %v", want)
	}
	if got := gateway.KindOf(err); got != want {
		t.Errorf("kind %v, want %v: %v", got, want, err)
	}
	text := err.Error() + "\nhint: " + gateway.HintOf(err)
	for _, s := range says {
		if !strings.Contains(text, s) {
			t.Errorf("%q is not in\n%s", s, text)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	for _, c := range []struct {
		name string
		cfg  client.Config
		says string
	}{
		{"nothing", client.Config{}, "https://host:port"},
		{"no scheme", client.Config{ServerURL: "localhost:3000"}, "scheme"},
		{"other scheme", client.Config{ServerURL: "ftp://localhost"}, "ftp"},
		{"no URL", client.Config{ServerURL: "http://a b"}, "no URL"},
		{"no host", client.Config{ServerURL: "https:///v1"}, "no host"},
		{"password", client.Config{ServerURL: "https://u:hunter2@host"}, "before the @"},
		{"broken password", client.Config{ServerURL: "https://u:hunter2@ho st"}, "no URL"},
		{"query", client.Config{ServerURL: "https://host?x=1"}, "query"},
		{"fragment", client.Config{ServerURL: "https://host#x"}, "fragment"},
		{"path over gRPC", client.Config{ServerURL: "grpcs://host/v1"}, "path"},
		{"plain http", client.Config{ServerURL: "http://gateway.example:3000"}, "https://"},
		{"plain http to an address", client.Config{ServerURL: "http://192.0.2.1:3000"}, "allow_plaintext"},
		{"a name that only begins like loopback", client.Config{ServerURL: "http://127.0.0.1.example"}, "allow_plaintext"},
		{"plain gRPC", client.Config{ServerURL: "grpc://gateway.example:3000"}, "grpcs://"},
		{"sign URL elsewhere", client.Config{ServerURL: "https://host", SignURL: "https://other/v1"}, "cert_sign_url"},
		{"pin too short", client.Config{ServerURL: "https://host", RootFingerprint: "ab:cd"}, "2 bytes"},
		{"pin no hex", client.Config{ServerURL: "https://host", RootFingerprint: strings.Repeat("zz", 32)}, "openssl"},
	} {
		got, err := client.New(c.cfg)
		if got != nil {
			t.Errorf("%s: there is a client", c.name)
		}
		t.Run(c.name, func(t *testing.T) { wantKind(t, err, gateway.BadRequest, c.says, "hint: ") })
		if err != nil && (gateway.HintOf(err) == "" || strings.Contains(err.Error()+gateway.HintOf(err), "hunter2")) {
			t.Errorf("%s: no hint, or the password in it: %v", c.name, err)
		}
	}
}

func TestNewTakes(t *testing.T) {
	for _, cfg := range []client.Config{
		{ServerURL: "http://localhost:3000"}, {ServerURL: "http://LOCALHOST.:3000"},
		{ServerURL: "http://127.8.9.10:3000"}, {ServerURL: "http://[::1]:3000"}, {ServerURL: "http://[::ffff:127.0.0.1]:3000"},
		{ServerURL: "grpc://localhost:3000"}, {ServerURL: "grpcs://gateway.example"}, {ServerURL: "https://gateway.example/base/"},
		{ServerURL: "http://gateway.example", AllowPlaintext: true}, {ServerURL: "grpc://192.0.2.1:1", AllowPlaintext: true},
		{ServerURL: "https://host", SignURL: "/v2/sign?kind=machine", RootFingerprint: strings.Repeat("AB:", 31) + "ab"},
	} {
		c, err := client.New(cfg)
		if err != nil {
			t.Errorf("%s: %v", cfg.ServerURL, err)
			continue
		}
		c.Close()
	}
}

func TestSignURLMustStayOnTheGateway(t *testing.T) {
	c := open(t, client.Config{ServerURL: "http://localhost:1"})
	for _, path := range []string{
		"https://evil.example/v1", "//evil.example/v1", "/\\evil.example", "evil", "http:/x", "/v1//x", "/v1/../../x",
		"/v1/%2e%2e/x", "/v1/%2E./x", "/./x", "/v1%2f..%2fx", "/x#y", "/\x00", "?x=1", "@evil.example/", "/%5cx", "/a%2fb",
	} {
		_, err := c.Sign(context.Background(), gateway.SignRequest{URL: path, Token: "t"})
		// Nothing listens at port 1: what got past the check would be Unreachable.
		t.Run(path, func(t *testing.T) { wantKind(t, err, gateway.BadRequest, "cert_sign_url") })
	}
}
