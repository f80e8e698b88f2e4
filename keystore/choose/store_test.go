package choose

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mecha-org/mecha-agent/gateway"
	"github.com/mecha-org/mecha-agent/keystore"
	"github.com/mecha-org/mecha-agent/keystore/keystoretest"
	"github.com/mecha-org/mecha-agent/keystore/tpm"
	"github.com/mecha-org/mecha-agent/keystore/tpm/tpmtest"
)

// rig is the state folder of a machine.
type rig struct {
	*testing.T
	folder string
}

func newRig(t *testing.T) rig { return rig{t, t.TempDir()} }

func (r rig) path(name string) string { return filepath.Join(r.folder, name) }

// open is a start of the agent.
func (r rig) open(policy, device string) *Store {
	r.Helper()
	s, err := New(Config{Policy: policy, Device: device, Curve: keystore.P256, Record: r.path("keystore")})
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() { s.Close() })
	return s
}

// makes makes a key and says where.
func (r rig) makes(s *Store, name string) string {
	r.Helper()
	k, err := s.Create(r.Context(), r.path(name))
	if err != nil {
		r.Fatal(err)
	}
	defer k.Close()
	return k.Info().Backend
}

// opens says where a key is found, or why not.
func (r rig) opens(s *Store, name string) (string, error) {
	k, err := s.Open(r.Context(), r.path(name))
	if err != nil {
		return "", err
	}
	defer k.Close()
	return k.Info().Backend, nil
}

