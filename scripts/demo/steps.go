package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/mecha-org/mecha-agent/board/sim"
	"github.com/mecha-org/mecha-agent/hw/hwtest"
	provisioningpb "github.com/mecha-org/mecha-agent/proto/provisioning"
)

const gatewaySettings = `listen: 127.0.0.1:0
data: gateway
tls: {mode: own, names: [localhost, 127.0.0.1]}
codes: {interval: 1s}
`

// %[1]s is the gateway's address, %[2]s the fingerprint of its root.
const agentSettings = `provisioning:
  server_url: %[1]s
  root_fingerprint: %[2]s
  paths:
    machine: {private_key: identity/key.pem, csr: identity/csr.pem, cert: identity/machine.pem}
    server: {cert: identity/server.pem}
    ca_bundle: {cert: identity/ca_bundle.pem}
    root: {cert: identity/root.pem}
    state: state
keystore: {backend: disk} # whatever this machine has: its TPM is not the simulated board's
server: {port: 0, socket: agent.sock}
hardware:
  board: sim
  leds: {pace: 150ms}
  options: {control: sim.sock}
`

func (s *stage) startGateway(ctx context.Context) error {
	if err := os.WriteFile(s.path("gateway.yml"), []byte(gatewaySettings), 0o600); err != nil {
		return err
	}
	p, err := s.start("gateway", "serve", "--settings", "gateway.yml")
	if err != nil {
		return err
	}
	line, err := s.logLine(ctx, p, "listening")
	if err != nil {
		return err
	}
	s.gatewayURL, _ = line["url"].(string)
	s.fingerprint, _ = line["root_fingerprint"].(string)
	if s.gatewayURL == "" || s.fingerprint == "" {
		return fmt.Errorf("the gateway's log names no url or root_fingerprint: %v", line)
	}
	fmt.Printf("  %s, its root has the fingerprint\n  %s\n", s.gatewayURL, s.fingerprint)
	return nil
}

func (s *stage) startAgent(ctx context.Context) error {
	text := fmt.Sprintf(agentSettings, s.gatewayURL, s.fingerprint)
	if err := os.WriteFile(s.path("settings.yml"), []byte(text), 0o600); err != nil {
		return err
	}
	p, err := s.start("agent", "run", "--settings", "settings.yml")
	if err != nil {
		return err
	}
	if _, err := s.logLine(ctx, p, "listening"); err != nil {
		return err
	}
	s.board = sim.Dial(s.path("sim.sock"))
	return s.dialAgent()
}

// pressButton presses as a person would: again when nothing happens.
func (s *stage) pressButton(ctx context.Context) error {
	for range 5 {
		if err := s.board.Press(ctx, 100*time.Millisecond); err != nil {
			return err
		}
		tryCtx, cancel := context.WithTimeout(ctx, 2*time.Second)
		st, err := s.waitForState(tryCtx, provisioningpb.State_STATE_CODE_SHOWN)
		cancel()
		if err == nil {
			s.code = st.Code
			fmt.Println("  the board announced a code to the gateway")
			return nil
		}
		if ctx.Err() != nil || tryCtx.Err() == nil {
			return err
		}
	}
	return errors.New("no code after five presses")
}

// waitForState watches the agent until it is in the state.
func (s *stage) waitForState(ctx context.Context, want provisioningpb.State) (*provisioningpb.StatusResponse, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := s.agent.WatchStatus(ctx, &provisioningpb.StatusRequest{})
	if err != nil {
		return nil, err
	}
	for {
		st, err := stream.Recv()
		switch {
		case err != nil:
			return nil, err
		case st.State == want:
			return st, nil
		case st.State == provisioningpb.State_STATE_FAILED:
			return nil, fmt.Errorf("the agent says: %s", st.Error)
		}
	}
}

// readDisplay draws what the emulated controller made of the bytes that the
// driver sent, and keeps it as a picture.
func (s *stage) readDisplay(ctx context.Context) error {
	// The panel draws after the state changed: take it when two looks agree.
	var before []byte
	if err := wait(ctx, func() (bool, error) {
		now, err := s.board.ScreenPNG(ctx)
		same := before != nil && bytes.Equal(now, before)
		before = now
		return same, err
	}); err != nil {
		return err
	}
	text, err := s.board.ScreenTextFit(ctx, terminalWidth())
	if err != nil {
		return err
	}
	fmt.Println(text)
	if faults, err := s.board.Faults(ctx); err != nil || len(faults) > 0 {
		return fmt.Errorf("the display was sent what its data sheet does not allow: %v, %w", faults, err)
	}
	picture, err := s.board.ScreenPNG(ctx)
	if err != nil {
		return err
	}
	return os.WriteFile(s.path("oled.png"), picture, 0o644)
}

// terminalWidth is in columns, 80 when nobody looks.
func terminalWidth() int {
	if w, _, err := term.GetSize(int(os.Stdout.Fd())); err == nil && w > 0 {
		return w
	}
	return 80
}

