// Package rpc is the agent's own gRPC service on the device: the provisioning
// and identity services of proto/, health and reflection, on a loopback TCP
// port and a Unix socket. It translates and decides nothing.
package rpc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"

	identitypb "github.com/mecha-org/mecha-agent/proto/identity"
	provisioningpb "github.com/mecha-org/mecha-agent/proto/provisioning"
	"github.com/mecha-org/mecha-agent/provision"
)

// Exchange is the state machine that the service drives; *provision.Provisioner
// is one. Errors carry a gateway.Kind.
type Exchange interface {
	Ping(ctx context.Context) error
	GenerateCode(ctx context.Context) (string, error)
	ProvisionByCode(ctx context.Context, code string) (bool, error)
	Deprovision(ctx context.Context) ([]string, error)
	Status() provision.Status
	Watch(ctx context.Context) <-chan provision.Status
}

// Certificates are the certificates in use, PEM; Cert is empty when the
// machine has no identity.
type Certificates struct {
	Cert, Bundle, Root string
}

// Config is what a Server needs.
type Config struct {
	Exchange     Exchange
	Certificates func(ctx context.Context) (Certificates, error)
	Keystore     func() (backend, reason string) // where the key lives and why, as Status tells it; nil: nobody knows
	Board        string                          // vendor and model, as Status tells it
	Version      string
	Trouble      func() []string // parts of the panel that fail now, a line each; nil: nobody knows
	Log          *slog.Logger

	readOnly bool // of one listener
}

// Limits of the service. A request is a code at the most.
const (
	maxMessage    = 64 << 10 // bytes
	maxStreams    = 64       // requests at once on one connection
	handshakeTime = 5 * time.Second
	drainTime     = 3 * time.Second // how long requests in flight may take at the end
)

// Serve answers on the listeners until ctx ends, then lets requests in flight
// finish for three seconds. It closes the listeners.
func Serve(ctx context.Context, c Config, listeners ...Listener) error {
	servers := make([]*grpc.Server, 0, len(listeners))
	checks := health.NewServer()
	failed := make(chan error, len(listeners))
	var running sync.WaitGroup
	for _, l := range listeners {
		c.readOnly = l.ReadOnly
		s := newServer(c, checks, l.Credentials)
		servers = append(servers, s)
		running.Go(func() {
			if err := s.Serve(l); err != nil && !errors.Is(err, net.ErrClosed) {
				failed <- fmt.Errorf("serving on %s: %w", l.Addr(), err)
			}
		})
	}
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	checks.Shutdown()
	for _, s := range servers {
		running.Go(func() { drain(s) })
	}
	running.Wait()
	return err
}

// drain stops the server gracefully and, when that takes too long, at once.
func drain(s *grpc.Server) {
	timer := time.AfterFunc(drainTime, s.Stop)
	defer timer.Stop()
	s.GracefulStop()
}

func newServer(c Config, checks *health.Server, creds credentials.TransportCredentials) *grpc.Server {
	options := []grpc.ServerOption{
		grpc.MaxRecvMsgSize(maxMessage),
		grpc.MaxConcurrentStreams(maxStreams),
		grpc.ConnectionTimeout(handshakeTime),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: time.Minute, Timeout: 20 * time.Second}),
		grpc.UnaryInterceptor(c.unary),
		grpc.StreamInterceptor(c.stream),
	}
	if creds != nil {
		options = append(options, grpc.Creds(creds))
	}
	s := grpc.NewServer(options...)
	s.RegisterService(bothSpellings(provisioningpb.ProvisioningService_ServiceDesc), &provisioning{c: c})
	s.RegisterService(bothSpellings(identitypb.IdentityService_ServiceDesc), &identity{c: c})
	healthpb.RegisterHealthServer(s, checks)
	for name := range s.GetServiceInfo() {
		checks.SetServingStatus(name, healthpb.HealthCheckResponse_SERVING)
	}
	reflection.Register(s)
	return s
}

// bothSpellings adds to a service the lowerCamel spelling of each method, which
// deployed clients use, with the same handler.
func bothSpellings(desc grpc.ServiceDesc) *grpc.ServiceDesc {
	methods := append([]grpc.MethodDesc(nil), desc.Methods...)
	for _, m := range desc.Methods {
		m.MethodName = lowerCamel(m.MethodName)
		methods = append(methods, m)
	}
	streams := append([]grpc.StreamDesc(nil), desc.Streams...)
	for _, s := range desc.Streams {
		s.StreamName = lowerCamel(s.StreamName)
		streams = append(streams, s)
	}
	desc.Methods, desc.Streams = methods, streams
	return &desc
}

func lowerCamel(name string) string { return strings.ToLower(name[:1]) + name[1:] }

// unary turns errors into status codes and a panic into INTERNAL: one bad
// request must not take the panel and the exchange down.
func (c Config) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (resp any, err error) {
	start := time.Now()
	defer func() {
		if r := recover(); r != nil {
			c.Log.Error("request panicked", "method", info.FullMethod, "panic", fmt.Sprint(r), "stack", string(debug.Stack()))
			err = errPanicked
		}
		c.Log.Debug("request", "method", info.FullMethod, "took", time.Since(start), "error", err)
		err = toStatus(ctx, err)
	}()
	if c.readOnly && changes(info.FullMethod) {
		c.Log.Warn("refused a change to a machine of the fleet", "method", info.FullMethod)
		return nil, errReadOnly
	}
	return handle(ctx, req)
}

// changes reports whether a method does more than to tell, as far as is known.
func changes(method string) bool {
	name, ours := strings.CutPrefix(method, "/"+provisioningpb.ProvisioningService_ServiceDesc.ServiceName+"/")
	return ours && !strings.EqualFold(name, "ping") && !strings.EqualFold(name, "status")
}

func (c Config) stream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handle grpc.StreamHandler) (err error) {
	defer func() {
		if r := recover(); r != nil {
			c.Log.Error("request panicked", "method", info.FullMethod, "panic", fmt.Sprint(r), "stack", string(debug.Stack()))
			err = errPanicked
		}
		err = toStatus(ss.Context(), err)
	}()
	return handle(srv, ss)
}
