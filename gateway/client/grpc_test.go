package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/mecha-org/mecha-agent/gateway"
	"github.com/mecha-org/mecha-agent/gateway/client"
	"github.com/mecha-org/mecha-agent/gateway/gatewaytest"
	pb "github.com/mecha-org/mecha-agent/proto/provisioning"
)

// fakeService answers well unless fail is set.
type fakeService struct {
	pb.UnimplementedGatewayServiceServer
	fail func(ctx context.Context) error

	mu       sync.Mutex
	bearer   string
	announce *pb.AnnounceRequest
	sign     *pb.SignCertificateRequest
	issued   *pb.SignCertificateResponse
	manifest *pb.FindManifestResponse
}

func (f *fakeService) failed(ctx context.Context) error {
	if f.fail == nil {
		return nil
	}
	return f.fail(ctx)
}

func (f *fakeService) Ping(ctx context.Context, _ *pb.PingRequest) (*pb.PingResponse, error) {
	return &pb.PingResponse{Code: "success"}, f.failed(ctx)
}

func (f *fakeService) Announce(ctx context.Context, r *pb.AnnounceRequest) (*pb.AnnounceResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.announce = r
	return &pb.AnnounceResponse{DeviceCode: "device", ExpiresIn: 60, Interval: 2, VerificationUri: "u", VerificationUriComplete: "uc"}, f.failed(ctx)
}

func (f *fakeService) FindManifest(ctx context.Context, _ *pb.FindManifestRequest) (*pb.FindManifestResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	md, _ := metadata.FromIncomingContext(ctx)
	f.bearer = strings.Join(md.Get("authorization"), ",")
	if f.manifest == nil {
		f.manifest = &pb.FindManifestResponse{MachineId: "m", CertSignUrl: "/p", CertValidUpto: "2026", Token: "t"}
	}
	return f.manifest, f.failed(ctx)
}

func (f *fakeService) SignCertificate(ctx context.Context, r *pb.SignCertificateRequest) (*pb.SignCertificateResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sign = r
	if f.issued == nil {
		f.issued = &pb.SignCertificateResponse{Cert: "c", RootCert: "r", CaBundle: []string{"i"}}
	}
	return f.issued, f.failed(ctx)
}

func serveGRPC(t *testing.T, l net.Listener, f pb.GatewayServiceServer) {
	t.Helper()
	s := grpc.NewServer()
	pb.RegisterGatewayServiceServer(s, f)
	go s.Serve(l) //nolint:errcheck // ends with Stop
	t.Cleanup(s.Stop)
}

func startGRPC(t *testing.T, f pb.GatewayServiceServer) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	serveGRPC(t, l, f)
	return "grpc://" + l.Addr().String()
}

func TestExchangeOverGRPC(t *testing.T) {
	f := &fakeService{}
	now := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	c := open(t, client.Config{ServerURL: startGRPC(t, f), Now: func() time.Time { return now }})
	var w walk
	if step, err := w.run(t, c, newDevice(t), func(string) string { return "" }); err != nil {
		t.Fatalf("%s: %v", step, err)
	}
	if want := (gateway.Session{Code: code, DeviceCode: "device", Expires: now.Add(time.Minute), Interval: 2 * time.Second,
		VerificationURI: "u", VerificationURIComplete: "uc"}); w.session != want {
		t.Errorf("session %+v", w.session)
	}
	if want := (gateway.Manifest{MachineID: "m", CertSignURL: "/p", CertValidUpto: "2026", Token: "t"}); w.manifest != want {
		t.Errorf("manifest %+v", w.manifest)
	}
	if w.issued.Cert != "c" || w.issued.RootCert != "r" || len(w.issued.CABundle) != 1 {
		t.Errorf("issued %+v", w.issued)
	}
	if f.bearer != "Bearer device" || f.announce.GetCode() != code || f.sign.GetToken() != "t" ||
		f.sign.GetMachineId() != "m" || f.sign.GetRequestType() != "Provision" || f.sign.GetCsr() == "" {
		t.Errorf("asked with %q, %v, %v", f.bearer, f.announce, f.sign)
	}
	if _, err := c.FindManifest(context.Background(), code, ""); err != nil || f.bearer != "" {
		t.Errorf("plain mode sends %q, %v", f.bearer, err)
	}
}

func TestBoardOverGRPC(t *testing.T) {
	f := &fakeService{}
	b := gateway.Board{Vendor: "v", Model: "m", Serial: "s", SoC: "soc", Revision: "r", Architecture: "a"}
	if _, err := open(t, client.Config{ServerURL: startGRPC(t, f)}).Announce(context.Background(), gateway.Announcement{Board: b}); err != nil {
		t.Fatal(err)
	}
	got := f.announce.GetBoard()
	if (gateway.Board{Vendor: got.Vendor, Model: got.Model, Serial: got.Serial, SoC: got.Soc, Revision: got.Revision, Architecture: got.Architecture}) != b {
		t.Errorf("board %v", got)
	}
}

