package settings

import (
	"strings"
	"testing"
)

func TestNearest(t *testing.T) {
	words := []string{"server_url", "timeout", "tls", "url", "port", "path", "cert_a", "cert_b"}
	for _, c := range []struct{ word, want string }{
		{"sever_url", "server_url"}, {"serverUrl", "server_url"}, {"SERVER-URL", "server_url"},
		{"tmeout", "timeout"}, {"tiemout", "timeout"}, {"tsl", "tls"}, {"urls", "url"}, {"prot", "port"}, {"cert_c", "cert_a"},
		{"xyz", ""}, {"", ""}, {"timeoutinseconds", ""}, {strings.Repeat("server_url", 1000), ""},
	} {
		if got := nearest(c.word, words); got != c.want {
			t.Errorf("%q: got %q, want %q", c.word, got, c.want)
		}
	}
}

func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{
		{"", "", 0}, {"", "abc", 3}, {"abc", "", 3}, {"abc", "abc", 0}, {"abc", "acb", 1},
		{"kitten", "sitting", 3}, {"ca", "abc", 3}, {"port", "prot", 1}, {"ab", "ba", 1},
	} {
		if got := distance(c.a, c.b); got != c.want {
			t.Errorf("%q to %q: got %d, want %d", c.a, c.b, got, c.want)
		}
	}
}

func TestErrorText(t *testing.T) {
	for _, c := range []struct {
		err  Error
		want string
	}{
		{Error{File: "f", Line: 3, Key: "a.b", Problem: "bad"}, "f:3: a.b: bad"},
		{Error{File: "f", Problem: "bad"}, "f: bad"},
		{Error{Key: "a.b", Problem: "bad"}, "a.b: bad"},
		{Error{File: "f", Line: 1, Key: "a\x1b[2J\n", Problem: "bad"}, `f:1: "a\x1b[2J\n": bad`},
		{Error{Key: strings.Repeat("k", 1000), Problem: "bad"}, strings.Repeat("k", longest) + "...: bad"},
	} {
		if got := c.err.Error(); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}
