// Package provisiontest holds what provision needs, for tests: a gateway that
// follows the rules of the contract and can be told to fail, a vault and
// sessions in memory that outlive a Provisioner, and a panel that remembers.
// Each notes when it is used against the rules; Close returns what it noted.
package provisiontest

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/mecha-org/mecha-agent/gateway"
	"github.com/mecha-org/mecha-agent/provision"
)

// Op is an operation of the gateway.
type Op string

// The operations.
const (
	Ping         Op = "ping"
	Announce     Op = "announce"
	FindManifest Op = "find manifest"
	Sign         Op = "sign"
)

// Fault is what goes wrong with one call.
type Fault struct {
	Err   error         // what the caller gets
	After bool          // the gateway does its work, only the answer is lost
	Delay time.Duration // before anything else; a call gives up when its context ends
	// Break changes an answer that is otherwise right: a *gateway.Session,
	// *gateway.Manifest or *gateway.Issued.
	Break func(answer any)
}

// Fail returns a fault of the given kind.
func Fail(k gateway.Kind) Fault {
	return Fault{Err: &gateway.Error{Kind: k, Err: fmt.Errorf("scripted %s", k)}}
}

// Gateway is a gateway in memory.
type Gateway struct {
	CodeLife time.Duration // default 5 minutes
	Interval time.Duration // default 5 s
	Plain    bool          // be the original cloud
	Require  bool          // refuse machines without a TPM
	Machine  string        // the id that every claim gets, as from a cloud that keeps ids; empty: a new one each time

	mu       sync.Mutex
	codes    map[string]*record
	faults   map[Op][]Fault
	always   map[Op]*Fault
	asked    map[Op][]time.Time
	machines int
	problems []error
}

type record struct {
	key        string // fingerprint
	deviceCode gateway.Secret
	expires    time.Time
	interval   time.Duration
	polled     time.Time
	announced  int    // how many announcements there were when it was made
	early      int    // polls that came too soon
	machineID  string // empty: not claimed
	token      gateway.Secret
	signed     int
	tpm        bool               // one was announced
	challenge  *gateway.Challenge // the newest
	proven     bool               // the last certificate came with evidence
}

// NewGateway returns a gateway that knows no codes.
func NewGateway() *Gateway {
	return &Gateway{CodeLife: 5 * time.Minute, Interval: 5 * time.Second,
		codes: make(map[string]*record), faults: make(map[Op][]Fault), always: make(map[Op]*Fault),
		asked: make(map[Op][]time.Time)}
}

// Script makes the next calls of op go wrong, one fault each. A zero Fault
// lets its call pass.
func (g *Gateway) Script(op Op, faults ...Fault) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.faults[op] = append(g.faults[op], faults...)
}

// Always makes every call of op go wrong until it is called with nil.
func (g *Gateway) Always(op Op, f *Fault) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.always[op] = f
}

// Calls returns when op was called, in order.
func (g *Gateway) Calls(op Op) []time.Time {
	g.mu.Lock()
	defer g.mu.Unlock()
	return append([]time.Time(nil), g.asked[op]...)
}

// Claim is the operator's yes. It returns the new machine's id.
func (g *Gateway) Claim(code string) (string, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	r := g.codes[code]
	if g.Plain && r == nil { // the original cloud has never heard of the code before
		r = &record{expires: time.Now().Add(time.Hour)}
		g.codes[code] = r
	}
	if r == nil || !time.Now().Before(r.expires) {
		return "", errors.New("no such code")
	}
	if r.machineID != "" {
		return "", errors.New("claimed before")
	}
	g.machines++
	if r.machineID = g.Machine; r.machineID == "" {
		r.machineID = fmt.Sprintf("machine-%d", g.machines)
	}
	r.expires = r.expires.Add(time.Hour) // time for the exchange
	return r.machineID, nil
}

// Drop forgets a code, as a gateway does that expired it.
func (g *Gateway) Drop(code string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.codes, code)
}

// Signed returns how many certificates were signed for a code.
func (g *Gateway) Signed(code string) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	if r := g.codes[code]; r != nil {
		return r.signed
	}
	return 0
}

