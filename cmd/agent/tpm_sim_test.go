//go:build sim

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mecha-org/mecha-agent/cmd/internal/cli"
	"github.com/mecha-org/mecha-agent/gateway"
	"github.com/mecha-org/mecha-agent/gateway/attest"
	"github.com/mecha-org/mecha-agent/gateway/server"
	"github.com/mecha-org/mecha-agent/keystore/tpm"
	"github.com/mecha-org/mecha-agent/keystore/tpm/tpmtest"
	provisioningpb "github.com/mecha-org/mecha-agent/proto/provisioning"
)

// tpmRig is a simulated board with a real swtpm behind a link, so that another TPM,
// or none, can be put in its place, and a gateway that wants proof.
type tpmRig struct {
	*rig
	gateway realGateway
	link    string
}

func newTPMRig(t *testing.T, scheme, settings string, chip *tpmtest.TPM, a server.Attestation) *tpmRig {
	t.Helper()
	link := filepath.Join(tpmtest.Folder(t), "tpm")
	r := &tpmRig{gateway: startGateway(t, func(c *server.Config) { c.Attestation = a }), link: link}
	r.rig = newRigWith(t, scheme+"://"+r.gateway.addr, r.gateway.fingerprint, fmt.Sprintf(settings, link))
	if chip != nil {
		r.plug(chip)
	}
	return r
}

// plug puts a TPM in the place of the one that is there, or takes it out.
func (r *tpmRig) plug(chip *tpmtest.TPM) {
	r.t.Helper()
	if err := os.Remove(r.link); err != nil && !errors.Is(err, fs.ErrNotExist) {
		r.t.Fatal(err)
	}
	if chip != nil {
		if err := os.Symlink(chip.Socket, r.link); err != nil {
			r.t.Fatal(err)
		}
	}
}

// claim claims a code and waits for the identity.
func (r *tpmRig) claim(code string) *provisioningpb.StatusResponse {
	r.t.Helper()
	c, err := r.gateway.operator.Claim(r.t.Context(), code, "")
	if err != nil {
		r.t.Fatal(err)
	}
	return r.await("the identity of "+c.MachineID, func(s *provisioningpb.StatusResponse) bool {
		return s.State == provisioningpb.State_STATE_PROVISIONED && s.MachineId == c.MachineID && s.Step == ""
	})
}

// registered is the machine as the gateway has it.
func (r *tpmRig) registered(id string) gateway.Machine {
	r.t.Helper()
	machines, err := r.gateway.operator.Machines(r.t.Context(), "", 100)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, m := range machines {
		if m.ID == id {
			return m
		}
	}
	r.t.Fatalf("the gateway has no machine %s", id)
	return gateway.Machine{}
}

// keyFile is what stands at the configured path.
func (r *tpmRig) keyFile() []byte {
	r.t.Helper()
	text, err := os.ReadFile(r.file("id/key.pem"))
	if err != nil {
		r.t.Fatal(err)
	}
	return text
}

const wantTPM = "{backend: tpm, tpm: %s}"

