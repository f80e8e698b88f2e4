package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-tpm/tpm2"

	"github.com/mecha-org/mecha-agent/cmd/internal/cli"
	"github.com/mecha-org/mecha-agent/gateway"
	"github.com/mecha-org/mecha-agent/gateway/gatewaytest"
	"github.com/mecha-org/mecha-agent/identity"
	"github.com/mecha-org/mecha-agent/keystore"
	"github.com/mecha-org/mecha-agent/keystore/choose"
	"github.com/mecha-org/mecha-agent/keystore/tpm"
	"github.com/mecha-org/mecha-agent/keystore/tpm/tpmtest"
	"github.com/mecha-org/mecha-agent/settings"
)

// keyed is a machine in a folder of its own, and the command line on it.
type keyed struct {
	t   *testing.T
	dir string
	cfg settings.Agent
}

// newKeyed makes a machine with an identity whose key is in the keystore of these
// settings.
func newKeyed(t *testing.T, backend, device string) keyed {
	t.Helper()
	k := keyed{t: t, dir: t.TempDir()}
	text := fmt.Sprintf(`provisioning:
  paths:
    machine: {private_key: %[1]s/id/key.pem, csr: %[1]s/id/csr.pem, cert: %[1]s/id/machine.pem}
    ca_bundle: {cert: %[1]s/id/ca_bundle.pem}
    root: {cert: %[1]s/id/root.pem}
    state: %[1]s/state
keystore: {backend: %[2]s, tpm: %[3]q}
`, k.dir, backend, device)
	if err := os.WriteFile(k.file("settings.yml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var err error
	if k.cfg, _, err = settings.LoadAgent(settings.Source{File: k.file("settings.yml"), Home: k.dir}); err != nil {
		t.Fatal(err)
	}
	keys, err := openKeystores(k.cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer keys.Close()
	id, err := identity.Open(t.Context(), identityPaths(k.cfg.Provisioning.Paths), keys)
	if err != nil {
		t.Fatal(err)
	}
	defer id.Close()
	key, err := id.Key(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "machine-1"}}, key)
	if err != nil {
		t.Fatal(err)
	}
	ca, err := gatewaytest.NewCA("Test", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	issued, err := ca.Machine(key.Public(), "machine-1", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	csrPEM := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: csr}))
	if err := id.Commit(t.Context(), "machine-1", csrPEM, issued); err != nil {
		t.Fatal(err)
	}
	return k
}

func (k keyed) file(name string) string { return filepath.Join(k.dir, name) }

// run is mecha-agent with these arguments.
func (k keyed) run(args ...string) (code int, stdout, stderr string) {
	k.t.Helper()
	var out, talk bytes.Buffer
	code = run(k.t.Context(), cli.System{Args: append([]string{"--settings", k.file("settings.yml")}, args...),
		Environ: []string{"HOME=" + k.dir}, Stdin: strings.NewReader(""), Stdout: &out, Stderr: &talk}, fstest.MapFS{})
	return code, out.String(), talk.String()
}

// report is what key --json says.
func (k keyed) report(wantCode int) (r keyReport, stderr string) {
	k.t.Helper()
	code, stdout, stderr := k.run("key", "--json")
	if err := json.Unmarshal([]byte(stdout), &r); err != nil || code != wantCode {
		k.t.Fatalf("exit code %d, want %d, %v\n%s%s", code, wantCode, err, stdout, stderr)
	}
	return r, stderr
}

// The key is in the TPM and works: everything is known of both.
func TestKeyInATPM(t *testing.T) {
	chip := tpmtest.New(t)
	k := newKeyed(t, choose.Auto, chip.Socket)
	r, stderr := k.report(cli.ExitOK)
	pub, info, err := choose.Read(t.Context(), r.Stored)
	if err != nil {
		t.Fatal(err)
	}
	text, err := publicPEM(pub)
	if err != nil {
		t.Fatal(err)
	}
	if r.State != keyUsable || r.Backend != choose.TPM || r.Fingerprint != info.Fingerprint || r.Curve != "P-256" ||
		r.File != k.file("id/key.pem") || r.Stored != k.file("state/gen-1/key.pem") || r.PublicKey != text || stderr != "" {
		t.Errorf("got %+v, stderr %q", r, stderr)
	}
	if want := "it holds the machine's key; when it was made: a TPM works here"; r.Reason != want {
		t.Errorf("the reason is %q, want %q", r.Reason, want)
	}
	c := r.TPM
	if c == nil || c.Device != chip.Socket || c.Manufacturer != "IBM" || c.Product == "" || c.Firmware == "" || c.Revision < "1.38" ||
		c.LockoutCounter != 0 || c.MaxTries == 0 || c.Recovery == 0 || c.InLockout {
		t.Errorf("of the TPM: %+v", c)
	}
	code, stdout, stderr := k.run("key")
	for _, want := range []string{"state          usable\n", "fingerprint    " + info.Fingerprint + "\n", "maker          IBM\n",
		"lockout        0 of ", "\n\n-----BEGIN PUBLIC KEY-----\n"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("no %q in\n%s", want, stdout)
		}
	}
	if code != cli.ExitOK || stderr != "" {
		t.Errorf("exit code %d, stderr %q", code, stderr)
	}
	if n := loaded(t, chip); n > 0 {
		t.Errorf("%d objects were left in the TPM", n)
	}
}

