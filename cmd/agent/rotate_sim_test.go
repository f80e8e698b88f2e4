//go:build sim

package main

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/mecha-org/mecha-agent/cmd/internal/cli"
	"github.com/mecha-org/mecha-agent/gateway"
	"github.com/mecha-org/mecha-agent/gateway/attest"
	"github.com/mecha-org/mecha-agent/gateway/server"
	"github.com/mecha-org/mecha-agent/keystore/choose"
	"github.com/mecha-org/mecha-agent/keystore/tpm"
	"github.com/mecha-org/mecha-agent/keystore/tpm/tpmtest"
	provisioningpb "github.com/mecha-org/mecha-agent/proto/provisioning"
)

// beside is mecha-agent with these arguments, beside the running one.
func (r *tpmRig) beside(args ...string) (code int, stdout, stderr string) {
	var out, talk bytes.Buffer
	code = run(r.t.Context(), cli.System{Args: append(args, "--settings", r.file("settings.yml")),
		Environ: []string{"HOME=" + r.dir}, Stdin: strings.NewReader(""), Stdout: &out, Stderr: &talk}, fstest.MapFS{})
	return code, out.String(), talk.String()
}

// rotate runs key rotate and, as the operator, claims the code that comes.
func (r *tpmRig) rotate() (stdout, stderr string) {
	r.t.Helper()
	r.await("a machine without a code", func(s *provisioningpb.StatusResponse) bool { return s.Code == "" })
	type answer struct {
		code           int
		stdout, stderr string
	}
	done := make(chan answer, 1)
	go func() {
		code, stdout, stderr := r.beside("key", "rotate")
		done <- answer{code, stdout, stderr}
	}()
	s := r.await("a code", func(s *provisioningpb.StatusResponse) bool { return s.Code != "" })
	if _, err := r.gateway.operator.Claim(r.t.Context(), s.Code, s.KeyFingerprint); err != nil {
		r.t.Fatal(err)
	}
	a := <-done
	if a.code != cli.ExitOK {
		r.t.Fatalf("exit code %d\n%s%s", a.code, a.stdout, a.stderr)
	}
	return a.stdout, a.stderr
}

// fingerprint is that of the key in use, by its file.
func (r *tpmRig) fingerprint() string {
	r.t.Helper()
	_, info, err := choose.Read(r.t.Context(), r.file("state/current/key.pem"))
	if err != nil {
		r.t.Fatal(err)
	}
	return info.Fingerprint
}

// holds checks that gateway, disk and commands speak of the same new key, and that
// it is proven as the first one was.
func (r *tpmRig) holds(attested gateway.Attestation) {
	r.t.Helper()
	s := r.awaitState(provisioningpb.State_STATE_PROVISIONED)
	now := r.fingerprint()
	if m := r.registered(s.MachineId); m.KeyFingerprint != now || m.Attestation != attested || s.Unattested != "" {
		r.t.Errorf("the gateway has %+v, the disk key %s, the agent says %q", m, now, s.Unattested)
	}
	code, shown, stderr := r.beside("key")
	if code != cli.ExitOK || !strings.Contains(shown, now) || strings.Contains(shown, "pending") || stderr != "" {
		r.t.Errorf("key: exit code %d\n%s%s", code, shown, stderr)
	}
	// openssl verifies a signature by what the certificate says.
	content := r.file("settings.yml")
	if code, _, stderr := r.beside("sign", "-o", r.file("sig"), content); code != cli.ExitOK {
		r.t.Fatalf("sign: exit code %d, %s", code, stderr)
	}
	public := openssl(r.t, "x509", "-in", r.file("id/machine.pem"), "-noout", "-pubkey")
	if err := os.WriteFile(r.file("public.pem"), []byte(public), 0o600); err != nil {
		r.t.Fatal(err)
	}
	openssl(r.t, "dgst", "-sha256", "-verify", r.file("public.pem"), "-signature", r.file("sig"), content)
}

// TestRotateWithTheGateway: a new key takes the place of the old one, on the disk and
// in a TPM, and nothing of the old one is left. A key that was lost with a cleared TPM
// is replaced the same way.
func TestRotateWithTheGateway(t *testing.T) {
	t.Run("disk", func(t *testing.T) {
		g := startGateway(t)
		r := &tpmRig{rig: newRig(t, "https://"+g.addr, g.fingerprint), gateway: g}
		stop := r.rotates(gateway.SoftwareKey)
		r.verify()
		stop()
	})
	t.Run("TPM", func(t *testing.T) {
		chip, makers := tpmtest.Prepared(t)
		r := newTPMRig(t, "https", wantTPM, chip, server.Attestation{Policy: server.Required, Roots: attest.NewRoots(makers...)})
		r.rotates(gateway.TPMProven)()
	})
	t.Run("cleared", func(t *testing.T) {
		chip, makers := tpmtest.Prepared(t)
		r := newTPMRig(t, "https", wantTPM, chip, server.Attestation{Policy: server.Required, Roots: attest.NewRoots(makers...)})
		stop, _ := r.start()
		r.claim(r.press().Code)
		stop()
		lost := r.fingerprint()
		clear(t, chip)
		stop, _ = r.start()
		if s := r.awaitState(provisioningpb.State_STATE_FAILED); s.Provisioned || !strings.Contains(s.Error, tpm.ErrCleared.Error()) {
			t.Errorf("a cleared TPM: %v", s)
		}
		if code, stdout, _ := r.beside("key"); code != cli.ExitFailure || !strings.Contains(stdout, lost) {
			t.Errorf("key: exit code %d\n%s", code, stdout)
		}
		stdout, stderr := r.rotate()
		if now := r.fingerprint(); now == lost || !strings.HasPrefix(stdout, "old key "+lost+"\nnew key "+now+"\n") {
			t.Errorf("lost %s, new %s, said\n%s", lost, now, stdout)
		}
		if !strings.Contains(stderr, "the key in use cannot be used: ") {
			t.Errorf("stderr\n%s", stderr)
		}
		r.holds(gateway.TPMProven) // the maker's certificates outlive a clear
		stop()
	})
}

// rotates gives a machine its first identity, which rotate refuses to do, and then
// another key.
func (r *tpmRig) rotates(attested gateway.Attestation) (stop func()) {
	r.t.Helper()
	stop, _ = r.start()
	r.await("the agent's start", func(*provisioningpb.StatusResponse) bool { return true })
	if code, _, stderr := r.beside("key", "rotate"); code != exitWrongState || !strings.Contains(stderr, "hint: mecha-agent provision") {
		r.t.Fatalf("without an identity: exit code %d, %s", code, stderr)
	}
	first := r.claim(r.press().Code)
	r.holds(attested)
	old := r.fingerprint()
	oldFiles, err := os.ReadDir(r.file("state/gen-1"))
	if err != nil || len(oldFiles) == 0 {
		r.t.Fatal(oldFiles, err)
	}

	stdout, stderr := r.rotate()
	now := r.fingerprint()
	if now == old || !strings.HasPrefix(stdout, "old key "+old+"\nnew key "+now+"\n") {
		r.t.Errorf("old %s, new %s, said\n%s", old, now, stdout)
	}
	if !strings.Contains(stderr, "mecha-gateway revoke "+first.MachineId+"\n") {
		r.t.Errorf("stderr\n%s", stderr)
	}
	for _, f := range oldFiles {
		if _, err := os.Stat(r.file("state/gen-1/" + f.Name())); !errors.Is(err, fs.ErrNotExist) {
			r.t.Errorf("%s of the old key is still there: %v", f.Name(), err)
		}
	}
	r.holds(attested)
	return stop
}
