package gateway

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"log/slog"
)

const redacted = "[redacted]"

// Secret is a credential that crosses the wire: a device code, a token, an API
// key's secret. It prints, logs and marshals as "[redacted]"; only Reveal gives
// the value, so that every place that sends or stores one can be found.
type Secret string

// NewSecret returns a random secret of 256 bits, base64url without padding.
func NewSecret() Secret {
	var b [32]byte
	rand.Read(b[:]) // never fails, see crypto/rand
	return Secret(base64.RawURLEncoding.EncodeToString(b[:]))
}

// Reveal returns the secret itself.
func (s Secret) Reveal() string { return string(s) }

// String hides the secret; an empty one prints as empty.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return redacted
}

// Format hides the secret from every verb of fmt: without it a wrong one, as in
// %d, prints the value itself. Only as an unexported field of a struct that is
// printed whole does a secret show, for fmt calls no methods there.
func (s Secret) Format(f fmt.State, verb rune) {
	switch {
	case verb == 'v' && f.Flag('#'):
		fmt.Fprint(f, s.GoString())
	case verb == 'q':
		fmt.Fprintf(f, "%q", s.String())
	default:
		fmt.Fprint(f, s.String())
	}
}

// GoString hides the secret from %#v.
func (s Secret) GoString() string { return fmt.Sprintf("gateway.Secret(%q)", s.String()) }

// LogValue hides the secret from slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText hides the secret from encoding/json and its like.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
