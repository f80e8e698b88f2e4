package identity

import (
	"errors"
	"testing"
)

// TestChanged: every change of the identity in use is told, and what changes
// nothing is not.
func TestChanged(t *testing.T) {
	ca := newPKI(t)
	b := newBench(t, ca)
	s := b.open(t, nil)
	defer s.Close()
	for _, c := range []struct {
		name string
		do   func() error
		want bool
	}{
		{"a new key", func() error { _, err := s.Key(t.Context()); return err }, false},
		{"a refused answer", func() error {
			key, err := s.Key(t.Context())
			if err != nil {
				return err
			}
			csr, answer := ca.issue(t, "machine-1", key)
			if err := s.Commit(t.Context(), "machine-2", csr, answer); !errors.Is(err, ErrUnverified) {
				t.Errorf("a refused answer: %v", err)
			}
			return nil
		}, false},
		{"the first identity", func() error { b.provision(t, s, "machine-1"); return nil }, true},
		{"looking at it", func() error { _, err := s.Load(t.Context()); return err }, false},
		{"a session", func() error { return s.SaveSession(t.Context(), session()) }, false},
		{"another identity", func() error { b.provision(t, s, "machine-2"); return nil }, true},
		{"its removal", func() error { _, err := s.Remove(t.Context()); return err }, true},
		{"nothing to remove", func() error { _, err := s.Remove(t.Context()); return err }, false},
	} {
		changed := s.Changed()
		if err := c.do(); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if told(changed) != c.want {
			t.Errorf("%s: told of a change: %t", c.name, !c.want)
		}
	}
}

// TestChangedTellsOfHalves: a switch that is set back and a removal that is cut
// short may have been seen, so both are told.
func TestChangedTellsOfHalves(t *testing.T) {
	ca := newPKI(t)
	b := newBench(t, ca)
	provisioned(t, b)
	var fault func(step) bool
	s := b.open(t, func(st step) error {
		if fault != nil && fault(st) {
			return errors.New("refused by the test")
		}
		return nil
	})
	defer s.Close()
	key, err := s.Key(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	csr, answer := ca.issue(t, "machine-2", key)

	changed, switched := s.Changed(), false
	fault = func(st step) bool {
		switched = switched || st.op == "rename" && st.path == s.state(currentName)
		return switched && st.op == "syncdir"
	}
	if err := s.Commit(t.Context(), "machine-2", csr, answer); err == nil || !switched || !told(changed) {
		t.Errorf("a switch that was set back: error %v, switched %t, told %t", err, switched, told(changed))
	}
	changed, fault = s.Changed(), func(st step) bool { return st.op == "key" }
	if _, err := s.Remove(t.Context()); err == nil || !told(changed) {
		t.Errorf("a removal that was cut short: error %v, told %t", err, told(changed))
	}
}

// told reports whether the channel is closed.
func told(changed <-chan struct{}) bool {
	select {
	case <-changed:
		return true
	default:
		return false
	}
}
