package client_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/mecha-org/mecha-agent/gateway"
	"github.com/mecha-org/mecha-agent/gateway/client"
	"github.com/mecha-org/mecha-agent/gateway/gatewaytest"
)

const code = "ABC123"

// walk is the exchange of a device up to the step that fails.
type walk struct {
	session  gateway.Session
	manifest gateway.Manifest
	issued   gateway.Issued
}

func (w *walk) run(t *testing.T, c client.Client, d device, claim func(string) string) (gatewaytest.Step, error) {
	t.Helper()
	ctx := context.Background()
	var err error
	if err = c.Ping(ctx); err != nil {
		return gatewaytest.Ping, err
	}
	if w.session, err = c.Announce(ctx, gateway.Announcement{Code: code, CSR: d.csr(t, "unnamed")}); err != nil {
		return gatewaytest.Announce, err
	}
	claim(code)
	if w.manifest, err = c.FindManifest(ctx, code, w.session.DeviceCode); err != nil {
		return gatewaytest.Find, err
	}
	w.issued, err = c.Sign(ctx, gateway.SignRequest{URL: w.manifest.CertSignURL, CSR: d.csr(t, w.manifest.MachineID),
		MachineID: w.manifest.MachineID, Type: gateway.Provision, Token: w.manifest.Token})
	return gatewaytest.Sign, err
}

func TestExchangeOverHTTP(t *testing.T) {
	for name, opts := range map[string][]gatewaytest.Option{"http": nil, "https": {gatewaytest.TLS()}} {
		t.Run(name, func(t *testing.T) {
			g := gatewaytest.New(t, opts...)
			c := open(t, client.Config{ServerURL: g.URL, RootFingerprint: g.CA.RootFingerprint(), UserAgent: "test/1"})
			var w walk
			if step, err := w.run(t, c, newDevice(t), g.Claim); err != nil {
				t.Fatalf("%s: %v", step, err)
			}
			if w.session.Code != code || w.session.Interval != time.Second || w.manifest.MachineID != "machine-1" ||
				!strings.Contains(w.issued.Cert, "BEGIN CERT") || len(w.issued.CABundle) != 1 {
				t.Errorf("%+v", w)
			}
			if left := time.Until(w.session.Expires); left < 4*time.Minute || left > 5*time.Minute {
				t.Errorf("the code lives for %v", left)
			}
			find := g.Requests(gatewaytest.Find)[0]
			if got := find.Header.Get("Authorization"); got != "Bearer "+w.session.DeviceCode.Reveal() || find.Query != "code="+code {
				t.Errorf("asked with %q and query %q", got, find.Query)
			}
			if got := find.Header.Get("User-Agent"); got != "test/1" {
				t.Errorf("User-Agent %q", got)
			}
			if got := g.Requests(gatewaytest.Sign)[0].Header.Get("Content-Type"); got != "application/json" {
				t.Errorf("Content-Type %q", got)
			}
		})
	}
}

