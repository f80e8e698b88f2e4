//go:build sim

package main

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/mecha-org/mecha-agent/cmd/internal/cli"
	provisioningpb "github.com/mecha-org/mecha-agent/proto/provisioning"
)

// TestDoctorBesideAnAgent: all is well with an agent at work, and nothing is taken
// away from it.
func TestDoctorBesideAnAgent(t *testing.T) {
	gw := startGateway(t)
	r := newRig(t, "https://"+gw.addr, gw.fingerprint)
	r.start()
	code := r.press().Code

	var out, talk bytes.Buffer
	exit := run(t.Context(), cli.System{Args: []string{"doctor", "--json", "-s", r.file("settings.yml")},
		Environ: []string{"HOME=" + r.dir}, Stdout: &out, Stderr: &talk}, os.DirFS("/"))
	var got findingsJSON
	if err := json.Unmarshal(out.Bytes(), &got); err != nil || exit != cli.ExitOK || talk.Len() > 0 {
		t.Fatalf("exit code %d, %v\n%s%s", exit, err, out.String(), talk.String())
	}
	results := map[string]string{}
	for _, f := range got.Checks {
		results[f.Name] = string(f.Result) + " " + f.Found
	}
	for name, want := range map[string]string{
		"wiring": "ok ", "display": "skip the running agent has it", "button": "skip the running agent has it", "state": "ok ",
		"identity": "skip none yet", "agent": "ok code shown", "gateway": "ok https://" + gw.addr + " answers and is trusted",
	} {
		if !strings.HasPrefix(results[name], want) {
			t.Errorf("%s: %q, want %q", name, results[name], want)
		}
	}
	if strings.Contains(out.String(), code) {
		t.Error("the code is told")
	}
	r.awaitState(provisioningpb.State_STATE_CODE_SHOWN)
	if _, err := r.board.LEDs(t.Context()); err != nil {
		t.Errorf("the board's control socket is gone: %v", err)
	}
}
