//go:build sim

package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/mecha-org/mecha-agent/board/sim"
	"github.com/mecha-org/mecha-agent/gateway/ca"
	"github.com/mecha-org/mecha-agent/gateway/client"
	"github.com/mecha-org/mecha-agent/gateway/server"
	"github.com/mecha-org/mecha-agent/gateway/store/sqlite"
	"github.com/mecha-org/mecha-agent/internal/rerun"
	provisioningpb "github.com/mecha-org/mecha-agent/proto/provisioning"
)

// patience bounds every wait of these tests.
const patience = 20 * time.Second

// realGateway is the gateway as it ships, in this process: SQLite, CA, TLS.
type realGateway struct {
	addr        string
	fingerprint string
	operator    *client.Operator
}

func startGateway(t *testing.T, change ...func(*server.Config)) realGateway {
	t.Helper()
	dir := t.TempDir()
	db, err := sqlite.Open(t.Context(), filepath.Join(dir, "gateway.db"))
	if err != nil {
		t.Fatal(err)
	}
	authority, err := ca.Open(filepath.Join(dir, "ca"), ca.Options{Name: "Test", Validity: 24 * time.Hour, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	cert, err := authority.ServerTLS([]string{"localhost", "127.0.0.1"}, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	config := server.Config{Store: db, CA: authority, Log: slog.New(slog.DiscardHandler), Now: time.Now,
		URL: "https://" + ln.Addr().String(), Interval: time.Second, Limits: server.Limits{PerAddress: 1000, Burst: 1000}}
	for _, c := range change {
		c(&config)
	}
	s, err := server.New(config)
	if err != nil {
		t.Fatal(err)
	}
	id, secret, _, err := s.EnsureAdminKey(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, ln, &tls.Config{GetCertificate: cert, MinVersion: tls.VersionTLS12}) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("gateway: %v", err)
		}
		if err := db.Close(); err != nil {
			t.Errorf("database: %v", err)
		}
	})
	g := realGateway{addr: ln.Addr().String(), fingerprint: authority.RootFingerprint()}
	g.operator, err = client.NewOperator(client.Config{ServerURL: "https://" + g.addr, RootFingerprint: g.fingerprint}, id, secret)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// rig is an agent on a simulated board, in a folder of its own.
type rig struct {
	t     *testing.T
	dir   string
	board *sim.Control
	agent provisioningpb.ProvisioningServiceClient
}

// newRig writes the settings; start starts the agent. Its key is on the disk,
// whatever the machine of the test has.
func newRig(t *testing.T, serverURL, fingerprint string) *rig {
	t.Helper()
	return newRigWith(t, serverURL, fingerprint, "{backend: disk}")
}

// newRigWith is newRig with settings of the keystore.
func newRigWith(t *testing.T, serverURL, fingerprint, keystore string) *rig {
	t.Helper()
	dir := t.TempDir()
	text := fmt.Sprintf(`provisioning:
  server_url: %[2]s
  root_fingerprint: "%[3]s"
  timeout: 2s
  paths:
    machine: {private_key: %[1]s/id/key.pem, csr: %[1]s/id/csr.pem, cert: %[1]s/id/machine.pem}
    server: {cert: %[1]s/id/server.pem}
    ca_bundle: {cert: %[1]s/id/ca_bundle.pem}
    root: {cert: %[1]s/id/root.pem}
    state: %[1]s/state
server: {url: "", socket: %[1]s/agent.sock}
hardware: {board: sim, leds: {pace: 100ms}, options: {control: %[1]s/sim.sock}}
keystore: %[4]s
`, dir, serverURL, fingerprint, keystore)
	if err := os.WriteFile(filepath.Join(dir, "settings.yml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	conn, err := grpc.NewClient("unix:"+filepath.Join(dir, "agent.sock"), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.WaitForReady(true)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &rig{t: t, dir: dir, board: sim.Dial(filepath.Join(dir, "sim.sock")), agent: provisioningpb.NewProvisioningServiceClient(conn)}
}

func (r *rig) file(name string) string { return filepath.Join(r.dir, name) }

// command is the agent in a process of its own.
func (r *rig) command() *exec.Cmd {
	cmd := rerun.Command(context.Background(), "run", "--settings", r.file("settings.yml"))
	cmd.Env = append(os.Environ(), asAgent+"=1", "HOME="+r.dir)
	return cmd
}

// start runs the agent in a process of its own; stop ends it in good order,
// kill as a power cut does. What it logged is shown when the test fails.
func (r *rig) start() (stop, kill func()) {
	r.t.Helper()
	var log bytes.Buffer
	cmd := r.command()
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	ended := false
	kill = func() {
		if !ended {
			ended = true
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	}
	r.t.Cleanup(func() {
		kill()
		if r.t.Failed() {
			r.t.Logf("log of the agent:\n%s", log.String())
		}
	})
	return func() {
		r.t.Helper()
		ended = true
		if err := cmd.Process.Signal(os.Interrupt); err != nil {
			r.t.Error(err)
		}
		if err := cmd.Wait(); err != nil {
			r.t.Errorf("the agent ended with %v", err)
		}
	}, kill
}

// await watches the status until it is right.
func (r *rig) await(what string, right func(*provisioningpb.StatusResponse) bool) *provisioningpb.StatusResponse {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	var last *provisioningpb.StatusResponse
	for ctx.Err() == nil { // the agent may start only now
		stream, err := r.agent.WatchStatus(ctx, &provisioningpb.StatusRequest{})
		if err != nil {
			continue
		}
		for {
			s, err := stream.Recv()
			if err != nil {
				break
			}
			if last = s; right(s) {
				return s
			}
		}
	}
	r.t.Fatalf("%s: not within %v; the last status was %v", what, patience, last)
	return nil
}

func (r *rig) awaitState(want provisioningpb.State) *provisioningpb.StatusResponse {
	r.t.Helper()
	return r.await(want.String(), func(s *provisioningpb.StatusResponse) bool { return s.State == want })
}

// press presses the button until a code stands on the panel.
func (r *rig) press() *provisioningpb.StatusResponse {
	r.t.Helper()
	r.await("the agent's start", func(*provisioningpb.StatusResponse) bool { return true })
	for range 10 {
		if err := r.board.Press(r.t.Context(), 100*time.Millisecond); err != nil {
			r.t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(r.t.Context(), 2*time.Second)
		defer cancel()
		stream, err := r.agent.WatchStatus(ctx, &provisioningpb.StatusRequest{})
		if err != nil {
			continue
		}
		for {
			s, err := stream.Recv()
			if err != nil {
				break
			}
			if s.State == provisioningpb.State_STATE_CODE_SHOWN {
				return s
			}
		}
	}
	r.t.Fatal("no code after ten presses")
	return nil
}

// openssl is the judge that is none of ours.
func openssl(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command("openssl", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("openssl %v: %v\n%s", args, err, out)
	}
	return string(out)
}

// verify has openssl check what stands at the configured paths.
func (r *rig) verify() {
	r.t.Helper()
	openssl(r.t, "verify", "-purpose", "sslclient", "-CAfile", r.file("id/root.pem"), "-untrusted", r.file("id/ca_bundle.pem"), r.file("id/machine.pem"))
	key := openssl(r.t, "pkey", "-in", r.file("id/key.pem"), "-pubout")
	if cert := openssl(r.t, "x509", "-in", r.file("id/machine.pem"), "-noout", "-pubkey"); cert != key {
		r.t.Error("key and certificate do not belong together")
	}
	if csr := openssl(r.t, "req", "-in", r.file("id/csr.pem"), "-noout", "-pubkey"); csr != key {
		r.t.Error("key and request do not belong together")
	}
}
