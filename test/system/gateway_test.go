//go:build system

package system_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/mecha-org/mecha-agent/test/system/guest"
)

// codeLife is how long a code stands: the default of the settings.
const codeLife = 5 * time.Minute

const gatewaySettings = `listen: 127.0.0.1:0
data: data
tls: {mode: own, names: [localhost, 127.0.0.1, ` + guest.Host + `]}
codes: {interval: 1s}
`

// gateway is the real one, on the host.
type gateway struct {
	program     string
	dir         string
	url         string // on the host
	port        string
	fingerprint string         // of its root
	roots       *x509.CertPool // what enrol was given; nil before
	end         func(t *testing.T)
}

// startGateway starts a gateway that ends with the test. More is added to its
// settings.
func startGateway(t *testing.T, with built, more string) *gateway {
	t.Helper()
	g := &gateway{program: with.program("gateway", ""), dir: t.TempDir()}
	g.start(t, more)
	return g
}

// restart starts the gateway anew, with its data and other settings. Its address is
// another one then.
func (g *gateway) restart(t *testing.T, more string) {
	t.Helper()
	g.end(t)
	g.start(t, more)
}

func (g *gateway) start(t *testing.T, more string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(g.dir, "gateway.yml"), []byte(gatewaySettings+more), 0o600); err != nil {
		t.Fatal(err)
	}
	log := &logBuffer{more: make(chan struct{}, 1)}
	cmd := exec.Command(g.program, "serve", "--settings", "gateway.yml")
	cmd.Dir, cmd.Stderr = g.dir, log
	cmd.Env = append(os.Environ(), "HOME="+g.dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	var once sync.Once
	end := func(t *testing.T) {
		once.Do(func() {
			_ = cmd.Process.Signal(syscall.SIGTERM)
			select {
			case err := <-done:
				if err != nil {
					t.Errorf("the gateway ended badly: %v\n%s", err, log)
				}
			case <-time.After(20 * time.Second):
				_ = cmd.Process.Kill()
				t.Error("the gateway did not end when asked")
			}
		})
	}
	g.end = end
	t.Cleanup(func() {
		end(t)
		if t.Failed() {
			t.Logf("the gateway's log:\n%s", log)
		}
	})
	g.url = ""
	limit := time.After(answerLimit)
	for g.url == "" {
		select {
		case <-log.more:
			for line := range strings.Lines(log.String()) {
				var said struct {
					Msg, URL    string
					Fingerprint string `json:"root_fingerprint"`
				}
				if json.Unmarshal([]byte(line), &said) == nil && said.Msg == "listening" {
					g.url, g.fingerprint = said.URL, said.Fingerprint
				}
			}
		case err := <-done:
			done <- err
			t.Fatalf("the gateway ended: %v\n%s", err, log)
		case <-limit:
			t.Fatalf("the gateway does not listen:\n%s", log)
		}
	}
	u, err := url.Parse(g.url)
	if err != nil {
		t.Fatal(err)
	}
	if _, g.port, err = net.SplitHostPort(u.Host); err != nil {
		t.Fatal(err)
	}
}

// agentSettings is the settings.yml of a board that uses this gateway.
func (g *gateway) agentSettings(hardware string) string {
	if hardware != "" {
		hardware = "hardware:\n" + hardware
	}
	return fmt.Sprintf(`provisioning:
  server_url: https://%s
  root_fingerprint: %s
%s`, net.JoinHostPort(guest.Host, g.port), g.fingerprint, hardware)
}

// claim is what an operator does. It returns the machine's id.
func (g *gateway) claim(ctx context.Context, code string) (string, error) {
	var answer struct {
		MachineID string `json:"machineId"`
	}
	if err := g.operator(ctx, &answer, "claim", "--yes", code); err != nil {
		return "", err
	}
	if answer.MachineID == "" {
		return "", errors.New("mecha-gateway claim printed no machine id")
	}
	return answer.MachineID, nil
}

// operator runs a command of the operator's and reads what it prints into answer.
func (g *gateway) operator(ctx context.Context, answer any, name string, args ...string) error {
	ctx, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, g.program, append([]string{name, "--json", "--server", g.url,
		"--key-file", "data/admin.key", "--root-fingerprint", g.fingerprint}, args...)...)
	var stderr bytes.Buffer
	cmd.Dir, cmd.Stderr = g.dir, &stderr
	cmd.Env = append(os.Environ(), "HOME="+g.dir)
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("mecha-gateway %s: %w\n%s", name, err, stderr.String())
	}
	if err := json.Unmarshal(out, answer); err != nil {
		return fmt.Errorf("mecha-gateway %s printed %q: %w", name, out, err)
	}
	return nil
}

// logBuffer keeps what a program prints.
type logBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
	more chan struct{} // a token when there is more
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case l.more <- struct{}{}:
	default:
	}
	return l.text.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
