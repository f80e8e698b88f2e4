package rpc

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"slices"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"

	"github.com/mecha-org/mecha-agent/gateway"
	identitypb "github.com/mecha-org/mecha-agent/proto/identity"
	provisioningpb "github.com/mecha-org/mecha-agent/proto/provisioning"
	"github.com/mecha-org/mecha-agent/provision"
)

// exchange is a state machine that answers what the test says.
type exchange struct {
	err    error
	code   string // what GenerateCode gives and ProvisionByCode takes
	asked  []string
	panics bool
	states chan provision.Status
}

func (x *exchange) call(name string) error {
	x.asked = append(x.asked, name)
	if x.panics {
		panic("out of order")
	}
	return x.err
}

func (x *exchange) Ping(context.Context) error { return x.call("ping") }

func (x *exchange) GenerateCode(context.Context) (string, error) { return x.code, x.call("generate") }

func (x *exchange) ProvisionByCode(_ context.Context, code string) (bool, error) {
	return code == x.code, x.call("provision")
}

func (x *exchange) Deprovision(context.Context) ([]string, error) { return nil, x.call("deprovision") }

func (x *exchange) Status() provision.Status {
	return provision.Status{State: provision.CodeShown, Code: x.code}
}

func (x *exchange) Watch(context.Context) <-chan provision.Status { return x.states }

// serve runs the service on a socket until the test ends.
func serve(t *testing.T, c Config) *grpc.ClientConn {
	t.Helper()
	c.Log = slog.New(slog.DiscardHandler)
	socket := filepath.Join(t.TempDir(), "a.sock")
	listeners, err := Listen(t.Context(), Endpoint{Socket: socket})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- Serve(ctx, c, listeners...) }()
	conn, err := grpc.NewClient("unix:"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		conn.Close()
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return conn
}

// TestBothSpellings: a deployed client sends Empty to lowerCamel methods and
// reaches the same handlers.
func TestBothSpellings(t *testing.T) {
	x := &exchange{code: "7K3QMZ"}
	conn := serve(t, Config{Exchange: x, Certificates: testCertificates(t)})
	empty := &provisioningpb.Empty{}
	for _, tt := range []struct {
		method  string
		request any
		answer  any
		right   func(answer any) bool
	}{
		{"provisioning.ProvisioningService/Ping", empty, &provisioningpb.PingResponse{},
			func(a any) bool { r := a.(*provisioningpb.PingResponse); return r.Code == "success" && r.Message == "" }},
		{"provisioning.ProvisioningService/GenerateCode", empty, &provisioningpb.GenerateCodeResponse{},
			func(a any) bool { return a.(*provisioningpb.GenerateCodeResponse).Code == "7K3QMZ" }},
		{"provisioning.ProvisioningService/ProvisionByCode", &provisioningpb.ProvisioningRequest{Code: "7K3QMZ"}, &provisioningpb.ProvisioningStatusResponse{},
			func(a any) bool { return a.(*provisioningpb.ProvisioningStatusResponse).Success }},
		{"provisioning.ProvisioningService/Deprovision", empty, &provisioningpb.ProvisioningStatusResponse{},
			func(a any) bool { return a.(*provisioningpb.ProvisioningStatusResponse).Success }},
		{"provisioning.ProvisioningService/Status", empty, &provisioningpb.StatusResponse{},
			func(a any) bool {
				return a.(*provisioningpb.StatusResponse).State == provisioningpb.State_STATE_CODE_SHOWN
			}},
		{"identity.IdentityService/GetMachineId", empty, &identitypb.GetMachineIdResponse{},
			func(a any) bool { return a.(*identitypb.GetMachineIdResponse).MachineId == "machine-1" }},
		{"identity.IdentityService/GetProvisionStatus", empty, &identitypb.GetProvisionStatusResponse{},
			func(a any) bool { return a.(*identitypb.GetProvisionStatusResponse).Status }},
		{"identity.IdentityService/GetMachineCert", empty, &identitypb.GetMachineCertResponse{},
			func(a any) bool {
				r := a.(*identitypb.GetMachineCertResponse)
				return r.CommonName == "machine-1" && r.Expiry == "2036-01-02T03:04:05Z" && len(r.Fingerprint) == 64 &&
					r.PublicCert != "" && r.CaBundle == "bundle" && r.RootCert == "root" && r.SerialNumber == "4711"
			}},
	} {
		for _, method := range spellings(tt.method) {
			if err := conn.Invoke(t.Context(), "/"+method, tt.request, tt.answer); err != nil {
				t.Errorf("%s: %v", method, err)
			} else if !tt.right(tt.answer) {
				t.Errorf("%s answered %v", method, tt.answer)
			}
		}
	}
	if want := 2 * 4; len(x.asked) != want {
		t.Errorf("the exchange was asked %d times, want %d: %v", len(x.asked), want, x.asked)
	}
}

