package client

import (
	"net/http"
	"testing"
	"time"
)

var noon = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

func TestParseRetryAfter(t *testing.T) {
	for s, want := range map[string]time.Duration{
		"":                               0,
		"0":                              0,
		"7":                              7 * time.Second,
		" 120 ":                          2 * time.Minute,
		"3600":                           time.Hour,
		"86400":                          time.Hour,
		"18446744073709551615":           time.Hour,
		"99999999999999999999999":        time.Hour,
		"-5":                             0,
		"1.5":                            0,
		"soon":                           0,
		"Mon, 04 May 2026 12:00:30 GMT":  30 * time.Second,
		"Monday, 04-May-26 12:00:30 GMT": 30 * time.Second,
		"Mon May  4 12:00:30 2026":       30 * time.Second,
		"Mon, 04 May 2026 11:00:00 GMT":  0,
		"Tue, 05 May 2026 12:00:00 GMT":  time.Hour,
		"Fri, 31 Dec 9999 23:59:59 GMT":  time.Hour,
	} {
		if got := parseRetryAfter(s, noon); got != want {
			t.Errorf("%q: %v, want %v", s, got, want)
		}
	}
}

func FuzzRetryAfter(f *testing.F) {
	for _, s := range []string{"", "5", "-1", "18446744073709551616", "Mon, 04 May 2026 12:00:30 GMT", "Mon May  4 12:00:30 2026", "x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d := parseRetryAfter(s, noon)
		if d < 0 || d > maxRetry {
			t.Fatalf("%q: %v", s, d)
		}
		// What was read prints back the same, as a date.
		if again := parseRetryAfter(noon.Add(d).Format(http.TimeFormat), noon); again != d {
			t.Fatalf("%q: %v, and as a date %v", s, d, again)
		}
	})
}

func FuzzCheckPath(f *testing.F) {
	for _, s := range []string{"/v1/provisioning/cert/sign", "//x", "/a/../b", "/%2e%2e/", "http://x/", "/a?b=c", "/\\x", "/a%2fb", "/é"} {
		f.Add(s)
	}
	base, err := newPeer(Config{ServerURL: "https://gateway.example:8443/base"})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if checkPath(s) != nil {
			return
		}
		r, err := newHTTP(base).newRequest(t.Context(), request{method: http.MethodPost, path: s})
		if err != nil {
			return
		}
		if r.URL.Scheme != "https" || r.URL.Host != "gateway.example:8443" || len(r.URL.Path) < 6 || r.URL.Path[:6] != "/base/" {
			t.Fatalf("%q leads to %s", s, r.URL)
		}
	})
}
