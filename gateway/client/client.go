// Package client is the device's and the operator's side of the gateway. The
// scheme of the URL picks the door: http and https speak the JSON routes, grpc
// and grpcs the service provisioning.GatewayService. Behind either door the
// same errors come back: a *gateway.Error with kind, step and, where a person
// can do something, a hint.
//
// A gateway is trusted by the anchors in a file, else by a pinned root, else by
// the system's roots. There is no way to switch verification off.
package client

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/mecha-org/mecha-agent/gateway"
)

// DefaultTimeout bounds one call when Config.Timeout is zero.
const DefaultTimeout = 30 * time.Second

// Client is what a device asks of its gateway. It is safe for concurrent use,
// and every error is a *gateway.Error in its chain.
type Client interface {
	// Ping asks whether the gateway is there.
	Ping(ctx context.Context) error
	// Announce binds a user code to the device's key. The error wraps
	// gateway.ErrNoAnnounce when the gateway knows no such route, and has kind
	// Taken when the code is in use.
	Announce(ctx context.Context, a gateway.Announcement) (gateway.Session, error)
	// FindManifest asks whether the code was claimed. An empty device code asks
	// as the original agent does, without one. The error has kind Pending while
	// nobody claimed the code, NotFound when it is unknown or has expired.
	FindManifest(ctx context.Context, code string, deviceCode gateway.Secret) (gateway.Manifest, error)
	// Sign exchanges the CSR, and the token when there is one, for a
	// certificate. What comes back is complete, but not verified.
	Sign(ctx context.Context, r gateway.SignRequest) (gateway.Issued, error)
	// Close closes idle connections. The client must not be used afterwards.
	Close() error
}

// Config says where the gateway is and why it is believed.
type Config struct {
	ServerURL string // http, https, grpc or grpcs, host, port and, for the first two, a path
	SignURL   string // path below ServerURL when a SignRequest names none; empty: gateway.RouteSign

	TrustFile       string // PEM trust anchors; used when the file exists, before all else
	RootFingerprint string // SHA-256 of the root's DER in hex, colons allowed; used without TrustFile
	AllowPlaintext  bool   // plain http and grpc to other hosts than this one

	Timeout   time.Duration // bound of one call; 0: DefaultTimeout
	UserAgent string        // empty: "mecha-agent"
	Now       func() time.Time
	Log       *slog.Logger // one line for each call, at debug level; may be nil
}

// New returns a client. It reads the trust anchors but does not connect; the
// error has kind BadRequest and a hint when a setting is wrong.
func New(cfg Config) (Client, error) {
	p, err := newPeer(cfg)
	if err != nil {
		return nil, err
	}
	if p.grpc {
		return newGRPC(p), nil
	}
	return newHTTP(p), nil
}

// peer is the gateway as both doors see it: checked and with defaults filled in.
type peer struct {
	Config
	url     *url.URL
	host    string // without port and brackets
	address string // host:port
	grpc    bool
	secure  bool
	trust   trust
}

var ports = map[string]string{"http": "80", "grpc": "80", "https": "443", "grpcs": "443"}

func newPeer(cfg Config) (*peer, error) {
	refuse := func(advice, format string, args ...any) (*peer, error) {
		return nil, &gateway.Error{Kind: gateway.BadRequest, Step: "checking the gateway's URL",
			Err: fmt.Errorf(format, args...), Advice: advice}
	}
	const form = "write it as https://host:port or grpcs://host:port"

	u, err := url.Parse(cfg.ServerURL)
	if err != nil { // url.Error repeats the text, which may hold a password
		return refuse(form, "it is no URL")
	}
	p := &peer{Config: cfg, url: u, host: u.Hostname()}
	port, known := ports[u.Scheme]
	switch {
	case !known:
		return refuse(form, "its scheme is %q, want http, https, grpc or grpcs", u.Scheme)
	case p.host == "":
		return refuse(form, "it has no host")
	case u.User != nil:
		return refuse("remove what stands before the @", "it holds a user name or password")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return refuse("remove what stands behind ? or #", "it has a query or a fragment")
	}
	p.grpc = strings.HasPrefix(u.Scheme, "grpc")
	p.secure = strings.HasSuffix(u.Scheme, "s")
	u.Path = strings.TrimSuffix(u.Path, "/")
	if p.grpc && u.Path != "" {
		return refuse("remove the path", "gRPC has no path below the host")
	}
	if u.Port() != "" {
		port = u.Port()
	}
	p.address = net.JoinHostPort(p.host, port)
	if !p.secure && !cfg.AllowPlaintext && !loopback(p.host) {
		return refuse(fmt.Sprintf("use %ss://, or set provisioning.allow_plaintext on a network that you trust", u.Scheme),
			"plain %s to %s would let anybody on the way read and change the exchange", u.Scheme, p.host)
	}
	if cfg.SignURL != "" {
		if err := checkPath(cfg.SignURL); err != nil {
			return refuse("set provisioning.cert_sign_url to a path such as "+gateway.RouteSign, "cert_sign_url: %w", err)
		}
	}
	if p.trust, err = loadTrust(cfg); err != nil {
		return nil, err
	}
	if p.Timeout <= 0 {
		p.Timeout = DefaultTimeout
	}
	if p.UserAgent == "" {
		p.UserAgent = "mecha-agent"
	}
	if p.Now == nil {
		p.Now = time.Now
	}
	if p.Log == nil {
		p.Log = slog.New(slog.DiscardHandler)
	}
	return p, nil
}

