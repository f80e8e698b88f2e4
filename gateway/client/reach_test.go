package client_test

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/mecha-org/mecha-agent/gateway"
	"github.com/mecha-org/mecha-agent/gateway/client"
	"github.com/mecha-org/mecha-agent/gateway/gatewaytest"
)

// Four ways not to reach a gateway, and a hint that tells each from the others,
// over both doors.
func TestUnreachable(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refused := l.Addr().String()
	l.Close()

	hangUp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer hangUp.Close()
	go func() {
		for {
			c, err := hangUp.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	noTLS := strings.TrimPrefix(plain.URL, "http://")

	for name, c := range map[string]struct{ url, says string }{
		"refused http":       {"http://" + refused, "connection refused: nothing listens at " + refused},
		"refused https":      {"https://" + refused, "connection refused: nothing listens"},
		"refused grpc":       {"grpc://" + refused, "connection refused: nothing listens"},
		"refused grpcs":      {"grpcs://" + refused, "connection refused: nothing listens"},
		"no name https":      {"https://gateway.invalid", "DNS"}, // RFC 6761, section 6.4
		"no name grpcs":      {"grpcs://gateway.invalid:1", "DNS"},
		"no TLS there https": {"https://" + noTLS, "there is no TLS at that port"},
		"no TLS there grpcs": {"grpcs://" + noTLS, "there is no TLS at that port"},
		"cut https":          {"https://" + hangUp.Addr().String(), "cut"},
		"cut http":           {"http://" + hangUp.Addr().String(), "cut"},
	} {
		t.Run(name, func(t *testing.T) {
			cl := open(t, client.Config{ServerURL: c.url})
			for range 2 { // the second answer must not be a remembered one of another sort
				wantKind(t, cl.Ping(context.Background()), gateway.Unreachable, c.says, "sign of life")
			}
		})
	}
}

func TestPlainHTTPToTLS(t *testing.T) {
	g := gatewaytest.New(t, gatewaytest.TLS())
	cl := open(t, client.Config{ServerURL: strings.Replace(g.URL, "https", "http", 1)})
	wantKind(t, cl.Ping(context.Background()), gateway.BadRequest, "write https in server_url")
}

// A gateway that comes up later is reached at the next call, not after a back-off.
func TestComesUpLater(t *testing.T) {
	for _, scheme := range []string{"http", "grpc"} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		at := l.Addr().String()
		l.Close()
		c := open(t, client.Config{ServerURL: scheme + "://" + at, Timeout: 5 * time.Second})
		wantKind(t, c.Ping(context.Background()), gateway.Unreachable)
		if l, err = net.Listen("tcp", at); err != nil {
			t.Fatal(err)
		}
		if scheme == "grpc" {
			serveGRPC(t, l, &fakeService{})
		} else {
			s := &http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), ReadHeaderTimeout: time.Second}
			go s.Serve(l) //nolint:errcheck // ends with Close
			t.Cleanup(func() { s.Close() })
		}
		if err := c.Ping(context.Background()); err != nil {
			t.Errorf("%s: %v", scheme, err)
		}
	}
}
