package server

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/mecha-org/mecha-agent/gateway"
	"github.com/mecha-org/mecha-agent/gateway/ca"
	pb "github.com/mecha-org/mecha-agent/proto/provisioning"
)

// newTLSFixture is a gateway with a certificate of its own CA. f.call speaks
// plain http to its port, and secure is a client that trusts its root.
func newTLSFixture(t *testing.T, change ...func(*Config)) (f *fixture, secure *tls.Config) {
	t.Helper()
	f = newFixtureOver(t, func(f *fixture, authority *ca.Local) *tls.Config {
		get, err := authority.ServerTLS([]string{"127.0.0.1"}, f.clock.Now)
		if err != nil {
			t.Fatal(err)
		}
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(authority.RootPEM())
		secure = &tls.Config{RootCAs: roots}
		return &tls.Config{GetCertificate: get}
	}, change...)
	return f, secure
}

// overTLS returns a client; http2 says which protocol it offers.
func (f *fixture) overTLS(c *tls.Config, http2 bool) *http.Client {
	tr := &http.Transport{TLSClientConfig: c.Clone(), ForceAttemptHTTP2: http2}
	f.t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

func TestTLSPortSpeaksTLS(t *testing.T) {
	f, secure := newTLSFixture(t)
	for version, c := range map[int]*http.Client{1: f.overTLS(secure, false), 2: f.overTLS(secure, true)} {
		for _, path := range []string{gateway.RoutePing, gateway.RouteCRL, gateway.RouteRootCRL, gateway.RouteRoot} {
			resp, err := c.Get("https://" + f.addr + path)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != 200 || resp.ProtoMajor != version || resp.TLS == nil {
				t.Errorf("%s: %s %s, want version %d", path, resp.Proto, resp.Status, version)
			}
		}
	}
	conn, err := grpc.NewClient(f.addr, grpc.WithTransportCredentials(credentials.NewTLS(secure)))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := pb.NewGatewayServiceClient(conn).Ping(t.Context(), &pb.PingRequest{}); err != nil {
		t.Error(err)
	}
}

func TestTLSPortSpeaksPlainHTTP(t *testing.T) {
	f, _ := newTLSFixture(t, func(c *Config) { c.Limits.ReadTimeout = time.Hour }) // nothing below waits for it
	for path, kind := range map[string]string{
		gateway.RouteCRL: "application/pkix-crl", gateway.RouteRootCRL: "application/pkix-crl", gateway.RouteRoot: "application/x-pem-file",
	} {
		r, head := f.call(f.http, "GET", path, nil), f.call(f.http, "HEAD", path, nil)
		if r.status != 200 || r.header.Get("Content-Type") != kind || r.rawText == "" {
			t.Errorf("GET %s: %d %v", path, r.status, r.header)
		}
		if head.status != 200 || head.rawText != "" || head.header.Get("Content-Length") != fmt.Sprint(len(r.rawText)) {
			t.Errorf("HEAD %s: %d %v", path, head.status, head.header)
		}
	}
	if r := f.call(f.http, "GET", gateway.RouteRootCRL, nil); r.rawText != string(f.srv.config.CA.RootCRL()) {
		t.Error("the root's list is another")
	}

	const wants = "this port speaks https: write https://"
	for _, tc := range []struct {
		method, path string
		body         any
	}{
		{"GET", "/", nil}, {"GET", gateway.RoutePing, nil}, {"GET", gateway.RouteMachines, nil}, {"GET", gateway.RouteCRL + "/", nil},
		{"GET", gateway.RouteFindManifest + "?code=ABC123", nil}, {"POST", gateway.RouteAnnounce, "{}"}, {"POST", gateway.RouteClaim, "{}"},
		{"POST", gateway.RouteCRL, nil}, {"OPTIONS", gateway.RouteCRL, nil}, {"GET", gateway.RouteCRL, "{}"}, {"PRI", "/", nil},
	} {
		r := f.call(f.http, tc.method, tc.path, tc.body, asOperator(f))
		r.want(t, 400, gateway.BadRequest, wants)
		if r.header.Get("Location") != "" || r.header.Get("Allow") != "" {
			t.Errorf("%s %s: %v", tc.method, tc.path, r.header)
		}
	}
	// What a client of net/http cannot say.
	for name, text := range map[string]string{
		"body in chunks": "GET " + gateway.RouteCRL + " HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
		"body to come":   "GET " + gateway.RouteCRL + " HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n",
		"options":        "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
		"a proxy's":      "CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n",
		"HTTP/2":         "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		"upgrade":        "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n",
	} {
		if got := f.exchange(text); !strings.HasPrefix(got, "HTTP/1.1 400 ") || !strings.Contains(got, wants) || strings.Contains(got, "100 Continue") {
			t.Errorf("%s: %q", name, got)
		}
	}
	// net/http's own bounds.
	for text, want := range map[string]string{
		"GET " + gateway.RouteCRL + " HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", maxHeader+8<<10) + "\r\n\r\n": "HTTP/1.1 431 ",
		"\x80\x2e\x01\x03\x01\r\n\r\n": "HTTP/1.1 400 ",
	} {
		if got := f.exchange(text); !strings.HasPrefix(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	f.nothingStored()
}

// exchange sends bytes and returns all that comes until the server closes.
func (f *fixture) exchange(text string) string {
	f.t.Helper()
	conn, err := net.Dial("tcp", f.addr)
	if err != nil {
		f.t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, text); err != nil {
		f.t.Fatal(err)
	}
	got, err := io.ReadAll(conn)
	if err != nil {
		f.t.Errorf("%.20q: %v", text, err)
	}
	return string(got)
}

// TestTLSPortLimits: an address has one allowance for TLS and plain http.
func TestTLSPortLimits(t *testing.T) {
	f, secure := newTLSFixture(t, func(c *Config) { c.Limits.PerAddress, c.Limits.Burst = 1, 2 })
	resp, err := f.overTLS(secure, true).Get("https://" + f.addr + gateway.RoutePing)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if r := f.call(f.http, "GET", gateway.RouteCRL, nil); r.status != 200 {
		t.Errorf("the second request: %d", r.status)
	}
	f.call(f.http, "GET", gateway.RouteCRL, nil).want(t, 429, gateway.TooMany, "too many requests from this address")
	f.clock.add(time.Second)
	if r := f.call(f.http, "GET", gateway.RouteRootCRL, nil); r.status != 200 {
		t.Errorf("after a second: %d", r.status)
	}
}

func TestTLSPortSlowHeader(t *testing.T) {
	f, _ := newTLSFixture(t, func(c *Config) { c.Limits.ReadTimeout = 100 * time.Millisecond })
	for _, begin := range []string{"", "GET / HT", "\x16", "\x16\x03\x01\x00\xff"} {
		if got := f.exchange(begin); strings.Contains(got, "200") {
			t.Errorf("%q: got %q", begin, got)
		}
	}
}

// crlGate holds a list until the test lets it go.
type crlGate struct {
	ca.Authority
	entered, open chan struct{}
}

func (g *crlGate) CRL(ctx context.Context, revoked []x509.RevocationListEntry, now time.Time) ([]byte, error) {
	close(g.entered)
	<-g.open
	return g.Authority.CRL(ctx, revoked, now)
}

// TestTLSPortShutdown: a request by plain http is finished, and a connection that
// never said a word holds nobody up.
func TestTLSPortShutdown(t *testing.T) {
	g := &crlGate{entered: make(chan struct{}), open: make(chan struct{})}
	f, _ := newTLSFixture(t, func(c *Config) {
		c.Limits.ReadTimeout = time.Hour // longer than the test may run
		g.Authority, c.CA = c.CA, g
	})
	silent, err := net.Dial("tcp", f.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	answer := make(chan reply, 1)
	go func() { answer <- f.call(f.http, "GET", gateway.RouteCRL, nil) }()
	<-g.entered
	f.stop()
	if _, err := silent.Read(make([]byte, 1)); err == nil {
		t.Error("the silent connection got an answer")
	}
	select {
	case <-f.ended:
		t.Fatal("Serve returned while a request was in flight")
	default:
	}
	close(g.open)
	if r := <-answer; r.status != 200 || r.rawText == "" {
		t.Errorf("the request in flight: %d", r.status)
	}
	<-f.ended // Serve's error is checked by the fixture
}

// pipes is a listener whose connections a test makes.
type pipes struct {
	conns chan net.Conn
	errs  chan error
	done  chan struct{}
}

func newPipes() *pipes {
	return &pipes{make(chan net.Conn), make(chan error), make(chan struct{})}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case err := <-p.errs:
		return nil, err
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { close(p.done); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

func (p *pipes) dial() net.Conn {
	here, there := net.Pipe()
	p.conns <- there
	return here
}

func TestSniff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		port := newPipes()
		secure, plain := sniff(port, 10*time.Second)
		begin, silent := time.Now(), port.dial()
		for text, half := range map[string]net.Listener{"\x16\x03\x01": secure, "GET /": plain, "\x00\x16": plain} {
			conn := port.dial() // silent keeps nobody waiting
			go func() { io.WriteString(conn, text); conn.Close() }()
			got, err := half.Accept()
			if err != nil {
				t.Fatal(err)
			}
			if all, err := io.ReadAll(got); err != nil || string(all) != text {
				t.Errorf("got %q, %v, want %q", all, err, text)
			}
			got.Close()
		}
		if !time.Now().Equal(begin) {
			t.Errorf("others waited for %v", time.Since(begin))
		}
		if _, err := silent.Read(make([]byte, 1)); !errors.Is(err, io.EOF) || time.Since(begin) != 10*time.Second {
			t.Errorf("the silent connection ended after %v with %v", time.Since(begin), err)
		}

		// The deadline for the first byte is not one for the next.
		late := port.dial()
		go io.WriteString(late, "G")
		got, err := plain.Accept()
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			<-time.After(time.Minute)
			io.WriteString(late, "ET")
			late.Close()
		}()
		if all, err := bufio.NewReader(got).ReadString('T'); err != nil || all != "GET" {
			t.Errorf("got %q, %v", all, err)
		}

		full := errors.New("too many open files")
		port.errs <- full
		if _, err := secure.Accept(); !errors.Is(err, full) {
			t.Errorf("got %v, want the port's error", err)
		}

		// Closing ends all, also what nobody accepted.
		waiting, unheard := port.dial(), port.dial()
		if _, err := io.WriteString(unheard, "G"); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(plain.Close(), secure.Close(), plain.Close()); err != nil {
			t.Error(err)
		}
		for _, c := range []net.Conn{waiting, unheard} {
			if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
				t.Errorf("after Close: %v", err)
			}
		}
		for _, half := range []net.Listener{secure, plain} {
			if _, err := half.Accept(); !errors.Is(err, net.ErrClosed) {
				t.Errorf("Accept after Close: %v", err)
			}
		}
		if time.Since(begin) != 70*time.Second {
			t.Errorf("Close took until %v", time.Since(begin))
		}
	})
}

// TestServeFails: without its port the gateway does not go on in silence.
func TestServeFails(t *testing.T) {
	f, _ := newTLSFixture(t)
	port := newPipes()
	ended := make(chan error, 1)
	none := func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nil, errors.New("none") }
	go func() { ended <- f.srv.Serve(t.Context(), port, &tls.Config{GetCertificate: none}) }()
	broken := errors.New("the interface is gone")
	port.errs <- broken
	if err := <-ended; !errors.Is(err, broken) {
		t.Errorf("got %v, want %v", err, broken)
	}
}

// halfCloser is a connection that can be closed for writing alone, as TCP can.
type halfCloser struct {
	net.Conn
	closed error
}

func (h *halfCloser) CloseWrite() error { return h.closed }

func TestPeekedCloseWrite(t *testing.T) {
	want := errors.New("closed for writing")
	here, _ := net.Pipe()
	for conn, want := range map[net.Conn]error{&halfCloser{here, want}: want, here: nil} {
		var c net.Conn = &peeked{Conn: conn}
		if err := c.(interface{ CloseWrite() error }).CloseWrite(); !errors.Is(err, want) {
			t.Errorf("got %v, want %v", err, want)
		}
	}
}
