package server

import (
	"context"
	"errors"
	"math"
	"net/http"
	"runtime/debug"
	"strconv"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/reflection"
	"google.golang.org/grpc/status"

	"github.com/mecha-org/mecha-agent/gateway"
	pb "github.com/mecha-org/mecha-agent/proto/provisioning"
)

// Trailer metadata of a failed call: the envelope's errorCode, and the seconds
// after which to try again.
const (
	trailerErrorCode  = "error-code"
	trailerRetryAfter = "retry-after"
)

// newGRPC returns the gRPC door, which net/http hands requests to.
func (s *Server) newGRPC() *grpc.Server {
	known := make(map[string]bool) // full method names, for the log
	g := grpc.NewServer(
		grpc.MaxRecvMsgSize(int(min(s.config.Limits.Body, math.MaxInt32))),
		grpc.UnaryInterceptor(func(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (answer any, err error) {
			ctx, cancel := context.WithTimeout(ctx, handleTimeout)
			defer cancel()
			err = s.guardCall(ctx, info.FullMethod, known, func(md metadata.MD) { grpc.SetTrailer(ctx, md) }, //nolint:errcheck // fails outside a call only
				func() (err error) { answer, err = next(ctx, req); return err })
			return answer, err
		}),
		grpc.StreamInterceptor(func(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
			ctx, cancel := context.WithCancel(stream.Context())
			defer cancel()
			defer context.AfterFunc(s.stopping, cancel)() // a health watch must not hold the server up
			return s.guardCall(ctx, info.FullMethod, known, stream.SetTrailer,
				func() error { return next(srv, &boundStream{stream, ctx}) })
		}),
		grpc.UnknownServiceHandler(func(any, grpc.ServerStream) error {
			return status.Error(codes.Unimplemented, "there is no such method")
		}),
	)
	pb.RegisterGatewayServiceServer(g, &grpcDoor{service: s.service, now: s.config.Now})
	h := health.NewServer()
	h.SetServingStatus(pb.GatewayService_ServiceDesc.ServiceName, healthpb.HealthCheckResponse_SERVING)
	healthpb.RegisterHealthServer(g, h)
	reflection.Register(g)
	for service, info := range g.GetServiceInfo() {
		for _, m := range info.Methods {
			known["/"+service+"/"+m.Name] = true
		}
	}
	return g
}

// boundStream ends with the call and with the server, whichever comes first.
type boundStream struct {
	grpc.ServerStream
	ctx context.Context
}

// Context implements grpc.ServerStream.
func (b *boundStream) Context() context.Context { return b.ctx }

// RecvMsg implements grpc.ServerStream. A handler that waits for a message, as
// reflection does, never asks its context.
func (b *boundStream) RecvMsg(m any) error {
	got := make(chan error, 1)
	go func() { got <- b.ServerStream.RecvMsg(m) }() // ends with the call, if not before
	select {
	case err := <-got:
		return err
	case <-b.ctx.Done():
		return status.FromContextError(b.ctx.Err()).Err()
	}
}

// serveGRPC limits a call before its body is read, as the HTTP door does.
func (s *Server) serveGRPC(w http.ResponseWriter, r *http.Request) {
	err := s.limits.admit(remote(r.RemoteAddr))
	if err == nil {
		s.grpc.ServeHTTP(w, r)
		return
	}
	kind, message, retry := reveal(r.Context(), s.log, "unmatched", err)
	// An answer of trailers only; its message needs no escapes (gRPC over HTTP2,
	// "Responses").
	h := w.Header()
	h.Set("Content-Type", "application/grpc")
	h.Set("Grpc-Status", strconv.FormatUint(uint64(kind.GRPCCode()), 10))
	h.Set("Grpc-Message", message)
	h.Set(trailerErrorCode, kind.String())
	if retry > 0 {
		h.Set(trailerRetryAfter, strconv.FormatInt(retry, 10))
	}
	w.WriteHeader(http.StatusOK)
	s.log.InfoContext(r.Context(), "request", "method", "gRPC", "route", "unmatched",
		"status", codes.Code(kind.GRPCCode()).String(), "duration", time.Duration(0), "remote", r.RemoteAddr)
}

// guardCall recovers, translates errors and logs one line for a call.
func (s *Server) guardCall(ctx context.Context, method string, known map[string]bool, trailer func(metadata.MD), call func() error) (err error) {
	start := s.config.Now()
	if !known[method] {
		method = "unmatched"
	}
	addr := ""
	if p, ok := peer.FromContext(ctx); ok {
		addr = p.Addr.String()
	}
	defer func() {
		if v := recover(); v != nil {
			s.log.ErrorContext(ctx, "panic", "route", method, "panic", v, "stack", string(debug.Stack()))
			err = s.grpcError(ctx, method, trailer, errors.New("panic"))
		}
		s.log.InfoContext(ctx, "request", "method", "gRPC", "route", method,
			"status", status.Code(err).String(), "duration", s.config.Now().Sub(start), "remote", addr)
	}()
	if err := call(); err != nil {
		return s.grpcError(ctx, method, trailer, err)
	}
	return nil
}

// grpcError translates; an error that has a gRPC status already is left alone.
func (s *Server) grpcError(ctx context.Context, method string, trailer func(metadata.MD), err error) error {
	if st, ok := err.(interface{ GRPCStatus() *status.Status }); ok {
		return st.GRPCStatus().Err()
	}
	kind, message, retry := reveal(ctx, s.log, method, err)
	md := metadata.Pairs(trailerErrorCode, kind.String())
	if retry > 0 {
		md.Set(trailerRetryAfter, strconv.FormatInt(retry, 10))
	}
	trailer(md)
	return status.Error(codes.Code(kind.GRPCCode()), message)
}

// grpcDoor translates between the service and its protobuf messages.
type grpcDoor struct {
	pb.UnimplementedGatewayServiceServer
	service *Service
	now     func() time.Time
}

func first(md metadata.MD, key string) string {
	if v := md.Get(key); len(v) > 0 {
		return v[0]
	}
	return ""
}

func (d *grpcDoor) caller(ctx context.Context) Caller {
	md, _ := metadata.FromIncomingContext(ctx)
	c := Caller{
		KeyID:     first(md, gateway.HeaderAPIKeyID), // metadata.MD looks up in lower case
		KeySecret: gateway.Secret(first(md, gateway.HeaderAPIKeySecret)),
	}
	if p, ok := peer.FromContext(ctx); ok {
		c.From = remote(p.Addr.String())
	}
	return c
}
