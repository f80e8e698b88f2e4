package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/netip"
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mecha-org/mecha-agent/gateway"
)

// handleTimeout bounds what one request may take after it was read.
const handleTimeout = 30 * time.Second

// handler answers one route. What it returns as error is written as envelope.
type handler func(w http.ResponseWriter, r *http.Request) error

type route struct {
	methods []string
	handle  handler
}

// httpDoor is the HTTP/JSON door; without TLS on a port for TLS, its public part.
type httpDoor struct {
	service *Service
	limits  *limiter
	log     *slog.Logger
	now     func() time.Time
	body    int64
	routes  map[string]route
	public  bool // see newPublicHTTP
}

func (s *Server) newHTTP() *httpDoor {
	d := &httpDoor{service: s.service, limits: s.limits, log: s.log, now: s.config.Now, body: s.config.Limits.Body}
	get, read, post := []string{"GET"}, []string{"GET", "HEAD"}, []string{"POST"}
	d.routes = map[string]route{
		gateway.RoutePing:          {read, d.ping},
		gateway.RouteAnnounce:      {post, d.announce},
		gateway.RouteFindManifest:  {get, d.findManifest}, // no HEAD: it would void the token
		gateway.RouteSign:          {post, d.sign},
		gateway.RouteFindRequest:   {get, d.findRequest},
		gateway.RouteClaim:         {post, d.claim},
		gateway.RouteRequestStatus: {post, d.requestStatus},
		gateway.RouteMachines:      {get, d.machines},
		gateway.RouteRevoke:        {post, d.revoke},
		gateway.RouteAPIKeys:       {post, d.apiKey},
		gateway.RouteRoot:          {read, d.root},
		gateway.RouteCRL:           {read, d.crl},
		gateway.RouteRootCRL:       {read, d.rootCRL},
		routeClaimPage:             {read, d.claimPage},
	}
	return d
}

// newPublicHTTP is the door for those who speak plain http to a port for https.
// It has the CA's public files, which are signed, and takes nothing in; it does
// not redirect either, for the secret in a request has been overheard by then.
func (s *Server) newPublicHTTP() *httpDoor {
	d := s.newHTTP()
	d.public = true
	maps.DeleteFunc(d.routes, func(path string, _ route) bool {
		return path != gateway.RouteRoot && path != gateway.RouteCRL && path != gateway.RouteRootCRL
	})
	return d
}

// ServeHTTP limits, routes, recovers and logs: one line for a request, with the
// route's pattern and never the address as sent, for a code may stand in it.
func (d *httpDoor) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := d.now()
	rec := &recorder{ResponseWriter: w, status: http.StatusOK}
	pattern := "unmatched"
	rt, known := d.routes[r.URL.Path]
	if known {
		pattern = r.URL.Path
	}
	defer func() {
		if v := recover(); v != nil {
			if v == http.ErrAbortHandler { //nolint:errorlint // the sentinel of net/http, panicked as it is
				panic(v)
			}
			d.log.ErrorContext(r.Context(), "panic", "route", pattern, "panic", v, "stack", string(debug.Stack()))
			if !rec.wrote {
				d.fail(rec, r, pattern, errors.New("panic"))
			}
		}
		d.log.InfoContext(r.Context(), "request", "method", r.Method, "route", pattern,
			"status", rec.status, "duration", d.now().Sub(start), "remote", r.RemoteAddr)
	}()

	h := rec.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	if err := d.limits.admit(remote(r.RemoteAddr)); err != nil {
		d.fail(rec, r, pattern, err)
		return
	}
	switch {
	case d.public && (!known || !slices.Contains(rt.methods, r.Method) || r.ContentLength != 0):
		h.Set("Connection", "close")
		http.NewResponseController(rec).SetReadDeadline(time.Unix(1, 0)) //nolint:errcheck // net/http would wait for the body otherwise
		d.fail(rec, r, pattern, fail(gateway.BadRequest, "this port speaks https: write https:// in the URL, or grpcs:// for gRPC"))
	case !known:
		d.fail(rec, r, pattern, fail(gateway.NotFound, "there is no such route"))
	case !slices.Contains(rt.methods, r.Method):
		allow := strings.Join(rt.methods, ", ")
		h.Set("Allow", allow)
		d.write(rec, http.StatusMethodNotAllowed, gateway.NewFailure(gateway.BadRequest, "this route takes "+allow, nil))
	default:
		ctx, cancel := context.WithTimeout(r.Context(), handleTimeout)
		defer cancel()
		r.Body = http.MaxBytesReader(rec, r.Body, d.body)
		if err := rt.handle(rec, r.WithContext(ctx)); err != nil {
			d.fail(rec, r, pattern, err)
		}
	}
}

// remote returns what counts as the address of a connection.
func remote(addr string) netip.Prefix {
	ap, err := netip.ParseAddrPort(addr)
	if err != nil {
		return netip.Prefix{}
	}
	return network(ap.Addr())
}