// Each fault at each step where it can happen: its kind, and a text that says
// what came. Afterwards the gateway is well, and so must the client be.
func TestFaults(t *testing.T) {
	device := newDevice(t)
	every := []gatewaytest.Step{gatewaytest.Announce, gatewaytest.Find, gatewaytest.Sign}
	for name, c := range map[string]struct {
		fault gatewaytest.Fault
		kind  gateway.Kind
		says  []string
	}{
		"500":            {gatewaytest.Refuse(gateway.Internal), gateway.Internal, []string{"HTTP 500 Internal Server Error", "as the test wants it"}},
		"429":            {gatewaytest.Refuse(gateway.TooMany), gateway.TooMany, []string{"HTTP 429"}},
		"401":            {gatewaytest.Refuse(gateway.Unauthorized), gateway.Unauthorized, []string{"HTTP 401"}},
		"pending is 400": {gatewaytest.Refuse(gateway.Pending), gateway.Pending, []string{"HTTP 400"}},
		"taken":          {gatewaytest.Refuse(gateway.Taken), gateway.Taken, []string{"HTTP 409"}},
		"running is 409": {gatewaytest.Refuse(gateway.AlreadyRunning), gateway.AlreadyRunning, []string{"HTTP 409"}},
		"HTML 502":       {gatewaytest.HTML(502), gateway.Unreachable, []string{"HTTP 502 Bad Gateway", "proxy"}},
		"HTML 503":       {gatewaytest.HTML(503), gateway.Unreachable, []string{"HTTP 503"}},
		"HTML 200":       {gatewaytest.HTML(200), gateway.Internal, []string{"HTTP 200", "text/html", "proxy"}},
		"truncated":      {gatewaytest.Truncated(), gateway.Internal, []string{"truncated JSON"}},
		"null payload":   {gatewaytest.NullPayload(), gateway.Internal, []string{"no payload"}},
		"array payload":  {gatewaytest.ArrayPayload(), gateway.Internal, []string{"payload is an array"}},
		"huge":           {gatewaytest.Huge(), gateway.Internal, []string{"more than 1048576 bytes"}},
		"cut":            {gatewaytest.Cut(), gateway.Unreachable, []string{"EOF", "cut"}},
		"cut after":      {gatewaytest.CutAfter(), gateway.Unreachable, []string{"EOF", "cut"}},
		"cut answer":     {gatewaytest.CutAnswer(), gateway.Unreachable, []string{"unexpected EOF", "cut"}},
	} {
		for _, step := range every {
			t.Run(name+" at"+string(step), func(t *testing.T) {
				g := gatewaytest.New(t)
				g.Fail(step, c.fault)
				// net/http asks again on its own when a kept connection is cut.
				http1 := open(t, client.Config{ServerURL: g.URL})
				cutKept := strings.HasPrefix(name, "cut") && name != "cut answer" && step == gatewaytest.Find
				if cutKept {
					g.Fail(step, c.fault)
				}
				var w walk
				failed, err := w.run(t, http1, device, g.Claim)
				if failed != step {
					t.Fatalf("%s failed, want %s: %v", failed, step, err)
				}
				wantKind(t, err, c.kind, c.says...)
				for _, secret := range []string{code, w.session.DeviceCode.Reveal(), w.manifest.Token.Reveal()} {
					if secret != "" && strings.Contains(err.Error()+gateway.HintOf(err), secret) {
						t.Errorf("a secret stands in %v", err)
					}
				}
				if err := http1.Ping(context.Background()); err != nil {
					t.Errorf("after the fault: %v", err)
				}
			})
		}
	}
}

func TestOddEnvelopeIsTaken(t *testing.T) {
	g := gatewaytest.New(t)
	for _, s := range []gatewaytest.Step{gatewaytest.Announce, gatewaytest.Find, gatewaytest.Sign} {
		g.Fail(s, gatewaytest.Odd())
	}
	var w walk
	if step, err := w.run(t, open(t, client.Config{ServerURL: g.URL}), newDevice(t), g.Claim); err != nil {
		t.Errorf("%s: %v", step, err)
	}
}

func TestSlowAnswerIsDeadline(t *testing.T) {
	g := gatewaytest.New(t)
	g.Fail(gatewaytest.Ping, gatewaytest.Slow().Times(2))
	err := open(t, client.Config{ServerURL: g.URL, Timeout: 50 * time.Millisecond}).Ping(context.Background())
	wantKind(t, err, gateway.Deadline, "in time", "firewall")
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v does not wrap context.DeadlineExceeded", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	wantKind(t, open(t, client.Config{ServerURL: g.URL}).Ping(ctx), gateway.Deadline)

	ctx, cancel = context.WithCancel(context.Background())
	cancel()
	err = open(t, client.Config{ServerURL: g.URL}).Ping(ctx)
	if wantKind(t, err, gateway.Unreachable); !errors.Is(err, context.Canceled) {
		t.Errorf("%v does not wrap context.Canceled", err)
	}
}

func TestPingTakesAny2xx(t *testing.T) {
	for status, want := range map[int]bool{200: true, 204: true, 299: true, 304: false, 404: false, 500: false} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
		defer s.Close()
		if err := open(t, client.Config{ServerURL: s.URL}).Ping(context.Background()); (err == nil) != want {
			t.Errorf("HTTP %d: %v", status, err)
		}
	}
}

// fixed answers everything with the same.
func fixed(t *testing.T, status int, contentType, body string) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Content-Type"] = nil // no guess of net/http
		if contentType != "" {
			w.Header().Set("Content-Type", contentType)
		}
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func TestNoAnnounceRoute(t *testing.T) {
	const json = "application/json"
	for name, c := range map[string]struct {
		status   int
		kind     string
		body     string
		original bool
	}{
		"net/http's 404":       {404, "text/plain; charset=utf-8", "404 page not found\n", true},
		"HTML 404":             {404, "text/html", "<html>", true},
		"empty 404":            {404, "", "", true},
		"envelope of another":  {404, json, `{"success":false,"errorCode":"ROUTE_NOT_FOUND"}`, true},
		"envelope of ours":     {404, json, `{"success":false,"errorCode":"not_found"}`, false},
		"404 in the body only": {200, json, `{"success":false,"statusCode":404}`, false},
		"405":                  {405, "", "", false},
		"500":                  {500, "", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			cl := open(t, client.Config{ServerURL: fixed(t, c.status, c.kind, c.body)})
			_, err := cl.Announce(context.Background(), gateway.Announcement{Code: code})
			if errors.Is(err, gateway.ErrNoAnnounce) != c.original || err == nil {
				t.Errorf("%v", err)
			}
			if c.original {
				wantKind(t, err, gateway.NotFound, "announcing the code")
			}
			// Elsewhere a 404 says nothing of the kind.
			if _, err = cl.FindManifest(context.Background(), code, "d"); errors.Is(err, gateway.ErrNoAnnounce) {
				t.Errorf("FindManifest: %v", err)
			}
		})
	}
}

