package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/mecha-org/mecha-agent/cmd/internal/cli"
	"github.com/mecha-org/mecha-agent/gateway"
	"github.com/mecha-org/mecha-agent/provision"
	"github.com/mecha-org/mecha-agent/rpc"
)

// exchange is a state machine that does as it is told; the service in front of
// it is the real one.
type exchange struct {
	err     error              // of every request
	claimed bool               // what ProvisionByCode says
	now     provision.Status   // what Status tells; the first of status when it is zero
	status  []provision.Status // what Watch tells
	ends    bool               // the agent stops after the last status
	certs   func() (rpc.Certificates, error)
	asked   chan string // the requests that came
}

func (x *exchange) Ping(context.Context) error { x.asked <- "ping"; return x.err }

func (x *exchange) GenerateCode(context.Context) (string, error) {
	x.asked <- "code"
	return "ABC234", x.err
}

func (x *exchange) ProvisionByCode(_ context.Context, code string) (bool, error) {
	x.asked <- "provision " + code
	return x.claimed, x.err
}

func (x *exchange) Deprovision(context.Context) ([]string, error) {
	x.asked <- "deprovision"
	return nil, x.err
}

func (x *exchange) Status() provision.Status { return cmp.Or(x.now, x.status[0]) }

func (x *exchange) Watch(ctx context.Context) <-chan provision.Status {
	c := make(chan provision.Status)
	go func() {
		defer close(c)
		for _, s := range x.status {
			select {
			case c <- s:
			case <-ctx.Done():
				return
			}
		}
		if !x.ends {
			<-ctx.Done()
		}
	}()
	return c
}

var _ rpc.Exchange = (*exchange)(nil)

// agent is a running service, and the command line before it.
type agent struct {
	t      *testing.T
	socket string
	x      *exchange
}

func startAgent(t *testing.T, x *exchange) agent {
	t.Helper()
	if x.status == nil {
		x.status = []provision.Status{{}}
	}
	x.asked = make(chan string, 10)
	a := agent{t, filepath.Join(t.TempDir(), "agent.sock"), x}
	listeners, err := rpc.Listen(t.Context(), rpc.Endpoint{Socket: a.socket})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() {
		done <- rpc.Serve(ctx, rpc.Config{Exchange: x, Keystore: func() (string, string) { return "disk", "the settings say so" }, Board: "Acme Comet", Version: "1.2.3",
			Certificates: func(context.Context) (rpc.Certificates, error) { return x.certs() }, Log: slog.New(slog.DiscardHandler)}, listeners...)
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the agent: %v", err)
		}
	})
	return a
}

// run is mecha-agent with these arguments, for this agent.
func (a agent) run(ctx context.Context, args ...string) (code int, stdout, stderr string) {
	var out, talk bytes.Buffer
	code = run(ctx, cli.System{Args: append(args, "--address", "unix:"+a.socket),
		Stdin: strings.NewReader(""), Stdout: &out, Stderr: &talk}, fstest.MapFS{})
	return code, out.String(), talk.String()
}

// requests are those that came since the last call.
func (a agent) requests() string {
	var all []string
	for len(a.x.asked) > 0 {
		all = append(all, <-a.x.asked)
	}
	return strings.Join(all, ", ")
}

var (
	inFiveMinutes = time.Now().Add(5 * time.Minute).Truncate(time.Second)
	inAYear       = time.Now().Add(365 * 24 * time.Hour).Truncate(time.Second)

	codeShown = provision.Status{State: provision.CodeShown, Code: "ABC234", CodeExpires: inFiveMinutes,
		ClaimURL: "https://gw/claim?code=ABC234", KeyFingerprint: "aa:bb"}
	provisioned = provision.Status{State: provision.Provisioned, Provisioned: true, MachineID: "machine-1", CertificateExpires: inAYear}
)

// TestExitCodes: what fails in the agent comes out of the command with its kind's
// exit code, its message and its hint.
func TestExitCodes(t *testing.T) {
	for kind, want := range map[gateway.Kind]int{
		gateway.Internal: 1, gateway.BadRequest: 2, gateway.TooLarge: 1, gateway.Unauthorized: 1, gateway.NotFound: 7,
		gateway.Taken: 1, gateway.Pending: 5, gateway.Precondition: 7, gateway.TooMany: 1, gateway.SlowDown: 1, gateway.AlreadyRunning: 6,
		gateway.Unreachable: 4, gateway.Deadline: 9,
	} {
		a := startAgent(t, &exchange{err: &gateway.Error{Kind: kind, Step: "doing it", Err: errors.New("no luck"), Advice: "try again"}})
		for _, args := range [][]string{{"ping"}, {"code"}, {"provision"}, {"provision", "ABC234"}, {"deprovision", "--yes"}} {
			code, stdout, stderr := a.run(t.Context(), args...)
			if code != want || stdout != "" || stderr != "mecha-agent: doing it: no luck\nmecha-agent: hint: try again\n" {
				t.Errorf("%s, %v: exit code %d, want %d; stdout %q, stderr %q", kind, args, code, want, stdout, stderr)
			}
		}
		if got := a.requests(); got != "ping, code, code, provision ABC234, deprovision" {
			t.Errorf("asked for %s", got)
		}
	}
}

