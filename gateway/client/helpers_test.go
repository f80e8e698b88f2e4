package client_test

import (
	"crypto/tls"
	"io"
	"log"
	"strings"
	"testing"
	"time"

	"github.com/mecha-org/mecha-agent/gateway/gatewaytest"
)

func newCA(t *testing.T, now time.Time) *gatewaytest.CA {
	t.Helper()
	ca, err := gatewaytest.NewCA("test", now)
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

// colonize writes hex as openssl does: AB:CD.
func colonize(s string) string {
	var pairs []string
	for ; len(s) > 1; s = s[2:] {
		pairs = append(pairs, strings.ToUpper(s[:2]))
	}
	return strings.Join(pairs, ":")
}

func silent() *log.Logger { return log.New(io.Discard, "", 0) }

func tlsWith(cert tls.Certificate) *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
}