func TestPlainModeOfTheOriginal(t *testing.T) {
	g := gatewaytest.New(t, gatewaytest.Original())
	c, ctx, d := open(t, client.Config{ServerURL: g.URL}), context.Background(), newDevice(t)
	if _, err := c.Announce(ctx, gateway.Announcement{Code: code, CSR: d.csr(t, "x")}); !errors.Is(err, gateway.ErrNoAnnounce) {
		t.Fatalf("Announce: %v", err)
	}
	_, err := c.FindManifest(ctx, code, "")
	wantKind(t, err, gateway.Pending, "asking whether the code was claimed")
	id := g.Claim(code)
	m, err := c.FindManifest(ctx, code, "")
	if err != nil || m.MachineID != id || m.Token != "" {
		t.Fatalf("%+v, %v", m, err)
	}
	if h := g.Requests(gatewaytest.Find)[0].Header; h.Get("Authorization") != "" {
		t.Errorf("plain mode sends %q", h.Get("Authorization"))
	}
	if _, err = c.Sign(ctx, gateway.SignRequest{URL: m.CertSignURL, CSR: d.csr(t, id), MachineID: id, Type: gateway.Provision}); err != nil {
		t.Fatal(err)
	}
	if body := g.Requests(gatewaytest.Sign)[0].Body; bytes.Contains(body, []byte("token")) {
		t.Errorf("plain mode sends a token: %s", body)
	}

	for name, c := range map[string]struct {
		status     int
		kind, body string
		want       gateway.Kind
	}{
		"200 without success":      {200, "application/json", `{"success":false,"payload":null}`, gateway.Pending},
		"an HTML 404 is no answer": {404, "text/html", "<html>", gateway.NotFound},
		"our own words count":      {404, "application/json", `{"success":false,"errorCode":"not_found"}`, gateway.NotFound},
		"other errors stay":        {500, "application/json", `{"success":false}`, gateway.Internal},
	} {
		cl := open(t, client.Config{ServerURL: fixed(t, c.status, c.kind, c.body)})
		_, err := cl.FindManifest(ctx, code, "")
		t.Run(name, func(t *testing.T) { wantKind(t, err, c.want) })
	}
	// With a device code an unknown code is unknown, but only our gateway knows.
	for errorCode, want := range map[string]gateway.Kind{"not_found": gateway.NotFound, "": gateway.Unreachable, "ROUTE_NOT_FOUND": gateway.Unreachable} {
		cl := open(t, client.Config{ServerURL: fixed(t, 404, "application/json", `{"success":false,"errorCode":"`+errorCode+`"}`)})
		_, err = cl.FindManifest(ctx, code, "d")
		wantKind(t, err, want)
	}
}

// A page of something in between, such as a proxy's while the gateway is being
// replaced, says nothing about code and token: the next try goes through.
func TestForeignPages(t *testing.T) {
	device := newDevice(t)
	for _, step := range []gatewaytest.Step{gatewaytest.Announce, gatewaytest.Find, gatewaytest.Sign} {
		for status, want := range map[int]gateway.Kind{
			301: gateway.Unreachable, 304: gateway.Unreachable, 400: gateway.Unreachable, 401: gateway.Unreachable,
			403: gateway.Unreachable, 404: gateway.Unreachable, 405: gateway.Unreachable, 409: gateway.Unreachable,
			410: gateway.Unreachable, 412: gateway.Unreachable, 413: gateway.Unreachable, 500: gateway.Unreachable,
			511: gateway.Unreachable, 429: gateway.TooMany, 504: gateway.Deadline,
		} {
			if step == gatewaytest.Announce && status == 404 {
				continue // the original cloud, see TestNoAnnounceRoute
			}
			t.Run(fmt.Sprintf("%d at%s", status, step), func(t *testing.T) {
				g := gatewaytest.New(t)
				g.Fail(step, gatewaytest.HTML(status))
				c := open(t, client.Config{ServerURL: g.URL})
				var w walk
				failed, err := w.run(t, c, device, g.Claim)
				if failed != step {
					t.Fatalf("%s failed, want %s: %v", failed, step, err)
				}
				wantKind(t, err, want, fmt.Sprintf("HTTP %d", status), "not the gateway", "proxy")
				if errors.Is(err, gateway.ErrNoAnnounce) {
					t.Errorf("%v", err)
				}
				switch ctx := context.Background(); step {
				case gatewaytest.Announce:
					_, err = c.Announce(ctx, gateway.Announcement{Code: code, CSR: device.csr(t, "unnamed")})
				case gatewaytest.Find:
					_, err = c.FindManifest(ctx, code, w.session.DeviceCode)
				case gatewaytest.Sign:
					_, err = c.Sign(ctx, gateway.SignRequest{URL: w.manifest.CertSignURL, CSR: device.csr(t, w.manifest.MachineID),
						MachineID: w.manifest.MachineID, Type: gateway.Provision, Token: w.manifest.Token})
				}
				if err != nil {
					t.Errorf("the next try: %v", err)
				}
			})
		}
	}
	// The original cloud has no words of ours: without a token its status counts.
	_, err := open(t, client.Config{ServerURL: fixed(t, 403, "text/html", "<html>")}).Sign(context.Background(), gateway.SignRequest{})
	wantKind(t, err, gateway.Unauthorized, "the gateway answered HTTP 403", "proxy")
	// A port that wants TLS does so for ever.
	g := gatewaytest.New(t, gatewaytest.TLS())
	_, err = open(t, client.Config{ServerURL: strings.Replace(g.URL, "https", "http", 1)}).FindManifest(context.Background(), code, "d")
	wantKind(t, err, gateway.BadRequest, "it wants TLS", "https")
}

func TestBadManifests(t *testing.T) {
	for name, c := range map[string]struct{ payload, says string }{
		"no machine":        {`{"cert_sign_url":"/x"}`, "machine_id"},
		"long machine":      {`{"machine_id":"` + strings.Repeat("m", 65) + `"}`, "machine_id"},
		"newline":           {`{"machine_id":"a\nb"}`, "machine_id"},
		"number":            {`{"machine_id":7}`, "machine_id has the wrong JSON type"},
		"elsewhere":         {`{"machine_id":"m","cert_sign_url":"https://evil.example/"}`, "names a server"},
		"elsewhere, hidden": {`{"machine_id":"m","cert_sign_url":"//evil.example/"}`, "names a server"},
		"upwards":           {`{"machine_id":"m","cert_sign_url":"/v1/../x"}`, ".."},
	} {
		t.Run(name, func(t *testing.T) {
			cl := open(t, client.Config{ServerURL: fixed(t, 200, "application/json", `{"success":true,"payload":`+c.payload+`}`)})
			_, err := cl.FindManifest(context.Background(), code, "d")
			wantKind(t, err, gateway.Internal, c.says)
		})
	}
	cl := open(t, client.Config{ServerURL: fixed(t, 200, "application/json", `{"success":true,"payload":{"cert":"c"}}`)})
	_, err := cl.Sign(context.Background(), gateway.SignRequest{})
	wantKind(t, err, gateway.Internal, "root")
}

// Where a Sign goes: the manifest's path, else the setting's, else the default,
// all below the path of server_url.
func TestSignPath(t *testing.T) {
	var at string
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { at = r.URL.String() }))
	defer s.Close()
	for _, c := range []struct{ base, setting, manifest, want string }{
		{"", "", "", gateway.RouteSign},
		{"", "/set", "", "/set"},
		{"/", "/set", "/told?kind=a", "/told?kind=a"},
		{"/base", "", "", "/base" + gateway.RouteSign},
		{"/base/", "", "/told", "/base/told"},
	} {
		cl := open(t, client.Config{ServerURL: s.URL + c.base, SignURL: c.setting})
		if _, err := cl.Sign(context.Background(), gateway.SignRequest{URL: c.manifest}); err == nil || at != c.want {
			t.Errorf("%+v went to %s (%v)", c, at, err)
		}
	}
}

