//go:build system

package system_test

import (
	"encoding/json"
	"strings"
	"testing"

	provisioningpb "github.com/mecha-org/mecha-agent/proto/provisioning"
)

// TestTPM takes boards with a TPM from power to a certificate that says so.
func TestTPM(t *testing.T) {
	for _, b := range tpmBoards(t) {
		t.Run(b.name, func(t *testing.T) {
			with := need(t)
			l := newLab(t, b, with, startGateway(t, with, ""))
			l.insertTPM(t)
			l.insertDisk(t)
			l.powerOn(t)
			l.waitState(t, answerLimit, provisioningpb.State_STATE_IDLE)
			l.hasTPM(t)
		})
	}
}

// hasTPM checks that the guest has the kernel's TPM, with its resource manager, and
// that the agent knows it: the maker is what swtpm says of itself.
func (l *lab) hasTPM(t *testing.T) {
	var is struct {
		Checks []struct{ Name, Result, Found string }
	}
	if err := json.Unmarshal([]byte(l.run(t, 0, "doctor", "--json")), &is); err != nil {
		t.Fatal(err)
	}
	for _, c := range is.Checks {
		if c.Name != "tpm" {
			continue
		}
		t.Logf("%s: %s", l.board.name, c.Found)
		if c.Result != "ok" || !strings.HasPrefix(c.Found, "tpmrm0, IBM") {
			t.Errorf("doctor says of the TPM: %s, %q", c.Result, c.Found)
		}
		return
	}
	t.Error("doctor says nothing of a TPM")
}
