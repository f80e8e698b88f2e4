package client

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"syscall"
	"time"

	"github.com/mecha-org/mecha-agent/gateway"
)

// unreached turns the error of a call that brought no answer into one with a
// kind and a hint that tells the causes apart.
func (p *peer) unreached(ctx context.Context, step string, err error) error {
	e := &gateway.Error{Kind: gateway.Unreachable, Step: step}

	// A url.Error repeats the URL, and with it the user code.
	var inURL *url.Error
	for errors.As(err, &inURL) {
		err = inURL.Err
	}
	var redirect *redirectError
	if errors.As(err, &redirect) {
		e.Err, e.Advice = redirect, redirect.advice
		return e
	}
	var timeout interface{ Timeout() bool }
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		e.Err = context.Canceled
		return e
	case ctx.Err() != nil, errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		e.Kind = gateway.Deadline
		e.Err = fmt.Errorf("no answer from %s in time: %w", p.address, context.DeadlineExceeded)
		e.Advice = "check that the gateway is up and that no firewall drops the connection"
		return e
	}
	e.Err = fmt.Errorf("reaching %s: %w", p.address, err)
	e.Advice = p.adviceOn(err)
	return e
}

// adviceOn says what a person can do about a connection that did not come about.
func (p *peer) adviceOn(err error) string {
	var (
		dns       *net.DNSError
		authority x509.UnknownAuthorityError
		hostname  x509.HostnameError
		invalid   x509.CertificateInvalidError
		record    tls.RecordHeaderError
		verify    *tls.CertificateVerificationError
	)
	switch {
	case errors.As(err, &dns) && dns.IsNotFound:
		return fmt.Sprintf("no name server (DNS) knows %s: check the host in server_url", p.host)
	case errors.As(err, &dns):
		return "the name server (DNS) does not answer: check that the network is up"
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Sprintf("connection refused: nothing listens at %s, check that the gateway is running and the port is right", p.address)
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTUNREACH):
		return "there is no way to that host: check that the network is up"
	case errors.Is(err, errPin):
		return "not trusted: compare provisioning.root_fingerprint with the fingerprint that the gateway's operator gives you"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return p.adviceOnClock(invalid.Cert)
	case errors.As(err, &authority):
		return fmt.Sprintf("not trusted: the gateway's certificate does not lead to %s", p.trust)
	case errors.As(err, &hostname):
		return fmt.Sprintf("not trusted: the gateway's certificate is not for %s, check the host in server_url", p.host)
	case errors.As(err, &verify), errors.As(err, &invalid):
		return "not trusted: the gateway's certificate is not fit for a server"
	case errors.Is(err, http.ErrSchemeMismatch), errors.As(err, &record):
		return "there is no TLS at that port: check port and scheme in server_url"
	}
	// EOF, reset, broken pipe, a TLS alert, net/http's unnamed "server closed
	// idle connection": which of them is a matter of luck.
	return "the connection was cut: check scheme and port in server_url, and the gateway's log"
}

// adviceOnClock tells a clock that was never set, as on a board without a
// battery, from a certificate that ran out.
func (p *peer) adviceOnClock(cert *x509.Certificate) string {
	now := p.Now().UTC()
	stamp := func(t time.Time) string { return t.UTC().Format(time.RFC3339) }
	if cert != nil && now.Before(cert.NotBefore) {
		return fmt.Sprintf("not yet valid: check the clock, it says %s here and the certificate begins at %s",
			stamp(now), stamp(cert.NotBefore))
	}
	if cert != nil {
		return fmt.Sprintf("expired at %s: renew the gateway's certificate, or check the clock, it says %s here",
			stamp(cert.NotAfter), stamp(now))
	}
	return "check the clock"
}
