package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/mecha-org/mecha-agent/gateway/store"
)

// notFound reads a query's "no rows" as the store's word for it.
func notFound(err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return store.ErrNotFound
	}
	return err
}

// over says whether what ends at end is over at now, to the microsecond that
// the columns keep.
func over(end, now time.Time) bool { return micros(end) <= micros(now) }

// AddRequest implements store.Store.
func (s *Store) AddRequest(ctx context.Context, r store.Request) (id int64, err error) {
	err = s.write(ctx, "storing a request", func(t tx) error {
		if _, err := t.exec(qGiveUpCode, r.Code, micros(r.Created), r.KeyFingerprint, micros(r.Created.Add(-store.Reserved))); err != nil {
			return err
		}
		args := []any{r.Code, hash(r.DeviceCode), r.KeyFingerprint, micros(r.Created), micros(r.Expires), octets(r.EKPublic), octets(r.AKPublic)}
		args = append(append(args, boardValues(r.Board)...), tpmValues(r.TPM)...)
		err := t.row(qAddRequest, args...).Scan(&id)
		if errors.Is(err, sql.ErrNoRows) {
			return store.ErrTaken
		}
		return err
	})
	return id, err
}

// RequestByCode implements store.Store.
func (s *Store) RequestByCode(ctx context.Context, code string, now time.Time) (store.Request, error) {
	r, err := scanRequest(s.reads[qRequestByCode].QueryRowContext(ctx, code))
	if err == nil && over(r.Expires, now) {
		err = store.ErrExpired
	}
	if err != nil {
		return store.Request{}, fmt.Errorf("looking a code up: %w", explain(ctx, notFound(err)))
	}
	return r, nil
}

// RequestByID implements store.Store.
func (s *Store) RequestByID(ctx context.Context, id int64) (store.Request, error) {
	r, err := scanRequest(s.reads[qRequestByID].QueryRowContext(ctx, id))
	if err != nil {
		return store.Request{}, fmt.Errorf("looking request %d up: %w", id, explain(ctx, notFound(err)))
	}
	return r, nil
}

// Claim implements store.Store.
func (s *Store) Claim(ctx context.Context, code, fingerprint, newID, by string, now, until time.Time) (claimed store.Request, err error) {
	err = s.write(ctx, "claiming a code", func(t tx) error {
		r, err := scanRequest(t.row(qRequestByCode, code))
		switch {
		case err != nil:
			return notFound(err)
		case over(r.Expires, now):
			return store.ErrExpired
		case !r.Claimed.IsZero():
			return store.ErrClaimed
		case fingerprint != "" && fingerprint != r.KeyFingerprint:
			return store.ErrMismatch
		}
		machine, err := t.machineFor(r, newID, now)
		if err != nil {
			return err
		}
		claimed, err = scanRequest(t.row(qClaim, r.ID, micros(now), by, machine, micros(until)))
		if errors.Is(err, sql.ErrNoRows) {
			return store.ErrClaimed
		}
		return err
	})
	if err != nil {
		return store.Request{}, err
	}
	return claimed, nil
}

// machineFor returns the machine that has the request's key, or makes one.
func (t tx) machineFor(r store.Request, newID string, now time.Time) (string, error) {
	if err := t.checkKey(r.KeyFingerprint); err != nil {
		return "", err
	}
	var id string
	var revoked moment
	switch err := t.row(qMachineByKey, r.KeyFingerprint).Scan(&id, &revoked); {
	case errors.Is(err, sql.ErrNoRows):
		args := []any{newID, r.KeyFingerprint, micros(now)}
		if _, err := t.exec(qAddMachine, append(args, boardValues(r.Board)...)...); err != nil {
			return "", fmt.Errorf("making machine %s: %w", newID, err)
		}
		return newID, nil
	case err != nil:
		return "", err
	}
	// The operator looked at what the board says of itself now.
	_, err := t.exec(qSetBoard, append([]any{id}, boardValues(r.Board)...)...)
	return id, err
}

// SetToken implements store.Store.
func (s *Store) SetToken(ctx context.Context, id int64, token store.Token, now time.Time) error {
	return s.write(ctx, "storing a token", func(t tx) error {
		r, err := scanRequest(t.row(qRequestByID, id))
		switch {
		case err != nil:
			return notFound(err)
		case r.Claimed.IsZero():
			return store.ErrNotFound
		case over(r.Expires, now):
			return store.ErrExpired
		}
		if err := t.checkMachine(r.MachineID); err != nil {
			return err
		}
		n, err := t.exec(qSetToken, id, micros(now), hash(token.Hash), micros(token.Expires), hash(token.Challenge.Nonce), hash(token.Challenge.Secret))
		if err == nil && n != 1 {
			err = store.ErrExpired
		}
		return err
	})
}

// UseToken implements store.Store.
func (s *Store) UseToken(ctx context.Context, token store.Hash, now time.Time) (used store.Request, err error) {
	err = s.write(ctx, "using a token", func(t tx) error {
		// NULL equals nothing: the zero hash finds no request.
		r, err := scanRequest(t.row(qRequestByToken, hash(token)))
		switch {
		case err != nil:
			return notFound(err)
		case !r.TokenUsed.IsZero():
			return store.ErrUsed
		case over(r.TokenExpires, now), over(r.Expires, now):
			return store.ErrExpired
		}
		if err := t.checkMachine(r.MachineID); err != nil {
			return err
		}
		used, err = scanRequest(t.row(qUseToken, hash(token), micros(now)))
		if errors.Is(err, sql.ErrNoRows) {
			return store.ErrUsed
		}
		return err
	})
	if err != nil {
		return store.Request{}, err
	}
	return used, nil
}

// Sweep implements store.Store.
func (s *Store) Sweep(ctx context.Context, before time.Time) (swept int, err error) {
	err = s.write(ctx, "sweeping requests", func(t tx) error {
		n, err := t.exec(qSweep, micros(before))
		swept = int(n)
		return err
	})
	if err != nil {
		return 0, err
	}
	return swept, nil
}
