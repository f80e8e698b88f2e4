// Package server is the gateway's side of the wire: one Service with every
// rule, and two thin doors on one port that only translate, HTTP/JSON (http.go)
// and gRPC (grpc.go). A rule that stands in a door is in the wrong place.
package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"

	"github.com/mecha-org/mecha-agent/gateway"
	"github.com/mecha-org/mecha-agent/gateway/ca"
	"github.com/mecha-org/mecha-agent/gateway/store"
)

// Config is what a Server needs. Zero durations and limits take the defaults.
type Config struct {
	Store store.Store
	CA    ca.Authority
	Log   *slog.Logger     // nil: nothing is logged
	Now   func() time.Time // nil: time.Now

	URL      string        // as operators reach it, for verification_uri: "https://gw.example:3000"
	CodeLife time.Duration // until an announced code must be claimed, default 5 minutes
	Exchange time.Duration // from claim to certificate, default 15 minutes
	Interval time.Duration // least time between two polls, default 5 seconds
	// Unannounced serves agents of the original, which announce nothing and
	// prove nothing: whoever signs first with the machine's id gets it.
	Unannounced bool
	Attestation Attestation
	Limits      Limits
}

// Limits bounds what one address (IPv4 /32, IPv6 /64) and all together may ask.
type Limits struct {
	PerAddress  float64       // requests a second, sustained
	Burst       int           // requests at once from one address
	WrongCodes  int           // wrong codes, tokens and keys from one address, or wrong codes of one API key, in 10 minutes
	Overall     float64       // requests a second, all addresses together
	Body        int64         // bytes of a request
	ReadTimeout time.Duration // for one whole request
}

// DefaultLimits returns the limits of a Config that sets none, which are those
// of the settings.
func DefaultLimits() Limits {
	return Limits{PerAddress: 20, Burst: 60, WrongCodes: 10, Overall: 500, Body: 64 << 10, ReadTimeout: 10 * time.Second}
}

// The times that are no setting.
const (
	drainTimeout = 15 * time.Second // for requests in flight when the server stops
	writeTimeout = 60 * time.Second // for one answer, after the request was read
	idleTimeout  = 30 * time.Second // of a connection between two requests
	sweepEvery   = time.Minute
	sweepAfter   = store.Reserved // unclaimed requests stay as long as their codes
)

// Connections open at a time: a device needs one, and a browser six. Many boards
// may share an address; what they may ask is up to Limits.PerAddress, which binds
// before this does.
const (
	maxConns           = 4096
	maxConnsPerAddress = 256
)

// maxHeader bounds the headers of one request, in bytes.
const maxHeader = 16 << 10

// Server is the gateway on a port. Make one with New.
type Server struct {
	service *Service
	limits  *limiter
	log     *slog.Logger
	config  Config
	grpc    *grpc.Server

	stopping context.Context // ends when Serve begins to stop
	stop     context.CancelFunc
}

// New returns a server. The caller owns store and CA, and closes the store after
// Serve has returned.
func New(c Config) (*Server, error) {
	if c.Store == nil || c.CA == nil {
		return nil, errors.New("gateway server: store and CA are needed")
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if err := c.Attestation.check(c.Unannounced); err != nil {
		return nil, fmt.Errorf("gateway server: %w", err)
	}
	c.URL = strings.TrimRight(c.URL, "/")
	setDefault(&c.CodeLife, 5*time.Minute)
	setDefault(&c.Exchange, 15*time.Minute)
	setDefault(&c.Interval, 5*time.Second)
	limit := DefaultLimits()
	setDefault(&c.Limits.PerAddress, limit.PerAddress)
	setDefault(&c.Limits.Burst, limit.Burst)
	setDefault(&c.Limits.WrongCodes, limit.WrongCodes)
	setDefault(&c.Limits.Overall, limit.Overall)
	setDefault(&c.Limits.Body, limit.Body)
	setDefault(&c.Limits.ReadTimeout, limit.ReadTimeout)

	limits := newLimiter(c.Limits, c.Now)
	service, err := newService(c, limits)
	if err != nil {
		return nil, err
	}
	s := &Server{service: service, limits: limits, log: c.Log, config: c}
	s.stopping, s.stop = context.WithCancel(context.Background())
	s.grpc = s.newGRPC()
	return s, nil
}

func setDefault[T time.Duration | float64 | int | int64](v *T, d T) {
	if *v <= 0 {
		*v = d
	}
}

// EnsureAdminKey makes an operator's API key when the store has none: made says
// whether it did, and only then id and secret are told.
func (s *Server) EnsureAdminKey(ctx context.Context) (id string, secret gateway.Secret, made bool, err error) {
	return s.EnsureAdminKeyWith(ctx, nil)
}

// EnsureAdminKeyWith is EnsureAdminKey for a caller that writes the key down:
// keep is called before the key becomes valid, so that a crash in between leaves
// a note of a key that does not work yet, which the next start replaces, and
// never a store whose only key nobody knows.
func (s *Server) EnsureAdminKeyWith(ctx context.Context, keep func(id string, secret gateway.Secret) error) (id string, secret gateway.Secret, made bool, err error) {
	return s.service.ensureAdminKey(ctx, keep)
}

// Handler returns both doors as one handler, without the time-outs that Serve
// adds.
func (s *Server) Handler() http.Handler {
	door := s.newHTTP()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor == 2 && strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc") {
			s.serveGRPC(w, r)
			return
		}
		door.ServeHTTP(w, r)
	})
}

