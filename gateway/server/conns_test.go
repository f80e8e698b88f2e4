package server

import (
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/mecha-org/mecha-agent/gateway"
)

// TestConnectionsAreBounded: an address that holds all of its connections open
// gets no further one, others do, and a place is free again once one is closed.
func TestConnectionsAreBounded(t *testing.T) {
	for name, fixtureOf := range map[string]func(t *testing.T) (*fixture, int){
		"plain": func(t *testing.T) (*fixture, int) { return newFixture(t), 200 },
		"TLS":   func(t *testing.T) (*fixture, int) { f, _ := newTLSFixture(t); return f, 400 }, // for plain http there
	} {
		t.Run(name, func(t *testing.T) {
			f, status := fixtureOf(t)
			d := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP("127.0.0.2")}}
			open := func() net.Conn {
				t.Helper()
				conn, err := d.DialContext(t.Context(), "tcp", f.addr)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { conn.Close() })
				return conn
			}
			held := make([]net.Conn, maxConnsPerAddress)
			for i := range held {
				held[i] = open()
			}
			wantClosed(t, open())
			if r := f.call(f.http, "GET", gateway.RoutePing, nil); r.status != status { // from 127.0.0.1
				t.Errorf("another address: %d %s", r.status, r.rawText)
			}
			held[0].Close()
			held[1].Close()
			c := f.from("127.0.0.2")
			var resp *http.Response
			for begin := time.Now(); ; { // until the server has seen the end of one
				var err error
				if resp, err = c.Get(f.url + gateway.RoutePing); err == nil {
					break
				}
				if time.Since(begin) > 5*time.Second {
					t.Fatal(err)
				}
			}
			resp.Body.Close()
			if resp.StatusCode != status {
				t.Errorf("after a close: %s", resp.Status)
			}
		})
	}
}

// wantClosed wants the end of a connection sooner than any time-out would bring it.
func wantClosed(t *testing.T, conn net.Conn) {
	t.Helper()
	if err := conn.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if n, err := conn.Read(make([]byte, 1)); n != 0 || err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("%s: %d bytes, error %v, want the end", conn.LocalAddr(), n, err)
	}
}

func TestConnectionsOverall(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := boundConns(inner, 3, 2, slog.New(slog.DiscardHandler))
	accepted := make(chan net.Conn)
	go func() {
		defer close(accepted)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			accepted <- c
		}
	}()
	dial := func(ip string) net.Conn {
		t.Helper()
		d := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip)}}
		c, err := d.DialContext(t.Context(), "tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	taken := func(ip string) net.Conn {
		t.Helper()
		client := dial(ip)
		c := <-accepted
		if got, want := c.RemoteAddr().String(), client.LocalAddr().String(); got != want {
			t.Fatalf("accepted %s, want %s", got, want)
		}
		return c
	}
	refused := func(ip string) {
		t.Helper()
		wantClosed(t, dial(ip))
	}
	taken("127.0.0.2")
	second := taken("127.0.0.2")
	refused("127.0.0.2")
	taken("127.0.0.3")
	refused("127.0.0.4")
	for range 2 { // a second Close gives no second place
		second.Close()
	}
	last := taken("127.0.0.4")
	refused("127.0.0.5")
	if err := last.(*boundedConn).CloseWrite(); err != nil {
		t.Error(err)
	}
	last.Close()
	if l.open != 2 || l.from[remote("127.0.0.2:1")] != 1 || len(l.from) != 2 {
		t.Errorf("%d open, %v", l.open, l.from)
	}
	l.Close()
	if _, more := <-accepted; more {
		t.Error("a connection after Close")
	}
}
