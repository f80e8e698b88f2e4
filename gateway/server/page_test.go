package server

import (
	"net/url"
	"strings"
	"testing"

	"github.com/mecha-org/mecha-agent/gateway"
)

// TestClaimPage: the address that a device shows leads to a page that says what
// to do, and repeats nothing but a code.
func TestClaimPage(t *testing.T) {
	f := newFixture(t)
	d := f.announce("abc-123")
	u, err := url.Parse(d.sess.VerificationURIComplete)
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		u.RequestURI():         "mecha-gateway claim ABC123<",
		"/claim?code=zzz-zzz":  "mecha-gateway claim ZZZZZZ<", // nobody announced it: the page does not tell
		"/claim":               "mecha-gateway claim CODE<",
		"/claim?code=AB":       "mecha-gateway claim CODE<",
		"/claim?code=%zz":      "mecha-gateway claim CODE<",
		"/claim?code=%25CODE%": "mecha-gateway claim CODE<",
		"/claim?code=" + url.QueryEscape("<script>alert(1)</script>"): "mecha-gateway claim CODE<",
		"/claim?code=" + url.QueryEscape("ABC123\"><b>"):              "mecha-gateway claim CODE<",
	} {
		r := f.call(f.http, "GET", path, nil)
		h := r.header
		if r.status != 200 || !strings.Contains(r.rawText, want) || h.Get("Content-Type") != "text/html; charset=utf-8" ||
			!strings.HasPrefix(h.Get("Content-Security-Policy"), "default-src 'none';") || h.Get("Referrer-Policy") != "no-referrer" ||
			h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %d %v, want %q in %s", path, r.status, h, want, r.rawText)
		}
		if shows := strings.Contains(r.rawText, "Its code is"); shows != !strings.Contains(want, " CODE<") {
			t.Errorf("%s: shows a code: %v", path, shows)
		}
		for _, no := range []string{"<script", "alert", "<b>", "%CODE%", "%COMMAND%", "http://", "https://", "src="} {
			if strings.Contains(r.rawText, no) {
				t.Errorf("%s: the page has %q", path, no)
			}
		}
	}
	if r := f.call(f.http, "HEAD", "/claim", nil); r.status != 200 || r.rawText != "" {
		t.Errorf("HEAD: %d %q", r.status, r.rawText)
	}
	f.call(f.http, "POST", "/claim?code=ABC123", nil).want(t, 405, gateway.BadRequest, "GET, HEAD")
	if strings.Contains(f.log.String(), "ABC123") {
		t.Error("the code stands in the log")
	}
}