// loaded counts what is loaded in a TPM.
func loaded(t *testing.T, chip *tpmtest.TPM) int {
	t.Helper()
	conn, err := tpm.Open(t.Context(), chip.Socket)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	r, err := tpm2.GetCapability{Capability: tpm2.TPMCapHandles, Property: uint32(tpm2.TPMHTTransient) << 24, PropertyCount: 8}.Execute(conn)
	if err != nil {
		t.Fatal(err)
	}
	list, err := r.CapabilityData.Data.Handles()
	if err != nil {
		t.Fatal(err)
	}
	return len(list.Handle)
}

// clear is what a person does in the firmware's menu.
func clear(t *testing.T, chip *tpmtest.TPM) {
	t.Helper()
	conn, err := tpm.Open(t.Context(), chip.Socket)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := (tpm2.Clear{AuthHandle: tpm2.AuthHandle{Handle: tpm2.TPMRHLockout, Auth: tpm2.PasswordAuth(nil)}}).Execute(conn); err != nil {
		t.Fatal(err)
	}
}

// refuse leaves a socket where nobody listens.
func refuse(t *testing.T, chip *tpmtest.TPM) {
	t.Helper()
	if err := os.Rename(chip.Socket, chip.Socket+".away"); err != nil {
		t.Fatal(err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: chip.Socket, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
}

// Each fault of a TPM: what the file says is printed all the same, the reason and
// what mends it follow, and nothing is taken away.
func TestKeyFaults(t *testing.T) {
	for name, c := range map[string]struct {
		fault func(*testing.T, *tpmtest.TPM)
		err   error
		hint  string
		asked bool // the TPM tells of itself
	}{
		"cleared":     {clear, tpm.ErrCleared, "provision the machine anew", true},
		"another TPM": {func(_ *testing.T, c *tpmtest.TPM) { c.Swap() }, tpm.ErrReplaced, "put the TPM of this machine back", true},
		"refused":     {refuse, tpm.ErrGone, "start the TPM emulator", false},
		"gone": {func(t *testing.T, c *tpmtest.TPM) {
			if err := os.Rename(c.Socket, c.Socket+".away"); err != nil {
				t.Fatal(err)
			}
		}, tpm.ErrNone, "plugged in", false},
	} {
		t.Run(name, func(t *testing.T) {
			chip := tpmtest.New(t)
			k := newKeyed(t, choose.Auto, chip.Socket)
			before, _ := k.report(cli.ExitOK)
			c.fault(t, chip)
			r, stderr := k.report(cli.ExitFailure)
			if r.State != keyUnusable || r.Fingerprint != before.Fingerprint || r.PublicKey != before.PublicKey ||
				r.Backend != choose.TPM || r.File != before.File || r.Stored != before.Stored {
				t.Errorf("got %+v, want what the file says: %+v", r, before)
			}
			if !strings.Contains(r.Error, c.err.Error()) || !strings.Contains(r.Hint, c.hint) || (r.TPM != nil) != c.asked {
				t.Errorf("error %q, hint %q, TPM %+v", r.Error, r.Hint, r.TPM)
			}
			if !strings.Contains(stderr, "mecha-agent: "+r.Error+"\nmecha-agent: hint: "+r.Hint+"\n") {
				t.Errorf("stderr is %q", stderr)
			}
			if _, err := lookAtKey(t.Context(), k.cfg); !errors.Is(err, c.err) {
				t.Errorf("got %v", err)
			}
			if code, stdout, _ := k.run("key", "--public"); code != cli.ExitOK || stdout != before.PublicKey {
				t.Errorf("--public: exit code %d\n%s", code, stdout)
			}
		})
	}
}

// A TPM that takes every command and answers none: the file is not hidden by it, and
// the time is bounded by the caller.
func TestKeyInATPMThatHangs(t *testing.T) {
	chip := tpmtest.New(t)
	k := newKeyed(t, choose.Auto, chip.Socket)
	before, _ := k.report(cli.ExitOK)
	chip.Kill() // its socket goes on to take connections
	const limit = 300 * time.Millisecond
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	begin := time.Now()
	r, err := lookAtKey(ctx, k.cfg)
	if took := time.Since(begin); took > limit+5*time.Second {
		t.Errorf("took %s", took)
	}
	if !errors.Is(err, tpm.ErrHung) || !errors.Is(err, choose.ErrGone) || !strings.Contains(gateway.HintOf(err), "cut the power") {
		t.Errorf("got %v, hint %q", err, gateway.HintOf(err))
	}
	if r.State != keyUnusable || r.Fingerprint != before.Fingerprint || r.PublicKey != before.PublicKey || r.TPM != nil {
		t.Errorf("got %+v", r)
	}
	if code, stdout, _ := k.run("key", "--public"); code != cli.ExitOK || stdout != before.PublicKey {
		t.Errorf("--public: exit code %d\n%s", code, stdout)
	}
	chip.On()
	if r, _ := k.report(cli.ExitOK); r.State != keyUsable {
		t.Errorf("awake: got %+v", r)
	}
}

// A TPM that hangs is not asked about what it has nothing to do with: a key on the
// disk, also one of which no record says so, and a key to be made there.
func TestNoTPMIsAsked(t *testing.T) {
	chip := tpmtest.New(t)
	chip.Kill()
	k := newKeyed(t, choose.Disk, "")
	text, err := os.ReadFile(k.file("settings.yml"))
	if err != nil {
		t.Fatal(err)
	}
	text = bytes.Replace(text, []byte(`backend: disk, tpm: ""`), []byte("backend: auto, tpm: "+chip.Socket), 1)
	if err := os.WriteFile(k.file("settings.yml"), text, 0o600); err != nil || !bytes.Contains(text, []byte(chip.Socket)) {
		t.Fatalf("%v\n%s", err, text)
	}
	record, err := os.ReadFile(k.file("state/keystore"))
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	if err := os.Remove(k.file("state/keystore")); err != nil {
		t.Fatal(err)
	}
	if r, _ := k.report(cli.ExitOK); r.State != keyUsable || r.Backend != choose.Disk || r.TPM != nil {
		t.Errorf("got %+v", r)
	}
	if code, _, stderr := k.run("sign", "--base64", k.file("settings.yml")); code != cli.ExitOK {
		t.Errorf("sign: exit code %d, %s", code, stderr)
	}
	if err := errors.Join(os.RemoveAll(k.file("state/current")), os.WriteFile(k.file("state/keystore"), record, 0o600)); err != nil {
		t.Fatal(err)
	}
	if r, _ := k.report(exitWrongState); r.State != keyNone || r.Backend != choose.Disk || r.TPM != nil {
		t.Errorf("got %+v", r)
	}
	if took := time.Since(begin); took > keyLimit/2 {
		t.Errorf("took %s: it waited for the TPM", took)
	}
}

// A machine without a key says what a TPM here would be used for.
func TestNoKeyYet(t *testing.T) {
	chip := tpmtest.New(t)
	k := newKeyed(t, choose.Auto, chip.Socket)
	if err := os.RemoveAll(k.file("state")); err != nil {
		t.Fatal(err)
	}
	r, stderr := k.report(exitWrongState)
	if r.State != keyNone || r.Backend != choose.TPM || r.Reason != "a TPM works here" || r.TPM == nil || r.PublicKey != "" {
		t.Errorf("got %+v", r)
	}
	if !strings.Contains(stderr, "no key yet") || !strings.Contains(r.Hint, "mecha-agent provision") {
		t.Errorf("stderr %q", stderr)
	}
}

// Who may not read the key is told who may.
func TestWhoMay(t *testing.T) {
	var cfg settings.Agent
	state, who := "/", "root"
	if os.Geteuid() == 0 {
		state, who = t.TempDir(), "'#54321'"
		if err := os.Chown(state, 54321, -1); err != nil {
			t.Fatal(err)
		}
	}
	cfg.Provisioning.Paths.State = state
	for _, err := range []error{fmt.Errorf("reading key: %w", fs.ErrPermission), fmt.Errorf("reading key: %w", keystore.ErrExposed)} {
		if got := gateway.HintOf(whoMay(err, cfg, "sign")); got != "run it as the user of the agent: sudo -u "+who+" mecha-agent sign" {
			t.Errorf("%v: hint %q", err, got)
		}
	}
	for _, err := range []error{nil, keystore.ErrDamaged, fmt.Errorf("%w: %w", tpm.ErrPermission, fs.ErrPermission)} {
		if got := whoMay(err, cfg, "sign"); got != err {
			t.Errorf("%v became %v", err, got)
		}
	}
	cfg.Provisioning.Paths.State = t.TempDir() // ours: the file's mode is the reason
	if got := gateway.HintOf(whoMay(keystore.ErrExposed, cfg, "sign")); got != "" {
		t.Errorf("hint %q", got)
	}
	cfg.Provisioning.Paths.State = filepath.Join(t.TempDir(), "none")
	if got := gateway.HintOf(whoMay(fs.ErrPermission, cfg, "key")); !strings.Contains(got, "sudo -u USER mecha-agent key") {
		t.Errorf("hint %q", got)
	}
}