func TestEveryExitCodeIsInTheHelp(t *testing.T) {
	for _, code := range []int{cli.ExitOK, cli.ExitFailure, cli.ExitUsage, exitNoAgent, exitNoGateway, exitNotClaimed, exitBusy,
		exitWrongState, exitDeclined, exitTimeout} {
		if !strings.Contains(exitCodes, "\n    "+string(rune('0'+code))+"  ") {
			t.Errorf("help does not tell what %d is", code)
		}
	}
}

func TestData(t *testing.T) {
	year, soon := inAYear.Local().Format("2006-01-02 15:04:05 MST"), inFiveMinutes.Local().Format("2006-01-02 15:04:05 MST")
	for _, c := range []struct {
		args           string
		x              exchange
		stdout, stderr string
	}{
		{"ping", exchange{}, "success\n", ""},
		{"ping --json", exchange{}, "{\n  \"code\": \"success\",\n  \"message\": \"\"\n}\n", ""},
		{"deprovision --yes", exchange{}, "deprovisioned\n", ""},
		{"deprovision --yes --json", exchange{}, "{\n  \"success\": true\n}\n", ""},
		{"code", exchange{status: []provision.Status{codeShown}}, "ABC234\n",
			"claim it at https://gw/claim?code=ABC234\nits key is aa:bb\nit stands until " + soon + "\n"},
		{"code", exchange{}, "ABC234\n", ""}, // made, and overtaken before the status was asked for
		{"status", exchange{status: []provision.Status{codeShown}}, "state        code shown\nprovisioned  no\ncode         ABC234\ncode until   " + soon +
			"\nclaim at     https://gw/claim?code=ABC234\nkey          aa:bb\nkeystore     disk (the settings say so)\nboard        Acme Comet\nversion      1.2.3\n", ""},
		{"provision ABC234", exchange{claimed: true, status: []provision.Status{provisioned}}, "provisioned as machine-1 until " + year + "\n", ""},
		{"status", exchange{}, "state        idle\nprovisioned  no\nkeystore     disk (the settings say so)\nboard        Acme Comet\nversion      1.2.3\n", ""},
		{"status", exchange{status: []provision.Status{{State: provision.Failed, Provisioned: true, MachineID: "machine-1",
			CertificateExpires: inAYear, Error: "no luck", Hint: "try again"}}},
			"state              failed\nprovisioned        yes\nmachine id         machine-1\ncertificate until  " + year +
				"\nerror              no luck\nhint               try again\nkeystore           disk (the settings say so)\nboard              Acme Comet\nversion            1.2.3\n", ""},
	} {
		code, stdout, stderr := startAgent(t, &c.x).run(t.Context(), strings.Fields(c.args)...)
		if code != cli.ExitOK || stdout != c.stdout || stderr != c.stderr {
			t.Errorf("%s: exit code %d\n%s\nwant\n%s\nstderr %q", c.args, code, stdout, c.stdout, stderr)
		}
	}
}

// TestStatusJSON: the same object from every command that tells of the status.
func TestStatusJSON(t *testing.T) {
	both := codeShown
	both.Provisioned, both.MachineID, both.CertificateExpires, both.Error, both.Hint = true, "machine-1", inAYear, "no luck", "try again"
	want := map[string]any{"state": "code shown", "provisioned": true, "machine_id": "machine-1",
		"certificate_expires": inAYear.UTC().Format(time.RFC3339), "code": "ABC234", "code_expires": inFiveMinutes.UTC().Format(time.RFC3339),
		"claim_url": "https://gw/claim?code=ABC234", "key_fingerprint": "aa:bb", "error": "no luck", "hint": "try again",
		"keystore": "disk", "keystore_reason": "the settings say so", "board": "Acme Comet", "version": "1.2.3"}
	for _, args := range []string{"status --json", "code --json", "provision ABC234 --json"} {
		code, stdout, stderr := startAgent(t, &exchange{claimed: true, status: []provision.Status{both}}).run(t.Context(), strings.Fields(args)...)
		var got map[string]any
		if err := json.Unmarshal([]byte(stdout), &got); code != cli.ExitOK || stderr != "" || err != nil {
			t.Fatalf("%s: exit code %d, stderr %q, %v", args, code, stderr, err)
		}
		for key := range want {
			if got[key] != want[key] {
				t.Errorf("%s: %s is %v, want %v", args, key, got[key], want[key])
			}
		}
		if len(got) != len(want) {
			t.Errorf("%s: %d fields, want %d: %v", args, len(got), len(want), got)
		}
	}
	code, stdout, _ := startAgent(t, &exchange{}).run(t.Context(), "status", "--json")
	if want := "{\n  \"state\": \"idle\",\n  \"provisioned\": false,\n  \"keystore\": \"disk\",\n  \"keystore_reason\": \"the settings say so\",\n  \"board\": \"Acme Comet\",\n  \"version\": \"1.2.3\"\n}\n"; code != cli.ExitOK || stdout != want {
		t.Errorf("exit code %d\n%s", code, stdout)
	}
}
