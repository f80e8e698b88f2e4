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
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/mecha-org/mecha-agent/cmd/internal/clitest"
	"github.com/mecha-org/mecha-agent/gateway"
	"github.com/mecha-org/mecha-agent/gateway/attest/attesttest"
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
			env.Values[makersKey{}] = makers{}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"gateway":   gatewayCmd,
			"announce":  announceCmd,
			"provision": provisionCmd,
			"maker":     makerCmd,
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
	tpm     *attesttest.TPM // nil: none
	session gateway.Session
}

type makersKey struct{}

// makers are the makers of TPMs in a script, by name.
type makers map[string]*attesttest.Maker

// makerCmd: "maker NAME FOLDER" makes a maker of TPMs, whose root lies in FOLDER.
func makerCmd(ts *testscript.TestScript, _ bool, args []string) {
	m, err := attesttest.NewMaker(args[0], time.Now())
	ts.Check(err)
	ts.Value(makersKey{}).(makers)[args[0]] = m
	ts.Check(os.MkdirAll(ts.MkAbs(args[1]), 0o700))
	ts.Check(os.WriteFile(filepath.Join(ts.MkAbs(args[1]), args[0]+".crt"), m.Root.Raw, 0o600))
}

func (b *board) csr(ts *testscript.TestScript, cn string) string {
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: cn}}, b.key)
	ts.Check(err)
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))
}

// announce announces the code args[0], with a TPM of the maker args[1] if it is
// there. With neg the gateway has to refuse it.
func announce(ts *testscript.TestScript, neg bool, args []string) *board {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	ts.Check(err)
	b := &board{key: key}
	a := gateway.Announcement{Code: args[0], Board: gateway.Board{Vendor: "Acme", Model: "Comet m", Serial: "C-100"}}
	if len(args) > 1 {
		b.tpm, err = ts.Value(makersKey{}).(makers)[args[1]].NewTPM(attesttest.Options{})
		ts.Check(err)
		b.key = b.tpm.Key()
		id, err := b.tpm.Identity(context.Background())
		ts.Check(err)
		a.TPM = &id
	}
	c, err := client.New(client.Config{ServerURL: ts.Getenv("URL"), TrustFile: ts.MkAbs("data/root.pem")})
	ts.Check(err)
	ts.Defer(func() { c.Close() })
	b.client, a.CSR = c, b.csr(ts, "x")
	b.session, err = c.Announce(context.Background(), a)
	if neg {
		if err == nil {
			ts.Fatalf("the announcement was taken")
		}
		ts.Setenv("REFUSAL", err.Error())
		return b
	}
	ts.Check(err)
	fingerprint, err := gateway.Fingerprint(b.key.Public())
	ts.Check(err)
	ts.Setenv("KEY", fingerprint)
	return b
}

// announceCmd: "announce CODE [MAKER]" is a board that shows a code, with a TPM of
// that maker; $KEY is its key's fingerprint. With "!" it has to be refused, and
// $REFUSAL says why.
func announceCmd(ts *testscript.TestScript, neg bool, args []string) { announce(ts, neg, args) }

// provisionCmd: "provision CODE [MAKER]" is a board that gets its certificate, in
// machine.pem, after the operator's tool has claimed it; $MACHINE is its id.
func provisionCmd(ts *testscript.TestScript, _ bool, args []string) {
	b := announce(ts, false, args)
	ts.Check(ts.Exec("mecha-gateway", "claim", "--yes", "--data", ts.MkAbs("data"), "--server", ts.Getenv("URL"),
		"--ca-file", ts.MkAbs("data/root.pem"), args[0]))
	m, err := b.client.FindManifest(context.Background(), args[0], b.session.DeviceCode)
	ts.Check(err)
	r := gateway.SignRequest{CSR: b.csr(ts, m.MachineID), MachineID: m.MachineID, Type: gateway.Provision, Token: m.Token}
	if b.tpm != nil {
		csr, err := gateway.ParseCSR(r.CSR)
		ts.Check(err)
		e, err := b.tpm.Prove(context.Background(), *m.Challenge, csr.Raw)
		ts.Check(err)
		r.Evidence = &e
	}
	issued, err := b.client.Sign(context.Background(), r)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs("machine.pem"), []byte(issued.Cert), 0o600))
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
