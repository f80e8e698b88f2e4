package server

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"net/url"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/mecha-org/mecha-agent/gateway"
	"github.com/mecha-org/mecha-agent/gateway/ca"
	"github.com/mecha-org/mecha-agent/gateway/store"
)

// maxBoardField bounds each word that a device says of itself, in bytes.
const maxBoardField = 128

// Service is every rule of the gateway. Its errors are *gateway.Error with a
// kind, or without one when the gateway itself is at fault; none holds a code,
// a token or a secret. It is safe for concurrent use.
type Service struct {
	store  store.Store
	ca     ca.Authority
	log    *slog.Logger
	now    func() time.Time
	limits *limiter
	polls  *polls
	config Config

	root   string   // PEM
	bundle []string // PEM, the issuer of machine certificates first
	crl    crlCache

	firstKey sync.Mutex // see signUnannounced
}

// Caller is who asks: the address that the limits count for, and an operator's
// API key when there is one.
type Caller struct {
	From      netip.Prefix
	KeyID     string
	KeySecret gateway.Secret
}

func newService(c Config, limits *limiter) (*Service, error) {
	intermediates, root := c.CA.Chain()
	if root == nil {
		return nil, errors.New("gateway server: the CA has no root")
	}
	s := &Service{
		store: c.Store, ca: c.CA, log: c.Log, now: c.Now, limits: limits,
		polls: newPolls(c.Interval, c.Now), config: c, root: certPEM(root),
	}
	for _, i := range intermediates {
		s.bundle = append(s.bundle, certPEM(i))
	}
	return s, nil
}

func certPEM(c *x509.Certificate) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
}

func hash(s gateway.Secret) store.Hash { return sha256.Sum256([]byte(s.Reveal())) }

// matches compares in constant time; an empty secret and a zero hash match nothing.
func matches(h store.Hash, s gateway.Secret) bool {
	got := hash(s)
	return subtle.ConstantTimeCompare(h[:], got[:]) == 1 && s != "" && h != store.Hash{}
}

func fail(k gateway.Kind, format string, a ...any) error {
	return &gateway.Error{Kind: k, Err: fmt.Errorf(format, a...)}
}

// unknownCode is the answer to an unknown code, an expired one, and one with
// another's device code alike, so that it tells nothing about which codes stand.
func unknownCode() error { return fail(gateway.NotFound, "the code is unknown or expired") }

// Ping says that the gateway is there.
func (s *Service) Ping(context.Context) error { return nil }

// Announce binds a code to the key that signed the CSR and returns the device
// code, of which the store keeps only the hash.
func (s *Service) Announce(ctx context.Context, _ Caller, a gateway.Announcement) (gateway.Session, error) {
	code, err := gateway.ParseCode(a.Code)
	if err != nil {
		return gateway.Session{}, fail(gateway.BadRequest, "code: %w", err)
	}
	csr, err := gateway.ParseCSR(a.CSR)
	if err != nil {
		return gateway.Session{}, fail(gateway.BadRequest, "csr: %w", err)
	}
	if err := checkBoard(a.Board); err != nil {
		return gateway.Session{}, err
	}
	fingerprint, err := gateway.Fingerprint(csr.PublicKey)
	if err != nil {
		return gateway.Session{}, err
	}
	now := s.now()
	deviceCode := gateway.NewSecret()
	req := store.Request{
		Code:           code,
		DeviceCode:     hash(deviceCode),
		KeyFingerprint: fingerprint,
		Board:          a.Board,
		Created:        now,
		Expires:        now.Add(s.config.CodeLife),
	}
	if err := s.identify(ctx, a.TPM, &req); err != nil {
		return gateway.Session{}, err
	}
	id, err := s.store.AddRequest(ctx, req)
	switch {
	case errors.Is(err, store.ErrTaken):
		return gateway.Session{}, fail(gateway.Taken, "the code is in use: make another")
	case err != nil:
		return gateway.Session{}, fmt.Errorf("storing the announced code: %w", err)
	}
	s.log.InfoContext(ctx, "code announced", "request", id, "key", fingerprint, "model", a.Board.Model, "attestation", s.expected(req))
	return gateway.Session{
		Code:                    code,
		DeviceCode:              deviceCode,
		Expires:                 now.Add(s.config.CodeLife),
		Interval:                s.config.Interval,
		VerificationURI:         s.config.URL + routeClaimPage,
		VerificationURIComplete: s.config.URL + routeClaimPage + "?code=" + url.QueryEscape(code),
	}, nil
}