func (r rig) record() string {
	text, err := os.ReadFile(r.path("keystore"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		r.Fatal(err)
	}
	return string(text)
}

func TestSuite(t *testing.T) {
	open := func(policy, device string) func(*testing.T) keystore.Store {
		folder := t.TempDir()
		return func(t *testing.T) keystore.Store { return rig{t, folder}.open(policy, device) }
	}
	t.Run("disk", func(t *testing.T) { keystoretest.Run(t, open(Auto, filepath.Join(t.TempDir(), "none"))) })
	t.Run("tpm", func(t *testing.T) { keystoretest.Run(t, open(Auto, tpmtest.Start(t))) })
}

// TestChoiceStands: what auto chose first stays, whatever comes and goes.
func TestChoiceStands(t *testing.T) {
	none := filepath.Join(t.TempDir(), "none")
	socket := tpmtest.Start(t)

	t.Run("disk, then a TPM", func(t *testing.T) {
		r := newRig(t)
		s := r.open(Auto, none)
		if c := s.Choice(); c.Backend != Disk || !c.Spare() || c.Err != nil || !strings.Contains(c.Why, "no TPM") {
			t.Errorf("without a TPM: %+v", c)
		}
		if got := r.makes(s, "a.pem"); got != Disk {
			t.Errorf("the key is in %s", got)
		}
		s = r.open(Auto, socket)
		if c := s.Choice(); c.Backend != Disk || !c.Spare() || !strings.Contains(c.Why, "holds the machine's key") || !strings.Contains(c.Why, "no TPM works here") {
			t.Errorf("with a TPM that came later: %+v", c)
		}
		if got := r.makes(s, "b.pem"); got != Disk {
			t.Errorf("the next key is in %s", got)
		}
	})
	t.Run("TPM, then none", func(t *testing.T) {
		r := newRig(t)
		s := r.open(Auto, socket)
		if c := s.Choice(); c.Backend != TPM || c.Spare() || c.Err != nil {
			t.Errorf("with a TPM: %+v", c)
		}
		if got := r.makes(s, "a.pem"); got != TPM {
			t.Errorf("the key is in %s", got)
		}
		s.Close()
		s = r.open(Auto, none)
		if c := s.Choice(); c.Backend != TPM || !errors.Is(c.Err, ErrGone) || !errors.Is(c.Err, tpm.ErrNone) || gateway.HintOf(c.Err) == "" {
			t.Errorf("without it: %+v", c)
		}
		if _, err := r.opens(s, "a.pem"); !errors.Is(err, ErrGone) || !errors.Is(err, tpm.ErrNone) {
			t.Errorf("opening: %v", err)
		}
		if _, err := s.Create(t.Context(), r.path("b.pem")); !errors.Is(err, ErrGone) {
			t.Errorf("creating: %v", err)
		}
		if _, _, _, err := s.AttestIdentity(t.Context()); !errors.Is(err, tpm.ErrNone) {
			t.Errorf("attesting: %v", err)
		}
		if got := r.record(); !strings.HasPrefix(got, TPM+"\n") {
			t.Errorf("the record is %q", got)
		}
		// It comes back.
		s = r.open(Auto, socket)
		if got, err := r.opens(s, "a.pem"); got != TPM || err != nil {
			t.Errorf("with the TPM back: %q, %v", got, err)
		}
	})
}

// TestTPMComesLate: one that is there when the first key is made is used, and one
// that was away is asked again.
func TestTPMComesLate(t *testing.T) {
	chip := tpmtest.New(t)
	r := newRig(t)
	hidden := chip.Socket + ".away"
	if err := os.Rename(chip.Socket, hidden); err != nil {
		t.Fatal(err)
	}
	s := r.open(Auto, chip.Socket)
	if c := s.Choice(); c.Backend != Disk {
		t.Errorf("before: %+v", c)
	}
	if err := os.Rename(hidden, chip.Socket); err != nil {
		t.Fatal(err)
	}
	if got := r.makes(s, "a.pem"); got != TPM {
		t.Errorf("the key is in %s", got)
	}
	if c := s.Choice(); c.Backend != TPM || c.Err != nil {
		t.Errorf("after: %+v", c)
	}
}

// TestPolicyChanged: another policy than the one that a key was made under is
// named, and takes nothing away.
func TestPolicyChanged(t *testing.T) {
	socket := tpmtest.Start(t)
	for _, c := range []struct{ first, then string }{{TPM, Disk}, {Disk, TPM}} {
		t.Run(c.first+" to "+c.then, func(t *testing.T) {
			r := newRig(t)
			s := r.open(c.first, socket)
			if got := r.makes(s, "a.pem"); got != c.first {
				t.Errorf("the key is in %s", got)
			}
			s.Close()
			s = r.open(c.then, socket)
			if _, err := r.opens(s, "a.pem"); !errors.Is(err, ErrChanged) || !strings.Contains(gateway.HintOf(err), "set keystore.backend to "+c.first) {
				t.Errorf("opening: %v, hint %q", err, gateway.HintOf(err))
			}
			if _, err := s.Create(t.Context(), r.path("b.pem")); !errors.Is(err, ErrChanged) {
				t.Errorf("creating: %v", err)
			}
			s.Close()
			s = r.open(Auto, socket)
			if got, err := r.opens(s, "a.pem"); got != c.first || err != nil {
				t.Errorf("with auto: %q, %v", got, err)
			}
		})
	}
}

// TestTPMWanted: with policy tpm and none there no key is made, nor recorded.
func TestTPMWanted(t *testing.T) {
	r := newRig(t)
	s := r.open(TPM, filepath.Join(t.TempDir(), "none"))
	if c := s.Choice(); !errors.Is(c.Err, tpm.ErrNone) || c.Backend != "" {
		t.Errorf("the choice is %+v", c)
	}
	if _, err := s.Create(t.Context(), r.path("a.pem")); !errors.Is(err, tpm.ErrNone) {
		t.Errorf("creating: %v", err)
	}
	if got := r.record(); got != "" {
		t.Errorf("the record is %q", got)
	}
}

// TestFilesOfOthers: a key that is there without a record is opened where it is, and
// decides nothing about the next one.
func TestFilesOfOthers(t *testing.T) {
	socket := tpmtest.Start(t)
	r := newRig(t)
	r.makes(r.open(Disk, ""), "a.pem")
	if err := os.Remove(r.path("keystore")); err != nil {
		t.Fatal(err)
	}
	s := r.open(Auto, socket)
	if got, err := r.opens(s, "a.pem"); got != Disk || err != nil {
		t.Errorf("opened %q, %v", got, err)
	}
	if c := s.Choice(); c.Backend != Disk {
		t.Errorf("the key in use is said to be in %+v", c)
	}
	if got := r.makes(s, "b.pem"); got != TPM {
		t.Errorf("the next key is in %s", got)
	}
	if _, _, _, err := newRig(t).open(Disk, "").AttestIdentity(t.Context()); !errors.Is(err, ErrNoTPM) {
		t.Errorf("attesting with the disk: %v", err)
	}
}

// TestDamage: a file that does not say where its key is, is read by the keystore of
// the record; a record that says nothing is named.
func TestDamage(t *testing.T) {
	r := newRig(t)
	s := r.open(Auto, tpmtest.Start(t))
	r.makes(s, "a.pem")
	if err := os.WriteFile(r.path("a.pem"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := r.opens(s, "a.pem"); !errors.Is(err, keystore.ErrDamaged) {
		t.Errorf("an empty key file: %v", err)
	}
	if err := s.Delete(t.Context(), r.path("a.pem")); err != nil {
		t.Errorf("deleting it: %v", err)
	}
	if left, _ := filepath.Glob(r.path("a.pem*")); left != nil {
		t.Errorf("left over: %v", left)
	}
	if err := os.WriteFile(r.path("keystore"), []byte("\x00\x00"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := s.Create(t.Context(), r.path("b.pem"))
	if !errors.Is(err, keystore.ErrDamaged) || !strings.Contains(gateway.HintOf(err), "write tpm") {
		t.Errorf("a record of zeros: %v, hint %q", err, gateway.HintOf(err))
	}
	if err := os.Chmod(r.path("keystore"), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Create(t.Context(), r.path("b.pem")); !errors.Is(err, keystore.ErrExposed) {
		t.Errorf("a record that anybody can write: %v", err)
	}
}

// TestNothingIsLeft: a key that cannot be made leaves no record.
func TestNothingIsLeft(t *testing.T) {
	r := newRig(t)
	s := r.open(Disk, "")
	if err := os.WriteFile(r.path("a.pem"), []byte("here"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Create(t.Context(), r.path("a.pem")); !errors.Is(err, keystore.ErrExists) {
		t.Errorf("creating over a file: %v", err)
	}
	if got := r.record(); got != "" {
		t.Errorf("the record is %q", got)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Create(gone, r.path("b.pem")); !errors.Is(err, context.Canceled) {
		t.Errorf("creating when cancelled: %v", err)
	}
	if got := r.record(); got != "" {
		t.Errorf("the record is %q", got)
	}
}

func TestRecorded(t *testing.T) {
	r := newRig(t)
	if backend, why, err := Recorded(r.path("keystore")); backend != "" || why != "" || err != nil {
		t.Errorf("nothing was chosen: got %q, %q, %v", backend, why, err)
	}
	r.makes(r.open(Disk, ""), "key.pem")
	if backend, why, err := Recorded(r.path("keystore")); backend != Disk || why != "the settings say so" || err != nil {
		t.Errorf("got %q, %q, %v", backend, why, err)
	}
	if err := os.Chmod(r.path("keystore"), 0o644); err != nil {
		t.Fatal(err)
	}
	if backend, _, err := Recorded(r.path("keystore")); backend != "" || !errors.Is(err, keystore.ErrExposed) {
		t.Errorf("for all to read: got %q, %v", backend, err)
	}
}

// TestHungTPM: one that takes commands and does not answer keeps nobody waiting for
// long: neither the start, nor who has a deadline, nor the stop.
func TestHungTPM(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(tpmtest.Folder(t), "tpm")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() // what is accepted by the kernel is never read
	r := newRig(t)
	begin := time.Now()
	s := r.open(Auto, socket)
	if took := time.Since(begin); took > tpm.CommandTimeout/2 {
		t.Errorf("the start took %v", took)
	}
	if c := s.Choice(); c.Backend != "" || c.Err != nil || !strings.Contains(c.Why, "not answered") {
		t.Errorf("the choice is %+v", c)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := s.Create(ctx, r.path("a.pem")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("creating: %v", err)
	}
	if got := r.record(); got != "" {
		t.Errorf("the record is %q", got)
	}
	select {
	case <-s.Decided():
		t.Error("it is decided without an answer")
	default:
	}
	begin = time.Now()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if took := time.Since(begin); took > tpm.CommandTimeout/2 {
		t.Errorf("the stop took %v", took)
	}
	if _, err := s.Create(t.Context(), r.path("a.pem")); !errors.Is(err, errClosed) {
		t.Errorf("creating after the stop: %v", err)
	}
}

func TestNewRefuses(t *testing.T) {
	for _, c := range []Config{{Policy: "both", Curve: keystore.P256}, {Policy: Disk, Curve: "P-224"}} {
		if _, err := New(c); err == nil {
			t.Errorf("%+v was taken", c)
		}
	}
}
