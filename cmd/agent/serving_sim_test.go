//go:build sim

package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/mecha-org/mecha-agent/cmd/internal/cli"
	provisioningpb "github.com/mecha-org/mecha-agent/proto/provisioning"
)

// listenTLS has the agent of the rig listen on a port besides its socket, with its
// own certificate, and returns the address.
func (r *rig) listenTLS() string {
	r.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		r.t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	text, err := os.ReadFile(r.file("settings.yml"))
	if err != nil {
		r.t.Fatal(err)
	}
	changed := strings.Replace(string(text), `server: {url: ""`, fmt.Sprintf("server: {url: 127.0.0.1, port: %d, tls: true", port), 1)
	if changed == string(text) {
		r.t.Fatal("the settings have no such line")
	}
	if err := os.WriteFile(r.file("settings.yml"), []byte(changed), 0o600); err != nil {
		r.t.Fatal(err)
	}
	return l.Addr().String()
}

// provision is the whole exchange over the Unix socket.
func (r *rig) provision(g realGateway) (machineID string) {
	r.t.Helper()
	claim, err := g.operator.Claim(r.t.Context(), r.codeByRPC(), "")
	if err != nil {
		r.t.Fatal(err)
	}
	r.await("the identity", func(s *provisioningpb.StatusResponse) bool { return s.MachineId == claim.MachineID })
	return claim.MachineID
}

// ask is "mecha-agent status" on this rig's machine, about the machine at address.
func (r *rig) ask(address, machineID string) (code int, answer statusJSON, stderr string) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	var out, talk bytes.Buffer
	code = run(ctx, cli.System{Args: []string{"status", "--json", "--address", address, "--machine", machineID, "--settings", r.file("settings.yml")},
		Environ: []string{"HOME=" + r.dir}, Stdin: strings.NewReader(""), Stdout: &out, Stderr: &talk}, fstest.MapFS{})
	if code == 0 {
		if err := json.Unmarshal(out.Bytes(), &answer); err != nil {
			r.t.Fatal(err)
		}
	}
	return code, answer, talk.String()
}

// servedKey returns the public key that the port at address proves to have.
func (r *rig) servedKey(address string) *ecdsa.PublicKey {
	r.t.Helper()
	var key *ecdsa.PublicKey
	d := tls.Dialer{NetDialer: &net.Dialer{Timeout: patience}, Config: &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"},
		VerifyConnection: func(s tls.ConnectionState) error {
			key, _ = s.PeerCertificates[0].PublicKey.(*ecdsa.PublicKey)
			return nil
		}}}
	c, err := d.DialContext(r.t.Context(), "tcp", address)
	if err != nil {
		r.t.Fatal(err)
	}
	c.Close()
	return key
}

