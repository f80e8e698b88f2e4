package gatewaytest_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"testing"
	"time"

	"github.com/mecha-org/mecha-agent/gateway"
	"github.com/mecha-org/mecha-agent/gateway/client"
	"github.com/mecha-org/mecha-agent/gateway/gatewaytest"
)

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func csr(t *testing.T, key *ecdsa.PrivateKey, cn string) string {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: cn}}, key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))
}

func cert(t *testing.T, text string) *x509.Certificate {
	t.Helper()
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		t.Fatalf("no PEM: %q", text)
	}
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// claimed returns a gateway with a claimed code, and what may be signed for it.
func claimed(t *testing.T) (*gatewaytest.Gateway, client.Client, *ecdsa.PrivateKey, gateway.SignRequest) {
	t.Helper()
	ctx, g, key := context.Background(), gatewaytest.New(t), newKey(t)
	c, err := client.New(client.Config{ServerURL: g.URL})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	s, err := c.Announce(ctx, gateway.Announcement{Code: "ABC123", CSR: csr(t, key, "x")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.FindManifest(ctx, "ABC123", s.DeviceCode); gateway.KindOf(err) != gateway.Pending {
		t.Fatalf("before the claim: %v", err)
	}
	g.Claim("abc-123")
	for _, wrong := range []gateway.Secret{"", "wrong", s.DeviceCode + "x"} {
		if _, err := c.FindManifest(ctx, "ABC123", wrong); gateway.KindOf(err) != gateway.Unauthorized {
			t.Errorf("a wrong device code: %v", err)
		}
	}
	m, err := c.FindManifest(ctx, "ABC123", s.DeviceCode)
	if err != nil {
		t.Fatal(err)
	}
	return g, c, key, gateway.SignRequest{URL: m.CertSignURL, CSR: csr(t, key, m.MachineID),
		MachineID: m.MachineID, Type: gateway.Provision, Token: m.Token}
}

func TestTheFakeIsAsStrictAsTheRealOne(t *testing.T) {
	_, c, key, good := claimed(t)
	ctx := context.Background()
	if _, err := c.Announce(ctx, gateway.Announcement{Code: "ABC123", CSR: csr(t, newKey(t), "x")}); gateway.KindOf(err) != gateway.Taken {
		t.Errorf("a code in use: %v", err)
	}
	for name, c2 := range map[string]struct {
		change func(*gateway.SignRequest)
		want   gateway.Kind
	}{
		"wrong token":   {func(r *gateway.SignRequest) { r.Token = "wrong" }, gateway.Unauthorized},
		"no token":      {func(r *gateway.SignRequest) { r.Token = "" }, gateway.Unauthorized},
		"other machine": {func(r *gateway.SignRequest) { r.MachineID = "machine-2" }, gateway.Unauthorized},
		"other key":     {func(r *gateway.SignRequest) { r.CSR = csr(t, newKey(t), r.MachineID) }, gateway.Unauthorized},
		"other name":    {func(r *gateway.SignRequest) { r.CSR = csr(t, key, "machine-2") }, gateway.BadRequest},
		"other type":    {func(r *gateway.SignRequest) { r.Type = "Renew" }, gateway.BadRequest},
		"no CSR":        {func(r *gateway.SignRequest) { r.CSR = "" }, gateway.BadRequest},
	} {
		r := good
		c2.change(&r)
		if _, err := c.Sign(ctx, r); gateway.KindOf(err) != c2.want {
			t.Errorf("%s: %v, want %v", name, err, c2.want)
		}
	}
	if _, err := c.Sign(ctx, good); err != nil {
		t.Errorf("the right request: %v", err)
	}
	if _, err := c.Sign(ctx, good); gateway.KindOf(err) != gateway.Unauthorized {
		t.Errorf("the token again: %v", err)
	}
}

// What the faults at Sign hand out must be wrong in just the one way they say.
func TestFaultsOfSign(t *testing.T) {
	type look struct{ key, name, current, chain bool }
	good := look{true, true, true, true}
	for name, c := range map[string]struct {
		fault *gatewaytest.Fault
		want  look
	}{
		"none":         {nil, good},
		"WrongKey":     {ptr(gatewaytest.WrongKey()), look{false, true, true, true}},
		"OtherMachine": {ptr(gatewaytest.OtherMachine()), look{true, false, true, true}},
		"Expired":      {ptr(gatewaytest.Expired()), look{true, true, false, true}},
		"BrokenChain":  {ptr(gatewaytest.BrokenChain()), look{true, true, true, false}},
	} {
		g, cl, key, r := claimed(t)
		if c.fault != nil {
			g.Fail(gatewaytest.Sign, *c.fault)
		}
		issued, err := cl.Sign(context.Background(), r)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		leaf, roots, between := cert(t, issued.Cert), x509.NewCertPool(), x509.NewCertPool()
		roots.AddCert(cert(t, issued.RootCert))
		between.AddCert(cert(t, issued.CABundle[0]))
		now := time.Now()
		got := look{key: key.PublicKey.Equal(leaf.PublicKey), name: leaf.Subject.CommonName == r.MachineID,
			current: now.After(leaf.NotBefore) && now.Before(leaf.NotAfter)}
		_, err = leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: leaf.NotBefore.Add(time.Second),
			KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
		// An expired one began before its CA did: judge its signature alone.
		got.chain = err == nil || leaf.CheckSignatureFrom(cert(t, issued.CABundle[0])) == nil
		if got != c.want {
			t.Errorf("%s: %+v, want %+v (%v)", name, got, c.want, err)
		}
	}
}

func ptr(f gatewaytest.Fault) *gatewaytest.Fault { return &f }