func trailing(c codes.Code, message string, kv ...string) func(context.Context) error {
	return func(ctx context.Context) error {
		if err := grpc.SetTrailer(ctx, metadata.Pairs(kv...)); err != nil {
			return err
		}
		return status.Error(c, message)
	}
}

func TestKindsOverGRPC(t *testing.T) {
	ctx := context.Background()
	find := func(c client.Client) error { _, err := c.FindManifest(ctx, code, "device"); return err }
	announce := func(c client.Client) error {
		_, err := c.Announce(ctx, gateway.Announcement{Code: code})
		return err
	}
	sign := func(c client.Client) error {
		_, err := c.Sign(ctx, gateway.SignRequest{Token: "a-token-that-is-long"})
		return err
	}
	for name, c := range map[string]struct {
		call func(client.Client) error
		fail func(context.Context) error
		kind gateway.Kind
		says string
	}{
		"pending by trailer":        {find, trailing(codes.FailedPrecondition, "not yet", "error-code", "authorization_pending"), gateway.Pending, "not yet"},
		"trailer wins over code":    {find, trailing(codes.Internal, "", "error-code", "slow_down"), gateway.SlowDown, "Internal"},
		"unknown trailer":           {find, trailing(codes.NotFound, "", "error-code", "what"), gateway.NotFound, "NotFound"},
		"pending without trailer":   {find, trailing(codes.FailedPrecondition, ""), gateway.Pending, ""},
		"sign without trailer":      {sign, trailing(codes.FailedPrecondition, ""), gateway.Precondition, ""},
		"taken":                     {announce, trailing(codes.AlreadyExists, "in use"), gateway.Taken, "in use"},
		"denied":                    {sign, trailing(codes.PermissionDenied, "", "error-code", "unauthorized"), gateway.Unauthorized, "the gateway answered"},
		"denied by a proxy":         {find, trailing(codes.PermissionDenied, "RBAC: access denied"), gateway.Unreachable, "not the gateway answered PermissionDenied: RBAC"},
		"unauthorized by a proxy":   {sign, trailing(codes.Unauthenticated, "Jwt is missing"), gateway.Unreachable, "proxy"},
		"announced to a proxy":      {announce, trailing(codes.PermissionDenied, ""), gateway.Unreachable, "proxy"},
		"unavailable, from inside":  {find, trailing(codes.Unavailable, "store is away", "error-code", "unreachable"), gateway.Unreachable, "store is away"},
		"message with the code":     {find, trailing(codes.NotFound, "no code abc-123"), gateway.NotFound, ""},
		"message with the token":    {sign, trailing(codes.Unauthenticated, "a-token-that-is-long", "error-code", "unauthorized"), gateway.Unauthorized, ""},
		"unprintable":               {find, trailing(codes.NotFound, "a\x1b[31m"), gateway.NotFound, ""},
		"internal":                  {find, trailing(codes.Unknown, "boom"), gateway.Internal, "boom"},
		"unimplemented, not at all": {find, trailing(codes.Unimplemented, ""), gateway.Internal, "gRPC address"},
	} {
		t.Run(name, func(t *testing.T) {
			err := c.call(open(t, client.Config{ServerURL: startGRPC(t, &fakeService{fail: c.fail})}))
			wantKind(t, err, c.kind, c.says)
			for _, secret := range []string{"abc-123", "a-token-that-is-long", "\x1b"} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("%q stands in %v", secret, err)
				}
			}
			if errors.Is(err, gateway.ErrNoAnnounce) {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestNoAnnounceOverGRPC(t *testing.T) {
	announce := func(at string) error {
		_, err := open(t, client.Config{ServerURL: at}).Announce(context.Background(), gateway.Announcement{Code: code})
		return err
	}
	err := announce(startGRPC(t, pb.UnimplementedGatewayServiceServer{}))
	if wantKind(t, err, gateway.NotFound); !errors.Is(err, gateway.ErrNoAnnounce) {
		t.Errorf("%v", err)
	}
	// The gateway's own word wins: it has the route and says no.
	err = announce(startGRPC(t, &fakeService{fail: trailing(codes.Unimplemented, "", "error-code", "precondition")}))
	if wantKind(t, err, gateway.Precondition); errors.Is(err, gateway.ErrNoAnnounce) {
		t.Errorf("%v", err)
	}
}

// An HTTP/2 server that is not gRPC, such as a proxy while the gateway is being
// replaced, says nothing about routes, code and token, whatever gRPC makes of it.
func TestForeignPagesOverGRPC(t *testing.T) {
	ctx := context.Background()
	calls := map[string]func(client.Client) error{
		"ping": func(c client.Client) error { return c.Ping(ctx) },
		"announce": func(c client.Client) error {
			_, err := c.Announce(ctx, gateway.Announcement{Code: code})
			return err
		},
		"find": func(c client.Client) error { _, err := c.FindManifest(ctx, code, "device"); return err },
		"sign": func(c client.Client) error { _, err := c.Sign(ctx, gateway.SignRequest{Token: "t"}); return err },
	}
	for _, page := range []string{"", "<html>" + code + "</html>"} {
		for _, status := range []int{200, 301, 400, 401, 403, 404, 405, 429, 500, 502} {
			s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "text/html; charset=utf-8")
				w.WriteHeader(status)
				io.WriteString(w, page) //nolint:errcheck // the client hangs up
			}))
			s.Config.Protocols = new(http.Protocols)
			s.Config.Protocols.SetUnencryptedHTTP2(true)
			s.Start()
			t.Cleanup(s.Close)
			c := open(t, client.Config{ServerURL: strings.Replace(s.URL, "http", "grpc", 1)})
			for name, call := range calls {
				t.Run(fmt.Sprintf("%s %d %d", name, status, len(page)), func(t *testing.T) {
					err := call(c)
					wantKind(t, err, gateway.Unreachable, fmt.Sprintf(": %d (", status), "not a gRPC server", "proxy")
					if errors.Is(err, gateway.ErrNoAnnounce) || strings.Contains(err.Error(), "html") {
						t.Errorf("%v", err)
					}
				})
			}
		}
	}
}