// TestMachinesTalkOverMTLS: a board that got its identity answers another of its
// fleet, and nobody else; after a restart with the same key, after another
// provisioning with the new one, and after its removal no more.
func TestMachinesTalkOverMTLS(t *testing.T) {
	g := startGateway(t)
	url := "https://" + g.addr
	a, b := newRig(t, url, g.fingerprint), newRig(t, url, g.fingerprint)
	address := a.listenTLS()
	stopA, _ := a.start()
	stopB, _ := b.start()
	idB := b.provision(g)

	if code, _, stderr := b.ask(address, "any"); code != exitNoAgent || !strings.Contains(stderr, "internal error") {
		t.Errorf("before there is an identity: exit %d, %s", code, stderr)
	}
	idA := a.provision(g) // over the socket, which needs none
	code, s, stderr := b.ask(address, idA)
	if code != 0 || s.MachineID != idA {
		t.Fatalf("exit %d, status %+v\n%s", code, s, stderr)
	}
	if code, _, stderr := b.ask(address, idB); code != exitNoAgent || !strings.Contains(stderr, idA) || !strings.Contains(stderr, "hint: ") {
		t.Errorf("another machine than the one asked for: exit %d, %s", code, stderr)
	}
	a.judge(address, b)
	if code, _, stderr := b.ask(address, ""); code != exitNoAgent || !strings.Contains(stderr, "hint: a port that wants TLS") {
		t.Errorf("without TLS: exit %d, %s", code, stderr)
	}

	other := startGateway(t)
	stranger := newRig(t, "https://"+other.addr, other.fingerprint)
	stopS, _ := stranger.start()
	stranger.provision(other)
	if code, _, stderr := stranger.ask(address, idA); code != exitNoAgent || !strings.Contains(stderr, "tls: ") {
		t.Errorf("a machine of another fleet, which does not trust this one: exit %d, %s", code, stderr)
	}
	// It trusts whatever answers now, and is refused by the other side.
	cert, err := tls.LoadX509KeyPair(stranger.file("id/machine.pem"), stranger.file("id/key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	if err := first(t, address, cert); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("a certificate of another fleet: %v", err)
	}
	if err := first(t, address); err == nil || !strings.Contains(err.Error(), "certificate required") {
		t.Errorf("no certificate: %v", err)
	}

	key := a.servedKey(address)
	stopA()
	stopA, _ = a.start()
	a.awaitState(provisioningpb.State_STATE_PROVISIONED)
	if code, s, stderr := b.ask(address, idA); code != 0 || s.MachineID != idA {
		t.Errorf("after a restart: exit %d, status %+v\n%s", code, s, stderr)
	}
	if !a.servedKey(address).Equal(key) {
		t.Error("after a restart it has another key")
	}

	again := a.provision(g)
	if code, s, stderr := b.ask(address, again); code != 0 || s.MachineID != again {
		t.Errorf("with another identity: exit %d, status %+v\n%s", code, s, stderr)
	}
	if a.servedKey(address).Equal(key) {
		t.Error("the new identity has the old key")
	}
	if _, err := a.agent.Deprovision(t.Context(), &provisioningpb.Empty{}); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := b.ask(address, again); code != exitNoAgent || !strings.Contains(stderr, "internal error") {
		t.Errorf("after the removal: exit %d, %s", code, stderr)
	}
	if _, err := a.agent.Status(t.Context(), &provisioningpb.StatusRequest{}); err != nil {
		t.Errorf("the socket after the removal: %v", err)
	}
	stopA()
	stopB()
	stopS()
}

// first returns the error of the first read of a connection: in TLS 1.3 a client
// learns there that its certificate was refused.
func first(t *testing.T, address string, certs ...tls.Certificate) error {
	t.Helper()
	d := tls.Dialer{NetDialer: &net.Dialer{Timeout: patience}, Config: &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"},
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			if len(certs) == 0 {
				return &tls.Certificate{}, nil
			}
			return &certs[0], nil
		}}}
	c, err := d.DialContext(t.Context(), "tcp", address)
	if err != nil {
		return err
	}
	defer c.Close()
	_ = c.SetReadDeadline(time.Now().Add(patience))
	_, err = io.ReadFull(c, make([]byte, 1))
	return err
}

// judge has openssl shake hands as the machine b: chain and purpose, both ways.
func (r *rig) judge(address string, b *rig) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "openssl", "s_client", "-connect", address, "-alpn", "h2", "-brief", "-ign_eof",
		"-CAfile", r.file("id/root.pem"), "-verify_return_error", "-purpose", "sslclient",
		"-cert", b.file("id/machine.pem"), "-cert_chain", b.file("id/ca_bundle.pem"), "-key", b.file("id/key.pem"))
	// A connection preface and empty settings (RFC 9113, 3.4): the server's own come
	// back when it has taken the certificate.
	in, err := cmd.StdinPipe()
	if err != nil {
		r.t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		r.t.Fatal(err)
	}
	var talk bytes.Buffer
	cmd.Stderr = &talk
	if err := cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	if _, err := io.WriteString(in, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"); err != nil {
		r.t.Error(err)
	}
	frame := make([]byte, 9)
	_, readErr := io.ReadFull(out, frame)
	in.Close()
	cancel()
	_ = cmd.Wait() // killed: it waits for more
	if readErr != nil || frame[3] != 4 {
		r.t.Errorf("openssl: no SETTINGS frame came (%x, %v)\n%s", frame, readErr, talk.String())
	}
	for _, want := range []string{"TLSv1.3", "Verification: OK", "ECDSA"} {
		if !strings.Contains(talk.String(), want) {
			r.t.Errorf("openssl does not say %q:\n%s", want, talk.String())
		}
	}
}