// TestTPMGetsItsIdentity is the main job with a gateway that requires proof of a
// TPM, over both front doors: button, code, claim, certificate, restart.
func TestTPMGetsItsIdentity(t *testing.T) {
	for _, scheme := range []string{"https", "grpcs"} {
		t.Run(scheme, func(t *testing.T) {
			chip, makers := tpmtest.Prepared(t)
			r := newTPMRig(t, scheme, "{tpm: %s}", chip, // backend auto
				server.Attestation{Policy: server.Required, Roots: attest.NewRoots(makers...)})
			_, kill := r.start()
			shown := r.press()
			if shown.Keystore != "tpm" || shown.KeystoreReason != "a TPM works here" || shown.Unattested != "" {
				t.Errorf("the key is in %q (%s), unattested %q", shown.Keystore, shown.KeystoreReason, shown.Unattested)
			}
			done := r.claim(shown.Code)
			m := r.registered(done.MachineId)
			if m.Attestation != gateway.TPMProven || m.TPM.Maker == "" || m.TPM.EKFingerprint == "" {
				t.Errorf("the gateway has it as %+v", m)
			}
			oid, _ := gateway.TPMProven.PolicyOID()
			if cert := openssl(t, "x509", "-in", r.file("id/machine.pem"), "-noout", "-text"); !strings.Contains(cert, "Policy: "+oid.String()) {
				t.Errorf("the certificate does not say it:\n%s", cert)
			}
			key := r.keyFile()
			if !bytes.HasPrefix(key, []byte("-----BEGIN TSS2 PRIVATE KEY-----")) {
				t.Errorf("the key file is\n%s", key)
			}

			// Both lose power.
			kill()
			chip.Kill()
			chip.On()
			stop, _ := r.start()
			again := r.awaitState(provisioningpb.State_STATE_PROVISIONED)
			if again.MachineId != done.MachineId || again.Keystore != "tpm" || !strings.Contains(again.KeystoreReason, "it holds the machine's key") {
				t.Errorf("after a power cut it is %v", again)
			}
			r.remove(scheme)
			left, err := filepath.Glob(r.file("state/*"))
			if err != nil || len(left) != 1 || filepath.Base(left[0]) != "lock" {
				t.Errorf("left over: %v, %v", left, err)
			}
			stop()
		})
	}
}

// TestUnknownMakerIsRefused: a gateway that trusts other makers says no, and the
// machine says why.
func TestUnknownMakerIsRefused(t *testing.T) {
	_, makers := tpmtest.Prepared(t)
	r := newTPMRig(t, "https", wantTPM, tpmtest.New(t), // with no certificate
		server.Attestation{Policy: server.Required, Roots: attest.NewRoots(makers...)})
	stop, _ := r.start()
	r.await("the agent's start", func(*provisioningpb.StatusResponse) bool { return true })
	if err := r.board.Press(t.Context(), 100*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	s := r.awaitState(provisioningpb.State_STATE_FAILED)
	if !strings.Contains(s.Error, "certificate") || s.Hint == "" {
		t.Errorf("error %q, hint %q", s.Error, s.Hint)
	}
	stop()
}

// TestTPMTroubles: each is named with its remedy, takes nothing away, and leads to
// another key only when a person says so.
func TestTPMTroubles(t *testing.T) {
	for _, c := range []struct {
		name        string
		make, mend  func(t *testing.T, r *tpmRig, chip *tpmtest.TPM)
		error, hint string
		renews      bool // a press makes another key, and the agent must restart to be mended
	}{
		{"replaced", func(t *testing.T, r *tpmRig, _ *tpmtest.TPM) { r.plug(tpmtest.New(t)) },
			func(_ *testing.T, r *tpmRig, chip *tpmtest.TPM) { r.plug(chip) },
			"another TPM made the key", "put the TPM of this machine back", true},
		{"cleared", func(t *testing.T, _ *tpmRig, chip *tpmtest.TPM) { clear(t, chip) }, nil,
			"the TPM was cleared after the key was made", "provision the machine anew", true},
		{"gone", func(_ *testing.T, r *tpmRig, _ *tpmtest.TPM) { r.plug(nil) },
			func(_ *testing.T, r *tpmRig, chip *tpmtest.TPM) { r.plug(chip) },
			"the machine's key is in a TPM that cannot be used", "check that the TPM is plugged in", false},
		{"file cut short", func(t *testing.T, r *tpmRig, _ *tpmtest.TPM) {
			if err := os.Truncate(r.file("id/key.pem"), 100); err != nil {
				t.Fatal(err)
			}
		}, nil, "key file is damaged", "provision the machine anew", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			chip := tpmtest.New(t)
			r := newTPMRig(t, "https", "{backend: auto, tpm: %s}", chip, server.Attestation{})
			stop, _ := r.start()
			was := r.claim(r.press().Code)
			stop()
			c.make(t, r, chip)
			key := r.keyFile()

			stop, _ = r.start()
			s := r.awaitState(provisioningpb.State_STATE_FAILED)
			if !strings.Contains(s.Error, c.error) || !strings.Contains(s.Hint, c.hint) {
				t.Errorf("error %q, hint %q", s.Error, s.Hint)
			}
			// Only the file that was cut is damaged; the TPM's troubles are no damage.
			if damaged := strings.Contains(s.Error, "damaged"); damaged != strings.Contains(c.error, "damaged") {
				t.Errorf("error %q", s.Error)
			}
			if !bytes.Equal(r.keyFile(), key) {
				t.Error("the key file has changed")
			}
			if _, err := os.Stat(r.file("state/pending")); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("a key is made by itself: %v", err)
			}
			if c.mend != nil {
				if c.renews { // nobody changes a TPM with the power on
					stop()
					c.mend(t, r, chip)
					stop, _ = r.start()
				} else {
					c.mend(t, r, chip)
				}
				r.await("the agent's start", func(*provisioningpb.StatusResponse) bool { return true })
				if err := r.board.Press(t.Context(), 100*time.Millisecond); err != nil {
					t.Fatal(err)
				}
				if s := r.awaitState(provisioningpb.State_STATE_PROVISIONED); s.MachineId != was.MachineId || s.Error != "" {
					t.Errorf("mended: %v", s)
				}
				stop()
				c.make(t, r, chip) // for good, this time
				stop, _ = r.start()
				r.awaitState(provisioningpb.State_STATE_FAILED)
			}
			if c.renews {
				now := r.claim(r.press().Code)
				if now.MachineId == was.MachineId || now.Keystore != "tpm" || bytes.Equal(r.keyFile(), key) {
					t.Errorf("provisioned anew as %v", now)
				}
			} else {
				if err := r.board.Press(t.Context(), 100*time.Millisecond); err != nil {
					t.Fatal(err)
				}
				s := r.await("the press's failure", func(s *provisioningpb.StatusResponse) bool { return strings.Contains(s.Error, "opening the key") })
				if s.Keystore != "tpm" || s.Code != "" || !strings.Contains(strings.Join(s.Trouble, "\n"), "keystore: "+c.error) {
					t.Errorf("after a press it is %v", s)
				}
				// A person's word: what was, is over, and a new key may be anywhere.
				r.remove("https")
				if s := r.awaitState(provisioningpb.State_STATE_IDLE); s.Keystore != "disk" || len(s.Trouble) > 0 {
					t.Errorf("removed: %v", s)
				}
				if s := r.press(); s.Keystore != "disk" || !strings.Contains(s.KeystoreReason, "no TPM works here") {
					t.Errorf("removed, and asked for a code: %v", s)
				}
			}
			stop()
		})
	}
}

