package tpmtest

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// Prepared starts a TPM as a maker ships it: with endorsement keys (RSA 2048 at
// 0x81010001, P-384 at 0x81010016) and a certificate for each, and returns the
// maker's certificates, the issuing one first, the root last. It takes a second,
// once in a test program: all of its TPMs are copies of one.
func Prepared(t testing.TB) (*TPM, []*x509.Certificate) {
	t.Helper()
	s, chain := shipped(t, commands)
	s.On()
	return s, chain
}

// ForMachine is Prepared for a virtual machine (QEMU's -tpmdev emulator): Socket is
// the control channel that it asks for. The TPM is off, for it may end with the
// machine that used it: before each start of one, Kill and On.
func ForMachine(t testing.TB) (*TPM, []*x509.Certificate) {
	t.Helper()
	return shipped(t, control)
}

func shipped(t testing.TB, serve []string) (*TPM, []*x509.Certificate) {
	t.Helper()
	for _, name := range []string{"swtpm", "swtpm_setup", "swtpm_localca"} {
		need(t, name)
	}
	p, err := prepared()
	if err != nil {
		t.Fatal(err)
	}
	return off(t, p.state, serve), p.chain
}

type preparation struct {
	state []byte
	chain []*x509.Certificate
}

var prepared = sync.OnceValues(prepare)

// prepare has swtpm_setup play the maker, with a certificate authority of its own
// instead of the machine's.
func prepare() (p preparation, err error) {
	dir, err := os.MkdirTemp("", "tpm")
	if err != nil {
		return p, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	authority, err := exec.LookPath("swtpm_localca")
	if err != nil {
		return p, err
	}
	file := func(name string) string { return filepath.Join(dir, name) }
	for name, text := range map[string]string{
		"ca.conf": fmt.Sprintf("statedir = %s\nsigningkey = %s\nissuercert = %s\ncertserial = %s\n",
			dir, file("key.pem"), file("issuer.pem"), file("serial")),
		"options":    "--platform-manufacturer Test\n--platform-version 1\n--platform-model Test\n",
		"setup.conf": fmt.Sprintf("create_certs_tool = %s\ncreate_certs_tool_config = %s\ncreate_certs_tool_options = %s\n", authority, file("ca.conf"), file("options")),
	} {
		if err := os.WriteFile(file(name), []byte(text), 0o600); err != nil {
			return p, err
		}
	}
	cmd := exec.Command("swtpm_setup", "--tpm2", "--tpmstate", dir, "--config", file("setup.conf"),
		"--create-ek-cert", "--pcr-banks", "sha256")
	if out, err := cmd.CombinedOutput(); err != nil {
		return p, fmt.Errorf("swtpm_setup: %w\n%s", err, out)
	}
	if p.state, err = os.ReadFile(file(memory)); err != nil {
		return p, err
	}
	for _, name := range []string{"issuer.pem", "swtpm-localca-rootca-cert.pem"} {
		text, err := os.ReadFile(file(name))
		if err != nil {
			return p, err
		}
		block, _ := pem.Decode(text)
		if block == nil {
			return p, fmt.Errorf("%s: no PEM", name)
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return p, fmt.Errorf("%s: %w", name, err)
		}
		p.chain = append(p.chain, cert)
	}
	return p, nil
}
