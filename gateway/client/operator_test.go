package client_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/mecha-org/mecha-agent/gateway"
	"github.com/mecha-org/mecha-agent/gateway/client"
)

const apiSecret = "api-s3cret-that-is-long-enough"

// office answers one operator's route, and remembers what was asked.
type office struct {
	status  int
	payload any
	failure *gateway.Envelope
	asked   string // method, address and body
	header  http.Header
}

func (o *office) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body) // a body cut short shows in asked
	o.asked, o.header = strings.TrimSpace(r.Method+" "+r.URL.String()+" "+string(body)), r.Header
	env, err := gateway.NewSuccess(o.payload)
	if o.failure != nil {
		env = *o.failure
	}
	b, err2 := json.Marshal(env)
	if err != nil || err2 != nil {
		panic(fmt.Sprint(err, err2))
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(o.status)
	w.Write(b) //nolint:errcheck // the client reads it or fails
}

func openOffice(t *testing.T, o *office) *client.Operator {
	t.Helper()
	s := httptest.NewServer(o)
	t.Cleanup(s.Close)
	op, err := client.NewOperator(client.Config{ServerURL: s.URL}, "id-1", apiSecret)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { op.Close() })
	return op
}

func TestOperator(t *testing.T) {
	ctx, noon := context.Background(), time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	machine := gateway.Machine{ID: "m", Board: gateway.Board{Model: "x"}, KeyFingerprint: "fp", Created: noon}
	pending := gateway.PendingRequest{Board: gateway.Board{Model: "x"}, KeyFingerprint: "fp", Expires: noon}
	for _, c := range []struct {
		payload any
		call    func(*client.Operator) (any, error)
		asked   string
		want    any
	}{
		{gateway.NewFindPayload(pending), func(o *client.Operator) (any, error) { return o.Find(ctx, "abc-123") },
			"GET /v1/machines/provision-requests/find?code=ABC123", pending},
		{gateway.ClaimPayload{RequestID: 7, MachineID: "m"}, func(o *client.Operator) (any, error) { return o.Claim(ctx, "abc-123", "") },
			`POST /v1/machines/provision-requests/new {"provisionCode":"ABC123"}`, gateway.Claim{RequestID: 7, MachineID: "m"}},
		{gateway.ClaimPayload{RequestID: 7, MachineID: "m"}, func(o *client.Operator) (any, error) { return o.Claim(ctx, "abc-123", "fp") },
			`POST /v1/machines/provision-requests/new {"provisionCode":"ABC123","keyFingerprint":"fp"}`, gateway.Claim{RequestID: 7, MachineID: "m"}},
		{gateway.NewRequestStatusPayload(gateway.RequestComplete), func(o *client.Operator) (any, error) { return o.RequestStatus(ctx, 7) },
			"POST /v1/machines/provision-requests/status?id=7", gateway.RequestComplete},
		{gateway.NewMachinesPayload([]gateway.Machine{machine}), func(o *client.Operator) (any, error) { return o.Machines(ctx, "l&x", 50) },
			"GET /v1/machines?after=l%26x&limit=50", []gateway.Machine{machine}},
		{gateway.NewMachinesPayload(nil), func(o *client.Operator) (any, error) { return o.Machines(ctx, "", 0) },
			"GET /v1/machines", []gateway.Machine{}},
		{gateway.RevokePayload{Revoked: noon}, func(o *client.Operator) (any, error) { return o.Revoke(ctx, "m") },
			`POST /v1/machines/revoke {"machineId":"m"}`, noon},
		{gateway.NewAPIKeyPayload("id-2", "s2"), func(o *client.Operator) (any, error) {
			id, secret, err := o.NewAPIKey(ctx, "bench")
			return []any{id, secret}, err
		}, `POST /v1/api-keys/new {"name":"bench"}`, []any{"id-2", gateway.Secret("s2")}},
	} {
		o := &office{status: 200, payload: c.payload}
		got, err := c.call(openOffice(t, o))
		if err != nil || !reflect.DeepEqual(got, c.want) || o.asked != c.asked {
			t.Errorf("%s (want %s): %+v, %v, want %+v", o.asked, c.asked, got, err, c.want)
		}
		if o.header.Get(gateway.HeaderAPIKeyID) != "id-1" || o.header.Get(gateway.HeaderAPIKeySecret) != apiSecret {
			t.Errorf("%s: API key headers %v", c.asked, o.header)
		}
		// An answer without what it is for is an error, not a zero value.
		o.payload = struct{}{}
		if strings.Contains(c.asked, "/find") || strings.HasPrefix(c.asked, "GET /v1/machines") {
			continue // an empty board and an empty list are possible
		}
		_, err = c.call(openOffice(t, o))
		wantKind(t, err, gateway.Internal, "of no use")
	}
}

func TestOperatorErrors(t *testing.T) {
	ctx := context.Background()
	for _, c := range []struct {
		kind gateway.Kind
		says string
	}{
		{gateway.Unauthorized, "check the API key"},
		{gateway.NotFound, "read it off the device again"},
		{gateway.TooMany, "wait"},
		{gateway.Precondition, "claimed already"},
	} {
		env := gateway.NewFailure(c.kind, "claimed already", []string{apiSecret})
		_, err := openOffice(t, &office{status: c.kind.HTTPStatus(), failure: &env}).Claim(ctx, code, "")
		wantKind(t, err, c.kind, "claiming the code", c.says)
		if strings.Contains(err.Error(), apiSecret) || strings.Contains(err.Error(), code) {
			t.Errorf("a secret stands in %v", err)
		}
	}
	env := gateway.NewFailure(gateway.Unauthorized, "unknown key "+apiSecret, nil)
	_, err := openOffice(t, &office{status: 401, failure: &env}).Machines(ctx, "", 0)
	if wantKind(t, err, gateway.Unauthorized); strings.Contains(err.Error(), apiSecret) {
		t.Errorf("the secret stands in %v", err)
	}
}

// A code that cannot exist does not leave the machine: at the gateway it would
// count as a wrong guess.
func TestOperatorChecksCodes(t *testing.T) {
	o := &office{status: 200}
	op := openOffice(t, o)
	_, err := op.Find(context.Background(), "AB!")
	wantKind(t, err, gateway.BadRequest, "read the code off the device again")
	_, err = op.Claim(context.Background(), "", "")
	wantKind(t, err, gateway.BadRequest)
	if o.asked != "" {
		t.Errorf("the gateway was asked %s", o.asked)
	}
}

func TestNewOperatorRefuses(t *testing.T) {
	for _, c := range []struct{ url, id, secret, says string }{
		{"grpc://localhost:1", "i", "s", "http or https"},
		{"http://gateway.example", "i", "s", "https"},
		{"http://localhost", "", "s", "API key"},
		{"http://localhost", "i", "", "API key"},
		{"http://localhost", "i\r\nX: y", "s", "API key"},
		{"http://localhost", "i", "s\n", "API key"},
	} {
		_, err := client.NewOperator(client.Config{ServerURL: c.url}, c.id, gateway.Secret(c.secret))
		if err == nil || !strings.Contains(err.Error()+gateway.HintOf(err), c.says) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

func TestOperatorDoesNotPrintItsKey(t *testing.T) {
	op := openOffice(t, &office{})
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if s := fmt.Sprintf(verb, op); strings.Contains(s, apiSecret) {
			t.Errorf("%s: %s", verb, s)
		}
	}
}
