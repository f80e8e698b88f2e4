package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/mecha-org/mecha-agent/cmd/internal/cli"
	"github.com/mecha-org/mecha-agent/gateway"
	"github.com/mecha-org/mecha-agent/gateway/gatewaytest"
	"github.com/mecha-org/mecha-agent/provision"
	"github.com/mecha-org/mecha-agent/rpc"
)

// certificates are of machines m1, m2, ..., each with a key of its own.
func certificates(t *testing.T, n int) (list []rpc.Certificates, fingerprints []string) {
	t.Helper()
	ca, err := gatewaytest.NewCA("Test", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		issued, err := ca.Machine(key.Public(), fmt.Sprintf("m%d", i+1), time.Now())
		if err != nil {
			t.Fatal(err)
		}
		sum, err := gateway.Fingerprint(key.Public())
		if err != nil {
			t.Fatal(err)
		}
		list, fingerprints = append(list, rpc.Certificates{Cert: issued.Cert}), append(fingerprints, sum)
	}
	return list, fingerprints
}

// inTurn gives one answer after the other.
func inTurn(answers ...any) func() (rpc.Certificates, error) {
	return func() (rpc.Certificates, error) {
		next := answers[0]
		if len(answers) > 1 {
			answers = answers[1:]
		}
		if err, ok := next.(error); ok {
			return rpc.Certificates{}, err
		}
		return next.(rpc.Certificates), nil
	}
}

func TestRotate(t *testing.T) {
	certs, sums := certificates(t, 2)
	shown := []provision.Status{codeShown, with(provisioned, func(s *provision.Status) { s.MachineID = "m2" })}
	failed := provision.Status{State: provision.Failed, Error: "no luck", Hint: "try again"}
	damaged := errors.New("identity is damaged: the TPM was cleared")
	for name, c := range map[string]struct {
		x      exchange
		certs  []any
		code   int
		stdout string // the beginning
		stderr string // a part
		asked  string
	}{
		"a new key": {x: exchange{status: shown}, certs: []any{certs[0], certs[1]},
			stdout: "old key " + sums[0] + "\nnew key " + sums[1] + "\nprovisioned as m2 until ",
			stderr: "the old certificate counts until it ends: mecha-gateway revoke m1\n", asked: "code, provision ABC234"},
		"the old one is damaged": {x: exchange{status: shown}, certs: []any{damaged, certs[1]},
			stdout: "old key unknown\nnew key " + sums[1] + "\n",
			stderr: "the key in use cannot be used: identity is damaged: the TPM was cleared\n", asked: "code, provision ABC234"},
		"never had one": {x: exchange{status: shown}, certs: []any{rpc.Certificates{}}, code: exitWrongState,
			stderr: "mecha-agent: this machine has no key to be replaced\nmecha-agent: hint: mecha-agent provision gives it an identity\n"},
		"nobody claims it": {x: exchange{status: []provision.Status{codeShown, {}}}, certs: []any{certs[0]}, code: exitNotClaimed,
			stderr: "hint: run mecha-agent key rotate again\n", asked: "code, provision ABC234"},
		"refused": {x: exchange{status: []provision.Status{codeShown, failed}}, certs: []any{certs[0]}, code: cli.ExitFailure,
			stderr: "mecha-agent: no luck\nmecha-agent: hint: try again\n", asked: "code"},
		// The first code was claimed before this began, and its key is the one to be replaced.
		"claimed before": {x: exchange{now: with(provisioned, func(s *provision.Status) { s.MachineID = "m2" }), status: shown, claimed: true},
			certs:  []any{certs[0], certs[0], certs[1]},
			stdout: "old key " + sums[0] + "\nnew key " + sums[1] + "\n", asked: "code, provision ABC234, code, provision ABC234"},
		"the key stays": {x: exchange{status: shown}, certs: []any{certs[0]}, code: cli.ExitFailure, stderr: "the agent kept its key"},
	} {
		t.Run(name, func(t *testing.T) {
			x := c.x
			x.certs = inTurn(c.certs...)
			a := startAgent(t, &x)
			code, stdout, stderr := a.run(t.Context(), "key", "rotate")
			if code != c.code || !strings.HasPrefix(stdout, c.stdout) || (stdout == "") != (c.stdout == "") || !strings.Contains(stderr, c.stderr) {
				t.Errorf("exit code %d, stdout %q, stderr\n%s", code, stdout, stderr)
			}
			if asked := a.requests(); c.asked != "" && asked != c.asked || c.code == exitWrongState && asked != "" {
				t.Errorf("asked for %s, want %s", asked, c.asked)
			}
		})
	}
}

func TestRotateAsJSON(t *testing.T) {
	certs, sums := certificates(t, 2)
	a := startAgent(t, &exchange{status: []provision.Status{codeShown, provisioned}, certs: inTurn(certs[0], certs[1])})
	code, stdout, _ := a.run(t.Context(), "key", "rotate", "--json")
	var r rotated
	if err := json.Unmarshal([]byte(stdout), &r); err != nil || code != cli.ExitOK {
		t.Fatalf("exit code %d, %v\n%s", code, err, stdout)
	}
	if r.OldFingerprint != sums[0] || r.Fingerprint != sums[1] || r.OldMachineID != "m1" || r.MachineID != "m2" || !r.Expires.Equal(inAYear) {
		t.Errorf("got %+v", r)
	}
}
