package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/mecha-org/mecha-agent/cmd/internal/cli"
	"github.com/mecha-org/mecha-agent/gateway"
	"github.com/mecha-org/mecha-agent/provision"
	"github.com/mecha-org/mecha-agent/rpc"
	"github.com/mecha-org/mecha-agent/settings"
)

func with(s provision.Status, change func(*provision.Status)) provision.Status {
	change(&s)
	return s
}

// TestProvisionWaits: provision without a code waits for what the agent tells.
func TestProvisionWaits(t *testing.T) {
	renewed := func(s *provision.Status) {
		s.Provisioned, s.MachineID, s.CertificateExpires = true, "machine-1", inAYear
	}
	failed := provision.Status{State: provision.Failed, Error: "no luck", Hint: "try again"}
	for name, c := range map[string]struct {
		now    provision.Status
		status []provision.Status
		says   bool // ProvisionByCode says that the code was claimed
		ends   bool
		code   int
		stdout string // a part
		stderr string // after what is told of the code
	}{
		"claimed": {status: []provision.Status{codeShown, with(codeShown, func(s *provision.Status) { s.State = provision.Signing }), provisioned},
			stdout: "provisioned as machine-1 until ", stderr: "waiting for the claim\nsigning\nprovisioned\n"},
		"claimed at once": {now: codeShown, status: []provision.Status{provisioned},
			stdout: "provisioned as machine-1 until ", stderr: "provisioned\n"},
		"claimed before, and nobody was told": {now: provisioned, says: true, stdout: "provisioned as machine-1 until "},
		"claimed at the last moment": {now: with(codeShown, renewed), says: true, status: []provision.Status{codeShown, {}},
			stdout: "provisioned as machine-1 until ", stderr: "waiting for the claim\nidle\n"},
		"over before the watch": {now: with(codeShown, func(s *provision.Status) { s.State = provision.Claimed }), status: []provision.Status{provisioned},
			stdout: "provisioned as machine-1 until ", stderr: "provisioned\n"},
		"a new code": {status: []provision.Status{codeShown, with(codeShown, func(s *provision.Status) { s.Code = "DEF567" }), provisioned},
			stdout: "provisioned as machine-1", stderr: "waiting for the claim\nthere is a new code: DEF567\nclaim it at https://gw/claim?code=ABC234\nprovisioned\n"},
		"a new code, after a while": {status: []provision.Status{codeShown, {Step: "announcing the code"}, with(codeShown, func(s *provision.Status) { s.Code = "DEF567" }), provisioned},
			stdout: "provisioned as machine-1", stderr: "waiting for the claim\nannouncing the code\nwaiting for the claim\nthere is a new code: DEF567\nclaim it at https://gw/claim?code=ABC234\nprovisioned\n"},
		"nobody": {status: []provision.Status{codeShown, {}}, code: exitNotClaimed,
			stderr: "waiting for the claim\nidle\nmecha-agent: no operator claimed the code before its time was over\nmecha-agent: hint: run mecha-agent provision again\n"},
		"nobody, and the old identity stays": {status: []provision.Status{with(codeShown, renewed), provisioned}, code: exitNotClaimed,
			stderr: "waiting for the claim\nprovisioned\nmecha-agent: no operator claimed the code before its time was over\nmecha-agent: hint: run mecha-agent provision again\n"},
		"refused": {status: []provision.Status{codeShown, failed}, code: cli.ExitFailure,
			stderr: "waiting for the claim\nfailed (no luck)\nmecha-agent: no luck\nmecha-agent: hint: try again\n"},
		"the agent stops": {status: []provision.Status{codeShown}, ends: true, code: exitNoAgent,
			stderr: "waiting for the claim\nmecha-agent: the agent stopped\nmecha-agent: hint: start it with: mecha-agent run\n"},
	} {
		t.Run(name, func(t *testing.T) {
			a := startAgent(t, &exchange{now: c.now, status: c.status, ends: c.ends, claimed: c.says})
			code, stdout, stderr := a.run(t.Context(), "provision")
			_, stderr, _ = strings.Cut(stderr, "it stands until ")
			_, stderr, _ = strings.Cut(stderr, "\n")
			if code != c.code || !strings.Contains(stdout, c.stdout) || (stdout == "") != (c.stdout == "") || stderr != c.stderr {
				t.Errorf("exit code %d, stdout %q, stderr\n%s", code, stdout, stderr)
			}
			if asked := a.requests(); code == cli.ExitOK && !strings.HasPrefix(asked, "code, provision ") {
				t.Errorf("asked for %s: the agent does not know that we know", asked)
			}
		})
	}
}

func TestProvisionStopsWaiting(t *testing.T) {
	a := startAgent(t, &exchange{status: []provision.Status{codeShown}})
	code, _, stderr := a.run(t.Context(), "provision", "--timeout", "100ms")
	if code != exitTimeout || !strings.Contains(stderr, "hint: the agent goes on with it: mecha-agent status") {
		t.Errorf("out of time: exit code %d, stderr\n%s", code, stderr)
	}
	a.requests()
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-a.x.asked // the code
		cancel()
	}()
	code, _, stderr = a.run(ctx, "provision")
	if code != cli.ExitFailure || !strings.HasSuffix(stderr, "mecha-agent: interrupted\n") {
		t.Errorf("interrupted: exit code %d, stderr\n%s", code, stderr)
	}
}

func TestProvisionOfAnUnclaimedCode(t *testing.T) {
	code, stdout, stderr := startAgent(t, &exchange{}).run(t.Context(), "provision", "ABC234")
	if code != exitNotClaimed || stdout != "" || !strings.Contains(stderr, "mecha-agent: hint: claim it at the gateway, then try again") {
		t.Errorf("exit code %d, stdout %q, stderr\n%s", code, stdout, stderr)
	}
}

