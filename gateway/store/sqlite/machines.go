package sqlite

import (
	"context"
	"fmt"
	"time"

	"github.com/mecha-org/mecha-agent/gateway"
	"github.com/mecha-org/mecha-agent/gateway/store"
)

// checkMachine returns ErrRevoked for a revoked machine and ErrNotFound when
// there is none.
func (t tx) checkMachine(id string) error {
	var revoked moment
	if err := t.row(qMachineRevoked, id).Scan(&revoked); err != nil {
		return notFound(err)
	}
	if !time.Time(revoked).IsZero() {
		return store.ErrRevoked
	}
	return nil
}

// checkKey returns ErrRevoked for a key that a revoked machine has or ever had a
// certificate for.
func (t tx) checkKey(fingerprint string) error {
	var revoked bool
	if err := t.row(qKeyRevoked, fingerprint).Scan(&revoked); err != nil {
		return err
	}
	if revoked {
		return store.ErrRevoked
	}
	return nil
}

// AddCertificate implements store.Store.
func (s *Store) AddCertificate(ctx context.Context, requestID int64, c store.Certificate) error {
	return s.write(ctx, "storing a certificate", func(t tx) error {
		if err := t.checkMachine(c.MachineID); err != nil {
			return err
		}
		if err := t.checkKey(c.KeyFingerprint); err != nil {
			return err
		}
		args := []any{c.Serial, c.MachineID, c.KeyFingerprint, micros(c.NotBefore), micros(c.NotAfter), c.PEM, c.Attestation}
		if _, err := t.exec(qAddCertificate, append(args, tpmValues(c.TPM)...)...); err != nil {
			return err
		}
		if requestID != 0 {
			n, err := t.exec(qRequestCertificate, requestID, c.MachineID, c.Serial)
			if err != nil {
				return err
			}
			if n != 1 {
				return fmt.Errorf("request %d of machine %s: %w", requestID, c.MachineID, store.ErrNotFound)
			}
		}
		_, err := t.exec(qSetCertificate, c.MachineID, c.KeyFingerprint, c.Serial, micros(c.NotAfter))
		return err
	})
}

// Certificate implements store.Store.
func (s *Store) Certificate(ctx context.Context, serial string) (store.Certificate, error) {
	c, err := scanCertificate(s.reads[qCertificate].QueryRowContext(ctx, serial))
	if err != nil {
		return store.Certificate{}, fmt.Errorf("looking a certificate up: %w", explain(ctx, notFound(err)))
	}
	return c, nil
}

// Revoked implements store.Store.
func (s *Store) Revoked(ctx context.Context, now time.Time) ([]store.Certificate, error) {
	return list(ctx, s.reads[qRevoked], "listing revoked certificates", scanCertificate, micros(now))
}

// Machines implements store.Store.
func (s *Store) Machines(ctx context.Context, after string, limit int) ([]gateway.Machine, error) {
	// A negative LIMIT is no limit to SQLite.
	return list(ctx, s.reads[qMachines], "listing machines", scanMachine, after, max(limit, 0))
}

// Revoke implements store.Store.
func (s *Store) Revoke(ctx context.Context, machineID string, now time.Time) (time.Time, error) {
	var since moment
	err := s.write(ctx, "revoking a machine", func(t tx) error {
		if err := t.row(qRevokeMachine, machineID, micros(now)).Scan(&since); err != nil {
			return notFound(err)
		}
		_, err := t.exec(qRevokeCertificates, machineID, since)
		return err
	})
	if err != nil {
		return time.Time{}, err
	}
	return time.Time(since), nil
}
