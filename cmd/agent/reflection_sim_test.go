//go:build sim

package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"

	provisioningpb "github.com/mecha-org/mecha-agent/proto/provisioning"
)

// TestStrangersClient: a client that has never seen the contract finds the
// services by reflection and calls them. The client is buf's, none of ours.
func TestStrangersClient(t *testing.T) {
	g := startGateway(t)
	r := newRig(t, "https://"+g.addr, g.fingerprint)
	stop, _ := r.start()
	r.await("the agent's start", func(*provisioningpb.StatusResponse) bool { return true })
	call := func(method string, more ...string) (string, error) {
		args := append([]string{"tool", "-modfile=../../tools/go.mod", "buf", "curl", "--protocol", "grpc", "--http2-prior-knowledge",
			"--unix-socket", r.file("agent.sock")}, more...)
		cmd := exec.Command("go", append(args, "http://agent"+method)...)
		// The client is for the machine that runs go, also when this test is for another.
		cmd.Env = append(os.Environ(), "GOARCH=", "GOARM=", "CGO_ENABLED=")
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	services, err := call("", "--list-services")
	if err != nil || !strings.Contains(services, "provisioning.ProvisioningService\n") || !strings.Contains(services, "identity.IdentityService\n") {
		t.Fatalf("services: %s, %v", services, err)
	}
	if pong, err := call("/provisioning.ProvisioningService/Ping"); err != nil || !strings.Contains(pong, `"success"`) {
		t.Errorf("Ping: %s, %v", pong, err)
	}
	text, err := call("/provisioning.ProvisioningService/GenerateCode")
	var answer struct{ Code string }
	if err != nil || json.Unmarshal([]byte(text), &answer) != nil || len(answer.Code) != 6 {
		t.Fatalf("GenerateCode: %s, %v", text, err)
	}
	// Not claimed yet: success is false, which JSON leaves out, and no error.
	if text, err := call("/provisioning.ProvisioningService/ProvisionByCode", "-d", `{"code":"`+strings.ToLower(answer.Code)+`"}`); err != nil || strings.TrimSpace(text) != "{}" {
		t.Errorf("ProvisionByCode: %s, %v", text, err)
	}
	stop()
}