func TestNotClaimedIsNoError(t *testing.T) {
	conn := serve(t, Config{Exchange: &exchange{code: "7K3QMZ"}})
	r, err := provisioningpb.NewProvisioningServiceClient(conn).ProvisionByCode(t.Context(), &provisioningpb.ProvisioningRequest{Code: "OTHER1"})
	if err != nil || r.Success {
		t.Errorf("got %v, %v; want success=false and status OK", r, err)
	}
}

// TestErrorCodes holds the codes against the list of CONTRACT, section 1.
func TestErrorCodes(t *testing.T) {
	for _, tt := range []struct {
		kind gateway.Kind
		code codes.Code
	}{
		{gateway.Unauthorized, codes.Unauthenticated},
		{gateway.NotFound, codes.NotFound},
		{gateway.BadRequest, codes.InvalidArgument},
		{gateway.Unreachable, codes.Unavailable},
		{gateway.AlreadyRunning, codes.Aborted},
		{gateway.Precondition, codes.FailedPrecondition},
		{gateway.Deadline, codes.DeadlineExceeded},
		{gateway.Internal, codes.Internal},
	} {
		x := &exchange{err: &gateway.Error{Kind: tt.kind, Step: "announcing the code", Err: errors.New("no"), Advice: "try again – later"}}
		conn := serve(t, Config{Exchange: x})
		var trailer metadata.MD
		_, err := provisioningpb.NewProvisioningServiceClient(conn).GenerateCode(t.Context(), &provisioningpb.GenerateCodeRequest{}, grpc.Trailer(&trailer))
		if s := status.Convert(err); s.Code() != tt.code || s.Message() != "announcing the code: no" {
			t.Errorf("%v: got %v %q, want %v", tt.kind, s.Code(), s.Message(), tt.code)
		}
		if got := trailer.Get(TrailerErrorCode); len(got) != 1 || got[0] != tt.kind.String() {
			t.Errorf("%v: error-code trailer is %q", tt.kind, got)
		}
		if got := trailer.Get(TrailerHint); len(got) != 1 || got[0] != "try again ? later" {
			t.Errorf("%v: hint trailer is %q", tt.kind, got)
		}
	}
}

func TestPanicIsOneRequestsOnly(t *testing.T) {
	x := &exchange{panics: true}
	client := provisioningpb.NewProvisioningServiceClient(serve(t, Config{Exchange: x}))
	if _, err := client.Ping(t.Context(), &provisioningpb.PingRequest{}); status.Code(err) != codes.Internal {
		t.Errorf("got %v, want INTERNAL", err)
	}
	if _, err := client.Status(t.Context(), &provisioningpb.StatusRequest{}); err != nil {
		t.Errorf("the next request: %v", err)
	}
}

