package client

import (
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/mecha-org/mecha-agent/gateway"
)

const (
	maxSaid  = 200       // bytes of the gateway's words that go into an error
	maxRetry = time.Hour // what is believed of a Retry-After, so that a typing error costs no day
)

// failed turns an answer that is no success into an error: errorCode first,
// then the HTTP status.
func (p *peer) failed(q request, a answer) *gateway.Error {
	e := &gateway.Error{
		Kind:       gateway.KindFromHTTP(a.status),
		Step:       q.step,
		RetryAfter: parseRetryAfter(a.header.Get("Retry-After"), p.Now()),
	}
	const whose = "check that server_url is the gateway's address, and whether a proxy or a portal stands in between"
	who, said := "the gateway answered", ""
	env, err := a.envelope()
	k, ours := gateway.KindFromErrorCode(env.ErrorCode)
	wantsTLS := strings.Contains(string(a.body), "HTTP request to an HTTPS server") // net/http's own words
	switch {
	case ours:
		e.Kind = k
	case q.step == stepAnnounce && a.status == http.StatusNotFound:
		e.Err = gateway.ErrNoAnnounce // whatever page the original cloud has for it
		return e
	case wantsTLS: // nothing to wait for
	case q.announced:
		// Our gateway puts an errorCode into every refusal. This one is a
		// proxy's, while the gateway is being replaced, or a captive portal's:
		// it says nothing about the code or the token.
		who, e.Advice = "something that is not the gateway answered", whose
		if e.Kind != gateway.TooMany && e.Kind != gateway.Deadline {
			e.Kind = gateway.Unreachable
		}
	case err == nil && q.unannounced && (a.status == http.StatusNotFound || a.ok()):
		// The original cloud knows a code from its claim on: to it an
		// unclaimed one is an unknown one.
		e.Kind = gateway.Pending
	}
	switch {
	case err == nil:
		for _, s := range append([]string{env.Message, env.ErrorCode}, env.SubErrors...) {
			if s = sayable(s, q.secrets); s != "" {
				said = ": " + s
				break
			}
		}
	case wantsTLS:
		said, e.Advice = ": it wants TLS", "write https in server_url"
	case !q.announced:
		said, e.Advice = ", and not in the words of the gateway's API", whose
	}
	e.Err = fmt.Errorf("%s HTTP %d %s%s", who, a.status, http.StatusText(a.status), said)
	return e
}

// answer is a whole HTTP answer.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func (a answer) ok() bool { return a.status >= 200 && a.status < 300 }

// envelope reads the body, unless it says itself that it is something else: a
// proxy's error page and a captive portal's greeting come with status 200 too.
func (a answer) envelope() (gateway.Envelope, error) {
	if s := a.header.Get("Content-Type"); s != "" {
		kind, _, err := mime.ParseMediaType(s)
		if err != nil || kind != "application/json" && !strings.HasSuffix(kind, "+json") {
			return gateway.Envelope{}, fmt.Errorf("%w: HTTP %d with Content-Type %q, want application/json",
				gateway.ErrBadEnvelope, a.status, sayable(s, nil))
		}
	}
	env, err := gateway.ParseEnvelope(a.body)
	if err != nil {
		return gateway.Envelope{}, fmt.Errorf("HTTP %d: %w", a.status, err)
	}
	return env, nil
}

// parseRetryAfter reads a Retry-After header, seconds or a date (RFC 9110,
// section 10.2.3). What cannot be read or lies in the past is 0; what lies more
// than an hour ahead is an hour.
func parseRetryAfter(s string, now time.Time) time.Duration {
	s = strings.TrimSpace(s)
	var d time.Duration
	if n, err := strconv.ParseUint(s, 10, 64); err == nil {
		d = time.Duration(min(n, uint64(maxRetry/time.Second))) * time.Second
	} else if errors.Is(err, strconv.ErrRange) {
		d = maxRetry
	} else if t, err := http.ParseTime(s); err == nil {
		d = t.Sub(now)
	}
	return min(max(d, 0), maxRetry)
}

// sayable returns what the gateway said when it is fit for an error text: short,
// printable, and without any part of a secret that was sent.
func sayable(s string, secrets []string) string {
	if s = strings.TrimSpace(s); len(s) > maxSaid || !printable(s) {
		return ""
	}
	said := squeeze(s)
	for _, secret := range secrets {
		if holds(said, squeeze(secret)) {
			return ""
		}
	}
	return s
}

// squeeze makes "abc-123" and "ABC 123" the code ABC123, as people write codes.
func squeeze(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '-' || r == ' ' {
			return -1
		}
		return unicode.ToUpper(r)
	}, s)
}

// holds says whether text holds the secret, or 12 characters in a row of a long one.
func holds(text, secret string) bool {
	const window = 12
	if len(secret) <= window {
		return secret != "" && strings.Contains(text, secret)
	}
	for i := 0; i+window <= len(secret); i++ {
		if strings.Contains(text, secret[i:i+window]) {
			return true
		}
	}
	return false
}

func printable(s string) bool {
	return utf8.ValidString(s) && strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) < 0
}
