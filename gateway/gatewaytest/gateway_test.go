package gatewaytest_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/mecha-org/mecha-agent/gateway"
	"github.com/mecha-org/mecha-agent/gateway/gatewaytest"
)

// witness stands in for a test that is expected to fail.
type witness struct {
	testing.TB
	said []string
}

func (w *witness) Helper()                   {}
func (w *witness) Cleanup(func())            {}
func (w *witness) Errorf(f string, a ...any) { w.said = append(w.said, fmt.Sprintf(f, a...)) }

func get(t *testing.T, url string) *http.Response {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp
}

func TestCloseFailsOnUnusedFault(t *testing.T) {
	w := &witness{TB: t}
	g := gatewaytest.New(w)
	g.Fail(gatewaytest.Ping, gatewaytest.Refuse(gateway.Internal).Times(3))
	for range 2 {
		if got := get(t, g.URL+gateway.RoutePing).StatusCode; got != 500 {
			t.Errorf("HTTP %d, want 500", got)
		}
	}
	if len(w.said) != 0 {
		t.Errorf("it complained early: %q", w.said)
	}
	g.Close()
	g.Close() // must not complain twice
	if len(w.said) != 1 || !strings.Contains(w.said[0], "1 left") {
		t.Errorf("it said %q", w.said)
	}
}

func TestFaultsThenAllIsWell(t *testing.T) {
	g := gatewaytest.New(t)
	g.Fail(gatewaytest.Ping, gatewaytest.Refuse(gateway.Internal).Times(2))
	g.Fail(gatewaytest.Ping, gatewaytest.HTML(502))
	for i, want := range []int{500, 500, 502, 200} {
		if got := get(t, g.URL+gateway.RoutePing).StatusCode; got != want {
			t.Errorf("request %d: HTTP %d, want %d", i, got, want)
		}
	}
	if n := len(g.Requests(gatewaytest.Ping)); n != 4 {
		t.Errorf("%d requests recorded, want 4", n)
	}
}

func TestMisuseFailsTheTest(t *testing.T) {
	w := &witness{TB: t}
	g := gatewaytest.New(w)
	defer g.Close()
	g.Fail(gatewaytest.Find, gatewaytest.WrongKey())
	g.Fail(gatewaytest.Find, gatewaytest.Cut().Times(0))
	g.Claim("ABC123")
	g.Claim("!")
	if len(w.said) != 4 {
		t.Errorf("it said %q, want four complaints", w.said)
	}
}

// The fake must be no more generous than the real one: without the device code
// of the announcement there is no manifest.
func TestUnannouncedCodesAreForTheOriginalOnly(t *testing.T) {
	find := func(g *gatewaytest.Gateway) gateway.Envelope {
		resp, err := http.Get(g.URL + gateway.RouteFindManifest + "?code=ABC123")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		env, err := gateway.ParseEnvelope(b)
		if err != nil {
			t.Fatal(err)
		}
		return env
	}
	ours := gatewaytest.New(t)
	if env := find(ours); env.ErrorCode != gateway.NotFound.String() {
		t.Errorf("ours: %+v", env)
	}
	original := gatewaytest.New(t, gatewaytest.Original())
	if env := find(original); env.Success || env.StatusCode != http.StatusNotFound || env.ErrorCode != "" {
		t.Errorf("original, before the claim: %+v", env)
	}
	id := original.Claim("abc-123")
	var p gateway.ManifestPayload
	if err := find(original).Decode(&p); err != nil || p.MachineID != id || p.Token != "" {
		t.Errorf("original, after the claim: %+v, %v", p, err)
	}
	body, err := json.Marshal(gateway.AnnounceBody{})
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.Post(original.URL+gateway.RouteAnnounce, "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusNotFound {
		t.Errorf("original: announce answers HTTP %d", resp.StatusCode)
	}
}

func TestSlowLetsGoAtClose(t *testing.T) {
	g := gatewaytest.New(t)
	g.Fail(gatewaytest.Ping, gatewaytest.Slow())
	failed := make(chan error, 1)
	go func() {
		_, err := http.Get(g.URL + gateway.RoutePing) //nolint:bodyclose // there is no answer
		failed <- err
	}()
	for len(g.Requests(gatewaytest.Ping)) == 0 {
		runtime.Gosched() // the request is on its way over loopback
	}
	g.Close()
	select {
	case err := <-failed:
		if err == nil {
			t.Error("there was an answer")
		}
	case <-time.After(5 * time.Second):
		t.Error("the client still waits")
	}
}
