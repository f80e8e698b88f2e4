package server

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/mecha-org/mecha-agent/gateway"
	"github.com/mecha-org/mecha-agent/gateway/store"
)

func TestBadOperator(t *testing.T) {
	f := newFixture(t)
	f.announce("ABC123")
	f.announce("DEF456")
	machine := f.claim("DEF456").MachineID
	op := asOperator(f)
	wrong := func(r *http.Request) {
		r.Header.Set(gateway.HeaderAPIKeyID, f.key)
		r.Header.Set(gateway.HeaderAPIKeySecret, "wrong")
	}
	nobody := func(r *http.Request) {
		r.Header.Set(gateway.HeaderAPIKeyID, "key_0")
		r.Header.Set(gateway.HeaderAPIKeySecret, "wrong")
	}
	claim := func(code string) gateway.ClaimBody { return gateway.ClaimBody{ProvisionCode: code} }
	for name, tc := range map[string]struct {
		method, path string
		body         any
		as           option
		status       int
		kind         gateway.Kind
		message      string
	}{
		"no key":         {"POST", gateway.RouteClaim, claim("ABC123"), func(*http.Request) {}, 401, gateway.Unauthorized, "API key is needed"},
		"wrong secret":   {"POST", gateway.RouteClaim, claim("ABC123"), wrong, 401, gateway.Unauthorized, "the API key is wrong"},
		"unknown key":    {"POST", gateway.RouteClaim, claim("ABC123"), nobody, 401, gateway.Unauthorized, "the API key is wrong"},
		"list":           {"GET", gateway.RouteMachines, nil, wrong, 401, gateway.Unauthorized, ""},
		"find":           {"GET", gateway.RouteFindRequest + "?code=ABC123", nil, wrong, 401, gateway.Unauthorized, ""},
		"status":         {"POST", gateway.RouteRequestStatus + "?id=1", nil, wrong, 401, gateway.Unauthorized, ""},
		"revoke":         {"POST", gateway.RouteRevoke, gateway.RevokeBody{MachineID: "x"}, wrong, 401, gateway.Unauthorized, ""},
		"new key":        {"POST", gateway.RouteAPIKeys, gateway.APIKeyBody{Name: "x"}, wrong, 401, gateway.Unauthorized, ""},
		"unknown code":   {"POST", gateway.RouteClaim, claim("ZZZZZZ"), op, 404, gateway.NotFound, "unknown or expired"},
		"bad code":       {"POST", gateway.RouteClaim, claim("!"), op, 400, gateway.BadRequest, "provisionCode"},
		"claimed twice":  {"POST", gateway.RouteClaim, claim("DEF456"), op, 412, gateway.Precondition, "claimed already, as request 2 for machine " + machine},
		"find claimed":   {"GET", gateway.RouteFindRequest + "?code=DEF456", nil, op, 412, gateway.Precondition, "claimed already, as request 2 for machine " + machine},
		"another key":    {"POST", gateway.RouteClaim, gateway.ClaimBody{ProvisionCode: "ABC123", KeyFingerprint: strings.Repeat("0", 64)}, op, 412, gateway.Precondition, "another machine's now"},
		"no such status": {"POST", gateway.RouteRequestStatus + "?id=99", nil, op, 404, gateway.NotFound, "no claimed request"},
		"not claimed":    {"POST", gateway.RouteRequestStatus + "?id=1", nil, op, 404, gateway.NotFound, "no claimed request"},
		"bad id":         {"POST", gateway.RouteRequestStatus + "?id=x", nil, op, 400, gateway.BadRequest, "id: "},
		"bad limit":      {"GET", gateway.RouteMachines + "?limit=0", nil, op, 400, gateway.BadRequest, "limit: want 1 to 1000"},
		"big limit":      {"GET", gateway.RouteMachines + "?limit=1001", nil, op, 400, gateway.BadRequest, "limit: want 1 to 1000"},
		"no machine":     {"POST", gateway.RouteRevoke, gateway.RevokeBody{MachineID: "x"}, op, 404, gateway.NotFound, "no such machine"},
		"empty machine":  {"POST", gateway.RouteRevoke, gateway.RevokeBody{}, op, 400, gateway.BadRequest, "machineId"},
		"no name":        {"POST", gateway.RouteAPIKeys, gateway.APIKeyBody{Name: " "}, op, 400, gateway.BadRequest, "name: "},
		"long name":      {"POST", gateway.RouteAPIKeys, gateway.APIKeyBody{Name: strings.Repeat("n", 65)}, op, 400, gateway.BadRequest, "name: "},
	} {
		t.Run(name, func(t *testing.T) {
			f.call(f.http, tc.method, tc.path, tc.body, tc.as).want(t, tc.status, tc.kind, tc.message)
		})
	}
	if r, err := f.store.RequestByID(t.Context(), 1); err != nil || !r.Claimed.IsZero() {
		t.Errorf("request %+v, error %v, want it unclaimed", r.Claimed, err)
	}
	k := ok[gateway.APIKeyPayload](t, f.call(f.http, "POST", gateway.RouteAPIKeys, gateway.APIKeyBody{Name: "desk"}, op))
	f.key, f.secr = k.ID, gateway.Secret(k.Secret)
	f.claim("ABC123")
	// Who claimed a code, and as what, is nobody else's business.
	for _, r := range []reply{
		f.call(f.http, "POST", gateway.RouteClaim, claim("DEF456"), asOperator(f)),
		f.call(f.http, "GET", gateway.RouteFindRequest+"?code=DEF456", nil, asOperator(f)),
	} {
		r.want(t, 412, gateway.Precondition, "the code was claimed already")
		if strings.Contains(r.rawText, "request 2") || strings.Contains(r.rawText, machine) {
			t.Errorf("another operator is told %s", r.rawText)
		}
	}
}

// TestClaimOfWhatWasShown: a claim that names the key takes that machine only.
func TestClaimOfWhatWasShown(t *testing.T) {
	f := newFixture(t)
	d := f.announce("ABC123")
	shown := ok[gateway.FindPayload](t, f.call(f.http, "GET", gateway.RouteFindRequest+"?code=ABC123", nil, asOperator(f))).KeyFingerprint
	body := gateway.ClaimBody{ProvisionCode: "ABC123", KeyFingerprint: shown}
	claim := func() reply { return f.call(f.http, "POST", gateway.RouteClaim, body, asOperator(f)) }

	f.clock.add(5*time.Minute + store.Reserved)
	f.announce("ABC123") // by another key
	claim().want(t, 412, gateway.Precondition, "the code is another machine's now")
	if r, err := f.store.RequestByID(t.Context(), 2); err != nil || !r.Claimed.IsZero() {
		t.Errorf("the machine that was not shown was claimed: %v", err)
	}
	f.clock.add(5*time.Minute + store.Reserved)
	ok[gateway.SessionPayload](t, f.call(f.http, "POST", gateway.RouteAnnounce, gateway.AnnounceBody{Code: "ABC123", CSR: newCSR(t, d.key, "x")}))
	body.KeyFingerprint = strings.ToUpper(shown)
	ok[gateway.ClaimPayload](t, claim())
}