// ender ends a watch once so many lines were written.
type ender struct {
	bytes.Buffer
	left int
	end  func()
}

func (e *ender) Write(b []byte) (int, error) {
	if e.left--; e.left == 0 {
		defer e.end()
	}
	return e.Buffer.Write(b)
}

func TestStatusWatch(t *testing.T) {
	x := &exchange{status: []provision.Status{codeShown, provisioned, {State: provision.Failed, Error: "no luck"}}}
	a := startAgent(t, x)
	watch := func(args ...string) (int, string, string) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		out, talk := &ender{left: 3, end: cancel}, &bytes.Buffer{}
		code := run(ctx, cli.System{Args: append(args, "status", "--watch", "--address", "unix:"+a.socket), Stdout: out, Stderr: talk}, fstest.MapFS{})
		return code, out.String(), talk.String()
	}
	code, stdout, stderr := watch()
	stdout = regexp.MustCompile(`(?m)^\d\d:\d\d:\d\d  `).ReplaceAllString(stdout, "")
	if want := "code shown  code ABC234\nprovisioned  machine machine-1\nfailed  error no luck\n"; code != cli.ExitOK || stdout != want || stderr != "" {
		t.Errorf("exit code %d, stderr %q\n%s", code, stderr, stdout)
	}
	code, stdout, stderr = watch("--json")
	if code != cli.ExitOK || stderr != "" || strings.Count(stdout, "\n") != 3 {
		t.Errorf("--json: exit code %d, stderr %q\n%s", code, stderr, stdout)
	}
	for line := range strings.Lines(stdout) {
		if !json.Valid([]byte(line)) {
			t.Errorf("no JSON: %s", line)
		}
	}

	a = startAgent(t, &exchange{ends: true})
	if code, _, stderr := a.run(t.Context(), "status", "-w"); code != exitNoAgent || !strings.Contains(stderr, "the agent stopped") {
		t.Errorf("the agent stopped: exit code %d, stderr %q", code, stderr)
	}
}

// TestExplain: what gRPC says when no agent of ours answered.
func TestExplain(t *testing.T) {
	for name, c := range map[string]struct {
		err     error
		trailer metadata.MD
		code    int // of a program that has no other
		text    string
		hint    string
	}{
		"nobody":    {status.Error(codes.Unavailable, "connection refused"), nil, exitNoAgent, "asking the agent: connection refused", "start it with: mecha-agent run"},
		"not ours":  {status.Error(codes.Unavailable, "dial unix /s: connect: permission denied"), nil, exitNoAgent, "", "the socket is for its owner and group: join the group, or use sudo"},
		"slow":      {status.Error(codes.DeadlineExceeded, "x"), nil, exitTimeout, "the agent did not answer in time", "try again, or pass a longer --timeout"},
		"ctrl-c":    {status.Error(codes.Canceled, "x"), nil, cli.ExitFailure, "interrupted", ""},
		"older one": {status.Error(codes.Unimplemented, "unknown method"), nil, cli.ExitFailure, "unknown method", ""},
		"no kind":   {status.Error(codes.NotFound, "gone"), nil, exitWrongState, "gone", ""},
		"a kind over the code": {status.Error(codes.Unavailable, "no route"), metadata.Pairs(rpc.TrailerErrorCode, gateway.Unreachable.String(), rpc.TrailerHint, "look"),
			exitNoGateway, "no route", "look"},
	} {
		err := explain(c.err, c.trailer)
		var talk bytes.Buffer
		a := &app{Program: cli.Program{System: cli.System{Stderr: &talk, Args: []string{"fail"}}}}
		root := a.command()
		root.AddCommand(&cobra.Command{Use: "fail", RunE: func(*cobra.Command, []string) error { return err }})
		code := a.Run(t.Context(), root, exits)
		if code != c.code || gateway.HintOf(err) != c.hint || c.text != "" && err.Error() != c.text {
			t.Errorf("%s: exit code %d, %q, hint %q", name, code, err, gateway.HintOf(err))
		}
	}
	if explain(nil, nil) != nil {
		t.Error("an error out of nothing")
	}
}

func TestAgentAddress(t *testing.T) {
	for want, s := range map[string]settings.Server{
		"unix:/run/agent.sock":       {Socket: "/run/agent.sock", URL: "127.0.0.1", Port: 3001},
		"passthrough:127.0.0.1:3001": {URL: "127.0.0.1", Port: 3001},
		"passthrough:[::1]:3001":     {URL: "::1", Port: 3001},
		"":                           {URL: "0.0.0.0", Port: 3001, TLS: true},
	} {
		if got := agentAddress(s); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestNoAddress(t *testing.T) {
	a := &app{Program: cli.Program{System: cli.System{Environ: []string{"HOME=" + t.TempDir(),
		"MECHA_AGENT_SERVER__SOCKET=", "MECHA_AGENT_SERVER__URL="}}}}
	_, err := a.dial(t.Context())
	if err == nil || gateway.HintOf(err) != "set server.socket, or pass --address" {
		t.Errorf("got %v, hint %q", err, gateway.HintOf(err))
	}
	var bad *settings.Error
	if errors.As(err, &bad) {
		t.Errorf("the settings were refused: %v", err)
	}
}

func TestFormatTime(t *testing.T) {
	if got := formatTime(time.Time{}); got != "-" {
		t.Errorf("no time is %q", got)
	}
	now := time.Now()
	if got, err := time.ParseInLocation("2006-01-02 15:04:05 MST", formatTime(now.UTC()), time.Local); err != nil || !got.Equal(now.Truncate(time.Second)) {
		t.Errorf("got %v, %v, want %v", got, err, now)
	}
}
