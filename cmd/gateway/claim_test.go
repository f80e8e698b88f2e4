package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/mecha-org/mecha-agent/cmd/internal/cli"
	"github.com/mecha-org/mecha-agent/gateway"
)

// TestClaimSendsWhatItShowed: the claim names the key that the person saw, so
// that a code which has changed hands since claims nothing.
func TestClaimSendsWhatItShowed(t *testing.T) {
	fingerprint := strings.Repeat("ab", 32)
	var claimed gateway.ClaimBody
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var payload any = gateway.FindPayload{KeyFingerprint: fingerprint}
		if r.URL.Path == gateway.RouteClaim {
			if err := json.NewDecoder(r.Body).Decode(&claimed); err != nil {
				t.Error(err)
			}
			payload = gateway.ClaimPayload{RequestID: 1, MachineID: "m"}
		}
		e, err := gateway.NewSuccess(payload)
		if err != nil {
			t.Error(err)
		}
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(e) //nolint:errcheck // the client reads it or fails
	}))
	defer s.Close()
	var stdout, stderr bytes.Buffer
	code := run(t.Context(), cli.System{
		Args:    []string{"claim", "--yes", "abc-123", "--server", s.URL},
		Environ: []string{"HOME=" + t.TempDir(), envKeyID + "=key_1", envKeySecret + "=hush"},
		Stdin:   strings.NewReader(""), Stdout: &stdout, Stderr: &stderr,
	})
	if code != 0 || !strings.Contains(stderr.String(), fingerprint) {
		t.Errorf("exit code %d: %s", code, &stderr)
	}
	if want := (gateway.ClaimBody{ProvisionCode: "ABC123", KeyFingerprint: fingerprint}); claimed != want {
		t.Errorf("claimed %+v, want %+v", claimed, want)
	}
}
