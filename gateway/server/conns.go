package server

import (
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// boundedListener closes connections past a number at once. Each takes a
// goroutine and buffers from its first byte on, long before a request of it is
// limited.
type boundedListener struct {
	net.Listener
	most, each int // overall, and from one address
	log        *slog.Logger
	tell       rate.Sometimes

	mu   sync.Mutex
	open int
	from map[netip.Prefix]int
}

func boundConns(ln net.Listener, most, each int, log *slog.Logger) *boundedListener {
	return &boundedListener{Listener: ln, most: most, each: each, log: log,
		tell: rate.Sometimes{Interval: time.Minute}, from: make(map[netip.Prefix]int)}
}

// Accept implements net.Listener.
func (l *boundedListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		from := remote(conn.RemoteAddr().String())
		if l.take(from) {
			return &boundedConn{Conn: conn, release: sync.OnceFunc(func() { l.release(from) })}, nil
		}
		conn.Close()
		l.tell.Do(func() { l.log.Warn("too many connections, some are closed at once", "from", from.String()) })
	}
}

func (l *boundedListener) take(from netip.Prefix) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open >= l.most || l.from[from] >= l.each {
		return false
	}
	l.open++
	l.from[from]++
	return true
}

func (l *boundedListener) release(from netip.Prefix) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open--
	if l.from[from]--; l.from[from] == 0 {
		delete(l.from, from)
	}
}

// boundedConn gives its place back when it is closed.
type boundedConn struct {
	net.Conn
	release func()
}

// Close implements net.Conn.
func (c *boundedConn) Close() error {
	defer c.release()
	return c.Conn.Close()
}

// CloseWrite is for net/http, which ends an answer by it when not all of the
// request was read.
func (c *boundedConn) CloseWrite() error {
	if w, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return nil
}
