package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/mecha-org/mecha-agent/gateway"
)

// maxRedirects is how many redirects within the gateway are followed.
const maxRedirects = 3

// web is the HTTP/JSON door.
type web struct {
	*peer
	client *http.Client
}

func newHTTP(p *peer) *web {
	return &web{p, &http.Client{
		CheckRedirect: checkRedirect,
		Transport: &http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			TLSClientConfig:        p.tlsConfig(),
			MaxIdleConns:           2,
			IdleConnTimeout:        20 * time.Second, // before the gateway closes at 30: no request meets a connection that ends
			MaxResponseHeaderBytes: 64 << 10,
		},
	}}
}

// request is one call of a route.
type request struct {
	step        string
	method      string
	path        string
	query       url.Values
	header      http.Header
	body        any      // marshalled as JSON unless nil
	secrets     []string // what must not come back in an error
	announced   bool     // to our gateway only: the words of others do not count, see peer.failed
	unannounced bool     // FindManifest as the original agent asks, see peer.failed
}

// redirectError is a redirect that is not followed. Its text does not repeat
// the address: it holds what we sent.
type redirectError struct{ why, advice string }

func (e *redirectError) Error() string { return "redirect not followed: " + e.why }

// checkRedirect follows redirects on the same scheme, host and port only: the
// credentials that go along are for that server.
func checkRedirect(r *http.Request, via []*http.Request) error {
	from := via[0]
	switch {
	case from.URL.Scheme == "https" && r.URL.Scheme != "https":
		return &redirectError{"it leads from https to " + r.URL.Scheme, "check the gateway's, or its proxy's, configuration"}
	case from.URL.Scheme != r.URL.Scheme || !strings.EqualFold(from.URL.Host, r.URL.Host):
		return &redirectError{fmt.Sprintf("it leads to another server, %q", r.URL.Scheme+"://"+r.URL.Host),
			"when that is the gateway's new address, write it in server_url"}
	case from.Method != r.Method:
		return &redirectError{fmt.Sprintf("it turns %s into %s", from.Method, r.Method),
			"check the path in server_url"}
	case len(via) > maxRedirects:
		return &redirectError{"there are too many", "check the gateway's, or its proxy's, configuration"}
	}
	return nil
}

// newRequest builds the HTTP request of q, below server_url.
func (w *web) newRequest(ctx context.Context, q request) (*http.Request, error) {
	var body io.Reader
	if q.body != nil {
		b, err := json.Marshal(q.body)
		if err != nil {
			return nil, &gateway.Error{Kind: gateway.Internal, Step: q.step, Err: err}
		}
		body = bytes.NewReader(b)
	}
	path, query, _ := strings.Cut(q.path, "?") // a manifest's path may bring a query
	u := w.url.JoinPath(path)
	if u.RawQuery = query; len(q.query) > 0 {
		u.RawQuery = q.query.Encode()
	}
	r, err := http.NewRequestWithContext(ctx, q.method, u.String(), body)
	if err != nil { // its text repeats the URL
		return nil, &gateway.Error{Kind: gateway.BadRequest, Step: q.step, Err: errors.New("the URL cannot be used")}
	}
	for k, v := range q.header {
		r.Header[k] = v
	}
	r.Header.Set("User-Agent", w.UserAgent)
	r.Header.Set("Accept", "application/json")
	if q.body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	return r, nil
}

// send makes the request and reads the whole answer, whatever its status.
func (w *web) send(ctx context.Context, q request) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, w.Timeout)
	defer cancel()
	r, err := w.newRequest(ctx, q)
	if err != nil {
		return answer{}, err
	}
	resp, err := w.client.Do(r)
	if err != nil {
		return answer{}, w.unreached(ctx, q.step, err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, gateway.MaxEnvelope+1))
	if err != nil {
		return answer{}, w.unreached(ctx, q.step, fmt.Errorf("reading the answer: %w", err))
	}
	a := answer{resp.StatusCode, resp.Header, text}
	if len(text) > gateway.MaxEnvelope {
		return a, badAnswer(q.step, fmt.Errorf("HTTP %d with more than %d bytes", a.status, gateway.MaxEnvelope))
	}
	return a, nil
}

