package server

import (
	"context"
	"io"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"

	"github.com/mecha-org/mecha-agent/gateway"
	pb "github.com/mecha-org/mecha-agent/proto/provisioning"
)

func dial(t *testing.T, f *fixture) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(f.addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func operatorContext(ctx context.Context, f *fixture) context.Context {
	return metadata.AppendToOutgoingContext(ctx, "x-api-key-id", f.key, "x-api-key-secret", f.secr.Reveal())
}

func bearerContext(ctx context.Context, s string) context.Context {
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+s)
}

// refused checks code, errorCode and message of a failed call.
func refused(t *testing.T, err error, trailer metadata.MD, kind gateway.Kind, message string) {
	t.Helper()
	st := status.Convert(err)
	if st.Code() != codes.Code(kind.GRPCCode()) || first(trailer, "error-code") != kind.String() || !strings.Contains(st.Message(), message) {
		t.Errorf("got %v with trailer %v, want kind %s and %q", err, trailer, kind, message)
	}
}

// grpcExchange runs everything over gRPC, and returns the secrets it saw.
func grpcExchange(t *testing.T, f *fixture) []string {
	t.Helper()
	c, ctx := pb.NewGatewayServiceClient(dial(t, f)), t.Context()
	op := operatorContext(ctx, f)
	var tr metadata.MD
	if p, err := c.Ping(ctx, &pb.PingRequest{}); err != nil || p.GetCode() != "success" {
		t.Errorf("ping: %v, %v", p, err)
	}
	key := newKey(t)
	a, err := c.Announce(ctx, &pb.AnnounceRequest{Code: "GRPC01", Csr: newCSR(t, key, "x"), Board: boardTo(testBoard)})
	if err != nil || a.GetExpiresIn() != 300 || a.GetInterval() != 5 || !strings.HasSuffix(a.GetVerificationUriComplete(), "/claim?code=GRPC01") {
		t.Fatalf("announce: %v, %v", a, err)
	}
	_, err = c.Announce(ctx, &pb.AnnounceRequest{Code: "GRPC01", Csr: newCSR(t, key, "x")}, grpc.Trailer(&tr))
	refused(t, err, tr, gateway.Taken, "make another")
	dev := bearerContext(ctx, a.GetDeviceCode())
	_, err = c.FindManifest(dev, &pb.FindManifestRequest{Code: "GRPC01"}, grpc.Trailer(&tr))
	refused(t, err, tr, gateway.Pending, "no operator has claimed")
	_, err = c.FindManifest(dev, &pb.FindManifestRequest{Code: "GRPC01"}, grpc.Trailer(&tr))
	refused(t, err, tr, gateway.SlowDown, "too often")
	if ra := first(tr, "retry-after"); ra != "5" {
		t.Errorf("retry-after %q, want 5", ra)
	}
	_, err = c.FindManifest(bearerContext(ctx, "wrong"), &pb.FindManifestRequest{Code: "GRPC01"}, grpc.Trailer(&tr))
	refused(t, err, tr, gateway.NotFound, "unknown or expired")
	_, err = c.ClaimRequest(ctx, &pb.ClaimRequestRequest{ProvisionCode: "GRPC01"}, grpc.Trailer(&tr))
	refused(t, err, tr, gateway.Unauthorized, "API key is needed")

	p, err := c.FindRequest(op, &pb.FindRequestRequest{ProvisionCode: "GRPC01"})
	if err != nil || p.GetBoard().GetSerial() != testBoard.Serial || p.GetExpires().AsTime().IsZero() {
		t.Errorf("find request: %v, %v", p, err)
	}
	_, err = c.ClaimRequest(op, &pb.ClaimRequestRequest{ProvisionCode: "GRPC01", KeyFingerprint: "another"}, grpc.Trailer(&tr))
	refused(t, err, tr, gateway.Precondition, "another machine's now")
	claim, err := c.ClaimRequest(op, &pb.ClaimRequestRequest{ProvisionCode: "grpc-01", KeyFingerprint: p.GetKeyFingerprint()})
	if err != nil {
		t.Fatal(err)
	}
	m, err := c.FindManifest(dev, &pb.FindManifestRequest{Code: "GRPC01"})
	if err != nil || m.GetMachineId() != claim.GetMachineId() {
		t.Fatalf("manifest: %v, %v", m.GetMachineId(), err)
	}
	sign := &pb.SignCertificateRequest{Csr: newCSR(t, key, m.GetMachineId()), MachineId: m.GetMachineId(), RequestType: "Provision", Token: m.GetToken()}
	i, err := c.SignCertificate(ctx, sign)
	if err != nil {
		t.Fatal(err)
	}
	verify(t, gateway.IssuedPayload{Cert: i.GetCert(), RootCert: i.GetRootCert(), CABundle: i.GetCaBundle()}, key, m.GetMachineId())
	_, err = c.SignCertificate(ctx, sign, grpc.Trailer(&tr))
	refused(t, err, tr, gateway.Unauthorized, "used already")

	if s, err := c.RequestStatus(op, &pb.RequestStatusRequest{Id: claim.GetRequestId()}); err != nil || s.GetStatusCode() != "COMPLETE" {
		t.Errorf("status: %v, %v", s, err)
	}
	list, err := c.ListMachines(op, &pb.ListMachinesRequest{Limit: 10})
	found := false
	for _, got := range list.GetMachines() {
		found = found || got.GetMachineId() == m.GetMachineId() && got.GetCertificateSerial() != "" && got.GetRevoked() == nil
	}
	if err != nil || !found {
		t.Errorf("machines: %v, %v", list, err)
	}
	if r, err := c.RevokeMachine(op, &pb.RevokeMachineRequest{MachineId: m.GetMachineId()}); err != nil || !r.GetRevoked().AsTime().Equal(f.clock.Now()) {
		t.Errorf("revoke: %v, %v", r, err)
	}
	k, err := c.CreateApiKey(op, &pb.CreateApiKeyRequest{Name: "grpc"})
	if err != nil || k.GetId() == "" {
		t.Fatalf("new key: %v", err)
	}
	return []string{"GRPC01", a.GetDeviceCode(), m.GetToken(), k.GetSecret()}
}

