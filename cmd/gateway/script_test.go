package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/mecha-org/mecha-agent/cmd/internal/clitest"
	"github.com/mecha-org/mecha-agent/gateway"
	"github.com/mecha-org/mecha-agent/gateway/client"
)

func TestMain(m *testing.M) {
	clitest.Main(m, "mecha-gateway", main)
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(env *testscript.Env) error {
			env.Setenv("HOME", env.WorkDir)
			env.Values[gatewayKey{}] = &process{}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"gateway":   gatewayCmd,
			"announce":  announceCmd,
			"provision": provisionCmd,
			"mode":      modeCmd,
			"exit":      exitCmd,
			"proxy":     proxyCmd,
		},
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
	})
}

type gatewayKey struct{}

// process is the gateway of a script.
type process struct {
	cmd *exec.Cmd
	log chan []byte // all that it wrote, once it has ended
}

// gatewayCmd: "gateway start ARG..." runs mecha-gateway serve and waits until it
// listens, with its URL in $URL, host and port in $ADDR, its root's fingerprint in $ROOT; "gateway
// stop" ends it with SIGTERM, wants exit code 0, and leaves gateway.log.
func gatewayCmd(ts *testscript.TestScript, _ bool, args []string) {
	p := ts.Value(gatewayKey{}).(*process)
	if args[0] == "start" {
		p.start(ts, args[1:])
		return
	}
	ts.Check(p.cmd.Process.Signal(syscall.SIGTERM))
	log := <-p.log
	err := p.cmd.Wait()
	p.cmd = nil
	if err != nil {
		ts.Fatalf("the gateway ended with %v:\n%s", err, log)
	}
	ts.Check(os.WriteFile(ts.MkAbs("gateway.log"), log, 0o600))
}

func (p *process) start(ts *testscript.TestScript, args []string) {
	args = append([]string{"serve", "--listen", "127.0.0.1:0", "--data", ts.MkAbs("data")}, args...)
	var path string
	for _, dir := range filepath.SplitList(ts.Getenv("PATH")) {
		name := filepath.Join(dir, "mecha-gateway")
		if _, err := os.Stat(name); err == nil && path == "" {
			path = name
		}
	}
	p.cmd = exec.Command(path, args...)
	p.cmd.Dir, p.cmd.Env = ts.MkAbs("."), []string{"HOME=" + ts.Getenv("HOME")}
	stderr, err := p.cmd.StderrPipe()
	ts.Check(err)
	ts.Check(p.cmd.Start())
	p.log = make(chan []byte, 1)
	ts.Defer(func() {
		if p.cmd != nil { // the script failed, or ended without a stop
			p.cmd.Process.Kill()
			<-p.log
			p.cmd.Wait()
			p.cmd = nil
		}
	})

	lines := bufio.NewReader(stderr)
	var seen bytes.Buffer
	for {
		line, err := lines.ReadBytes('\n')
		seen.Write(line)
		var entry struct {
			Msg  string `json:"msg"`
			URL  string `json:"url"`
			Root string `json:"root_fingerprint"`
		}
		if err != nil || json.Unmarshal(line, &entry) != nil {
			p.log <- seen.Bytes()
			ts.Fatalf("the gateway does not listen:\n%s", seen.Bytes())
		}
		if entry.Msg == "listening" {
			ts.Setenv("URL", entry.URL)
			ts.Setenv("ADDR", entry.URL[strings.Index(entry.URL, "//")+2:])
			ts.Setenv("ROOT", entry.Root)
			break
		}
	}
	log := p.log
	go func() {
		rest, _ := io.ReadAll(lines)
		log <- append(seen.Bytes(), rest...)
	}()
}

// board is a machine that wants its identity.
type board struct {
	client  client.Client
	key     *ecdsa.PrivateKey
	session gateway.Session
}

func (b *board) csr(ts *testscript.TestScript, cn string) string {
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: cn}}, b.key)
	ts.Check(err)
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))
}

func announce(ts *testscript.TestScript, code string) *board {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	ts.Check(err)
	c, err := client.New(client.Config{ServerURL: ts.Getenv("URL"), TrustFile: ts.MkAbs("data/root.pem")})
	ts.Check(err)
	ts.Defer(func() { c.Close() })
	b := &board{client: c, key: key}
	b.session, err = c.Announce(context.Background(), gateway.Announcement{
		Code: code, CSR: b.csr(ts, "x"), Board: gateway.Board{Vendor: "Acme", Model: "Comet m", Serial: "C-100"},
	})
	ts.Check(err)
	fingerprint, err := gateway.Fingerprint(key.Public())
	ts.Check(err)
	ts.Setenv("KEY", fingerprint)
	return b
}

// announceCmd: "announce CODE" is a board that shows a code; $KEY is its key's
// fingerprint.
func announceCmd(ts *testscript.TestScript, _ bool, args []string) { announce(ts, args[0]) }

// provisionCmd: "provision CODE" is a board that gets its certificate, after the
// operator's tool has claimed it; $MACHINE is its id.
func provisionCmd(ts *testscript.TestScript, _ bool, args []string) {
	b := announce(ts, args[0])
	ts.Check(ts.Exec("mecha-gateway", "claim", "--yes", "--data", ts.MkAbs("data"), "--server", ts.Getenv("URL"),
		"--ca-file", ts.MkAbs("data/root.pem"), args[0]))
	m, err := b.client.FindManifest(context.Background(), args[0], b.session.DeviceCode)
	ts.Check(err)
	_, err = b.client.Sign(context.Background(), gateway.SignRequest{
		CSR: b.csr(ts, m.MachineID), MachineID: m.MachineID, Type: gateway.Provision, Token: m.Token,
	})
	ts.Check(err)
	ts.Setenv("MACHINE", m.MachineID)
}

// modeCmd: "mode 0600 FILE" checks permissions.
func modeCmd(ts *testscript.TestScript, _ bool, args []string) {
	info, err := os.Stat(ts.MkAbs(args[1]))
	ts.Check(err)
	if got := fmt.Sprintf("%#o", info.Mode().Perm()); got != args[0] {
		ts.Fatalf("%s has mode %s, want %s", args[1], got, args[0])
	}
}

// exitCmd: "exit N ARG..." runs mecha-gateway and wants exit code N.
func exitCmd(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec("mecha-gateway", args[1:]...); err != nil {
		var status *exec.ExitError
		if !errors.As(err, &status) {
			ts.Fatalf("%v", err)
		}
		got = status.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// proxyCmd: "proxy" sets $URL to a server that answers every request with an
// error page.
func proxyCmd(ts *testscript.TestScript, _ bool, _ []string) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(http.StatusInternalServerError)
		io.WriteString(w, "<html>an error page</html>")
	}))
	ts.Defer(s.Close)
	ts.Setenv("URL", s.URL)
}
