package identity

import (
	"crypto/ecdsa"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/mecha-org/mecha-agent/gateway"
	"github.com/mecha-org/mecha-agent/keystore"
)

// scene is what lies on disk before the step under test.
type scene struct {
	name  string
	set   func(t *testing.T, b *bench)
	owned bool // the old identity is one of ours, verified
}

// losses are the kinds of crash to try. Lost entries come with lost data; data
// alone differs in the moment between a rename and its sync, and two scenes do.
func (sc scene) losses() []loss {
	if sc.name == "second identity" || sc.name == "original agent" {
		return []loss{lossNone, lossData, lossEntries, lossEarly}
	}
	return []loss{lossNone, lossEntries}
}

var scenes = []scene{
	{"fresh", func(*testing.T, *bench) {}, false},
	{"second identity", func(t *testing.T, b *bench) { provisioned(t, b) }, true},
	{"original agent", func(t *testing.T, b *bench) { legacy(t, b, 0, 1, 2, 3, 4) }, false},
	{"original agent, key and certificate", func(t *testing.T, b *bench) { legacy(t, b, 0, 2) }, false},
	{"hand-made over ours", func(t *testing.T, b *bench) { provisioned(t, b); legacy(t, b, 2, 4) }, true},
	{"our links gone", func(t *testing.T, b *bench) {
		provisioned(t, b)
		for _, sl := range b.paths.slots() {
			if err := os.Remove(sl.path); err != nil {
				t.Fatal(err)
			}
		}
		legacy(t, b, 0)
	}, true},
}

func provisioned(t *testing.T, b *bench) {
	t.Helper()
	s := b.open(t, nil)
	defer s.Close()
	b.provision(t, s, "machine-0")
}

