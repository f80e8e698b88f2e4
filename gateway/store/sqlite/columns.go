package sqlite

import (
	"database/sql/driver"
	"fmt"
	"time"

	"github.com/mecha-org/mecha-agent/gateway"
	"github.com/mecha-org/mecha-agent/gateway/store"
)

// moment is a time as its column holds it: microseconds since 1970 in UTC, NULL
// for the zero time.
type moment time.Time

// Value implements driver.Valuer.
func (m moment) Value() (driver.Value, error) {
	if time.Time(m).IsZero() {
		return nil, nil
	}
	return time.Time(m).UnixMicro(), nil
}

// Scan implements sql.Scanner.
func (m *moment) Scan(v any) error {
	switch v := v.(type) {
	case nil:
		*m = moment{}
	case int64:
		*m = moment(time.UnixMicro(v).UTC())
	default:
		return fmt.Errorf("a time is %T", v)
	}
	return nil
}

// micros is a time in a column that is never NULL.
func micros(t time.Time) int64 { return t.UnixMicro() }

// hash is a store.Hash as its column holds it: 32 bytes, NULL for zero.
type hash store.Hash

// Value implements driver.Valuer.
func (h hash) Value() (driver.Value, error) {
	if h == (hash{}) {
		return nil, nil
	}
	return h[:], nil
}

// Scan implements sql.Scanner.
func (h *hash) Scan(v any) error {
	*h = hash{}
	switch v := v.(type) {
	case nil:
		return nil
	case []byte:
		if len(v) == len(h) {
			copy(h[:], v)
			return nil
		}
	}
	return fmt.Errorf("a hash is %T of the wrong length", v)
}

// scanner is a row, of one or of many.
type scanner interface{ Scan(to ...any) error }

const boardColumns = "vendor, model, serial, soc, revision, architecture"

func boardFields(b *gateway.Board) []any {
	return []any{&b.Vendor, &b.Model, &b.Serial, &b.SoC, &b.Revision, &b.Architecture}
}

func boardValues(b gateway.Board) []any {
	return []any{b.Vendor, b.Model, b.Serial, b.SoC, b.Revision, b.Architecture}
}

// octets is text that need not be UTF-8, as its column holds it: NULL for none.
type octets string

// Value implements driver.Valuer.
func (b octets) Value() (driver.Value, error) {
	if b == "" {
		return nil, nil
	}
	return []byte(b), nil
}

// Scan implements sql.Scanner.
func (b *octets) Scan(v any) error {
	switch v := v.(type) {
	case nil:
		*b = ""
	case []byte:
		*b = octets(v)
	default:
		return fmt.Errorf("bytes are %T", v)
	}
	return nil
}

const tpmColumns = "ek_fingerprint, ek_serial, tpm_maker, tpm_reason"

func tpmFields(t *gateway.TPM) []any {
	return []any{&t.EKFingerprint, &t.EKSerial, &t.Maker, &t.Reason}
}

func tpmValues(t gateway.TPM) []any {
	return []any{t.EKFingerprint, t.EKSerial, t.Maker, t.Reason}
}

const requestColumns = "id, code, device_code, key_fingerprint, " + boardColumns +
	", created, expires, claimed, claimed_by, coalesce(machine_id, ''), token, token_expires, token_used, certificate_serial" +
	", ek_public, ak_public, nonce, secret, " + tpmColumns

func scanRequest(row scanner) (r store.Request, err error) {
	to := []any{&r.ID, &r.Code, (*hash)(&r.DeviceCode), &r.KeyFingerprint}
	to = append(to, boardFields(&r.Board)...)
	to = append(to, (*moment)(&r.Created), (*moment)(&r.Expires), (*moment)(&r.Claimed), &r.ClaimedBy, &r.MachineID,
		(*hash)(&r.Token), (*moment)(&r.TokenExpires), (*moment)(&r.TokenUsed), &r.CertificateSerial,
		(*octets)(&r.EKPublic), (*octets)(&r.AKPublic), (*hash)(&r.Challenge.Nonce), (*hash)(&r.Challenge.Secret))
	to = append(to, tpmFields(&r.TPM)...)
	err = row.Scan(to...)
	return r, err
}

const certificateColumns = "serial, machine_id, key_fingerprint, not_before, not_after, pem, revoked, attestation, " + tpmColumns

func scanCertificate(row scanner) (c store.Certificate, err error) {
	to := []any{&c.Serial, &c.MachineID, &c.KeyFingerprint,
		(*moment)(&c.NotBefore), (*moment)(&c.NotAfter), &c.PEM, (*moment)(&c.Revoked), &c.Attestation}
	err = row.Scan(append(to, tpmFields(&c.TPM)...)...)
	return c, err
}

// A machine without a certificate has none of the last columns.
const machineColumns = "id, " + boardColumns + ", key_fingerprint, created, certificate_serial, certificate_expires, revoked" +
	", coalesce(attestation, ''), coalesce(ek_fingerprint, ''), coalesce(ek_serial, ''), coalesce(tpm_maker, ''), coalesce(tpm_reason, '')"

func scanMachine(row scanner) (m gateway.Machine, err error) {
	to := append([]any{&m.ID}, boardFields(&m.Board)...)
	to = append(to, &m.KeyFingerprint, (*moment)(&m.Created), &m.CertificateSerial,
		(*moment)(&m.CertificateExpires), (*moment)(&m.Revoked), &m.Attestation)
	to = append(to, tpmFields(&m.TPM)...)
	err = row.Scan(to...)
	return m, err
}
