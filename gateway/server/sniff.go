package server

import (
	"context"
	"io"
	"net"
	"sync"
	"time"
)

// tlsHandshake is the first byte of a TLS client: the type of the record that
// holds its hello (RFC 8446, section 5.1). No HTTP request begins with it.
const tlsHandshake = 0x16

// sniffer parts the connections of one port by their first byte, so that the
// CA's lists can be fetched by plain http where all else is https.
type sniffer struct {
	port          net.Listener
	wait          time.Duration // for the first byte
	secure, plain chan accepted
	open          context.Context // until close
	close         func() error    // the port and what waits for a first byte; any number of times
	work          sync.WaitGroup  // accepting and peeking
}

type accepted struct {
	conn net.Conn
	err  error
}

// half is a listener for the connections of one kind. Closing either closes both.
type half struct {
	*sniffer
	conns <-chan accepted
}

// sniff takes the port over. A connection that sends nothing for as long as wait
// is closed, and keeps no other waiting.
func sniff(port net.Listener, wait time.Duration) (secure, plain net.Listener) {
	s := &sniffer{port: port, wait: wait, secure: make(chan accepted), plain: make(chan accepted)}
	open, shut := context.WithCancel(context.Background())
	s.open = open
	s.close = sync.OnceValue(func() error {
		shut()
		err := port.Close()
		s.work.Wait()
		return err
	})
	s.work.Go(s.accept)
	return half{s, s.secure}, half{s, s.plain}
}

func (s *sniffer) accept() {
	for s.open.Err() == nil {
		conn, err := s.port.Accept()
		if err != nil { // the secure half's server knows which errors pass, and waits before it asks again
			s.hand(s.secure, accepted{err: err})
			continue
		}
		s.work.Go(func() { s.peek(conn) })
	}
}

func (s *sniffer) peek(conn net.Conn) {
	conn.SetReadDeadline(time.Now().Add(s.wait)) //nolint:errcheck // fails on a closed connection, as Read does
	stop := context.AfterFunc(s.open, func() { conn.SetReadDeadline(time.Unix(1, 0)) })
	first := make([]byte, 1)
	_, err := io.ReadFull(conn, first)
	if !stop() || err != nil || conn.SetReadDeadline(time.Time{}) != nil {
		conn.Close()
		return
	}
	to := s.plain
	if first[0] == tlsHandshake {
		to = s.secure
	}
	if !s.hand(to, accepted{conn: &peeked{conn, first}}) {
		conn.Close()
	}
}

// hand waits until a server takes it, and is false when none will.
func (s *sniffer) hand(to chan<- accepted, a accepted) bool {
	select {
	case to <- a:
		return true
	case <-s.open.Done():
		return false
	}
}

// Accept implements net.Listener.
func (h half) Accept() (net.Conn, error) {
	select {
	case a := <-h.conns:
		return a.conn, a.err
	case <-h.open.Done():
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (h half) Close() error { return h.close() }

// Addr implements net.Listener.
func (h half) Addr() net.Addr { return h.port.Addr() }

// peeked is a connection whose first byte was read and is given back.
type peeked struct {
	net.Conn
	first []byte
}

// Read returns the first byte, and then what the connection has.
func (c *peeked) Read(p []byte) (int, error) {
	if len(c.first) == 0 || len(p) == 0 {
		return c.Conn.Read(p)
	}
	n := copy(p, c.first)
	c.first = c.first[n:]
	return n, nil
}

// CloseWrite lets net/http end an answer so that it arrives although not all of
// the request was read.
func (c *peeked) CloseWrite() error {
	if w, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return nil
}