// checkBoard refuses what could do harm in an operator's terminal or log.
func checkBoard(b gateway.Board) error {
	for _, f := range []struct{ name, value string }{
		{"vendor", b.Vendor}, {"model", b.Model}, {"serial", b.Serial},
		{"soc", b.SoC}, {"revision", b.Revision}, {"architecture", b.Architecture},
	} {
		if err := checkText(f.value, maxBoardField); err != nil {
			return fail(gateway.BadRequest, "board.%s: %w", f.name, err)
		}
	}
	return nil
}

// checkText takes printable text of at most most bytes.
func checkText(s string, most int) error {
	if len(s) > most {
		return fmt.Errorf("longer than %d bytes", most)
	}
	if !utf8.ValidString(s) {
		return errors.New("not UTF-8")
	}
	for _, r := range s {
		if !unicode.IsPrint(r) {
			return errors.New("it has a character that does not print")
		}
	}
	return nil
}

// FindManifest tells whether the code was claimed, and gives a new one-time
// token when it was, and a challenge to a TPM that was announced; former ones are
// void. A wrong device code is answered as
// an unknown code is, and counts as one. No device code at all is a guess only
// where unannounced codes are served; elsewhere it cannot hit.
func (s *Service) FindManifest(ctx context.Context, c Caller, code string, deviceCode gateway.Secret) (gateway.Manifest, error) {
	code, err := gateway.ParseCode(code)
	if err != nil {
		return gateway.Manifest{}, fail(gateway.BadRequest, "code: %w", err)
	}
	plain := deviceCode == ""
	if plain {
		if !s.config.Unannounced {
			return gateway.Manifest{}, unknownCode()
		}
		if err := s.limits.guess(byAddress(c.From), code); err != nil {
			return gateway.Manifest{}, err
		}
	}
	now := s.now()
	req, err := s.store.RequestByCode(ctx, code, now)
	announced := req.DeviceCode != store.Hash{}
	switch {
	case errors.Is(err, store.ErrExpired):
		return gateway.Manifest{}, unknownCode()
	case errors.Is(err, store.ErrNotFound) && plain:
		return gateway.Manifest{}, s.limits.miss(byAddress(c.From), code, notClaimed())
	case errors.Is(err, store.ErrNotFound):
		return gateway.Manifest{}, s.limits.miss(byAddress(c.From), "", unknownCode())
	case err != nil:
		return gateway.Manifest{}, fmt.Errorf("looking up the code: %w", err)
	case plain && announced:
		return gateway.Manifest{}, s.limits.miss(byAddress(c.From), code, unknownCode())
	case plain:
		if err := s.limits.guess(byAddress(c.From), code); err != nil { // guesses at the same moment reached the limit
			return gateway.Manifest{}, err
		}
	case !matches(req.DeviceCode, deviceCode):
		return gateway.Manifest{}, s.limits.miss(byAddress(c.From), "", unknownCode())
	}
	if req.Claimed.IsZero() {
		if wait := s.polls.poll(req.ID); wait > 0 {
			return gateway.Manifest{}, &gateway.Error{Kind: gateway.SlowDown, Err: errors.New("asked for the code too often"), RetryAfter: wait}
		}
		return gateway.Manifest{}, notClaimed()
	}
	m := gateway.Manifest{
		MachineID:     req.MachineID,
		CertSignURL:   gateway.RouteSign,
		CertValidUpto: now.Add(s.ca.Validity()).UTC().Format(time.RFC3339),
	}
	if !announced {
		return m, nil
	}
	m.Token = newToken(req.ID)
	token := store.Token{Hash: hash(m.Token), Expires: req.Expires}
	if m.Challenge, token.Challenge, err = s.challenge(req); err != nil {
		return gateway.Manifest{}, err
	}
	err = s.store.SetToken(ctx, req.ID, token, now)
	switch {
	case errors.Is(err, store.ErrExpired), errors.Is(err, store.ErrNotFound):
		return gateway.Manifest{}, unknownCode()
	case errors.Is(err, store.ErrRevoked):
		return gateway.Manifest{}, tokenError(err)
	case err != nil:
		return gateway.Manifest{}, fmt.Errorf("storing the token: %w", err)
	}
	return m, nil
}

func notClaimed() error { return fail(gateway.Pending, "no operator has claimed the code yet") }
