package settings

import (
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// maxCAName leaves room for " Intermediate CA" in a common name of 64
// characters (RFC 5280, appendix A.1).
const maxCAName = 46

func checkGateway(c *checker, g *Gateway) {
	c.path("data", g.Data)
	c.gatewayTLS(&g.TLS)
	c.listening(g)

	name := g.CA.Name
	switch n := utf8.RuneCountInString(name); {
	case n < 1 || n > maxCAName:
		c.refuse("ca.name", "", "wants 1 to %d characters, got %d", maxCAName, n)
	case strings.TrimSpace(name) != name || strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }):
		c.refuse("ca.name", "", "wants characters that print and none blank at the ends, got %s", quoted(name))
	}
	c.within("ca.validity", g.CA.Validity, time.Hour, 825*24*time.Hour)

	c.within("codes.life", g.Codes.Life, 30*time.Second, time.Hour)
	c.within("codes.exchange", g.Codes.Exchange, time.Minute, 24*time.Hour)
	c.within("codes.interval", g.Codes.Interval, time.Second, time.Minute)

	c.oneOf("attestation.policy", g.Attestation.Policy, "recorded", "required", "off")
	switch required := g.Attestation.Policy == "required"; {
	case required && g.Attestation.Roots == "":
		c.refuse("attestation.roots", "name a folder with the roots of the TPM makers you trust, see docs/security.md",
			"required needs the roots of TPM makers")
	case required && g.Codes.Unannounced:
		c.refuse("codes.unannounced", "", "agents that announce nothing have no evidence, and attestation.policy is required")
	}

	m := &g.Limits
	if m.PerAddress <= 0 || m.PerAddress > 10000 {
		c.refuse("limits.per_address", "", "wants more than 0 and at most 10000, got %v", m.PerAddress)
	}
	number(c, "limits.burst", m.Burst, 1, 10000)
	number(c, "limits.wrong_codes", m.WrongCodes, 1, 10000)
	if c.fine("limits.per_address") {
		number(c, "limits.overall", m.Overall, m.PerAddress, 1000000)
	}
	number(c, "limits.body", m.Body, 4<<10, 16<<20)
	c.within("limits.read_timeout", m.ReadTimeout, time.Second, 5*time.Minute)
	c.logging(&g.Logging)
}

func (c *checker) gatewayTLS(t *GatewayTLS) {
	c.oneOf("tls.mode", t.Mode, "off", "own", "files")
	for _, name := range t.Names {
		if addr, err := netip.ParseAddr(name); err == nil && addr.Zone() == "" {
			continue
		}
		if !isHost(name) || strings.Contains(name, "%") {
			c.refuse("tls.names", "", "wants host names and IP addresses, got %s", quoted(name))
			break
		}
	}
	switch {
	case t.Mode == "files" && (t.Cert == "" || t.Key == "") && c.fine("tls.cert", "tls.key"):
		c.refuse("tls.mode", "", "files needs tls.cert and tls.key")
	case t.Mode == "own" && len(t.Names) == 0 && c.fine("tls.names"):
		c.refuse("tls.mode", "list the names and addresses by which devices reach the gateway", "own needs tls.names")
	}
}

// listening judges where the gateway listens and under which URL it is known.
func (c *checker) listening(g *Gateway) {
	host, port, ok := listen(g.Listen)
	if !ok {
		c.refuse("listen", "write it as 127.0.0.1:3000", "wants host:port, got %s", quoted(g.Listen))
	} else if g.TLS.Mode == "off" && !loopback(host) && c.fine("tls.mode") {
		c.refuse("listen", "set tls.mode to own or files, or listen on 127.0.0.1",
			"%s reaches beyond this machine and tls.mode is off", quoted(g.Listen))
	}
	if g.URL != "" {
		c.url("url", g.URL, "https", "http")
		return
	}
	// Derived for port 0 it would be a lie; the server knows better once it listens.
	if port == "0" || !c.fine("listen", "url", "tls.mode", "tls.names") {
		return
	}
	addr, err := netip.ParseAddr(host)
	everywhere := host == "" || err == nil && addr.IsUnspecified()
	switch {
	case g.TLS.Mode == "own" && !slices.Contains(g.TLS.Names, host):
		host = g.TLS.Names[0] // the certificate holds no other
	case everywhere:
		c.refuse("listen", "set url to the address by which devices reach the gateway",
			"%s is every address and none that a device could call", quoted(g.Listen))
		return
	}
	u := url.URL{Scheme: "https", Host: net.JoinHostPort(host, port)}
	if g.TLS.Mode == "off" {
		u.Scheme = "http"
	}
	g.URL = u.String()
}
