package identity

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

var errCrash = errors.New("the power is cut")

// loss is what a crash takes with it.
type loss uint8

const (
	lossNone    loss = iota // kill -9: every step so far stands
	lossData                // power cut: files that were not synced are empty
	lossEntries             // and changes to folders that were not synced did not happen
	lossEarly               // the same, but the last such change did: file systems need not keep the order
)

func (l loss) String() string {
	return [...]string{"kill", "data lost", "entries lost", "order lost"}[l]
}

// power is a step hook that cuts the power at one step, and keeps a journal of
// what is not on stable storage at that moment.
type power struct {
	t     *testing.T
	at    int // step at which it fails, from 1; 0: never
	err   error
	once  bool // fail this one step only: an error, not a crash
	steps int
	dead  bool
	last  step // that failed

	entries []entry             // not synced, oldest first
	data    map[string]*os.File // files written and not synced
}

// entry is an undo of a change to a folder.
type entry struct {
	dir  string
	undo func() error
}

func (p *power) step(s step) error {
	if p.dead {
		return p.err
	}
	p.steps++
	if p.steps == p.at {
		p.last = s
		p.dead = !p.once
		return p.err
	}
	p.record(s)
	return nil
}

func (p *power) record(s step) {
	dir, path := filepath.Dir(s.path), s.path
	add := func(undo func() error) { p.entries = append(p.entries, entry{dir, undo}) }
	switch s.op {
	case "mkdir":
		add(func() error { return os.RemoveAll(path) })
	case "create", "symlink":
		add(func() error { return os.Remove(path) })
	case "write":
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			p.t.Error(err)
			return
		}
		if p.data == nil {
			p.data = map[string]*os.File{}
		}
		p.data[path] = f
	case "sync":
		if f := p.data[path]; f != nil {
			f.Close()
			delete(p.data, path)
		}
	case "rename":
		for _, e := range p.entries {
			if e.dir == s.from {
				p.t.Errorf("%s is renamed before it is synced", s.from)
				break
			}
		}
		from, back := s.from, saved(path)
		add(func() error { return errors.Join(os.Rename(path, from), back()) })
	case "remove":
		add(saved(path))
	case "key": // the keystore syncs what it does
		p.synced(dir)
	case "syncdir":
		p.synced(path)
	default:
		p.t.Errorf("a step that the test does not know: %q", s.op)
	}
}

func (p *power) synced(dir string) {
	var left []entry
	for _, e := range p.entries {
		if e.dir != dir {
			left = append(left, e)
		}
	}
	p.entries = left
}

// saved returns what brings back the file, link or empty folder at path.
func saved(path string) func() error {
	st, err := os.Lstat(path)
	switch {
	case err != nil:
		return func() error { return nil }
	case st.IsDir():
		return func() error { return os.Mkdir(path, st.Mode().Perm()) }
	case st.Mode().IsRegular():
		data, err := os.ReadFile(path)
		return func() error { return errors.Join(err, os.WriteFile(path, data, st.Mode().Perm())) }
	}
	to, err := os.Readlink(path)
	return func() error { return errors.Join(err, os.Symlink(to, path)) }
}

// killed hands the journal on: a kill loses nothing, but does not sync either.
func (p *power) killed() *power {
	return &power{t: p.t, err: p.err, entries: p.entries, data: p.data}
}

// cut leaves the file system as the crash leaves it.
func (p *power) cut(l loss) {
	p.t.Helper()
	for _, f := range p.data {
		if l >= lossData {
			if err := f.Truncate(0); err != nil {
				p.t.Error(err)
			}
		}
		f.Close()
	}
	p.data = nil
	if l < lossEntries {
		return
	}
	if l == lossEarly && len(p.entries) > 0 {
		p.entries = p.entries[:len(p.entries)-1]
	}
	for i := len(p.entries) - 1; i >= 0; i-- {
		if !exists(p.entries[i].dir) { // the folder's own removal was synced
			continue
		}
		// The change that did happen may be the rename of what is to be removed here.
		if err := p.entries[i].undo(); err != nil && l != lossEarly {
			p.t.Errorf("the test's journal: %v", err)
		}
	}
}