// TestHungTPM: a TPM that takes commands and does not answer keeps the agent neither
// from saying that it runs nor from stopping.
func TestHungTPM(t *testing.T) {
	chip := tpmtest.New(t)
	r := newTPMRig(t, "https", "{tpm: %s}", chip, server.Attestation{})
	stop, _ := r.start()
	r.claim(r.press().Code)
	stop()
	r.plug(nil)
	l, err := net.Listen("unix", r.link)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	stop, _ = r.start()
	begin := time.Now()
	s := r.await("the agent's start", func(*provisioningpb.StatusResponse) bool { return true })
	if s.Provisioned || !strings.Contains(s.KeystoreReason, "not answered") {
		t.Errorf("status %v", s)
	}
	stop()
	if took := time.Since(begin); took > tpm.CommandTimeout/2 {
		t.Errorf("start and stop took %v", took)
	}
}

// TestTroubleExits: with keystore.trouble exit the agent ends instead.
func TestTroubleExits(t *testing.T) {
	chip := tpmtest.New(t)
	r := newTPMRig(t, "https", "{tpm: %s, trouble: exit}", chip, server.Attestation{})
	stop, _ := r.start()
	r.claim(r.press().Code)
	stop()
	r.plug(nil)
	cmd := r.command()
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	err := cmd.Run()
	if stderr := stderr.String(); cmd.ProcessState.ExitCode() != cli.ExitFailure || !strings.Contains(stderr, "keystore.trouble is exit") || !strings.Contains(stderr, "hint: check that the TPM is plugged in") {
		t.Errorf("it ended with %v:\n%s", err, stderr)
	}
	r.plug(chip)
	stop, _ = r.start()
	r.awaitState(provisioningpb.State_STATE_PROVISIONED)
	stop()
}
