package provisiontest

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"

	"github.com/mecha-org/mecha-agent/gateway"
	"github.com/mecha-org/mecha-agent/provision"
)

var errNoTPM = errors.New("a TPM is required")

// Attester is a TPM in name: Gateway takes its evidence for what it is, an answer
// to the newest challenge and for this very request.
type Attester struct {
	None bool // the key turns out to be in no TPM

	mu    sync.Mutex
	fail  map[string][]error
	asked map[string]int
}

// Fail makes the next calls of method ("Identity", "Prove") fail, one error each;
// nil lets its call pass.
func (a *Attester) Fail(method string, errs ...error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.fail == nil {
		a.fail = make(map[string][]error)
	}
	a.fail[method] = append(a.fail[method], errs...)
}

// Asked returns how often a method was called.
func (a *Attester) Asked(method string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.asked[method]
}

// next takes a scripted error; a call without a time-out is an error as well.
func (a *Attester) next(ctx context.Context, method string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.asked == nil {
		a.asked = make(map[string]int)
	}
	a.asked[method]++
	if _, bounded := ctx.Deadline(); !bounded {
		return fmt.Errorf("%s: called without a time-out", method)
	}
	if q := a.fail[method]; len(q) > 0 {
		a.fail[method] = q[1:]
		return q[0]
	}
	return ctx.Err()
}

// Identity implements provision.Attester.
func (a *Attester) Identity(ctx context.Context) (*gateway.TPMIdentity, error) {
	if err := a.next(ctx, "Identity"); err != nil {
		return nil, err
	}
	if a.None {
		return nil, nil
	}
	return &gateway.TPMIdentity{EKPublic: []byte("EK"), AKPublic: []byte("AK")}, nil
}

// Prove implements provision.Attester.
func (a *Attester) Prove(ctx context.Context, c gateway.Challenge, csrDER []byte) (gateway.Evidence, error) {
	if err := a.next(ctx, "Prove"); err != nil {
		return gateway.Evidence{}, err
	}
	return answer(c, csrDER), nil
}

func answer(c gateway.Challenge, csrDER []byte) gateway.Evidence {
	sum := sha256.Sum256(append(append([]byte{}, c.Nonce...), csrDER...))
	return gateway.Evidence{Attest: sum[:], Activated: c.Credential}
}

func answers(e *gateway.Evidence, c *gateway.Challenge, csrDER []byte) bool {
	if c == nil {
		return false
	}
	want := answer(*c, csrDER)
	return bytes.Equal(e.Attest, want.Attest) && bytes.Equal(e.Activated, want.Activated)
}

func newChallenge() *gateway.Challenge {
	b := make([]byte, 96)
	rand.Read(b) // never fails, see crypto/rand
	return &gateway.Challenge{Nonce: b[:32], Credential: b[32:64], Secret: b[64:]}
}

// Proven reports whether the last certificate for a code came with evidence.
func (g *Gateway) Proven(code string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	r := g.codes[code]
	return r != nil && r.proven
}

var _ provision.Attester = (*Attester)(nil)
