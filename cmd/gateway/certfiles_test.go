package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mecha-org/mecha-agent/gateway/server"
	"github.com/mecha-org/mecha-agent/settings"
)

// TestCertFilesAreReadAgain: a renewed certificate is shown without a restart,
// and a half renewed one is not.
func TestCertFilesAreReadAgain(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	at := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	write := func(name string, text []byte) {
		t.Helper()
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
		at = at.Add(time.Second) // as between two renewals, whatever the file system's clock
		if err := os.Chtimes(name, at, at); err != nil {
			t.Fatal(err)
		}
	}
	c1, k1 := selfSigned(t, 1)
	c2, k2 := selfSigned(t, 2)
	write(cert, c1)
	var out bytes.Buffer
	log := slog.New(slog.NewTextHandler(&out, nil))
	if _, err := openCertFiles(cert, key, log); err == nil || !strings.Contains(err.Error(), "reading tls.cert and tls.key: ") {
		t.Errorf("without a key: %v", err)
	}
	write(key, k1)
	tlsConfig, err := tlsFor(settings.GatewayTLS{Mode: "files", Cert: cert, Key: key}, nil, log)
	if err != nil {
		t.Fatal(err)
	}
	shows := func(when string, serial int64, warnings int) {
		t.Helper()
		for range 3 {
			pair, err := tlsConfig.GetCertificate(nil)
			if err != nil || pair.Leaf.SerialNumber.Int64() != serial {
				t.Fatalf("%s: certificate %v, error %v, want %d", when, pair.Leaf.SerialNumber, err, serial)
			}
		}
		if n := strings.Count(out.String(), "stays in use"); n != warnings {
			t.Errorf("%s: %d warnings, want %d: %s", when, n, warnings, &out)
		}
	}
	shows("at first", 1, 0)
	write(cert, c2)
	shows("with the former key", 1, 1)
	write(key, k2)
	shows("renewed", 2, 1)
	write(cert, c2[:len(c2)/2])
	shows("cut off", 2, 2)
	if err := os.Remove(cert); err != nil {
		t.Fatal(err)
	}
	shows("gone", 2, 3)
	write(cert, c1)
	write(key, k1)
	shows("the first one again", 1, 3)
	if strings.Contains(out.String(), "PRIVATE") {
		t.Errorf("the log holds the key: %s", &out)
	}
}

func selfSigned(t *testing.T, serial int64) (cert, key []byte) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"gw.example"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, k.Public(), k)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
}

// TestOneTruthAboutLimits: a gateway whose settings are silent and a server that
// is given none have the same.
func TestOneTruthAboutLimits(t *testing.T) {
	if got, want := server.DefaultLimits(), server.Limits(settings.DefaultGateway().Limits); got != want {
		t.Errorf("the server's are %+v, the settings' %+v", got, want)
	}
}
