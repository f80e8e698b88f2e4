package gateway

import (
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// The JSON bodies and payloads of the HTTP routes, for both sides. Secrets are
// plain strings here, for Secret marshals as "[redacted]"; structs that hold one,
// or a user code, hide it from slog. A ...Body is a request, a ...Payload stands
// in the envelope of an answer.

// maxCodeLife bounds what a gateway may claim for expires_in and interval, so
// that a wrong number neither overflows nor puts a device to sleep for good.
const maxCodeLife = 24 * time.Hour

// defaultInterval is what a device uses when the gateway names no interval (RFC 8628, 3.2).
const defaultInterval = 5 * time.Second

// AnnounceBody is the body of POST RouteAnnounce.
type AnnounceBody struct {
	Code  string       `json:"code"`
	CSR   string       `json:"csr"`
	Board Board        `json:"board"`
	TPM   *TPMIdentity `json:"attestation,omitempty"`
}

// NewAnnounceBody returns what goes over the wire for a.
func NewAnnounceBody(a Announcement) AnnounceBody {
	return AnnounceBody(a)
}

// Announcement returns what came over the wire, unchecked.
func (b AnnounceBody) Announcement() Announcement {
	return Announcement(b)
}

// LogValue leaves out the user code.
func (b AnnounceBody) LogValue() slog.Value {
	return slog.GroupValue(slog.String("code", hide(b.Code)), slog.Any("board", b.Board), slog.Bool("tpm", b.TPM != nil))
}

// SessionPayload answers POST RouteAnnounce (RFC 8628, section 3.2).
type SessionPayload struct {
	DeviceCode              string `json:"device_code"`
	ExpiresIn               int64  `json:"expires_in"` // seconds
	Interval                int64  `json:"interval"`   // seconds; 0: 5
	VerificationURI         string `json:"verification_uri"`
	VerificationURIComplete string `json:"verification_uri_complete"`
}

// NewSessionPayload returns what goes over the wire for s. What is left of its
// life at now is rounded down to seconds, the interval up.
func NewSessionPayload(s Session, now time.Time) SessionPayload {
	return SessionPayload{
		DeviceCode:              s.DeviceCode.Reveal(),
		ExpiresIn:               max(0, int64(s.Expires.Sub(now)/time.Second)),
		Interval:                int64((s.Interval + time.Second - 1) / time.Second),
		VerificationURI:         s.VerificationURI,
		VerificationURIComplete: s.VerificationURIComplete,
	}
}

// Session returns the session of the user code that was announced at now. It
// refuses an answer without a device code or without a life; times beyond a day
// are cut to one.
func (p SessionPayload) Session(code string, now time.Time) (Session, error) {
	switch {
	case p.DeviceCode == "":
		return Session{}, errors.New("the answer has no device_code")
	case p.ExpiresIn <= 0:
		return Session{}, fmt.Errorf("the answer has expires_in %d, want seconds above 0", p.ExpiresIn)
	}
	interval := defaultInterval
	if p.Interval > 0 {
		interval = seconds(p.Interval)
	}
	return Session{
		Code:                    code,
		DeviceCode:              Secret(p.DeviceCode),
		Expires:                 now.Add(seconds(p.ExpiresIn)),
		Interval:                interval,
		VerificationURI:         p.VerificationURI,
		VerificationURIComplete: p.VerificationURIComplete,
	}, nil
}

// LogValue leaves out the device code, and the address that holds the user code.
func (p SessionPayload) LogValue() slog.Value {
	return slog.GroupValue(slog.String("device_code", hide(p.DeviceCode)),
		slog.Int64("expires_in", p.ExpiresIn), slog.Int64("interval", p.Interval),
		slog.String("verification_uri", p.VerificationURI))
}

// ManifestPayload answers GET RouteFindManifest?code=CODE, sent with
// "Authorization: Bearer DEVICE_CODE" when the code was announced.
type ManifestPayload struct {
	MachineID     string     `json:"machine_id"`
	CertSignURL   string     `json:"cert_sign_url"`
	CertValidUpto string     `json:"cert_valid_upto"`
	Token         string     `json:"token,omitempty"`
	Challenge     *Challenge `json:"attestation,omitempty"`
}

// NewManifestPayload returns what goes over the wire for m.
func NewManifestPayload(m Manifest) ManifestPayload {
	return ManifestPayload{m.MachineID, m.CertSignURL, m.CertValidUpto, m.Token.Reveal(), m.Challenge}
}

// Manifest returns what came over the wire, unchecked.
func (p ManifestPayload) Manifest() Manifest {
	return Manifest{p.MachineID, p.CertSignURL, p.CertValidUpto, Secret(p.Token), p.Challenge}
}

// LogValue leaves out the token.
func (p ManifestPayload) LogValue() slog.Value {
	return slog.GroupValue(slog.String("machine_id", p.MachineID),
		slog.String("cert_sign_url", p.CertSignURL),
		slog.String("cert_valid_upto", p.CertValidUpto), slog.String("token", hide(p.Token)))
}

// SignBody is the body of POST RouteSign, or of the manifest's cert_sign_url.
type SignBody struct {
	CSR         string    `json:"csr"`
	MachineID   string    `json:"machine_id"`
	RequestType string    `json:"request_type"`
	Token       string    `json:"token,omitempty"`
	Evidence    *Evidence `json:"attestation,omitempty"`
}

// NewSignBody returns what goes over the wire for r; its URL says where.
func NewSignBody(r SignRequest) SignBody {
	return SignBody{r.CSR, r.MachineID, string(r.Type), r.Token.Reveal(), r.Evidence}
}

// SignRequest returns what came over the wire, unchecked.
func (b SignBody) SignRequest() SignRequest {
	return SignRequest{CSR: b.CSR, MachineID: b.MachineID, Type: RequestType(b.RequestType), Token: Secret(b.Token), Evidence: b.Evidence}
}

// LogValue leaves out the token and the evidence.
func (b SignBody) LogValue() slog.Value {
	return slog.GroupValue(slog.String("machine_id", b.MachineID),
		slog.String("request_type", b.RequestType), slog.String("token", hide(b.Token)), slog.Bool("evidence", b.Evidence != nil))
}

// IssuedPayload answers POST RouteSign; all PEM.
type IssuedPayload struct {
	Cert     string   `json:"cert"`
	RootCert string   `json:"root_cert"`
	CABundle []string `json:"ca_bundle"`
}

// NewIssuedPayload returns what goes over the wire for i.
func NewIssuedPayload(i Issued) IssuedPayload {
	return IssuedPayload{i.Cert, i.RootCert, append([]string{}, i.CABundle...)} // never null
}

// Issued returns what came over the wire, unchecked.
func (p IssuedPayload) Issued() Issued { return Issued(p) }

// ClaimBody is the body of POST RouteClaim.
type ClaimBody struct {
	ProvisionCode string `json:"provisionCode"`
	// KeyFingerprint is the key that the operator was shown. Where it is not the
	// one behind the code any more, nothing is claimed; empty takes any.
	KeyFingerprint string `json:"keyFingerprint,omitempty"`
}

// LogValue leaves out the user code.
func (b ClaimBody) LogValue() slog.Value {
	return slog.GroupValue(slog.String("provisionCode", hide(b.ProvisionCode)), slog.String("keyFingerprint", b.KeyFingerprint))
}

// ClaimPayload answers POST RouteClaim.
type ClaimPayload struct {
	RequestID int64  `json:"requestId"`
	MachineID string `json:"machineId"`
}

// Claim returns what came over the wire, unchecked.
func (p ClaimPayload) Claim() Claim { return Claim(p) }

// RequestStatusPayload answers POST RouteRequestStatus?id=N.
type RequestStatusPayload struct {
	StatusCode RequestState `json:"statusCode"`
	Status     string       `json:"status"` // for a person
}

// NewRequestStatusPayload returns what goes over the wire for s.
func NewRequestStatusPayload(s RequestState) RequestStatusPayload {
	if s == RequestComplete {
		return RequestStatusPayload{s, "Complete"}
	}
	return RequestStatusPayload{s, "Pending"}
}

// FindPayload answers GET RouteFindRequest?code=CODE.
type FindPayload struct {
	Board          Board       `json:"board"`
	KeyFingerprint string      `json:"keyFingerprint"`
	Expires        time.Time   `json:"expires,omitzero"`
	Attestation    Attestation `json:"attestation,omitempty"`
	TPM            TPM         `json:"tpm,omitzero"`
}

// NewFindPayload returns what goes over the wire for r.
func NewFindPayload(r PendingRequest) FindPayload {
	r.Expires = r.Expires.UTC()
	return FindPayload(r)
}

// PendingRequest returns what came over the wire.
func (p FindPayload) PendingRequest() PendingRequest { return PendingRequest(p) }

// MachinesPayload answers GET RouteMachines?after=ID&limit=N.
type MachinesPayload struct {
	Machines []MachinePayload `json:"machines"`
}

// NewMachinesPayload returns what goes over the wire for list.
func NewMachinesPayload(list []Machine) MachinesPayload {
	p := MachinesPayload{Machines: make([]MachinePayload, 0, len(list))} // never null
	for _, m := range list {
		p.Machines = append(p.Machines, NewMachinePayload(m))
	}
	return p
}

// List returns what came over the wire.
func (p MachinesPayload) List() []Machine {
	list := make([]Machine, 0, len(p.Machines))
	for _, m := range p.Machines {
		list = append(list, m.Machine())
	}
	return list
}

// MachinePayload is one machine of MachinesPayload; zero times are left out.
type MachinePayload struct {
	MachineID          string      `json:"machineId"`
	Board              Board       `json:"board"`
	KeyFingerprint     string      `json:"keyFingerprint"`
	Created            time.Time   `json:"created,omitzero"`
	CertificateSerial  string      `json:"certificateSerial"`
	CertificateExpires time.Time   `json:"certificateExpires,omitzero"`
	Revoked            time.Time   `json:"revoked,omitzero"`
	Attestation        Attestation `json:"attestation,omitempty"`
	TPM                TPM         `json:"tpm,omitzero"`
}

// NewMachinePayload returns what goes over the wire for m.
func NewMachinePayload(m Machine) MachinePayload {
	return MachinePayload{m.ID, m.Board, m.KeyFingerprint, m.Created.UTC(),
		m.CertificateSerial, m.CertificateExpires.UTC(), m.Revoked.UTC(), m.Attestation, m.TPM}
}

// Machine returns what came over the wire.
func (p MachinePayload) Machine() Machine {
	return Machine{p.MachineID, p.Board, p.KeyFingerprint, p.Created,
		p.CertificateSerial, p.CertificateExpires, p.Revoked, p.Attestation, p.TPM}
}

// RevokeBody is the body of POST RouteRevoke.
type RevokeBody struct {
	MachineID string `json:"machineId"`
}

// RevokePayload answers POST RouteRevoke with the time of the first revocation.
type RevokePayload struct {
	Revoked time.Time `json:"revoked"`
}

// APIKeyBody is the body of POST RouteAPIKeys.
type APIKeyBody struct {
	Name string `json:"name"` // what the key is for, 1 to 64 characters
}

// APIKeyPayload answers POST RouteAPIKeys; the secret is told this once.
type APIKeyPayload struct {
	ID     string `json:"id"`
	Secret string `json:"secret"`
}

// NewAPIKeyPayload returns what goes over the wire for a new API key.
func NewAPIKeyPayload(id string, secret Secret) APIKeyPayload {
	return APIKeyPayload{id, secret.Reveal()}
}

// APIKey returns what came over the wire, unchecked.
func (p APIKeyPayload) APIKey() (id string, secret Secret) { return p.ID, Secret(p.Secret) }

// LogValue leaves out the secret.
func (p APIKeyPayload) LogValue() slog.Value {
	return slog.GroupValue(slog.String("id", p.ID), slog.String("secret", hide(p.Secret)))
}

func hide(s string) string { return Secret(s).String() }

func seconds(n int64) time.Duration {
	if n > int64(maxCodeLife/time.Second) {
		return maxCodeLife
	}
	return time.Duration(n) * time.Second
}
