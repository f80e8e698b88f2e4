package gateway

import (
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
)

// Alphabet is Crockford's base32: no I, L, O, U, so that a code can be read off
// LEDs and typed (RFC 8628, section 6.1). A character holds 5 bits.
const Alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

// The lengths a user code may have, in characters. The cloud API of the
// original takes at most 6; 4 are 20 bits, the least that the gateway's rate
// limits make worth nothing (RFC 8628, section 5.1).
const (
	MinCodeLength     = 4
	DefaultCodeLength = 6
	MaxCodeLength     = 12
)

// ErrBadCode is what ParseCode wraps for a text that is no user code.
var ErrBadCode = errors.New("not a provisioning code")

// NewCode returns a random user code of n characters.
func NewCode(n int) string {
	b := make([]byte, n)
	rand.Read(b) // never fails, see crypto/rand
	for i := range b {
		b[i] = Alphabet[b[i]&31] // 256 is a multiple of 32: no bias
	}
	return string(b)
}

// ParseCode returns the canonical form of what a person typed: upper case,
// dashes and blanks dropped, i and l read as 1, o as 0. The error wraps
// ErrBadCode and never repeats the text.
func ParseCode(s string) (string, error) {
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == '-' || r == ' ' || r == '\t' || r == '\r' || r == '\n':
			continue
		case r >= 'a' && r <= 'z':
			r -= 'a' - 'A'
		}
		switch r {
		case 'I', 'L':
			r = '1'
		case 'O':
			r = '0'
		}
		if !strings.ContainsRune(Alphabet, r) {
			return "", fmt.Errorf("%w: it has a character outside 0-9 and A-Z without U", ErrBadCode)
		}
		if b.Len() == MaxCodeLength {
			return "", fmt.Errorf("%w: it has more than %d characters", ErrBadCode, MaxCodeLength)
		}
		b.WriteRune(r)
	}
	if b.Len() < MinCodeLength {
		return "", fmt.Errorf("%w: it has fewer than %d characters", ErrBadCode, MinCodeLength)
	}
	return b.String(), nil
}
