package server

import (
	"context"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/mecha-org/mecha-agent/gateway"
	"github.com/mecha-org/mecha-agent/gateway/ca"
	"github.com/mecha-org/mecha-agent/gateway/store"
)

// issueTimeout bounds what follows the use of a token, which goes on when the
// device hangs up or the gateway is told to stop.
const issueTimeout = 10 * time.Second

// newToken returns a one-time token. It begins with the id of its request, so
// that the request can be found, and everything about it checked, before the
// token is used up.
func newToken(request int64) gateway.Secret {
	return gateway.Secret(strconv.FormatInt(request, 10) + "." + gateway.NewSecret().Reveal())
}

func requestOf(token gateway.Secret) (int64, bool) {
	id, _, ok := strings.Cut(token.Reveal(), ".")
	n, err := strconv.ParseInt(id, 10, 64)
	return n, ok && err == nil
}

// Sign exchanges a token and a CSR for a certificate. Everything is checked
// before the token is used up, so that a bad CSR does not burn it. A device that
// never got its answer asks for the manifest again, which gives a new token, and
// gets the certificate that was recorded for its key.
func (s *Service) Sign(ctx context.Context, c Caller, r gateway.SignRequest) (gateway.Issued, error) {
	switch r.Type {
	case gateway.Provision:
	case gateway.ReIssue:
		return gateway.Issued{}, fail(gateway.BadRequest, "request_type ReIssue: this gateway does not serve it yet")
	default:
		return gateway.Issued{}, fail(gateway.BadRequest, "request_type: want Provision")
	}
	if r.Token == "" {
		if s.config.Unannounced {
			return s.signUnannounced(ctx, c, r)
		}
		return gateway.Issued{}, fail(gateway.Unauthorized, "the token is missing")
	}
	req, err := s.requestByToken(ctx, c, r.Token)
	if err != nil {
		return gateway.Issued{}, err
	}
	csr, fingerprint, err := checkBinding(req, r, req.KeyFingerprint)
	if err != nil {
		return gateway.Issued{}, err
	}
	attestation, tpm, err := s.attested(req, csr, r.Evidence)
	if err != nil {
		return gateway.Issued{}, err
	}
	return s.issue(ctx, r.Token, csr, store.Certificate{KeyFingerprint: fingerprint, Attestation: attestation, TPM: tpm})
}

// requestByToken returns the request of a token that may still be used. Only a
// token that was never handed out, or was replaced, counts as a wrong guess.
func (s *Service) requestByToken(ctx context.Context, c Caller, token gateway.Secret) (store.Request, error) {
	wrong := fail(gateway.Unauthorized, "the token is wrong or was replaced by a newer one")
	id, ok := requestOf(token)
	if !ok {
		return store.Request{}, s.limits.miss(byAddress(c.From), "", wrong)
	}
	req, err := s.store.RequestByID(ctx, id)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return store.Request{}, s.limits.miss(byAddress(c.From), "", wrong)
	case err != nil:
		return store.Request{}, fmt.Errorf("looking up the token: %w", err)
	case !matches(req.Token, token):
		return store.Request{}, s.limits.miss(byAddress(c.From), "", wrong)
	}
	now := s.now()
	switch {
	case !req.TokenUsed.IsZero():
		return store.Request{}, tokenError(store.ErrUsed)
	case !now.Before(req.TokenExpires), !now.Before(req.Expires):
		return store.Request{}, tokenError(store.ErrExpired)
	}
	return req, nil
}

// tokenError is what the store says of a token, in words for a device.
func tokenError(err error) error {
	switch {
	case errors.Is(err, store.ErrUsed):
		return fail(gateway.Unauthorized, "the token was used already: ask for the manifest again")
	case errors.Is(err, store.ErrExpired):
		return fail(gateway.Unauthorized, "the token has expired: announce a new code")
	case errors.Is(err, store.ErrRevoked):
		return fail(gateway.Unauthorized, "the machine is revoked")
	case errors.Is(err, store.ErrNotFound):
		return fail(gateway.Unauthorized, "the token was replaced by a newer one")
	}
	return fmt.Errorf("using the token: %w", err)
}

// checkBinding checks the CSR against the machine and the key that the operator
// said yes to; an empty key takes any.
func checkBinding(req store.Request, r gateway.SignRequest, key string) (*x509.CertificateRequest, string, error) {
	if r.MachineID != req.MachineID {
		return nil, "", fail(gateway.Unauthorized, "machine_id is not the machine of this token")
	}
	csr, err := gateway.ParseCSR(r.CSR)
	if err != nil {
		return nil, "", fail(gateway.BadRequest, "csr: %w", err)
	}
	fingerprint, err := gateway.Fingerprint(csr.PublicKey)
	if err != nil {
		return nil, "", err
	}
	if key != "" && fingerprint != key {
		return nil, "", fail(gateway.Unauthorized, "csr: its key is not the one that the code was announced with")
	}
	if csr.Subject.CommonName != req.MachineID {
		return nil, "", fail(gateway.BadRequest, "csr: its common name is not the machine_id")
	}
	return csr, fingerprint, nil
}