func TestWithoutIdentity(t *testing.T) {
	conn := serve(t, Config{Exchange: &exchange{}, Certificates: func(context.Context) (Certificates, error) { return Certificates{}, nil }})
	client := identitypb.NewIdentityServiceClient(conn)
	if _, err := client.GetMachineId(t.Context(), &identitypb.GetMachineIdRequest{}); status.Code(err) != codes.NotFound {
		t.Errorf("GetMachineId: %v, want NOT_FOUND", err)
	}
	if _, err := client.GetMachineCert(t.Context(), &identitypb.GetMachineCertRequest{}); status.Code(err) != codes.NotFound {
		t.Errorf("GetMachineCert: %v, want NOT_FOUND", err)
	}
	r, err := client.GetProvisionStatus(t.Context(), &identitypb.GetProvisionStatusRequest{})
	if err != nil || r.Status {
		t.Errorf("GetProvisionStatus: %v, %v; want false", r, err)
	}
}

// TestDamagedIdentityIsNotNone: "broken" must never read as "not provisioned",
// or a client would start over.
func TestDamagedIdentityIsNotNone(t *testing.T) {
	conn := serve(t, Config{Exchange: &exchange{}, Certificates: func(context.Context) (Certificates, error) {
		return Certificates{}, errors.New("key and certificate differ")
	}})
	_, err := identitypb.NewIdentityServiceClient(conn).GetProvisionStatus(t.Context(), &identitypb.GetProvisionStatusRequest{})
	if status.Code(err) != codes.Internal {
		t.Errorf("got %v, want INTERNAL", err)
	}
}

func TestWatchStatusEndsWithTheAgent(t *testing.T) {
	x := &exchange{states: make(chan provision.Status, 2)}
	x.states <- provision.Status{State: provision.Idle, Step: "announcing the code"}
	x.states <- provision.Status{State: provision.Provisioned, MachineID: "machine-1"}
	close(x.states)
	stream, err := provisioningpb.NewProvisioningServiceClient(serve(t, Config{Exchange: x, Board: "Test board", Keystore: func() (string, string) { return "disk", "the settings say so" }, Version: "1",
		Trouble: func() []string { return []string{"a screen: unplugged"} }})).
		WatchStatus(t.Context(), &provisioningpb.StatusRequest{})
	if err != nil {
		t.Fatal(err)
	}
	first, err := stream.Recv()
	if err != nil || first.State != provisioningpb.State_STATE_IDLE || first.Board != "Test board" || first.Step != "announcing the code" || first.CodeExpires != nil ||
		!slices.Equal(first.Trouble, []string{"a screen: unplugged"}) {
		t.Errorf("first: %v, %v", first, err)
	}
	second, err := stream.Recv()
	if err != nil || second.State != provisioningpb.State_STATE_PROVISIONED || second.MachineId != "machine-1" {
		t.Errorf("second: %v, %v", second, err)
	}
	if _, err := stream.Recv(); err == nil {
		t.Error("the stream goes on after the exchange ended")
	}
}

// TestEveryStateHasANameInTheContract guards the table against a new state.
func TestEveryStateHasANameInTheContract(t *testing.T) {
	for s := provision.Idle; s <= provision.Failed; s++ {
		if states[s] == provisioningpb.State_STATE_UNSPECIFIED {
			t.Errorf("%v has no state in the contract", s)
		}
	}
}

func TestHealthAndReflection(t *testing.T) {
	conn := serve(t, Config{Exchange: &exchange{}})
	for _, service := range []string{"", "provisioning.ProvisioningService", "identity.IdentityService"} {
		r, err := healthpb.NewHealthClient(conn).Check(t.Context(), &healthpb.HealthCheckRequest{Service: service})
		if err != nil || r.Status != healthpb.HealthCheckResponse_SERVING {
			t.Errorf("health of %q: %v, %v", service, r, err)
		}
	}
	stream, err := reflectionpb.NewServerReflectionClient(conn).ServerReflectionInfo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&reflectionpb.ServerReflectionRequest{
		MessageRequest: &reflectionpb.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: "provisioning.ProvisioningService"}}); err != nil {
		t.Fatal(err)
	}
	answer, err := stream.Recv()
	if err != nil || len(answer.GetFileDescriptorResponse().GetFileDescriptorProto()) == 0 {
		t.Errorf("reflection: %v, %v", answer, err)
	}
}
