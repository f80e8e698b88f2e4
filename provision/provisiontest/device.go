package provisiontest

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/mecha-org/mecha-agent/gateway"
	"github.com/mecha-org/mecha-agent/provision"
)

// ErrUnverified is what Vault.Commit returns for a certificate that is not for
// this machine and this key.
var ErrUnverified = errors.New("the gateway's answer does not verify")

// Vault is a vault in memory. It outlives a Provisioner as a disk would.
type Vault struct {
	// Sessions, when set, are on the same disk: Remove forgets what they hold.
	Sessions *Sessions

	mu       sync.Mutex
	key      *ecdsa.PrivateKey
	id       string
	notAfter time.Time
	fail     map[string][]error
	commits  int
}

// Fail makes the next calls of method ("Key", "Commit", "Current", "Remove")
// fail, one error each; nil lets its call pass.
func (v *Vault) Fail(method string, errs ...error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.fail == nil {
		v.fail = make(map[string][]error)
	}
	v.fail[method] = append(v.fail[method], errs...)
}

// Mend lets all further calls of method pass.
func (v *Vault) Mend(method string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.fail, method)
}

// Commits returns how many identities were stored.
func (v *Vault) Commits() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.commits
}

// Pending reports whether there is a key of an identity in the making.
func (v *Vault) Pending() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.key != nil
}

// next takes a scripted error; a call without a time-out is an error as well.
func (v *Vault) next(ctx context.Context, method string) error {
	if _, bounded := ctx.Deadline(); !bounded {
		return fmt.Errorf("%s: called without a time-out", method)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if q := v.fail[method]; len(q) > 0 {
		v.fail[method] = q[1:]
		return q[0]
	}
	return nil
}

// Key implements provision.Vault.
func (v *Vault) Key(ctx context.Context) (crypto.Signer, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if err := v.next(ctx, "Key"); err != nil {
		return nil, err
	}
	if v.key == nil {
		var err error
		if v.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
			return nil, err
		}
	}
	return v.key, nil
}

// Commit implements provision.Vault.
func (v *Vault) Commit(ctx context.Context, machineID, csrPEM string, answer gateway.Issued) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if err := v.next(ctx, "Commit"); err != nil {
		return err
	}
	csr, err := gateway.ParseCSR(csrPEM)
	if err != nil {
		return err
	}
	if v.key == nil || !v.key.PublicKey.Equal(csr.PublicKey) {
		return fmt.Errorf("%w: the request is for another key", ErrUnverified)
	}
	fp, _ := gateway.Fingerprint(csr.PublicKey)
	if answer.Cert != strings.Join([]string{"certificate", machineID, fp}, " ") {
		return ErrUnverified
	}
	v.key, v.id, v.notAfter = nil, machineID, time.Now().Add(90*24*time.Hour)
	v.commits++
	return nil
}

// Current implements provision.Vault.
func (v *Vault) Current(ctx context.Context) (string, time.Time, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if err := v.next(ctx, "Current"); err != nil {
		return "", time.Time{}, err
	}
	return v.id, v.notAfter, nil
}

// Remove implements provision.Vault.
func (v *Vault) Remove(ctx context.Context) ([]string, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if err := v.next(ctx, "Remove"); err != nil {
		return nil, err
	}
	var removed []string
	if v.key != nil {
		removed = append(removed, "key in the making")
	}
	if v.id != "" {
		removed = append(removed, "identity")
	}
	v.key, v.id, v.notAfter = nil, "", time.Time{}
	if v.Sessions != nil {
		v.Sessions.forget()
	}
	return removed, nil
}

// Sessions are sessions in memory. They outlive a Provisioner.
type Sessions struct {
	mu   sync.Mutex
	s    gateway.Session
	fail []error
}

// Fail makes the next SaveSession calls fail, one error each.
func (s *Sessions) Fail(errs ...error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = append(s.fail, errs...)
}

// Saved returns the session that a restart would find.
func (s *Sessions) Saved() gateway.Session {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.s
}

// SaveSession implements provision.Sessions.
func (s *Sessions) SaveSession(ctx context.Context, session gateway.Session) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	if len(s.fail) > 0 {
		err := s.fail[0]
		if s.fail = s.fail[1:]; err != nil {
			return err
		}
	}
	session.Expires = session.Expires.Round(0) // a disk keeps no monotonic clock
	s.s = session
	return nil
}

func (s *Sessions) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.s = gateway.Session{}
}

// LoadSession implements provision.Sessions.
func (s *Sessions) LoadSession(ctx context.Context) (gateway.Session, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.s, ctx.Err()
}

// Panel remembers every status it was shown.
type Panel struct {
	// Sessions, when set, must hold a code before it is shown.
	Sessions *Sessions

	mu       sync.Mutex
	shown    []provision.Status
	problems []error
}

// Show implements provision.Panel. It notes transitions outside the table,
// states whose fields contradict each other, and codes that no restart would
// find.
func (p *Panel) Show(s provision.Status) {
	p.mu.Lock()
	defer p.mu.Unlock()
	wrong := func(format string, args ...any) {
		p.problems = append(p.problems, fmt.Errorf("%v: "+format, append([]any{s.State}, args...)...))
	}
	var last provision.Status
	if n := len(p.shown); n > 0 {
		last = p.shown[n-1]
	}
	from := last.State
	if from != s.State && !from.CanBecome(s.State) {
		wrong("shown after %v", from)
	}
	if (s.State == provision.CodeShown) != (s.Code != "") {
		wrong("code there: %t", s.Code != "")
	}
	if s.State == provision.Provisioned && !s.Provisioned {
		wrong("without an identity")
	}
	if s.Provisioned != (s.MachineID != "") {
		wrong("identity there: %t, machine id %q", s.Provisioned, s.MachineID)
	}
	if s.State == provision.Failed && (s.Error == "" || s.Hint == "") {
		wrong("no error or no hint")
	}
	if s.Code != last.Code && s.Code != "" && p.Sessions != nil && p.Sessions.Saved().Code != s.Code {
		wrong("the code was shown before it was saved")
	}
	p.shown = append(p.shown, s)
}

// Shown returns every status in order.
func (p *Panel) Shown() []provision.Status {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.shown)
}

// States returns the states in order, repetitions left out.
func (p *Panel) States() []provision.State {
	var states []provision.State
	for _, s := range p.Shown() {
		states = append(states, s.State)
	}
	return slices.Compact(states)
}

// Close returns what was shown against the rules.
func (p *Panel) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return errors.Join(p.problems...)
}

var (
	_ provision.Vault    = (*Vault)(nil)
	_ provision.Sessions = (*Sessions)(nil)
	_ provision.Panel    = (*Panel)(nil)
)