func TestRetryAfterOverGRPC(t *testing.T) {
	for text, want := range map[string]time.Duration{"42": 42 * time.Second, "-1": 0, "soon": 0, "999999999": time.Hour} {
		f := &fakeService{fail: trailing(codes.ResourceExhausted, "", "error-code", "too_many_requests", "retry-after", text)}
		err := open(t, client.Config{ServerURL: startGRPC(t, f)}).Ping(context.Background())
		var e *gateway.Error
		if !errors.As(err, &e) || e.Kind != gateway.TooMany || e.RetryAfter != want {
			t.Errorf("%q: %+v, want %v", text, e, want)
		}
	}
}

func TestDeadlineOverGRPC(t *testing.T) {
	f := &fakeService{fail: func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }}
	c := open(t, client.Config{ServerURL: startGRPC(t, f), Timeout: 50 * time.Millisecond})
	for range 2 {
		err := c.Ping(context.Background())
		if wantKind(t, err, gateway.Deadline, "in time"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v does not wrap context.DeadlineExceeded", err)
		}
	}
	// The server was the first to give up.
	early := open(t, client.Config{ServerURL: startGRPC(t, &fakeService{fail: trailing(codes.DeadlineExceeded, "")})})
	err := early.Ping(context.Background())
	if wantKind(t, err, gateway.Deadline, "in time"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v does not wrap context.DeadlineExceeded", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := c.Ping(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("%v does not wrap context.Canceled", err)
	}
}

func TestBadAnswersOverGRPC(t *testing.T) {
	ctx := context.Background()
	for name, f := range map[string]*fakeService{
		"huge":      {manifest: &pb.FindManifestResponse{MachineId: "m", Token: strings.Repeat("t", 2<<20)}},
		"no id":     {manifest: &pb.FindManifestResponse{Token: "t"}},
		"elsewhere": {manifest: &pb.FindManifestResponse{MachineId: "m", CertSignUrl: "https://evil.example/"}},
	} {
		if _, err := open(t, client.Config{ServerURL: startGRPC(t, f)}).FindManifest(ctx, code, "d"); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	_, err := open(t, client.Config{ServerURL: startGRPC(t, &fakeService{issued: &pb.SignCertificateResponse{Cert: "c"}})}).Sign(ctx, gateway.SignRequest{})
	wantKind(t, err, gateway.Internal, "root")
}

// A server that speaks HTTP only has no such service; that is told, not taken
// for an answer.
func TestGRPCToAnHTTPServer(t *testing.T) {
	g := gatewaytest.New(t)
	err := open(t, client.Config{ServerURL: strings.Replace(g.URL, "http", "grpc", 1)}).Ping(context.Background())
	wantKind(t, err, gateway.Unreachable, "speaks gRPC at that port")
}

// Many at once share a connection, also while it goes bad under them.
func TestConcurrentCallsOverGRPC(t *testing.T) {
	c := open(t, client.Config{ServerURL: startGRPC(t, &fakeService{})})
	var wg sync.WaitGroup
	for i := range 32 {
		wg.Go(func() {
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			if i%4 == 0 {
				cancel()
			}
			if err := c.Ping(ctx); err != nil && i%4 != 0 {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}
