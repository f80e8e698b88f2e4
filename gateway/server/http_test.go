package server

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/mecha-org/mecha-agent/gateway"
	"github.com/mecha-org/mecha-agent/gateway/ca"
)

func TestBodies(t *testing.T) {
	f := newFixture(t)
	for name, tc := range map[string]struct {
		body    string
		status  int
		kind    gateway.Kind
		message string
	}{
		"empty":      {"", 400, gateway.BadRequest, "the body is empty"},
		"truncated":  {`{"code": "ABC123", "csr": "-----BEG`, 400, gateway.BadRequest, "truncated JSON: it ends at byte 35"},
		"broken":     {`{"code": ABC123}`, 400, gateway.BadRequest, "broken JSON at byte 10"},
		"garbage":    {`{"code": "ABC123"} {}`, 400, gateway.BadRequest, "broken JSON at byte 20"},
		"array":      {`["ABC123"]`, 400, gateway.BadRequest, "no JSON object"},
		"null":       {`null`, 400, gateway.BadRequest, "no JSON object"},
		"HTML":       {`<html><body>502</body></html>`, 400, gateway.BadRequest, "no JSON object"},
		"wrong type": {`{"code": 123456}`, 400, gateway.BadRequest, "code: want a JSON string"},
		"deep type":  {`{"code": "ABC123", "board": {"serial": ["x"]}}`, 400, gateway.BadRequest, "board.serial: want a JSON string"},
		"no object":  {`{"code": "ABC123", "board": "x"}`, 400, gateway.BadRequest, "board: want a JSON object"},
		"10 MiB":     {`{"code": "` + strings.Repeat("A", 10<<20) + `"}`, 413, gateway.TooLarge, "longer than 65536 bytes"},
		"nulls":      {`{"code": null, "csr": null, "board": null}`, 400, gateway.BadRequest, "code: not a provisioning code"},
	} {
		t.Run(name, func(t *testing.T) {
			f.call(f.http, "POST", gateway.RouteAnnounce, tc.body).want(t, tc.status, tc.kind, tc.message)
			f.nothingStored()
		})
	}
	ok[gateway.SessionPayload](t, f.call(f.http, "POST", gateway.RouteAnnounce, map[string]any{
		"code": "ABC123", "csr": newCSR(t, newKey(t), "x"), "of_a_newer_agent": []int{1},
	}, func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") }))
}

func TestRoutes(t *testing.T) {
	f := newFixture(t)
	for _, path := range []string{"/", "/claim/", "/v1/ping/", "/v1", "/v1/provisioning/manifest/find/../find", "//v1/ping"} {
		f.call(f.http, "GET", path, nil).want(t, 404, gateway.NotFound, "no such route")
	}
	for _, tc := range []struct{ method, path, allow string }{
		{"POST", gateway.RoutePing, "GET, HEAD"},
		{"GET", gateway.RouteAnnounce, "POST"},
		{"DELETE", gateway.RouteMachines, "GET"},
		{"HEAD", gateway.RouteFindManifest, "GET"},
		{"GET", gateway.RouteRequestStatus, "POST"},
		{"PUT", gateway.RouteCRL, "GET, HEAD"},
		{"POST", gateway.RouteRootCRL, "GET, HEAD"},
	} {
		r := f.call(f.http, tc.method, tc.path, nil)
		if r.status != 405 || r.header.Get("Allow") != tc.allow {
			t.Errorf("%s %s: %d, Allow %q, want 405 and %q", tc.method, tc.path, r.status, r.header.Get("Allow"), tc.allow)
		}
		if tc.method != "HEAD" {
			r.want(t, 405, gateway.BadRequest, "this route takes "+tc.allow)
		}
	}
	r := f.call(f.http, "GET", gateway.RoutePing, nil)
	if r.status != 200 || !r.env.Success || r.header.Get("X-Content-Type-Options") != "nosniff" || r.header.Get("Server") != "" {
		t.Errorf("ping: %d %s %v", r.status, r.rawText, r.header)
	}
	if r := f.call(f.http, "GET", gateway.RouteRoot, nil); r.rawText != f.srv.service.root || !strings.HasPrefix(r.rawText, "-----BEGIN CERTIFICATE") {
		t.Errorf("root: %s", r.rawText)
	}
	r = f.call(f.http, "GET", gateway.RouteRootCRL, nil)
	if r.rawText != string(f.srv.config.CA.RootCRL()) || r.rawText == "" || r.header.Get("Content-Type") != "application/pkix-crl" {
		t.Errorf("the root's list: %d %v", r.status, r.header)
	}
}

// listless is a CA that was made before its root signed a list.
type listless struct{ ca.Authority }

func (listless) RootCRL() []byte { return nil }

func TestNoRootCRL(t *testing.T) {
	f := newFixture(t, func(c *Config) { c.CA = listless{c.CA} })
	f.call(f.http, "GET", gateway.RouteRootCRL, nil).want(t, 404, gateway.NotFound, "the root has no revocation list")
}

// TestPanic: a panic is one answer of 500 and leaves the others alone.
func TestPanic(t *testing.T) {
	f := newFixture(t)
	d := f.srv.newHTTP()
	d.routes["/boom"] = route{[]string{"GET"}, func(http.ResponseWriter, *http.Request) error { panic("secret inside") }}
	w := httptest.NewRecorder()
	d.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", "/boom", nil))
	env, err := gateway.ParseEnvelope(w.Body.Bytes())
	if err != nil || w.Code != 500 || env.ErrorCode != "internal" || strings.Contains(w.Body.String(), "secret inside") {
		t.Errorf("got %d %s, error %v", w.Code, w.Body, err)
	}
}

// TestInternal: what the store says when it is broken goes to the log alone.
func TestInternal(t *testing.T) {
	f := newFixture(t)
	if err := f.store.Close(); err != nil {
		t.Fatal(err)
	}
	r := f.call(f.http, "GET", gateway.RouteFindManifest+"?code=ABC123", nil, withBearer("x"))
	r.want(t, 500, gateway.Internal, "internal error: the gateway's log says more")
	if !strings.Contains(f.log.String(), "looking up the code: ") {
		t.Errorf("the log does not say what failed: %s", f.log)
	}
}

func TestSlowBody(t *testing.T) {
	f := newFixture(t, func(c *Config) { c.Limits.ReadTimeout = 200 * time.Millisecond })
	conn, err := net.Dial("tcp", f.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{", gateway.RouteAnnounce)
	if r := f.call(f.http, "GET", gateway.RoutePing, nil); r.status != 200 { // others are served meanwhile
		t.Errorf("ping: %d", r.status)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	env, err := gateway.ParseEnvelope(data)
	if err != nil || resp.StatusCode != 408 || env.ErrorCode != "deadline" || !resp.Close {
		t.Errorf("got %d %s, close %v, error %v", resp.StatusCode, data, resp.Close, err)
	}
	f.nothingStored()
}

// TestSlowHeader: a connection that never says what it wants is closed.
func TestSlowHeader(t *testing.T) {
	f := newFixture(t, func(c *Config) { c.Limits.ReadTimeout = 100 * time.Millisecond })
	conn, err := net.Dial("tcp", f.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "GET / HT")
	if data, err := io.ReadAll(conn); err != nil || strings.Contains(string(data), "200") {
		t.Errorf("got %q, error %v", data, err)
	}
}

// TestLogsHoldNoSecret runs whole exchanges over both doors, failures included,
// and looks for every secret in the log at debug level.
func TestLogsHoldNoSecret(t *testing.T) {
	f := newFixture(t)
	secrets := []string{f.secr.Reveal(), "ABC123", "abc-123", "WRNG99"}
	d := f.announce("abc-123")
	d.find()
	f.call(f.http, "GET", gateway.RouteFindManifest+"?code=WRNG99", nil, withBearer("guess-of-a-device-code"))
	f.call(f.http, "GET", "/v1/ABC123", nil)
	f.call(f.http, "POST", gateway.RouteAnnounce, `{"code": "ABC123"`)
	f.call(f.http, "GET", gateway.RouteFindRequest+"?code=ABC123", nil, asOperator(f))
	f.claim("ABC123")
	d.man = ok[gateway.ManifestPayload](t, d.find())
	bad := d.body()
	bad.MachineID = "x"
	d.sign(bad)
	ok[gateway.IssuedPayload](t, d.sign(d.body()))
	d.sign(d.body())
	k := ok[gateway.APIKeyPayload](t, f.call(f.http, "POST", gateway.RouteAPIKeys, gateway.APIKeyBody{Name: "desk"}, asOperator(f)))
	secrets = append(secrets, d.sess.DeviceCode, d.man.Token, k.Secret, "guess-of-a-device-code")
	secrets = append(secrets, grpcExchange(t, f)...)

	log := f.log.String()
	for _, want := range []string{`"route":"/v1/provisioning/cert/sign"`, `"status":401`, `"route":"unmatched"`, `"remote":"127.0.0.1:`,
		`"route":"/provisioning.GatewayService/SignCertificate"`, `"status":"Unauthenticated"`} {
		if !strings.Contains(log, want) {
			t.Errorf("the log lacks %s", want)
		}
	}
	for _, s := range secrets {
		if s == "" || strings.Contains(log, s) {
			t.Errorf("the log holds the secret %q", s)
		}
	}
}

// FuzzHTTP: whatever the body and whatever the route, the gateway itself is
// never at fault and every answer is an envelope.
func FuzzHTTP(f *testing.F) {
	for i, body := range []string{"", "{}", "null", `{"code":"ABC123"`, `{"code":1e999}`, `{"code":"ABC123","csr":"-----BEGIN CERTIFICATE REQUEST-----\nMA==\n-----END CERTIFICATE REQUEST-----"}`,
		`{"machine_id":"x","request_type":"Provision","token":"1.x","csr":"x"}`, `{"provisionCode":"ABC123"}`, `{"machineId":"\u0000"}`, `{"name":"\ud800"}`, "\xff\xfe{}"} {
		f.Add(uint8(i), body, "code=ABC123&id=1&limit=1&after=x", "Bearer x")
	}
	f.Add(uint8(3), "{}", "code=%zz&limit=-1&id=99999999999999999999&after=%00", "Bearer")
	fx := newFuzzFixture(f)
	f.Fuzz(func(t *testing.T, which uint8, body, query, auth string) {
		d := fx.srv.newHTTP()
		paths := []string{gateway.RoutePing, gateway.RouteAnnounce, gateway.RouteFindManifest, gateway.RouteSign, gateway.RouteClaim,
			gateway.RouteRequestStatus, gateway.RouteFindRequest, gateway.RouteMachines, gateway.RouteRevoke, gateway.RouteAPIKeys, "/nothing"}
		path := paths[int(which)%len(paths)]
		method := "POST"
		if rt, known := d.routes[path]; known {
			method = rt.methods[0]
		}
		r := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
		r.URL.RawQuery = query
		r.Header.Set("Authorization", auth)
		asOperator(fx)(r)
		w := httptest.NewRecorder()
		d.ServeHTTP(w, r)
		if _, err := gateway.ParseEnvelope(w.Body.Bytes()); err != nil || w.Code >= 500 {
			t.Errorf("%s %s: %d %q, error %v, log %s", method, path, w.Code, w.Body, err, fx.log)
		}
	})
}