// legacy puts regular files of another program at some configured paths.
func legacy(t *testing.T, b *bench, which ...int) {
	t.Helper()
	for _, i := range which {
		sl := b.paths.slots()[i]
		if err := errors.Join(os.MkdirAll(filepath.Dir(sl.path), 0o755), removeAny(sl.path),
			os.WriteFile(sl.path, []byte("what the original agent left as "+sl.name+" and nobody may lose\n"), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
}

func removeAny(path string) error {
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		return err
	}
	return nil
}

// crash runs do with the power cut at step n, then Open with the power cut at
// every step of its own, until it comes through. ok is false when do has fewer
// steps than n. seen is called whenever a reader could look.
func crash(t *testing.T, b *bench, n int, l loss, do func(*Store) error, seen func(when string)) (s *Store, ok bool) {
	t.Helper()
	p := &power{t: t, err: errCrash}
	s = b.open(t, p.step)
	p.at = p.steps + n
	err := do(s)
	s.Close()
	if !p.dead {
		if err != nil {
			t.Fatal(err)
		}
		p.cut(lossNone)
		return nil, false
	}
	p.cut(l)
	seen("after the crash")
	for m := 1; ; m++ {
		p := &power{t: t, at: m, err: errCrash}
		s, err := open(t.Context(), b.paths, b.keys, fileSystem{before: p.step}, nowAtNoon)
		if !p.dead {
			if err != nil {
				t.Fatal(err)
			}
			s.disk = fileSystem{}
			p.cut(lossNone)
			seen("after Open")
			return s, true
		}
		if err == nil { // leftovers are no error of Open
			s.Close()
		}
		p.cut(l)
		seen(fmt.Sprintf("after a crash of Open at its step %d", m))
		if m > 100 {
			t.Fatal("Open never comes through")
		}
	}
}

// TestCommitCrash cuts the power at every step of Commit, adoption included.
func TestCommitCrash(t *testing.T) {
	ca := newPKI(t)
	for _, sc := range scenes {
		for _, l := range sc.losses() {
			t.Run(sc.name+", "+l.String(), func(t *testing.T) {
				t.Parallel()
				steps, olds, news := 0, 0, 0
				for ; ; steps++ {
					isNew, ok := commitCrashAt(t, ca, sc, l, steps+1)
					if !ok || t.Failed() {
						break
					}
					if isNew {
						news++
					} else {
						olds++
					}
				}
				// A test that never sees either side tests nothing. The switch is set by
				// the last but one step of a fresh Commit, and synced by the last.
				if olds < 10 || news < 1 && !(sc.name == "fresh" && l == lossEntries) {
					t.Errorf("of %d crashes %d left the old identity and %d the new one", steps, olds, news)
				}
			})
		}
	}
}

func commitCrashAt(t *testing.T, ca pki, sc scene, l loss, n int) (isNew, ok bool) {
	t.Helper()
	b := newBench(t, ca)
	sc.set(t, b)
	s := b.open(t, nil)
	key, err := s.Key(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	pub := key.Public().(*ecdsa.PublicKey)
	csr, answer := ca.issue(t, "machine-1", key)
	s.Close()
	before, after := b.view(t), b.expect(t, csr, answer)

	seen := func(when string) {
		switch got := b.view(t); {
		case got == after:
			isNew = true
		case isNew:
			t.Errorf("step %d, %s: the new identity is gone again: %s", n, when, got)
		case got != before:
			t.Errorf("step %d, %s: a mixture: %s; old %s; new %s", n, when, got, before, after)
		}
	}
	s, ok = crash(t, b, n, l, func(s *Store) error { return s.Commit(t.Context(), "machine-1", csr, answer) }, seen)
	if !ok {
		if b.view(t) != after {
			t.Errorf("without a crash the paths show %s", b.view(t))
		}
		return false, false
	}
	defer s.Close()

	b.noLeftovers(t, s)
	id, _, err := s.Current(t.Context())
	want := ""
	switch {
	case isNew:
		want = "machine-1"
	case sc.owned:
		want = "machine-0"
	}
	if adopted := !isNew && sc.owned && id == ""; err != nil || id != want && !adopted {
		t.Errorf("step %d: Current() = %q, %v, want %q", n, id, err, want)
	}
	again, err := s.Key(t.Context())
	if err != nil {
		t.Fatalf("step %d: Key: %v", n, err)
	}
	if same := again.Public().(*ecdsa.PublicKey).Equal(pub); same == isNew {
		t.Errorf("step %d: new identity in place: %v, but the pending key is the same: %v", n, isNew, same)
	}
	b.provision(t, s, "machine-2")
	b.tidy(t, s)
	return isNew, true
}

// noLeftovers asserts that the state folder holds the lock, the current and the
// pending generation and no more: no other key in particular.
func (b *bench) noLeftovers(t *testing.T, s *Store) {
	t.Helper()
	current, err := s.current()
	if err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(b.paths.State)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if n := e.Name(); n != lockName && n != currentName && n != pendingName && n != filepath.Base(s.gen(current)) {
			t.Errorf("%s is left over", n)
		}
	}
}

// tidy asserts that an identity stands and nothing is left over.
func (b *bench) tidy(t *testing.T, s *Store) {
	t.Helper()
	b.noLeftovers(t, s)
	if !exists(filepath.Join(b.paths.State, currentName)) || exists(filepath.Join(b.paths.State, pendingName)) {
		t.Error("no current generation, or still a pending one")
	}
	for _, sl := range b.paths.slots() {
		entries, err := os.ReadDir(filepath.Dir(sl.path))
		if err != nil {
			t.Fatal(err)
		}
		if len(entries) != 2 && len(entries) != 3 {
			t.Errorf("%s holds %v", filepath.Dir(sl.path), entries)
		}
		if w, err := s.look(sl); w != ours || err != nil {
			t.Errorf("%s is not our link: %v, %v", sl.path, w, err)
		}
	}
}

// TestKillThenPowerCut kills a Commit, opens the store, and cuts the power in the
// next Commit: what the killed process had renamed was seen by all and is still
// not on stable storage.
func TestKillThenPowerCut(t *testing.T) {
	ca := newPKI(t)
	for _, sc := range scenes[:3] { // fresh, ours, and adopted
		t.Run(sc.name, func(t *testing.T) {
			t.Parallel()
			for n := 1; killThenCut(t, ca, sc, n) && !t.Failed(); n++ {
			}
		})
	}
}

// killThenCut kills the first Commit at step n. ok is false when it has fewer.
func killThenCut(t *testing.T, ca pki, sc scene, n int) (ok bool) {
	t.Helper()
	// The moment between a rename in the state folder and its sync is tried with
	// each step of the next process (without an adoption: with those of its Open),
	// others with every 17th.
	for m, stride := 1+n%17, 17; ; m += stride {
		b := newBench(t, ca)
		sc.set(t, b)
		s := b.open(t, nil)
		seen := map[view]bool{b.view(t): true}
		commit := func(s *Store, id string) error {
			key, err := s.Key(t.Context())
			if err != nil {
				return err
			}
			csr, answer := ca.issue(t, id, key)
			seen[b.expect(t, csr, answer)] = true
			return s.Commit(t.Context(), id, csr, answer)
		}
		if _, err := s.Key(t.Context()); err != nil {
			t.Fatal(err)
		}
		p := &power{t: t, at: n, err: errCrash}
		s.disk = fileSystem{before: p.step}
		_ = commit(s, "machine-1") // an error, or a failure after the switch
		s.Close()
		if !p.dead {
			p.cut(lossNone)
			return false
		}
		if stride > 1 && p.last == (step{op: "syncdir", path: b.paths.State}) {
			p.cut(lossNone)
			m, stride = 0, 1
			continue
		}
		if stride == 1 && m > 5 && sc.name != "original agent" {
			p.cut(lossNone)
			return true
		}
		p = p.killed()
		p.at = m
		s = b.open(t, p.step)
		_ = commit(s, "machine-2")
		s.Close()
		p.cut(lossEntries)
		if !seen[b.view(t)] {
			t.Errorf("killed at step %d, cut at step %d: a mixture: %s", n, m, b.view(t))
		}
		s = b.open(t, nil)
		if !seen[b.view(t)] {
			t.Errorf("killed at step %d, cut at step %d: Open makes a mixture: %s", n, m, b.view(t))
		}
		b.noLeftovers(t, s)
		b.provision(t, s, "machine-3")
		s.Close()
		if !p.dead {
			return true
		}
	}
}

// TestRemoveCrash cuts the power at every step of Remove.
func TestRemoveCrash(t *testing.T) {
	ca := newPKI(t)
	for _, sc := range scenes {
		for _, l := range sc.losses() {
			t.Run(sc.name+", "+l.String(), func(t *testing.T) {
				t.Parallel()
				for n := 1; removeCrashAt(t, ca, sc, l, n) && !t.Failed(); n++ {
				}
			})
		}
	}
}

func removeCrashAt(t *testing.T, ca pki, sc scene, l loss, n int) bool {
	t.Helper()
	b := newBench(t, ca)
	sc.set(t, b)
	s := b.open(t, nil)
	if _, err := s.Key(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.SaveSession(t.Context(), session()); err != nil {
		t.Fatal(err)
	}
	s.Close()
	before := b.view(t)
	begun := false
	seen := func(when string) {
		got := b.view(t)
		if got == before && !begun {
			return
		}
		// Our own go at once; files of another program one by one, the key first.
		begun = true
		if got[0] != "" && before != (view{}) && got[2] != before[2] {
			t.Errorf("step %d, %s: the key stands without its certificate: %s", n, when, got)
		}
	}
	s, ok := crash(t, b, n, l, func(s *Store) error { _, err := s.Remove(t.Context()); return err }, seen)
	if !ok {
		s = b.open(t, nil)
	}
	defer s.Close()
	if got, err := s.LoadSession(t.Context()); err != nil || begun && got != (gateway.Session{}) {
		t.Errorf("step %d: the session outlives the identity (%v)", n, err)
	}
	if _, err := s.Remove(t.Context()); err != nil {
		t.Errorf("step %d: Remove: %v", n, err)
	}
	if got := b.view(t); got != (view{}) {
		t.Errorf("step %d: Remove left %s", n, got)
	}
	if removed, err := s.Remove(t.Context()); len(removed) != 0 || err != nil {
		t.Errorf("step %d: another Remove removed %v, %v", n, removed, err)
	}
	if entries, err := os.ReadDir(b.paths.State); err != nil || len(entries) != 1 || entries[0].Name() != lockName {
		t.Errorf("step %d: the state folder holds %v, %v", n, entries, err)
	}
	if got, err := s.LoadSession(t.Context()); err != nil || got != (gateway.Session{}) {
		t.Errorf("step %d: LoadSession: %v", n, err)
	}
	b.provision(t, s, "machine-2")
	return ok
}

// TestOpenFinishesRemoval: once the switch is gone, Open alone does the rest.
func TestOpenFinishesRemoval(t *testing.T) {
	b := newBench(t, newPKI(t))
	provisioned(t, b)
	key, err := filepath.EvalSymlinks(b.paths.Key)
	if err != nil {
		t.Fatal(err)
	}
	p := &power{t: t, at: 3, err: errCrash} // after the mark and its sync
	s := b.open(t, p.step)                  // takes no step: all is in order
	if _, err := s.Remove(t.Context()); !errors.Is(err, errCrash) {
		t.Fatal(err)
	}
	s.Close()
	if _, err := b.keys.Open(t.Context(), key); err != nil {
		t.Fatalf("the test comes too late, the key is gone: %v", err)
	}
	b.open(t, nil).Close()
	if _, err := b.keys.Open(t.Context(), key); !errors.Is(err, keystore.ErrNotExist) {
		t.Errorf("the key after Open: %v, want ErrNotExist", err)
	}
	if exists(b.paths.Key) || exists(filepath.Join(b.paths.State, removingName)) {
		t.Error("Open did not finish the removal")
	}
}

// TestKeyCrash cuts the power while the key is made, and while a damaged one is
// replaced.
func TestKeyCrash(t *testing.T) {
	ca := newPKI(t)
	for _, damaged := range []bool{false, true} {
		for _, l := range []loss{lossNone, lossData, lossEntries} {
			for n := 1; ; n++ {
				b := newBench(t, ca)
				if damaged {
					dir := filepath.Join(b.paths.State, pendingName)
					if err := errors.Join(os.MkdirAll(dir, 0o700), os.WriteFile(filepath.Join(dir, keyName), nil, 0o600)); err != nil {
						t.Fatal(err)
					}
				} else {
					b.open(t, nil).Close()
				}
				s, ok := crash(t, b, n, l, func(s *Store) error { _, err := s.Key(t.Context()); return err }, func(string) {})
				if !ok {
					if n < 3 {
						t.Errorf("Key took %d steps only", n-1)
					}
					break
				}
				b.provision(t, s, "machine-1")
				b.tidy(t, s)
				s.Close()
			}
		}
	}
}

// TestKeyKillThenPowerCut: a key that Key returned stays, although the process
// before was killed on the way to it.
func TestKeyKillThenPowerCut(t *testing.T) {
	ca := newPKI(t)
	for n := 1; ; n++ {
		b := newBench(t, ca)
		p := &power{t: t, err: errCrash}
		s := b.open(t, p.step)
		p.at = p.steps + n
		_, _ = s.Key(t.Context())
		s.Close()
		if !p.dead {
			p.cut(lossNone)
			break
		}
		p = p.killed()
		s = b.open(t, p.step)
		key, err := s.Key(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		pub := key.Public().(*ecdsa.PublicKey)
		s.Close()
		p.cut(lossEntries)
		s = b.open(t, nil)
		again, err := s.Key(t.Context())
		if err != nil || !again.Public().(*ecdsa.PublicKey).Equal(pub) {
			t.Errorf("killed at step %d: the key is another one (%v)", n, err)
		}
		s.Close()
	}
}