// readLEDs watches the five code LEDs and the strobe for one round and reads
// the code off them.
func (s *stage) readLEDs(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	var events []hwtest.LEDEvent
	var read string
	err := s.board.WatchLEDs(ctx, func(l sim.LEDState) bool {
		events = append(events, hwtest.LEDEvent{At: l.At, Bits: l.Bits, Strobe: l.Strobe})
		if l.Strobe {
			fmt.Printf("  %s  strobe ●\n", bits(l.Bits))
		}
		code, err := hwtest.DecodeLEDs(events)
		read = code
		return err != nil // go on until a whole round has been seen
	})
	if err != nil {
		return err
	}
	if read != s.code {
		return fmt.Errorf("the LEDs say %q, the agent says %q", read, s.code)
	}
	fmt.Printf("  five bits a character, that is %s\n", read)
	return nil
}

func bits(b uint8) string {
	var out strings.Builder
	for i := 4; i >= 0; i-- {
		out.WriteString(map[bool]string{true: "● ", false: "○ "}[b>>i&1 == 1])
	}
	return out.String()
}

// claim is what an operator does: mecha-gateway claim, over the HTTP API.
func (s *stage) claim(ctx context.Context) error {
	cmd := exec.CommandContext(ctx, filepath.Join(s.bin, "mecha-gateway"), "claim", "--yes", "--json",
		"--server", s.gatewayURL, "--key-file", "gateway/admin.key", "--root-fingerprint", s.fingerprint, s.code)
	cmd.Dir = s.dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("%w\n%s", err, stderr.String())
	}
	var answer struct {
		MachineID string `json:"machineId"`
	}
	if err := json.Unmarshal(out, &answer); err != nil || answer.MachineID == "" {
		return fmt.Errorf("mecha-gateway claim printed no machine id: %s", out)
	}
	s.machineID = answer.MachineID
	fmt.Println("  the gateway calls the machine", s.machineID)
	return nil
}

func (s *stage) waitForCertificate(ctx context.Context) error {
	st, err := s.waitForState(ctx, provisioningpb.State_STATE_PROVISIONED)
	if err != nil {
		return err
	}
	if st.MachineId != s.machineID {
		return fmt.Errorf("the board calls itself %q, the gateway said %q", st.MachineId, s.machineID)
	}
	fmt.Println("  certificate until", st.CertificateExpires.AsTime().Format(time.RFC3339))
	return nil
}

// verify trusts nothing of ours: openssl checks the chain, the purpose, and
// that certificate, request and private key belong together.
func (s *stage) verify(ctx context.Context) error {
	file := func(name string) string { return s.path(filepath.Join("identity", name)) }
	if out, err := openssl(ctx, "verify", "-purpose", "sslclient", "-CAfile", file("root.pem"), "-untrusted", file("ca_bundle.pem"), file("machine.pem")); err != nil {
		return err
	} else {
		fmt.Print(indent(out), "\n")
	}
	var keys []string
	for _, args := range [][]string{
		{"pkey", "-in", file("key.pem"), "-pubout"},
		{"req", "-in", file("csr.pem"), "-verify", "-noout", "-pubkey"},
		{"x509", "-in", file("machine.pem"), "-noout", "-pubkey"},
	} {
		out, err := openssl(ctx, args...)
		if err != nil {
			return err
		}
		keys = append(keys, out)
	}
	if keys[0] != keys[1] || keys[0] != keys[2] {
		return errors.New("key, request and certificate do not belong together")
	}
	subject, err := openssl(ctx, "x509", "-in", file("machine.pem"), "-noout", "-subject", "-issuer", "-ext", "subjectAltName,keyUsage,extendedKeyUsage")
	if err != nil {
		return err
	}
	fmt.Println(indent(subject))
	fmt.Println("  key, request and certificate belong together")
	return nil
}

// openssl returns what the command printed on standard output.
func openssl(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "openssl", args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("openssl %s: %w\n%s%s", strings.Join(args, " "), err, out, stderr.String())
	}
	return string(out), nil
}

func (s *stage) printHowToPoke(w io.Writer) {
	dir, err := filepath.Abs(s.dir)
	if err != nil {
		dir = s.dir
	}
	fmt.Fprintf(w, `
Both are running; Ctrl-C ends them.
  the agent    %[2]s/mecha-agent --settings %[1]s/settings.yml status --address unix:%[1]s/agent.sock
               %[2]s/mecha-agent status --watch --address unix:%[1]s/agent.sock
               %[2]s/mecha-agent deprovision --yes --address unix:%[1]s/agent.sock
               %[2]s/mecha-agent provision --address unix:%[1]s/agent.sock
  the board    curl --unix-socket %[1]s/sim.sock -X POST 'http://sim/button?hold=100ms'
               curl --unix-socket %[1]s/sim.sock http://sim/screen.txt
  the gateway  %[3]s
               %[2]s/mecha-gateway claim CODE --server %[3]s --key-file %[1]s/gateway/admin.key --root-fingerprint %[4]s
               %[2]s/mecha-gateway machines --server %[3]s --key-file %[1]s/gateway/admin.key --root-fingerprint %[4]s
               curl --cacert %[1]s/gateway/root.pem %[3]s/v1/ping
`, dir, s.bin, s.gatewayURL, s.fingerprint)
}
