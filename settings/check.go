package settings

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// checker judges values. A key that could not be read has its default for a
// value and is left alone, as is what depends on it.
type checker struct{ l *loader }

// fine tells whether none of the keys has a problem yet.
func (c *checker) fine(keys ...string) bool {
	return !slices.ContainsFunc(keys, func(k string) bool { return c.l.bad[k] })
}

func (c *checker) refuse(key, advice, format string, args ...any) {
	if c.fine(key) {
		c.l.refuse(key, fmt.Sprintf(format, args...), advice)
	}
}

// within refuses a duration outside low to high.
func (c *checker) within(key string, d, low, high time.Duration) {
	if d < low || d > high {
		c.refuse(key, "", "wants %s to %s, got %s", short(low), short(high), d)
	}
}

// short writes a duration without its zero minutes and seconds.
func short(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// number refuses a number outside low to high.
func number[N int | int64 | float64](c *checker, key string, n, low, high N) {
	if n < low || n > high {
		c.refuse(key, "", "wants %s to %s, got %s", decimal(low), decimal(high), decimal(n))
	}
}

// decimal writes a number as people do: 1000000, not 1e+06.
func decimal[N int | int64 | float64](n N) string {
	if f, ok := any(n).(float64); ok {
		return strconv.FormatFloat(f, 'f', -1, 64)
	}
	return fmt.Sprint(n)
}

// oneOf refuses a word that is not on the list.
func (c *checker) oneOf(key, word string, list ...string) {
	if !slices.Contains(list, word) {
		all := "one of " + strings.Join(list, ", ")
		if len(list) == 1 {
			all = list[0]
		}
		advice := ""
		if near := nearest(word, list); near != "" && len(list) > 1 {
			advice = "did you mean " + near + "?"
		}
		c.refuse(key, advice, "wants %s, got %s", all, quoted(word))
	}
}

// path refuses an empty path.
func (c *checker) path(key, path string) {
	if path == "" {
		c.refuse(key, "", "wants a path")
	}
}

// url refuses what is no URL of one of the schemes with a host, and returns
// what it read, or nil. The text itself is never shown, it may hold a password.
func (c *checker) url(key, text string, schemes ...string) *url.URL {
	advice := "write it as " + schemes[0] + "://host:port"
	u, err := url.Parse(text)
	if err != nil {
		c.refuse(key, advice, "is not a URL")
		return nil
	}
	switch {
	case u.Scheme == "" || u.Opaque != "" && !slices.Contains(schemes, u.Scheme):
		c.refuse(key, advice, "wants a URL with a scheme (%s)", strings.Join(schemes, ", "))
	case !slices.Contains(schemes, u.Scheme):
		c.refuse(key, advice, "wants one of the schemes %s, got %s", strings.Join(schemes, ", "), quoted(u.Scheme))
	case u.Hostname() == "" || !isHost(u.Hostname()):
		c.refuse(key, advice, "wants the name or address of a host")
	case strings.HasSuffix(u.Host, ":") || u.Port() != "" && !isPort(u.Port(), 1):
		c.refuse(key, advice, "wants a port from 1 to 65535")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.HasSuffix(text, "#"):
		c.refuse(key, "", "wants no query and no fragment")
	default:
		return u
	}
	return nil
}

// loopback tells whether host, an address or a name, is this machine for sure.
func loopback(host string) bool {
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.IsLoopback() // ::ffff:127.0.0.1 too
	}
	return strings.EqualFold(host, "localhost")
}

// isHost tells whether s is an IP address or a host name (RFC 1123, section 2.1;
// the underscore that local networks use is let through).
func isHost(s string) bool {
	if _, err := netip.ParseAddr(s); err == nil {
		return true
	}
	name := strings.TrimSuffix(s, ".")
	if name == "" || len(name) > 253 {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		odd := strings.ContainsFunc(label, func(r rune) bool {
			return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
		})
		if odd || label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
	}
	return true
}

// isPort tells whether s is a port number, low or higher.
func isPort(s string, low int) bool {
	n, err := strconv.Atoi(s)
	return err == nil && strconv.Itoa(n) == s && n >= low && n <= 65535
}

// listen splits host:port as a listener takes it; an empty host is every address.
func listen(s string) (host, port string, ok bool) {
	host, port, err := net.SplitHostPort(s)
	return host, port, err == nil && (host == "" || isHost(host)) && isPort(port, 0)
}

// fingerprint returns a SHA-256 as 64 lower-case hex digits, read with or
// without a colon between bytes.
func fingerprint(s string) (hex string, ok bool) {
	hex = strings.ToLower(s)
	if strings.Contains(hex, ":") {
		bytes := strings.Split(hex, ":")
		if slices.ContainsFunc(bytes, func(b string) bool { return len(b) != 2 }) {
			return "", false
		}
		hex = strings.Join(bytes, "")
	}
	return hex, len(hex) == 64 && strings.Trim(hex, "0123456789abcdef") == ""
}

// logging judges what both programs have.
func (c *checker) logging(l *Logging) {
	c.oneOf("logging.level", l.Level, "debug", "info", "warn", "error")
}
