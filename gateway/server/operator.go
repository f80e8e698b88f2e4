package server

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/mecha-org/mecha-agent/gateway"
	"github.com/mecha-org/mecha-agent/gateway/store"
)

// The page of ListMachines.
const (
	defaultPage = 100
	maxPage     = 1000
)

const (
	maxID   = 64 // of a machine or an API key, in bytes
	maxName = 64 // of an API key, in characters
)

// FindRequest shows what stands behind a code, before the claim. With
// unannounced codes on, one that nobody announced shows no board and no key.
func (s *Service) FindRequest(ctx context.Context, c Caller, code string) (gateway.PendingRequest, error) {
	by, err := s.operator(ctx, c)
	if err != nil {
		return gateway.PendingRequest{}, err
	}
	code, err = gateway.ParseCode(code)
	if err != nil {
		return gateway.PendingRequest{}, fail(gateway.BadRequest, "code: %w", err)
	}
	if err := s.limits.guess(byKey(by), ""); err != nil {
		return gateway.PendingRequest{}, err
	}
	req, err := s.store.RequestByCode(ctx, code, s.now())
	switch {
	case s.config.Unannounced && (errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrExpired)):
		return gateway.PendingRequest{Expires: s.now().Add(s.config.CodeLife)}, nil
	case err != nil:
		return gateway.PendingRequest{}, s.codeError(by, err)
	}
	if err := s.limits.guess(byKey(by), ""); err != nil { // guesses at the same moment reached the limit
		return gateway.PendingRequest{}, err
	}
	if !req.Claimed.IsZero() {
		return gateway.PendingRequest{}, claimedAlready(by, req)
	}
	return gateway.PendingRequest{Board: req.Board, KeyFingerprint: req.KeyFingerprint, Expires: req.Expires,
		Attestation: s.expected(req), TPM: req.TPM}, nil
}

// ClaimRequest says yes to the machine that announced the code; to none but the
// one with that key when fingerprint is not empty, for a code can have changed
// hands since FindRequest showed it. A machine that comes back with the key it
// had keeps its id.
func (s *Service) ClaimRequest(ctx context.Context, c Caller, code, fingerprint string) (gateway.Claim, error) {
	by, err := s.operator(ctx, c)
	if err != nil {
		return gateway.Claim{}, err
	}
	code, err = gateway.ParseCode(code)
	if err != nil {
		return gateway.Claim{}, fail(gateway.BadRequest, "provisionCode: %w", err)
	}
	if err := s.limits.guess(byKey(by), ""); err != nil {
		return gateway.Claim{}, err
	}
	now := s.now()
	newID := newMachineID()
	if s.config.Unannounced && fingerprint == "" {
		if newID, err = s.claimUnannounced(ctx, code, newID, now); err != nil {
			return gateway.Claim{}, s.codeError(by, err)
		}
	}
	req, err := s.store.Claim(ctx, code, strings.ToLower(fingerprint), newID, by, now, now.Add(s.config.Exchange))
	if errors.Is(err, store.ErrClaimed) {
		if req, e := s.store.RequestByCode(ctx, code, now); e == nil && !req.Claimed.IsZero() {
			return gateway.Claim{}, claimedAlready(by, req)
		}
	}
	if err != nil {
		return gateway.Claim{}, s.codeError(by, err)
	}
	s.log.InfoContext(ctx, "code claimed", "request", req.ID, "machine", req.MachineID, "by", by, "key", req.KeyFingerprint)
	return gateway.Claim{RequestID: req.ID, MachineID: req.MachineID}, nil
}

// claimedAlready tells the one who has claimed the code what came of it, since
// the answer to that claim may have been lost, and nobody else.
func claimedAlready(by string, req store.Request) error {
	if req.ClaimedBy != by {
		return fail(gateway.Precondition, "the code was claimed already")
	}
	return fail(gateway.Precondition, "the code was claimed already, as request %d for machine %s", req.ID, req.MachineID)
}