// Serve answers HTTP/1.1, HTTP/2 (also unencrypted, by prior knowledge) and gRPC
// on ln until ctx ends, then finishes the requests in flight, for 15 seconds at
// most. A nil tls.Config means plain text; with one, plain HTTP/1.1 gets the CA's
// public files on the same port and nothing else, since revocation lists are
// fetched by http (RFC 5280, section 8). It closes ln, and is called once.
func (s *Server) Serve(ctx context.Context, ln net.Listener, tlsConfig *tls.Config) error {
	sweeping, stopSweep := context.WithCancel(ctx)
	swept := make(chan struct{})
	go func() {
		defer close(swept)
		s.sweepLoop(sweeping)
	}()
	defer func() { stopSweep(); <-swept }()
	defer s.stop()

	servers, served := s.start(boundConns(ln, maxConns, maxConnsPerAddress, s.log), tlsConfig)
	select {
	case err := <-served:
		for _, h := range servers {
			h.Close()
		}
		for range servers[1:] { // the one that failed closes the port under the other, which may say so first
			if other := <-served; errors.Is(err, net.ErrClosed) {
				err = other
			}
		}
		return fmt.Errorf("serving: %w", err)
	case <-ctx.Done():
	}
	s.log.Info("stopping", "finish_within", drainTimeout)
	s.stop()
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	err := shutdown(drain, servers)
	s.grpc.Stop()
	for range servers {
		<-served
	}
	return err
}

// start returns the servers of the port, the first being the one for all routes,
// and a channel to which each sends why it ended.
func (s *Server) start(ln net.Listener, tlsConfig *tls.Config) ([]*http.Server, <-chan error) {
	served := make(chan error, 2)
	all := s.httpServer(s.Handler())
	all.Protocols.SetHTTP2(true)
	if tlsConfig == nil {
		all.Protocols.SetUnencryptedHTTP2(true)
		go func() { served <- all.Serve(ln) }()
		return []*http.Server{all}, served
	}
	public := s.httpServer(s.newPublicHTTP())
	public.DisableGeneralOptionsHandler = true
	secure, plain := sniff(ln, s.config.Limits.ReadTimeout)
	all.TLSConfig = tlsConfig.Clone()
	go func() { served <- all.ServeTLS(secure, "", "") }()
	go func() { served <- public.Serve(plain) }()
	return []*http.Server{all, public}, served
}

// httpServer returns a server of HTTP/1.1 with every bound that the port has.
func (s *Server) httpServer(h http.Handler) *http.Server {
	read := s.config.Limits.ReadTimeout
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	return &http.Server{
		Handler:           h,
		Protocols:         &protocols,
		ReadHeaderTimeout: read,
		ReadTimeout:       read,
		WriteTimeout:      read + writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
}

// shutdown finishes the requests in flight of all servers until ctx ends.
func shutdown(ctx context.Context, servers []*http.Server) error {
	errs := make([]error, len(servers))
	var wg sync.WaitGroup
	for i, h := range servers {
		wg.Go(func() {
			if err := h.Shutdown(ctx); err != nil {
				h.Close() // those that did not finish in time are cut off
				errs[i] = fmt.Errorf("finishing requests in flight: %w", err)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// sweepLoop forgets what is over.
func (s *Server) sweepLoop(ctx context.Context) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			s.sweep(ctx)
		}
	}
}

func (s *Server) sweep(ctx context.Context) {
	s.limits.sweep()
	s.service.polls.sweep()
	n, err := s.config.Store.Sweep(ctx, s.config.Now().Add(-sweepAfter))
	switch {
	case err != nil && ctx.Err() == nil:
		s.log.Error("sweeping expired codes", "error", err)
	case n > 0:
		s.log.Debug("swept expired codes", "count", n)
	}
}