// loopback says whether host is this machine whatever the name servers say.
func loopback(host string) bool {
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.Unmap().IsLoopback()
	}
	return strings.EqualFold(strings.TrimSuffix(host, "."), "localhost")
}

// signPath returns the path that r is posted to.
func (p *peer) signPath(r gateway.SignRequest) (string, error) {
	for _, path := range []string{r.URL, p.SignURL, gateway.RouteSign} {
		if path != "" {
			return path, checkPath(path)
		}
	}
	return "", errors.New("no path") // never: RouteSign is not empty
}

// checkPath takes a path, with or without a query, and refuses whatever could
// lead to another server or out of server_url: the CSR's token goes there.
func checkPath(s string) error {
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return errors.New("it is no path")
	case u.Scheme != "" || u.Host != "" || u.User != nil || u.Opaque != "":
		return errors.New("it names a server, want a path on the gateway")
	case !strings.HasPrefix(u.Path, "/"):
		return errors.New("it does not begin with /")
	case u.Fragment != "":
		return errors.New("it has a fragment")
	case strings.Contains(u.Path, "//") || strings.Contains(u.Path, `\`) || u.RawPath != "":
		return errors.New("it holds //, a backslash or an escaped /")
	}
	for segment := range strings.SplitSeq(u.Path, "/") {
		if segment == ".." || segment == "." {
			return errors.New("it holds . or .. as a segment")
		}
	}
	return nil
}

// manifest checks what a device acts upon before it acts.
func (p *peer) manifest(m gateway.Manifest) (gateway.Manifest, error) {
	// RFC 5280, appendix A.1: ub-common-name is 64.
	if m.MachineID == "" || len(m.MachineID) > 64 || !printable(m.MachineID) {
		return gateway.Manifest{}, errors.New("its machine_id is missing, too long or not printable")
	}
	if m.CertSignURL != "" {
		if err := checkPath(m.CertSignURL); err != nil {
			return gateway.Manifest{}, fmt.Errorf("its cert_sign_url: %w", err)
		}
	}
	if m.Challenge != nil {
		if err := m.Challenge.Check(); err != nil {
			return gateway.Manifest{}, fmt.Errorf("its attestation: %w", err)
		}
	}
	return m, nil
}

// issued checks that the answer is complete; to verify it is the caller's.
func (p *peer) issued(i gateway.Issued) (gateway.Issued, error) {
	if i.Cert == "" || i.RootCert == "" {
		return gateway.Issued{}, errors.New("it lacks the certificate or the root")
	}
	return i, nil
}

// badAnswer is a success whose contents nobody can use.
func badAnswer(step string, err error) error {
	return &gateway.Error{Kind: gateway.Internal, Step: step,
		Err:    fmt.Errorf("the gateway's answer is of no use: %w", err),
		Advice: "check that server_url is the gateway's address and not a proxy's or another service's"}
}

// The steps, as they stand in errors and logs.
const (
	stepPing     = "asking the gateway for a sign of life"
	stepAnnounce = "announcing the code"
	stepFind     = "asking whether the code was claimed"
	stepSign     = "asking for the certificate"
)
