package rpc

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"google.golang.org/grpc/credentials"
)

// Listener is a place to answer on; Credentials are nil for plain text.
type Listener struct {
	net.Listener
	Credentials credentials.TransportCredentials
	// ReadOnly refuses what changes the machine: whoever may call is any machine of
	// the fleet, and none of them is another's master.
	ReadOnly bool
}

// Endpoint says where to listen.
type Endpoint struct {
	Host     string // empty: no TCP
	Port     int    // 0: any free one
	TLS      bool
	Cert     string // PEM files, with TLS; both empty: as Machine
	Key      string
	ClientCA string // PEM file: who may call; needed with Cert beyond loopback, else Machine's root decides
	Socket   string // Unix socket; empty: none

	Machine MachineIdentity // with TLS and neither Cert nor Key
	Log     *slog.Logger    // what becomes of Machine; nil: nowhere
}

// asMachine says whether the port answers with the machine's own certificate.
func (e Endpoint) asMachine() bool { return e.TLS && e.Cert == "" && e.Key == "" && e.Machine != nil }

// ErrExposed is what Listen wraps when it would serve strangers: beyond
// loopback the service needs TLS, and asks its callers for certificates.
var ErrExposed = errors.New("the agent's service would be open to the network")

// ErrInUse is what Listen wraps when another agent answers on the socket.
var ErrInUse = errors.New("another agent is running")

// hinted carries what a person can do.
type hinted struct {
	error
	hint string
}

func (h hinted) Hint() string  { return h.hint }
func (h hinted) Unwrap() error { return h.error }

// Listen opens the TCP port and the Unix socket of e, or neither.
func Listen(ctx context.Context, e Endpoint) ([]Listener, error) {
	var ls []Listener
	if e.Host != "" {
		l, err := listenTCP(ctx, e)
		if err != nil {
			return nil, err
		}
		ls = append(ls, l)
	}
	if e.Socket != "" {
		l, err := listenSocket(ctx, e.Socket)
		if err != nil {
			for _, open := range ls {
				open.Close()
			}
			return nil, err
		}
		ls = append(ls, Listener{Listener: l})
	}
	return ls, nil
}

func listenTCP(ctx context.Context, e Endpoint) (Listener, error) {
	addr := net.JoinHostPort(e.Host, strconv.Itoa(e.Port))
	loopback, err := isLoopback(ctx, e.Host)
	if err != nil {
		return Listener{}, err
	}
	if !loopback && (!e.TLS || e.ClientCA == "" && !e.asMachine()) {
		return Listener{}, hinted{fmt.Errorf("listening on %s: %w", addr, ErrExposed),
			"set server.url to 127.0.0.1, or set server.tls; server.cert and server.key need server.client_ca, too"}
	}
	var creds credentials.TransportCredentials
	if e.TLS {
		if creds, err = serverTLS(e); err != nil {
			return Listener{}, err
		}
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return Listener{}, hinted{fmt.Errorf("listening on %s: %w", addr, err),
			"another agent may be running; else set server.port to a free port"}
	}
	if err != nil {
		return Listener{}, fmt.Errorf("listening on %s: %w", addr, err)
	}
	if m, ok := creds.(*machineTLS); ok {
		l = closing{l, m.close}
	}
	return Listener{Listener: l, Credentials: creds, ReadOnly: e.asMachine() && e.ClientCA == ""}, nil
}

// closing lets go of what serves a listener when that is closed.
type closing struct {
	net.Listener
	also func()
}

func (c closing) Close() error {
	defer c.also()
	return c.Listener.Close()
}

// isLoopback says whether every address of host is a loopback address.
func isLoopback(ctx context.Context, host string) (bool, error) {
	if ip := net.ParseIP(host); ip != nil {
		return ip.IsLoopback(), nil
	}
	ctx, cancel := context.WithTimeout(ctx, handshakeTime)
	defer cancel()
	addrs, err := net.DefaultResolver.LookupIPAddr(ctx, host)
	if err != nil {
		return false, fmt.Errorf("looking up server.url: %w", err)
	}
	for _, a := range addrs {
		if !a.IP.IsLoopback() {
			return false, nil
		}
	}
	return len(addrs) > 0, nil
}

func serverTLS(e Endpoint) (credentials.TransportCredentials, error) {
	callers, err := clientCA(e.ClientCA)
	if err != nil {
		return nil, fmt.Errorf("loading server.client_ca: %w", err)
	}
	if e.asMachine() {
		return newMachineTLS(e.Machine, callers, e.Log), nil
	}
	pair, err := tls.LoadX509KeyPair(e.Cert, e.Key)
	if err != nil {
		return nil, fmt.Errorf("loading server.cert and server.key: %w", err)
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}}
	if callers != nil {
		c.ClientCAs, c.ClientAuth = callers, tls.RequireAndVerifyClientCert
	}
	return credentials.NewTLS(c), nil
}

// clientCA reads whose certificates may call; nil when no file says so.
func clientCA(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	pemText, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pemText) {
		return nil, fmt.Errorf("no certificate in %s", file)
	}
	return pool, nil
}

// socketMode lets the owner and the group in, nobody else.
const socketMode = 0o660

// listenSocket opens the Unix socket, taking away the one that an agent left
// when its power was cut.
func listenSocket(ctx context.Context, path string) (net.Listener, error) {
	fail := func(err error) error { return fmt.Errorf("listening on socket %s: %w", path, err) }
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return nil, fail(err)
	}
	switch info, err := os.Lstat(path); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, fail(err)
	case info.Mode().Type() != fs.ModeSocket:
		return nil, hinted{fail(errors.New("a file that is no socket is there")), "move it away, or set server.socket"}
	default:
		d := net.Dialer{Timeout: time.Second}
		if c, err := d.DialContext(ctx, "unix", path); err == nil {
			c.Close()
			return nil, hinted{fail(ErrInUse), "stop it, or set server.socket and server.port of this one"}
		}
		if err := os.Remove(path); err != nil {
			return nil, fail(err)
		}
	}
	// The folder decides who reaches the socket until chmod: it is made 0750,
	// and connecting needs write permission, which umask leaves to the owner.
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "unix", path)
	if err != nil {
		return nil, fail(err)
	}
	if err := os.Chmod(path, socketMode); err != nil {
		l.Close()
		return nil, fail(err)
	}
	return l, nil
}