func TestRedirects(t *testing.T) {
	asked := 0
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked++ }))
	defer other.Close()
	var to string
	var status int
	front := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/end" {
			http.Redirect(w, r, to, status)
		} else if r.Method == http.MethodPost {
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprint(w, `{"success":true,"payload":{"device_code":"d","expires_in":60}}`)
		}
	}))
	ca := newCA(t, time.Now())
	cert, err := ca.Server(gatewaytest.ServerCert{})
	if err != nil {
		t.Fatal(err)
	}
	front.TLS = tlsWith(cert)
	front.StartTLS()
	defer front.Close()
	c := open(t, client.Config{ServerURL: front.URL, RootFingerprint: ca.RootFingerprint()})
	ctx := context.Background()

	to, status = "/end", 307
	if err := c.Ping(ctx); err != nil {
		t.Errorf("on the same server: %v", err)
	}
	if _, err := c.Announce(ctx, gateway.Announcement{Code: code}); err != nil {
		t.Errorf("POST on the same server: %v", err)
	}
	status = 302
	_, err = c.Announce(ctx, gateway.Announcement{Code: code})
	wantKind(t, err, gateway.Unreachable, "turns POST into GET")
	to = other.URL + "/" + code
	err = c.Ping(ctx)
	wantKind(t, err, gateway.Unreachable, "from https to http")
	to = "https://localhost:1/" + code
	_, err = c.FindManifest(ctx, code, "d")
	wantKind(t, err, gateway.Unreachable, "another server", "https://localhost:1")
	if strings.Contains(err.Error(), code) {
		t.Errorf("the code stands in %v", err)
	}
	to = "/round"
	wantKind(t, c.Ping(ctx), gateway.Unreachable, "too many")
	if asked != 0 {
		t.Errorf("the other server was asked %d times", asked)
	}
}

// What the gateway says goes into the error only when it is fit to be read, and
// gives nothing away.
func TestWordsOfTheGateway(t *testing.T) {
	const device, token = "dEv1ce-c0de_of-the-device-which-is-long", "t0ken-of_the-machine-which-is-long-too"
	for name, c := range map[string]struct {
		message string
		shown   bool
	}{
		"plain":              {"come back tomorrow", true},
		"umlauts":            {"schön wär's", true},
		"newline":            {`one\ntwo`, false},
		"escape":             {`\u001b[31mred`, false},
		"long":               {strings.Repeat("blah ", 100), false},
		"code":               {"no such code ABC123", false},
		"code, as shown":     {"no such code abc-123.", false},
		"device code":        {"bad bearer " + device, false},
		"half a device code": {"bad bearer " + device[8:24], false},
	} {
		t.Run(name, func(t *testing.T) {
			cl := open(t, client.Config{ServerURL: fixed(t, 400, "application/json", `{"success":false,"errorCode":"bad_request","message":"`+c.message+`"}`)})
			_, err := cl.FindManifest(context.Background(), code, device)
			wantKind(t, err, gateway.BadRequest, "the gateway answered HTTP 400")
			if strings.Contains(err.Error(), c.message) != c.shown || strings.HasSuffix(err.Error(), ": bad_request") == c.shown {
				t.Errorf("%v", err)
			}
		})
	}
	cl := open(t, client.Config{ServerURL: fixed(t, 401, "application/json", `{"success":false,"subErrors":["`+token+`"],"errorCode":"unauthorized"}`)})
	_, err := cl.Sign(context.Background(), gateway.SignRequest{Token: token})
	wantKind(t, err, gateway.Unauthorized)
	if strings.Contains(err.Error(), token) {
		t.Errorf("the token stands in %v", err)
	}
}

func TestRetryAfterReachesTheCaller(t *testing.T) {
	g := gatewaytest.New(t)
	g.Fail(gatewaytest.Find, gatewaytest.RefuseFor(gateway.TooMany, 42*time.Second))
	_, err := open(t, client.Config{ServerURL: g.URL}).FindManifest(context.Background(), code, "d")
	wantKind(t, err, gateway.TooMany)
	var e *gateway.Error
	if !errors.As(err, &e) || e.RetryAfter != 42*time.Second {
		t.Errorf("%+v", e)
	}
}

func TestLogHoldsNoSecret(t *testing.T) {
	var out bytes.Buffer
	g := gatewaytest.New(t)
	g.Fail(gatewaytest.Sign, gatewaytest.Refuse(gateway.Internal))
	var w walk
	w.run(t, open(t, client.Config{ServerURL: g.URL, Log: slog.New(slog.NewJSONHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))}),
		newDevice(t), g.Claim) //nolint:errcheck // the last step fails, as it must
	for _, secret := range []string{code, w.session.DeviceCode.Reveal(), w.manifest.Token.Reveal()} {
		if secret == "" || strings.Contains(out.String(), secret) {
			t.Errorf("%q in the log:\n%s", secret, out.String())
		}
	}
	if n := strings.Count(out.String(), "\n"); n != 4 || !strings.Contains(out.String(), `"outcome":"internal"`) {
		t.Errorf("%d lines:\n%s", n, out.String())
	}
}
