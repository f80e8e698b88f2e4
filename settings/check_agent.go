package settings

import (
	"net/netip"
	"net/url"
	"path/filepath"
	"strings"
	"time"
)

// longestSocket is what fits into sun_path with its closing zero byte (unix(7)).
const longestSocket = 107

func checkAgent(c *checker, a *Agent) {
	c.provisioning(&a.Provisioning)
	c.paths(&a.Provisioning.Paths)
	c.oneOf("keystore.backend", a.Keystore.Backend, "auto", "tpm", "disk")
	c.oneOf("keystore.curve", a.Keystore.Curve, "P-256", "P-384")
	c.oneOf("keystore.trouble", a.Keystore.Trouble, "degraded", "exit")
	c.hardware(&a.Hardware)
	c.server(&a.Server)
	c.logging(&a.Logging)
}

func (c *checker) provisioning(p *Provisioning) {
	const key = "provisioning.server_url"
	if u := c.url(key, p.ServerURL, "https", "http", "grpcs", "grpc"); u != nil {
		bare := strings.HasPrefix(u.Scheme, "grpc")
		if bare && strings.Trim(u.Path, "/") != "" {
			c.refuse(key, "", "wants no path behind host and port with %s", u.Scheme)
		}
		open := (u.Scheme == "http" || u.Scheme == "grpc") && !loopback(u.Hostname())
		if open && !p.AllowPlaintext && c.fine("provisioning.allow_plaintext") {
			c.refuse(key, "use "+u.Scheme+"s://, or on a network you trust set provisioning.allow_plaintext: true",
				"plain %s to %s could be read and changed on its way", u.Scheme, u.Hostname())
		}
	}
	c.signPath(p.CertSignURL)
	if hex, ok := fingerprint(p.RootFingerprint); ok {
		p.RootFingerprint = hex
	} else if p.RootFingerprint != "" {
		c.refuse("provisioning.root_fingerprint", "openssl x509 -in root.pem -noout -fingerprint -sha256 prints it behind the =",
			"wants a SHA-256 in hex, 64 digits, colons allowed")
	}
	c.within("provisioning.timeout", p.Timeout, time.Second, 5*time.Minute)
	number(c, "provisioning.code.length", p.Code.Length, 4, 12)
	c.within("provisioning.code.life", p.Code.Life, 30*time.Second, time.Hour)
	if c.fine("provisioning.code.life") {
		c.within("provisioning.code.window", p.Code.Window, p.Code.Life, 24*time.Hour)
	}
}

// signPath keeps the CSR and its token on the gateway: a whole URL, or a path
// that begins with two slashes, would send them to another host.
func (c *checker) signPath(path string) {
	const key = "provisioning.cert_sign_url"
	u, err := url.Parse(path)
	switch {
	case err != nil || strings.HasPrefix(path, "//") || u.Scheme != "" || u.Host != "":
		c.refuse(key, "leave out scheme and host, they come from provisioning.server_url", "wants a path, not a URL")
	case !strings.HasPrefix(path, "/"):
		c.refuse(key, "", "wants a path that begins with /, got %s", quoted(path))
	case strings.ContainsAny(path, "?#\\"):
		c.refuse(key, "", "wants a path without query and fragment, got %s", quoted(path))
	}
}

func (c *checker) paths(p *Paths) {
	const prefix = "provisioning.paths."
	files := []struct{ key, path string }{
		{"machine.private_key", p.Machine.PrivateKey},
		{"machine.csr", p.Machine.CSR},
		{"machine.cert", p.Machine.Cert},
		{"ca_bundle.cert", p.CABundle.Cert},
		{"root.cert", p.Root.Cert},
		{"state", p.State},
	}
	first := map[string]string{}
	for _, f := range files {
		c.path(prefix+f.key, f.path)
		if f.path == "" || !c.fine(prefix+f.key) {
			continue
		}
		clean := filepath.Clean(f.path)
		if other := first[clean]; other != "" {
			c.refuse(prefix+f.key, "", "is the same path as %s", prefix+other)
			continue
		}
		first[clean] = f.key
	}
	// The anchors may be the root that the gateway once sent, never what is
	// written with secrets in it.
	if p.Server.Cert != "" && p.Machine.PrivateKey != "" && filepath.Clean(p.Server.Cert) == filepath.Clean(p.Machine.PrivateKey) {
		c.refuse(prefix+"server.cert", "", "is the same path as %s", prefix+"machine.private_key")
	}
}

func (c *checker) server(s *Server) {
	if len(s.Socket) > longestSocket {
		c.refuse("server.socket", "choose a shorter path, as /run/mecha/agent.sock",
			"is %d bytes long, a Unix socket takes %d", len(s.Socket), longestSocket)
	}
	number(c, "server.port", s.Port, 0, 65535)
	if s.URL == "" || !c.fine("server.url") {
		return
	}
	if _, err := netip.ParseAddr(s.URL); err != nil && !isHost(s.URL) {
		c.refuse("server.url", "write the address alone, as 127.0.0.1; the port stands in server.port",
			"wants an IP address or a host name, got %s", quoted(s.URL))
		return
	}
	if !c.fine("server.tls", "server.cert", "server.key", "server.client_ca") {
		return
	}
	// With neither file the server is the machine, and the machine's root decides
	// who may call.
	files := s.Cert != "" || s.Key != ""
	var missing []string
	for _, need := range []struct {
		key   string
		lacks bool
	}{
		{"server.tls", !s.TLS},
		{"server.cert", files && s.Cert == ""},
		{"server.key", files && s.Key == ""},
		{"server.client_ca", files && s.ClientCA == ""},
	} {
		if need.lacks {
			missing = append(missing, need.key)
		}
	}
	switch {
	case !loopback(s.URL) && len(missing) > 0:
		c.refuse("server.url", "set what is missing, or listen on 127.0.0.1",
			"listening on %s beyond this machine needs %s", quoted(s.URL), strings.Join(missing, ", "))
	case s.TLS && files && (s.Cert == "" || s.Key == ""):
		c.refuse("server.tls", "set both, or neither of them for the machine's own certificate",
			"needs server.cert and server.key together")
	}
}