// Close returns what was done against the rules, and the faults that were
// scripted and never met.
func (g *Gateway) Close() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	all := g.problems
	for op, f := range g.faults {
		if len(f) > 0 {
			all = append(all, fmt.Errorf("%s: %d scripted faults left", op, len(f)))
		}
	}
	return errors.Join(all...)
}

func (g *Gateway) wrong(format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	g.problems = append(g.problems, err)
	return &gateway.Error{Kind: gateway.BadRequest, Err: err}
}

// call counts a call of op, lets the scripted fault happen, and runs do.
func call[T any](ctx context.Context, g *Gateway, op Op, do func() (T, error)) (T, error) {
	var none T
	g.mu.Lock()
	g.asked[op] = append(g.asked[op], time.Now())
	if _, bounded := ctx.Deadline(); !bounded {
		g.problems = append(g.problems, fmt.Errorf("%s: called without a time-out", op))
	}
	var f Fault
	if q := g.faults[op]; len(q) > 0 {
		f, g.faults[op] = q[0], q[1:]
	} else if a := g.always[op]; a != nil {
		f = *a
	}
	g.mu.Unlock()
	if f.Delay > 0 {
		t := time.NewTimer(f.Delay)
		defer t.Stop()
		select {
		case <-ctx.Done():
			return none, &gateway.Error{Kind: gateway.Deadline, Err: ctx.Err()}
		case <-t.C:
		}
	}
	if err := ctx.Err(); err != nil {
		return none, &gateway.Error{Kind: gateway.Unreachable, Err: err}
	}
	if f.Err != nil && !f.After {
		return none, f.Err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	answer, err := do()
	if f.Err != nil {
		return none, f.Err
	}
	if f.Break != nil {
		f.Break(&answer)
	}
	return answer, err
}

// Ping implements provision.Gateway.
func (g *Gateway) Ping(ctx context.Context) error {
	_, err := call(ctx, g, Ping, func() (struct{}, error) { return struct{}{}, nil })
	return err
}

// Announce implements provision.Gateway.
func (g *Gateway) Announce(ctx context.Context, a gateway.Announcement) (gateway.Session, error) {
	return call(ctx, g, Announce, func() (gateway.Session, error) {
		if g.Plain {
			return gateway.Session{}, &gateway.Error{Kind: gateway.NotFound, Err: gateway.ErrNoAnnounce}
		}
		csr, err := gateway.ParseCSR(a.CSR)
		if err != nil {
			return gateway.Session{}, g.wrong("announce: %w", err)
		}
		want := a.Board.Serial
		if want == "" {
			want = "unprovisioned"
		}
		if csr.Subject.CommonName != want {
			return gateway.Session{}, g.wrong("announce: the subject is %q, want %q", csr.Subject.CommonName, want)
		}
		if c, err := gateway.ParseCode(a.Code); err != nil || c != a.Code {
			return gateway.Session{}, g.wrong("announce: not a code in canonical form")
		}
		if g.Require && a.TPM == nil {
			return gateway.Session{}, &gateway.Error{Kind: gateway.Precondition, Err: errNoTPM}
		}
		if g.codes[a.Code] != nil {
			return gateway.Session{}, &gateway.Error{Kind: gateway.Taken}
		}
		fp, _ := gateway.Fingerprint(csr.PublicKey)
		r := &record{key: fp, deviceCode: gateway.NewSecret(), expires: time.Now().Add(g.CodeLife), interval: g.Interval,
			announced: len(g.asked[Announce]), tpm: a.TPM != nil}
		g.codes[a.Code] = r
		return gateway.Session{Code: a.Code, DeviceCode: r.deviceCode, Expires: r.expires, Interval: g.Interval,
			VerificationURI: "http://gateway/claim", VerificationURIComplete: "http://gateway/claim?code=" + a.Code}, nil
	})
}

// FindManifest implements provision.Gateway. As the gateway does, it answers
// for a claimed code at any time, and a poll for another one less than half an
// interval after the last with slow_down. Who gives a code up may ask once more
// without waiting: a poll or two sooner than the interval are taken, and one more
// for each announcement, but more are noted, as is a wrong device code.
func (g *Gateway) FindManifest(ctx context.Context, code string, device gateway.Secret) (gateway.Manifest, error) {
	return call(ctx, g, FindManifest, func() (gateway.Manifest, error) {
		r := g.codes[code]
		switch now := time.Now(); {
		case g.Plain && device != "":
			return gateway.Manifest{}, g.wrong("find: the original cloud got a device code")
		case r == nil && g.Plain:
			return gateway.Manifest{}, &gateway.Error{Kind: gateway.BadRequest}
		case r == nil || !now.Before(r.expires):
			return gateway.Manifest{}, &gateway.Error{Kind: gateway.NotFound}
		case r.deviceCode != device:
			return gateway.Manifest{}, g.wrong("find: wrong device code")
		case r.machineID != "":
		case now.Sub(r.polled) < r.interval:
			if r.early++; r.early > 2+len(g.asked[Announce])-r.announced {
				return gateway.Manifest{}, g.wrong("find: polled %v after the last time, the interval is %v", now.Sub(r.polled), r.interval)
			}
			if wait := r.interval - now.Sub(r.polled); wait > r.interval/2 {
				return gateway.Manifest{}, &gateway.Error{Kind: gateway.SlowDown, RetryAfter: wait}
			}
			r.polled = now
		default:
			r.polled = now
		}
		if r.machineID == "" {
			return gateway.Manifest{}, &gateway.Error{Kind: gateway.Pending}
		}
		m := gateway.Manifest{MachineID: r.machineID}
		if !g.Plain {
			r.token = gateway.NewSecret()
			m.Token, m.CertSignURL = r.token, gateway.RouteSign
			r.challenge = nil
			if r.tpm {
				r.challenge = newChallenge()
				m.Challenge = r.challenge
			}
		}
		return m, nil
	})
}

// Sign implements provision.Gateway.
func (g *Gateway) Sign(ctx context.Context, q gateway.SignRequest) (gateway.Issued, error) {
	return call(ctx, g, Sign, func() (gateway.Issued, error) {
		csr, err := gateway.ParseCSR(q.CSR)
		switch {
		case err != nil:
			return gateway.Issued{}, g.wrong("sign: %w", err)
		case csr.Subject.CommonName != q.MachineID:
			return gateway.Issued{}, g.wrong("sign: the subject is not the machine id")
		case q.Type != gateway.Provision || q.URL != gateway.RouteSign:
			return gateway.Issued{}, g.wrong("sign: type %q, path %q", q.Type, q.URL)
		}
		fp, _ := gateway.Fingerprint(csr.PublicKey)
		for _, r := range g.codes {
			if r.machineID != q.MachineID {
				continue
			}
			if !g.Plain && r.key != fp {
				return gateway.Issued{}, g.wrong("sign: another key than was announced")
			}
			if r.token != q.Token {
				return gateway.Issued{}, g.wrong("sign: the token is not the newest")
			}
			if q.Evidence == nil && g.Require {
				return gateway.Issued{}, &gateway.Error{Kind: gateway.Precondition, Err: errNoTPM}
			}
			if q.Evidence != nil && !answers(q.Evidence, r.challenge, csr.Raw) {
				return gateway.Issued{}, g.wrong("sign: the evidence is not for the newest challenge and this request")
			}
			r.proven = q.Evidence != nil
			if r.token != "" {
				r.token = "used"
			}
			r.signed++
			return issued(csr, fp), nil
		}
		return gateway.Issued{}, g.wrong("sign: no such machine")
	})
}

func issued(csr *x509.CertificateRequest, fingerprint string) gateway.Issued {
	return gateway.Issued{Cert: strings.Join([]string{"certificate", csr.Subject.CommonName, fingerprint}, " "),
		RootCert: "root", CABundle: []string{"intermediate"}}
}

var _ provision.Gateway = (*Gateway)(nil)
