package ca

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestHandshake pins the root's fingerprint as a device does.
func TestHandshake(t *testing.T) {
	l := newCA(t)
	clock := func() time.Time { return now }
	get, err := l.ServerTLS([]string{"gateway.example.com", "127.0.0.1", "::1", "*.example.org", "GATEWAY.example.com."}, clock)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"gateway.example.com", "a.example.org", "127.0.0.1", "::1"} {
		here, there := net.Pipe()
		server := tls.Server(here, &tls.Config{GetCertificate: get})
		done := make(chan error, 1)
		go func() { done <- server.Handshake() }()
		client := tls.Client(there, &tls.Config{ServerName: name, InsecureSkipVerify: true, VerifyConnection: func(s tls.ConnectionState) error {
			chain := s.PeerCertificates
			if len(chain) != 3 {
				t.Errorf("the server shows %d certificates, want 3", len(chain))
				return nil
			}
			if sum := sha256.Sum256(chain[2].Raw); hex.EncodeToString(sum[:]) != l.RootFingerprint() {
				t.Error("the last certificate is not the pinned root")
			}
			roots, between := x509.NewCertPool(), x509.NewCertPool()
			roots.AddCert(chain[2])
			between.AddCert(chain[1])
			_, err := chain[0].Verify(x509.VerifyOptions{DNSName: name, Roots: roots, Intermediates: between, CurrentTime: now})
			return err
		}})
		if err := client.Handshake(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := <-done; err != nil {
			t.Errorf("%s: %v", name, err)
		}
		here.Close()
		there.Close()
	}
	cert, err := get(nil)
	if err != nil || len(cert.Leaf.DNSNames) != 2 || len(cert.Leaf.IPAddresses) != 2 {
		t.Errorf("names %v %v, error %v", cert.Leaf.DNSNames, cert.Leaf.IPAddresses, err)
	}
}

func TestServerNames(t *testing.T) {
	l := newCA(t)
	long := strings.Repeat("a", 63) + ".example"
	cert, err := l.ServerCertificate([]string{long}, now)
	if err != nil || cert.Leaf.Subject.CommonName != "" || cert.Leaf.DNSNames[0] != long {
		t.Errorf("a name longer than a common name: %v", err)
	}
	for _, names := range [][]string{
		nil, {""}, {"a b"}, {"-a.example"}, {"a..b"}, {"a.*"}, {"*"}, {"*.*.a"}, {"ä.example"}, {"10.0.0.256"}, {"a:3000"},
		{"http://a"}, {"fe80::1%eth0"}, {strings.Repeat("a", 64)}, {strings.Repeat("abc.", 64) + "example"}, {"ok.example", "under_score"},
	} {
		if _, err := l.ServerCertificate(names, now); !errors.Is(err, ErrPolicy) {
			t.Errorf("%q: %v, want ErrPolicy", names, err)
		}
		if _, err := l.ServerTLS(names, nil); !errors.Is(err, ErrPolicy) {
			t.Errorf("%q: %v, want ErrPolicy", names, err)
		}
	}
}

// TestServerRenewal walks the clock over the certificate's life.
func TestServerRenewal(t *testing.T) {
	l := newCA(t)
	var mu sync.Mutex
	at := now
	get, err := l.ServerTLS([]string{"gateway.example.com"}, func() time.Time { mu.Lock(); defer mu.Unlock(); return at })
	if err != nil {
		t.Fatal(err)
	}
	show := func(after time.Duration) *x509.Certificate {
		t.Helper()
		at = now.Add(after)
		cert, err := get(nil)
		if err != nil {
			t.Fatal(err)
		}
		if at.Before(cert.Leaf.NotBefore) || at.After(cert.Leaf.NotAfter) {
			t.Errorf("after %v the certificate is valid from %v to %v", after, cert.Leaf.NotBefore, cert.Leaf.NotAfter)
		}
		return cert.Leaf
	}
	const day = 24 * time.Hour
	first := show(0)
	if d := first.NotAfter.Sub(now); d < 90*day-time.Second || d > 90*day {
		t.Errorf("valid for %v, want 90 days", d)
	}
	if !show(59 * day).Equal(first) {
		t.Error("renewed before two thirds of its life")
	}
	second := show(61 * day)
	if second.Equal(first) {
		t.Error("not renewed after two thirds of its life")
	}
	if show(365*day).Equal(second) || show(0).Equal(second) {
		t.Error("not renewed after its end, or when the clock went back")
	}

	var wg sync.WaitGroup
	at = now.Add(61 * day)
	serials := make([]string, 32)
	for i := range serials {
		wg.Go(func() {
			cert, err := get(nil)
			if err != nil {
				t.Error(err)
				return
			}
			serials[i] = cert.Leaf.SerialNumber.String()
		})
	}
	wg.Wait()
	for _, s := range serials {
		if s != serials[0] {
			t.Fatal("handshakes at one time made more than one certificate")
		}
	}
}

// TestServerRenewalFails keeps the certificate there is for as long as it lasts.
func TestServerRenewalFails(t *testing.T) {
	l := newCA(t)
	cert, err := l.ServerCertificate([]string{"gateway.example.com"}, now)
	if err != nil {
		t.Fatal(err)
	}
	broken := errors.New("no entropy")
	r := &renewer{cert: &cert, make: func(time.Time) (tls.Certificate, error) { return tls.Certificate{}, broken }}
	if got, err := r.get(now.Add(80 * 24 * time.Hour)); err != nil || got != &cert {
		t.Errorf("before its end: %v", err)
	}
	if _, err := r.get(now.Add(91 * 24 * time.Hour)); !errors.Is(err, broken) {
		t.Errorf("after its end: %v", err)
	}
}
