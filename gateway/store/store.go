// Package store names what the gateway remembers: announced codes, machines,
// certificates and API keys. store/sqlite is the implementation; storetest is
// the suite that every implementation passes. Secrets come and go as SHA-256
// hashes only.
package store

import (
	"context"
	"errors"
	"time"

	"github.com/mecha-org/mecha-agent/gateway"
)

// Errors that every Store promises; compare with errors.Is.
var (
	ErrNotFound = errors.New("not found")
	ErrTaken    = errors.New("code is in use")
	ErrExpired  = errors.New("code has expired")
	ErrClaimed  = errors.New("code was claimed already")
	ErrMismatch = errors.New("code is another key's")
	ErrRevoked  = errors.New("machine is revoked")
	ErrUsed     = errors.New("token was used already")
)

// Reserved is how long after its end a code stays with the key that announced
// it. An operator who reads a code that has just expired off one machine is not
// to find another one's behind it.
const Reserved = time.Hour

// Hash is the SHA-256 of a gateway.Secret.
type Hash [32]byte

// Request is an announced code and what became of it.
type Request struct {
	ID             int64
	Code           string
	DeviceCode     Hash // zero: announced by nobody, see gateway/server's unannounced codes
	KeyFingerprint string
	Board          gateway.Board
	Created        time.Time
	Expires        time.Time // of the code while unclaimed, of the exchange once claimed

	Claimed   time.Time // zero: not yet
	ClaimedBy string    // id of the API key
	MachineID string

	TPM                gateway.TPM // as announced
	EKPublic, AKPublic string      // TPMT_PUBLIC, bytes; empty: there is no TPM that evidence could come from

	Token        Hash // zero: none was handed out
	TokenExpires time.Time
	TokenUsed    time.Time
	Challenge    Challenge // that went out with the token

	CertificateSerial string // hex; empty: none was issued yet
}

// Challenge is what evidence has to be for. The zero Challenge is none.
type Challenge struct {
	Nonce  [32]byte
	Secret Hash // of what the credential holds
}

// Token is a one-time token that is handed out, with the challenge beside it.
type Token struct {
	Hash      Hash // zero: none
	Expires   time.Time
	Challenge Challenge
}

// Certificate is an issued certificate.
type Certificate struct {
	Serial         string // hex, lower case
	MachineID      string
	KeyFingerprint string
	NotBefore      time.Time
	NotAfter       time.Time
	PEM            string
	Attestation    gateway.Attestation
	TPM            gateway.TPM
	Revoked        time.Time // zero: not revoked
}

// APIKey is an operator's key.
type APIKey struct {
	ID      string
	Name    string
	Secret  Hash
	Created time.Time
}

// Store is safe for concurrent use. What a method has returned without error is
// on stable storage. Times are kept to the second or better, in UTC. What ends
// at t is over at t and still there the moment before.
type Store interface {
	// AddRequest stores an announced code and returns its id. ErrTaken when
	// another request with that code has not expired at r.Created, or has the
	// key of another and expired less than Reserved before. Else an expired one
	// gives up its code to the new one. Of r it takes what a device announces:
	// Code, DeviceCode, KeyFingerprint, Board, TPM, EKPublic, AKPublic, Created and
	// Expires.
	AddRequest(ctx context.Context, r Request) (int64, error)
	// RequestByCode returns ErrNotFound for a code that nobody announced and
	// ErrExpired for one whose time is over at now.
	RequestByCode(ctx context.Context, code string, now time.Time) (Request, error)
	// RequestByID returns ErrNotFound when there is none, expired ones included.
	RequestByID(ctx context.Context, id int64) (Request, error)
	// Claim marks the request as claimed, in one transaction with the making of
	// the machine. ErrMismatch when fingerprint is not empty and not that of the
	// request's key. The machine is the one that already has the request's key, if
	// it is not revoked (ErrRevoked when it is, and when a revoked machine ever
	// had a certificate for that key), else a new one named newID. A request
	// without a key gets a new one always. ErrNotFound, ErrExpired, ErrClaimed.
	// Expires becomes until.
	Claim(ctx context.Context, code, fingerprint, newID, by string, now, until time.Time) (Request, error)
	// SetToken replaces the request's one-time token and challenge; former ones are
	// void. The zero Hash takes the token away. ErrNotFound also for a request that
	// nobody claimed, ErrExpired once the exchange is over, ErrRevoked.
	SetToken(ctx context.Context, id int64, t Token, now time.Time) error
	// UseToken marks the token as used and returns its request: exactly one of
	// many concurrent calls succeeds. ErrNotFound for a token that was never
	// handed out or is void, ErrUsed, ErrExpired when the token's time or the
	// exchange's is over, ErrRevoked.
	UseToken(ctx context.Context, token Hash, now time.Time) (Request, error)
	// AddCertificate records what was issued for a request, in one transaction
	// with the request's CertificateSerial and the machine's key. Request 0
	// stands for none: a certificate renewed without a code. ErrNotFound when
	// the machine or the request does not exist or they do not belong together,
	// ErrRevoked when the machine is revoked or the key is one that a revoked
	// machine had: such a certificate must not be handed out.
	AddCertificate(ctx context.Context, requestID int64, c Certificate) error
	// Certificate returns ErrNotFound when there is none with that serial.
	Certificate(ctx context.Context, serial string) (Certificate, error)
	// Revoked returns the revoked certificates that end after now.
	Revoked(ctx context.Context, now time.Time) ([]Certificate, error)

	// Machines returns at most limit machines with an id greater than after, in
	// order of id (bytes, as Go compares strings). None for a limit below 1.
	Machines(ctx context.Context, after string, limit int) ([]gateway.Machine, error)
	// Revoke revokes the machine and all of its certificates, and is idempotent:
	// the time of the first revocation is returned. ErrNotFound.
	Revoke(ctx context.Context, machineID string, now time.Time) (time.Time, error)

	// AddAPIKey stores a new key; an id that is there already is an error.
	AddAPIKey(ctx context.Context, k APIKey) error
	// APIKey returns ErrNotFound when there is none.
	APIKey(ctx context.Context, id string) (APIKey, error)
	// HasAPIKeys says whether any exists: the first start makes one.
	HasAPIKeys(ctx context.Context) (bool, error)

	// Sweep deletes requests that ended before the given time without a claim,
	// and says how many.
	Sweep(ctx context.Context, before time.Time) (int, error)
	// Close flushes and closes; methods fail afterwards. A second Close is nil.
	Close() error
}