// call makes the request and decodes the payload of a success into payload.
func (w *web) call(ctx context.Context, q request, payload any) error {
	start := time.Now()
	err := w.exchange(ctx, q, payload)
	w.logCall(ctx, q.step, start, err)
	return err
}

func (w *web) exchange(ctx context.Context, q request, payload any) error {
	a, err := w.send(ctx, q)
	if err != nil {
		return err
	}
	if !a.ok() {
		return w.failed(q, a)
	}
	if payload == nil { // ping: any 2xx will do
		return nil
	}
	env, err := a.envelope()
	if err != nil {
		return badAnswer(q.step, err)
	}
	if !env.Success {
		e := w.failed(q, a)
		e.Err = fmt.Errorf("the envelope reports no success: %w", e.Err)
		return e
	}
	if err := env.Decode(payload); err != nil {
		return badAnswer(q.step, err)
	}
	return nil
}

// logCall says what was asked, how long it took and of what kind the error was;
// never what was sent.
func (p *peer) logCall(ctx context.Context, step string, start time.Time, err error) {
	outcome := "ok"
	if err != nil {
		outcome = gateway.KindOf(err).String()
	}
	p.Log.DebugContext(ctx, "gateway call", "step", step, "outcome", outcome, "took", time.Since(start))
}

func (w *web) Ping(ctx context.Context) error {
	return w.call(ctx, request{step: stepPing, method: http.MethodGet, path: gateway.RoutePing}, nil)
}

func (w *web) Announce(ctx context.Context, a gateway.Announcement) (gateway.Session, error) {
	q := request{step: stepAnnounce, method: http.MethodPost, path: gateway.RouteAnnounce,
		body: gateway.NewAnnounceBody(a), secrets: []string{a.Code}, announced: true}
	var p gateway.SessionPayload
	if err := w.call(ctx, q, &p); err != nil {
		return gateway.Session{}, err
	}
	s, err := p.Session(a.Code, w.Now())
	if err != nil {
		return gateway.Session{}, badAnswer(q.step, err)
	}
	return s, nil
}

func (w *web) FindManifest(ctx context.Context, code string, deviceCode gateway.Secret) (gateway.Manifest, error) {
	q := request{step: stepFind, method: http.MethodGet, path: gateway.RouteFindManifest,
		query: url.Values{"code": {code}}, secrets: []string{code, deviceCode.Reveal()},
		announced: deviceCode != "", unannounced: deviceCode == ""}
	if deviceCode != "" {
		q.header = http.Header{"Authorization": {"Bearer " + deviceCode.Reveal()}}
	}
	var p gateway.ManifestPayload
	if err := w.call(ctx, q, &p); err != nil {
		return gateway.Manifest{}, err
	}
	m, err := w.manifest(p.Manifest())
	if err != nil {
		return gateway.Manifest{}, badAnswer(q.step, err)
	}
	return m, nil
}

func (w *web) Sign(ctx context.Context, r gateway.SignRequest) (gateway.Issued, error) {
	path, err := w.signPath(r)
	if err != nil {
		return gateway.Issued{}, &gateway.Error{Kind: gateway.BadRequest, Step: stepSign,
			Err: fmt.Errorf("the manifest's cert_sign_url: %w", err)}
	}
	q := request{step: stepSign, method: http.MethodPost, path: path,
		body: gateway.NewSignBody(r), secrets: []string{r.Token.Reveal()}, announced: r.Token != ""}
	var p gateway.IssuedPayload
	if err := w.call(ctx, q, &p); err != nil {
		return gateway.Issued{}, err
	}
	i, err := w.issued(p.Issued())
	if err != nil {
		return gateway.Issued{}, badAnswer(q.step, err)
	}
	return i, nil
}

func (w *web) Close() error {
	w.client.CloseIdleConnections()
	return nil
}