func TestGRPC(t *testing.T) { grpcExchange(t, newFixture(t)) }

func TestGRPCServices(t *testing.T) {
	f := newFixture(t)
	conn := dial(t, f)
	for _, name := range []string{"", "provisioning.GatewayService"} {
		h, err := healthpb.NewHealthClient(conn).Check(t.Context(), &healthpb.HealthCheckRequest{Service: name})
		if err != nil || h.GetStatus() != healthpb.HealthCheckResponse_SERVING {
			t.Errorf("health of %q: %v, %v", name, h, err)
		}
	}
	s, err := reflectionpb.NewServerReflectionClient(conn).ServerReflectionInfo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	err = s.Send(&reflectionpb.ServerReflectionRequest{MessageRequest: &reflectionpb.ServerReflectionRequest_ListServices{}})
	if err != nil {
		t.Fatal(err)
	}
	r, err := s.Recv()
	if err != nil || !strings.Contains(r.String(), "provisioning.GatewayService") {
		t.Errorf("reflection: %v, %v", r, err)
	}
	if err := s.CloseSend(); err != nil {
		t.Error(err)
	}
	err = conn.Invoke(t.Context(), "/provisioning.GatewayService/Nothing", &pb.PingRequest{}, &pb.PingResponse{})
	if status.Code(err) != codes.Unimplemented {
		t.Errorf("unknown method: %v", err)
	}
	big := &pb.AnnounceRequest{Code: "ABC123", Csr: strings.Repeat("A", 10<<20)}
	if _, err := pb.NewGatewayServiceClient(conn).Announce(t.Context(), big); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("10 MiB: %v", err)
	}
	f.nothingStored()
}

