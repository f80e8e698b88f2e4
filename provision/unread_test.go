package provision_test

import (
	"errors"
	"testing"
	"time"
)

func TestIdentityThatCannotBeRead(t *testing.T) {
	run(t, func(r *rig) {
		r.powerCut()
		r.vault.Fail("Current", errors.New("damaged"))
		r.boot()
		if s := r.want(failed); s.Error != "reading the identity: damaged" || s.Hint == "" {
			t.Errorf("status %+v", s)
		}
	})
}

// provisionedOnce gives the machine an identity and returns its id.
func (r *rig) provisionedOnce() (id string) {
	r.t.Helper()
	code := r.generate()
	id = r.claim(code)
	r.byCode(code)
	r.want(provisioned)
	return id
}

// A TPM whose driver comes late, a disk that comes back: the identity is found by
// itself, and nobody has made a code meanwhile.
func TestIdentityThatCanBeReadLater(t *testing.T) {
	away := errors.New("no TPM")
	run(t, func(r *rig) {
		id := r.provisionedOnce()
		r.powerCut()
		r.vault.Fail("Current", away, away, away)
		r.boot()
		r.want(failed)
		r.after(14 * time.Second) // asked after 5 s, and to be asked after 10 more
		r.want(failed)
		r.after(2 * time.Minute)
		if s := r.want(provisioned); s.MachineID != id || s.Error != "" || r.vault.Pending() {
			t.Errorf("status %+v, a key is pending: %t", s, r.vault.Pending())
		}
	})
}

// A press looks for the identity first: it is no wish for another one.
func TestPressFindsTheIdentity(t *testing.T) {
	run(t, func(r *rig) {
		id := r.provisionedOnce()
		r.powerCut()
		r.vault.Fail("Current", errors.New("no TPM"))
		r.boot()
		r.want(failed)
		r.press()
		if s := r.want(provisioned); s.MachineID != id || s.Error != "" || r.vault.Pending() {
			t.Errorf("status %+v, a key is pending: %t", s, r.vault.Pending())
		}
	})
}

// One that stays unreadable is replaced when a person asks for that, and not before.
func TestIdentityThatStaysUnreadable(t *testing.T) {
	run(t, func(r *rig) {
		r.provisionedOnce()
		r.powerCut()
		damaged := make([]error, 50)
		for i := range damaged {
			damaged[i] = errors.New("the TPM was cleared")
		}
		r.vault.Fail("Current", damaged...)
		r.boot()
		r.after(time.Hour)
		if s := r.want(failed); s.Error != "reading the identity: the TPM was cleared" || r.vault.Pending() {
			t.Errorf("status %+v, a key is pending: %t", s, r.vault.Pending())
		}
		r.press()
		code := r.code()
		id := r.claim(code)
		r.vault.Mend("Current") // the new one can be read
		r.after(10 * time.Second)
		if s := r.want(provisioned); s.MachineID != id {
			t.Errorf("status %+v", s)
		}
	})
}

// A machine whose keys turn out to be in no TPM says nothing of one.
func TestNoTPMAfterAll(t *testing.T) {
	run(t, func(r *rig) {
		tpm := r.withTPM()
		tpm.None = true
		r.provisionedOnce()
		if s := r.want(provisioned); s.Unattested != "" || tpm.Asked("Prove") != 0 {
			t.Errorf("status %+v, evidence asked for %d times", s, tpm.Asked("Prove"))
		}
	})
}
