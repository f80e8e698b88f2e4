package provision_test

import (
	"context"
	"testing"
	"time"

	"github.com/mecha-org/mecha-agent/gateway"
	"github.com/mecha-org/mecha-agent/provision"
	"github.com/mecha-org/mecha-agent/provision/provisiontest"
)

func TestRestartInEveryState(t *testing.T) {
	for _, at := range []provision.State{idle, shown, claimed, signing, provisioned, failed} {
		t.Run(at.String(), func(t *testing.T) {
			run(t, func(r *rig) {
				r.bring(at)
				before, session := r.Status(), r.sessions.Saved()
				r.powerCut()
				r.healAll()
				r.boot()
				switch at {
				case idle, failed:
					r.want(idle)
				case provisioned:
					if s := r.want(provisioned); s != before {
						t.Errorf("status %+v, want %+v", s, before)
					}
					r.states(provisioned)
				case shown:
					s := r.want(shown)
					if s.Code != before.Code || s.ClaimURL != before.ClaimURL || !s.CodeExpires.Equal(before.CodeExpires) ||
						!s.CodeMade.Equal(before.CodeMade) {
						t.Errorf("status %+v, want %+v", s, before)
					}
					r.after(time.Minute)
					r.claim(s.Code)
					r.after(10 * time.Second)
					r.want(provisioned)
				default: // claimed: nobody has to claim again
					if s := r.want(shown); s.Code != session.Code {
						t.Errorf("status %+v", s)
					}
					r.after(10 * time.Second)
					r.want(provisioned)
					r.states(idle, shown, claimed, signing, provisioned)
				}
			})
		})
	}
}

func TestRestartOfTheOriginalCloudsExchange(t *testing.T) {
	run(t, func(r *rig) {
		r.gw.Plain = true
		code := r.generate()
		r.powerCut()
		r.claim(code)
		r.boot()
		r.after(10 * time.Second)
		r.want(provisioned)
	})
}

func TestSessionsThatAreForgotten(t *testing.T) {
	for name, s := range map[string]gateway.Session{
		"expired":     {Code: "ABC123", DeviceCode: "x", Expires: time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC)},
		"no code":     {DeviceCode: "x", Expires: time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC)},
		"not a code":  {Code: "abc-123", DeviceCode: "x", Expires: time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC)},
		"plain":       {Code: "ABC123", Expires: time.Date(1999, 12, 31, 23, 0, 0, 0, time.UTC)},
		"almost none": {Interval: time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, func(r *rig) {
				r.powerCut()
				if err := r.sessions.SaveSession(context.Background(), s); err != nil {
					t.Fatal(err)
				}
				r.boot()
				if s := r.want(idle); name == "expired" && s.Step != "asking whether the last code was claimed" {
					t.Errorf("it does not say what it does: %+v", s)
				}
				r.after(7 * time.Second)
				if s := r.want(idle); s != (provision.Status{}) || len(r.gw.Calls("announce")) != 0 {
					t.Errorf("status %+v", s)
				}
				if r.sessions.Saved() != (gateway.Session{}) {
					t.Error("it is still there")
				}
			})
		})
	}
}

// Power fails after the identity was committed and before the session was
// forgotten: the machine is provisioned, and nothing is asked for twice.
func TestRestartBetweenCommitAndForgetting(t *testing.T) {
	run(t, func(r *rig) {
		r.press()
		code, session := r.code(), r.sessions.Saved()
		id := r.claim(code)
		r.after(10 * time.Second)
		r.want(provisioned)
		r.powerCut()
		if err := r.sessions.SaveSession(context.Background(), session); err != nil {
			t.Fatal(err)
		}
		r.boot()
		r.after(10 * time.Second)
		if s := r.want(provisioned); s.MachineID != id || r.gw.Signed(code) != 1 {
			t.Errorf("status %+v, signed %d times", s, r.gw.Signed(code))
		}
		if r.sessions.Saved() != (gateway.Session{}) {
			t.Error("the session is still there")
		}
		if r.vault.Pending() {
			t.Error("a key was made that nobody asked for")
		}
		for _, s := range r.panel.Shown() {
			if s.KeyFingerprint != "" {
				t.Errorf("a key is shown that cannot be known: %+v", s)
			}
		}
	})
}

// The original cloud keeps a machine's id: that it is the old one does not say
// that the exchange was over when the power failed.
func TestRestartOfAReprovisioningThatKeepsTheID(t *testing.T) {
	run(t, func(r *rig) {
		r.gw.Plain, r.gw.Machine = true, "machine-7"
		for range 2 {
			code := r.generate()
			r.claim(code)
			if r.vault.Commits() == 1 {
				break
			}
			r.byCode(code)
		}
		r.powerCut()
		r.boot()
		r.after(10 * time.Second)
		if s := r.want(provisioned); r.vault.Commits() != 2 || s.MachineID != "machine-7" {
			t.Errorf("%d certificates, status %+v", r.vault.Commits(), s)
		}
	})
}

// The same while the gateway has forgotten the code: no fresh codes appear on
// a machine that works.
func TestRestartOverAWorkingIdentity(t *testing.T) {
	run(t, func(r *rig) {
		r.press()
		r.claim(r.code())
		r.after(10 * time.Second)
		code := r.generate()
		r.powerCut()
		r.boot()
		r.want(shown)
		r.gw.Drop(code)
		r.after(10 * time.Second)
		r.want(provisioned)
		if n := len(r.gw.Calls("announce")); n != 2 {
			t.Errorf("%d announcements, want 2", n)
		}
	})
}

// Power fails at any instant of an exchange and comes back at once or much
// later. An operator claims one code, before or after: that is enough.
func TestPowerCutAtAnyInstant(t *testing.T) {
	for _, off := range []time.Duration{0, 2 * time.Minute, 10 * time.Minute} {
		for at := time.Duration(0); at < 20*time.Second; at += 370 * time.Millisecond {
			run(t, func(r *rig) {
				for _, op := range []provisiontest.Op{"announce", "find manifest", "sign"} {
					slow := delay(1900 * time.Millisecond)
					r.gw.Always(op, &slow)
				}
				id := ""
				operator := func() {
					if c := r.Status().Code; c != "" && id == "" {
						id = r.claim(c)
					}
				}
				r.press()
				r.after(min(at, 3*time.Second))
				operator()
				r.after(at - min(at, 3*time.Second))
				r.powerCut()
				r.after(off)
				r.boot()
				r.after(10 * time.Second) // what was saved is found out about
				if s := r.Status().State; s == idle {
					r.press()
				}
				r.after(3 * time.Second)
				operator()
				r.after(20 * time.Second)
				if s := r.want(provisioned); r.vault.Commits() != 1 || s.MachineID != id {
					t.Errorf("cut after %v for %v: %d identities, claimed as %q, status %+v", at, off, r.vault.Commits(), id, s)
				}
			})
		}
	}
}