// issue uses the token up, then signs and records: want has the key and what was
// proven of it. From there on nothing that the caller does stops it: a used token
// without a certificate helps nobody.
func (s *Service) issue(ctx context.Context, token gateway.Secret, csr *x509.CertificateRequest, want store.Certificate) (gateway.Issued, error) {
	now := s.now()
	req, err := s.store.UseToken(ctx, hash(token), now)
	if err != nil {
		return gateway.Issued{}, tokenError(err)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), issueTimeout)
	defer cancel()
	if recorded, ok, err := s.recorded(ctx, req, want.KeyFingerprint); err != nil || ok {
		return recorded, err
	}
	cert, err := s.ca.Sign(ctx, csr, ca.Machine{ID: req.MachineID, Attestation: want.Attestation}, now)
	if err != nil {
		return gateway.Issued{}, fmt.Errorf("signing the certificate: %w", err)
	}
	text := certPEM(cert)
	want.Serial, want.MachineID, want.PEM = hex.EncodeToString(cert.SerialNumber.Bytes()), req.MachineID, text
	want.NotBefore, want.NotAfter = cert.NotBefore, cert.NotAfter
	err = s.store.AddCertificate(ctx, req.ID, want)
	switch {
	case errors.Is(err, store.ErrRevoked): // while it was being signed
		return gateway.Issued{}, tokenError(err)
	case err != nil:
		return gateway.Issued{}, fmt.Errorf("recording the certificate: %w", err)
	}
	s.log.InfoContext(ctx, "certificate issued", "request", req.ID, "machine", req.MachineID,
		"serial", want.Serial, "until", cert.NotAfter, "attestation", want.Attestation, "ek", want.TPM.EKFingerprint)
	return s.issued(text), nil
}

// recorded returns the certificate that the request led to before, if any.
func (s *Service) recorded(ctx context.Context, req store.Request, fingerprint string) (gateway.Issued, bool, error) {
	if req.CertificateSerial == "" {
		return gateway.Issued{}, false, nil
	}
	cert, err := s.store.Certificate(ctx, req.CertificateSerial)
	switch {
	case err != nil:
		return gateway.Issued{}, false, fmt.Errorf("looking up the recorded certificate: %w", err)
	case cert.KeyFingerprint != fingerprint:
		return gateway.Issued{}, false, fail(gateway.Unauthorized, "csr: the machine has a certificate for another key")
	case !cert.Revoked.IsZero():
		return gateway.Issued{}, false, tokenError(store.ErrRevoked)
	case !s.now().Before(cert.NotAfter):
		return gateway.Issued{}, false, nil
	}
	return s.issued(cert.PEM), true, nil
}

func (s *Service) issued(cert string) gateway.Issued {
	return gateway.Issued{Cert: cert, RootCert: s.root, CABundle: append([]string(nil), s.bundle...)}
}

// signUnannounced serves an agent of the original, whose only credential is the
// machine's id: the first key that comes is the machine's, and no other is taken
// afterwards. One at a time, so that two that come first cannot both be it.
func (s *Service) signUnannounced(ctx context.Context, c Caller, r gateway.SignRequest) (gateway.Issued, error) {
	s.firstKey.Lock()
	defer s.firstKey.Unlock()
	wrong := fail(gateway.Unauthorized, "machine_id is unknown or its time is over")
	id, ok := requestOfMachine(r.MachineID)
	if !ok {
		return gateway.Issued{}, s.limits.miss(byAddress(c.From), "", wrong)
	}
	req, err := s.store.RequestByID(ctx, id)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return gateway.Issued{}, s.limits.miss(byAddress(c.From), "", wrong)
	case err != nil:
		return gateway.Issued{}, fmt.Errorf("looking up the machine: %w", err)
	case req.DeviceCode != store.Hash{}, req.Claimed.IsZero(), req.MachineID != r.MachineID:
		return gateway.Issued{}, s.limits.miss(byAddress(c.From), "", wrong)
	case !s.now().Before(req.Expires):
		return gateway.Issued{}, wrong
	}
	csr, fingerprint, err := checkBinding(req, r, "")
	if err != nil {
		return gateway.Issued{}, err
	}
	// A token of our own, so that revocation and expiry are checked in the store
	// as for any other machine.
	token := newToken(req.ID)
	if err := s.store.SetToken(ctx, req.ID, store.Token{Hash: hash(token), Expires: req.Expires}, s.now()); err != nil {
		return gateway.Issued{}, tokenError(err)
	}
	attestation, tpm, err := s.attested(req, csr, r.Evidence)
	if err != nil {
		return gateway.Issued{}, err
	}
	return s.issue(ctx, token, csr, store.Certificate{KeyFingerprint: fingerprint, Attestation: attestation, TPM: tpm})
}