// TestGRPCLimits: an address has one allowance for both doors.
func TestGRPCLimits(t *testing.T) {
	f := newFixture(t, func(c *Config) { c.Limits.PerAddress, c.Limits.Burst = 1, 2 })
	c := pb.NewGatewayServiceClient(dial(t, f))
	if r := f.call(f.http, "GET", gateway.RoutePing, nil); r.status != 200 {
		t.Fatalf("ping: %d", r.status)
	}
	if _, err := c.Ping(t.Context(), &pb.PingRequest{}); err != nil {
		t.Fatal(err)
	}
	var tr metadata.MD
	_, err := c.Ping(t.Context(), &pb.PingRequest{}, grpc.Trailer(&tr))
	refused(t, err, tr, gateway.TooMany, "too many requests from this address")
	if first(tr, "retry-after") != "1" {
		t.Errorf("trailer %v", tr)
	}
	f.clock.add(time.Second)
	if _, err := c.Ping(t.Context(), &pb.PingRequest{}); err != nil {
		t.Error(err)
	}
}

// unread fails the test when somebody reads it.
type unread struct{ t *testing.T }

func (u unread) Read([]byte) (int, error) {
	u.t.Error("the body was read")
	return 0, io.EOF
}

// TestLimitsComeBeforeTheBody: to be refused costs the gateway no body, at
// neither door.
func TestLimitsComeBeforeTheBody(t *testing.T) {
	f := newFixture(t, func(c *Config) { c.Limits.PerAddress, c.Limits.Burst = 1, 1 })
	h := f.srv.Handler()
	ask := func(path, contentType string, body io.Reader) *httptest.ResponseRecorder {
		r := httptest.NewRequestWithContext(t.Context(), "POST", path, body)
		r.ProtoMajor, r.ProtoMinor, r.Proto = 2, 0, "HTTP/2.0"
		r.Header.Set("Content-Type", contentType)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	ask(gateway.RoutePing, "application/json", nil)
	w := ask("/provisioning.GatewayService/Announce", "application/grpc", unread{t})
	if got := w.Header(); w.Code != 200 || w.Body.Len() != 0 || got.Get("Grpc-Status") != "8" || got.Get("error-code") != "too_many_requests" || got.Get("retry-after") != "1" {
		t.Errorf("gRPC: %d %q %v", w.Code, w.Body, got)
	}
	if w := ask(gateway.RouteAnnounce, "application/json", unread{t}); w.Code != 429 {
		t.Errorf("HTTP: %d %s", w.Code, w.Body)
	}
	if !strings.Contains(f.log.String(), `"status":"ResourceExhausted"`) {
		t.Error("the log does not have the refused call")
	}
}

// TestReflectionDoesNotHoldTheServerUp: nor does a stream that waits for the
// other side.
func TestReflectionDoesNotHoldTheServerUp(t *testing.T) {
	f := newFixture(t, func(c *Config) { c.Limits.ReadTimeout = time.Hour }) // which would end the stream too
	s, err := reflectionpb.NewServerReflectionClient(dial(t, f)).ServerReflectionInfo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Send(&reflectionpb.ServerReflectionRequest{MessageRequest: &reflectionpb.ServerReflectionRequest_ListServices{}}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Recv(); err != nil {
		t.Fatal(err)
	}
	f.stop()
	if _, err := s.Recv(); err == nil {
		t.Error("the stream goes on, want its end")
	}
	<-f.ended // Serve returns without an error: it has not waited for drainTimeout
	if f.err != nil {
		t.Error(f.err)
	}
}

// TestHealthWatchDoesNotHoldTheServerUp: a stream without end ends with the server.
func TestHealthWatchDoesNotHoldTheServerUp(t *testing.T) {
	f := newFixture(t)
	conn := dial(t, f)
	w, err := healthpb.NewHealthClient(conn).Watch(t.Context(), &healthpb.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Recv(); err != nil {
		t.Fatal(err)
	}
	f.stop()
	if _, err := w.Recv(); err == nil {
		t.Error("the watch goes on, want its end")
	}
	<-f.ended // Serve returns, without having waited for drainTimeout
	if f.err != nil {
		t.Error(f.err)
	}
}