// claimUnannounced makes the request of a code that nobody announced, and
// returns the machine id for it; an announced code keeps the given one.
func (s *Service) claimUnannounced(ctx context.Context, code, id string, now time.Time) (string, error) {
	req, err := s.store.RequestByCode(ctx, code, now)
	if errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrExpired) {
		req = store.Request{Code: code, Created: now, Expires: now.Add(s.config.CodeLife)}
		req.ID, err = s.store.AddRequest(ctx, req)
		if errors.Is(err, store.ErrTaken) { // another has made it at the same moment
			req, err = s.store.RequestByCode(ctx, code, now)
		}
	}
	if err != nil {
		return "", err
	}
	if req.DeviceCode != (store.Hash{}) {
		return id, nil
	}
	return machineIDFor(req.ID), nil
}

// codeError is what the store says of a code, in words for an operator. A code
// that is none counts as a wrong guess of that operator's key.
func (s *Service) codeError(by string, err error) error {
	switch {
	case errors.Is(err, store.ErrNotFound):
		return s.limits.miss(byKey(by), "", unknownCode())
	case errors.Is(err, store.ErrExpired):
		return unknownCode()
	case errors.Is(err, store.ErrClaimed):
		return fail(gateway.Precondition, "the code was claimed already")
	case errors.Is(err, store.ErrMismatch):
		return fail(gateway.Precondition, "the code is another machine's now: look it up again, and compare")
	case errors.Is(err, store.ErrRevoked):
		return fail(gateway.Precondition, "the machine with this key is revoked: it needs a new key")
	}
	return fmt.Errorf("reading or claiming the code: %w", err)
}

// RequestStatus tells whether a claimed request led to a certificate.
func (s *Service) RequestStatus(ctx context.Context, c Caller, id int64) (gateway.RequestState, error) {
	if _, err := s.operator(ctx, c); err != nil {
		return "", err
	}
	req, err := s.store.RequestByID(ctx, id)
	switch {
	case errors.Is(err, store.ErrNotFound), err == nil && req.Claimed.IsZero():
		return "", fail(gateway.NotFound, "there is no claimed request with this id")
	case err != nil:
		return "", fmt.Errorf("looking up the request: %w", err)
	case req.CertificateSerial == "":
		return gateway.RequestPending, nil
	}
	return gateway.RequestComplete, nil
}

// ListMachines returns the machines after the given id, in order of id: at most
// limit, 1 to 1000; 0 is 100.
func (s *Service) ListMachines(ctx context.Context, c Caller, after string, limit int) ([]gateway.Machine, error) {
	if _, err := s.operator(ctx, c); err != nil {
		return nil, err
	}
	if limit == 0 {
		limit = defaultPage
	}
	if limit < 1 || limit > maxPage {
		return nil, fail(gateway.BadRequest, "limit: want 1 to %d", maxPage)
	}
	if err := checkText(after, maxID); err != nil {
		return nil, fail(gateway.BadRequest, "after: %w", err)
	}
	list, err := s.store.Machines(ctx, after, limit)
	if err != nil {
		return nil, fmt.Errorf("listing machines: %w", err)
	}
	return list, nil
}

// RevokeMachine revokes every certificate of a machine, for good, and returns
// when that was done first.
func (s *Service) RevokeMachine(ctx context.Context, c Caller, id string) (time.Time, error) {
	by, err := s.operator(ctx, c)
	if err != nil {
		return time.Time{}, err
	}
	if err := checkText(id, maxID); err != nil || id == "" {
		return time.Time{}, fail(gateway.BadRequest, "machineId: want the id of a machine")
	}
	at, err := s.store.Revoke(ctx, id, s.now())
	switch {
	case errors.Is(err, store.ErrNotFound):
		return time.Time{}, fail(gateway.NotFound, "there is no such machine")
	case err != nil:
		return time.Time{}, fmt.Errorf("revoking the machine: %w", err)
	}
	s.crl.forget()
	s.log.InfoContext(ctx, "machine revoked", "machine", id, "by", by)
	return at, nil
}