func (d *httpDoor) caller(r *http.Request) Caller {
	return Caller{
		From:      remote(r.RemoteAddr),
		KeyID:     r.Header.Get(gateway.HeaderAPIKeyID),
		KeySecret: gateway.Secret(r.Header.Get(gateway.HeaderAPIKeySecret)),
	}
}

// bearer reads an Authorization header (RFC 6750, section 2.1).
func bearer(authorization string) gateway.Secret {
	scheme, token, ok := strings.Cut(authorization, " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return gateway.Secret(strings.TrimSpace(token))
}

// errSlowBody is a body that did not come within Limits.ReadTimeout.
var errSlowBody = errors.New("the body did not come in time")

// readBody reads a JSON object into v. Fields that are not known are ignored,
// for newer devices. No error quotes the body: it holds codes and tokens.
func (d *httpDoor) readBody(r *http.Request, v any) error {
	data, err := io.ReadAll(r.Body)
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return fail(gateway.TooLarge, "the body is longer than %d bytes", large.Limit)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return &gateway.Error{Kind: gateway.Deadline, Err: errSlowBody}
	case err != nil:
		return fail(gateway.BadRequest, "the body ended before its announced length")
	}
	text := strings.TrimLeft(string(data), " \t\r\n")
	switch {
	case text == "":
		return fail(gateway.BadRequest, "the body is empty, want a JSON object")
	case text[0] != '{':
		return fail(gateway.BadRequest, "the body is no JSON object")
	}
	err = json.Unmarshal(data, v)
	var syntax *json.SyntaxError
	var typ *json.UnmarshalTypeError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &syntax) && syntax.Error() == "unexpected end of JSON input":
		return fail(gateway.BadRequest, "the body is truncated JSON: it ends at byte %d", len(data))
	case errors.As(err, &syntax):
		return fail(gateway.BadRequest, "the body is broken JSON at byte %d", syntax.Offset)
	case errors.As(err, &typ) && typ.Field != "":
		return fail(gateway.BadRequest, "%s: want a JSON %s", typ.Field, jsonKind(typ))
	}
	return fail(gateway.BadRequest, "the body has a field of the wrong type")
}

func jsonKind(e *json.UnmarshalTypeError) string {
	switch e.Type.Kind().String() {
	case "string":
		return "string"
	case "struct", "map":
		return "object"
	}
	return "value of another type"
}

// answer writes a success.
func (d *httpDoor) answer(w http.ResponseWriter, payload any) error {
	e, err := gateway.NewSuccess(payload)
	if err != nil {
		return err
	}
	d.write(w, http.StatusOK, e)
	return nil
}

// fail writes an error. What the gateway itself is at fault for is told to the
// log, not to the other side.
func (d *httpDoor) fail(w http.ResponseWriter, r *http.Request, pattern string, err error) {
	kind, message, retry := reveal(r.Context(), d.log, pattern, err)
	if retry > 0 {
		w.Header().Set("Retry-After", strconv.FormatInt(retry, 10))
	}
	status := kind.HTTPStatus()
	switch {
	case errors.Is(err, errSlowBody):
		status = http.StatusRequestTimeout // the client was slow (RFC 9110, 15.5.9), not a server behind us
		w.Header().Set("Connection", "close")
	case kind == gateway.Unauthorized:
		w.Header().Set("WWW-Authenticate", "Bearer") // RFC 9110, 15.5.2
	}
	d.write(w, status, gateway.NewFailure(kind, message, nil))
}

// reveal returns what the other side may know of an error, and logs the rest.
// retry is in seconds, 0 when there is nothing to say.
func reveal(ctx context.Context, log *slog.Logger, route string, err error) (kind gateway.Kind, message string, retry int64) {
	kind = gateway.KindOf(err)
	var e *gateway.Error
	switch {
	case errors.As(err, &e) && kind != gateway.Internal:
		if e.RetryAfter > 0 {
			retry = int64((e.RetryAfter + time.Second - 1) / time.Second)
		}
		return kind, e.Error(), retry
	case kind == gateway.Deadline:
		message = "the gateway did not finish in time"
	default:
		message = "internal error: the gateway's log says more"
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		log.DebugContext(ctx, "caller went away", "route", route, "error", err)
	} else {
		log.ErrorContext(ctx, "request failed", "route", route, "error", err)
	}
	return kind, message, 0
}

func (d *httpDoor) write(w http.ResponseWriter, status int, e gateway.Envelope) {
	e.StatusCode, e.Status = status, http.StatusText(status)
	body, err := json.Marshal(e)
	if err != nil { // cannot be: the payload was marshalled before
		body, status = []byte(`{"success":false}`), http.StatusInternalServerError
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)+1))
	w.WriteHeader(status)
	fmt.Fprintf(w, "%s\n", body) // an error means that the caller went away
}

// recorder remembers the status for the log.
type recorder struct {
	http.ResponseWriter
	status int
	wrote  bool
}

// WriteHeader remembers the status.
func (r *recorder) WriteHeader(status int) {
	if !r.wrote {
		r.status, r.wrote = status, true
	}
	r.ResponseWriter.WriteHeader(status)
}

// Unwrap serves http.ResponseController.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }
