//go:build sim

package main

import (
	"context"
	"errors"
	"image"
	"io/fs"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/mecha-org/mecha-agent/board/sim"
	"github.com/mecha-org/mecha-agent/gateway"
	"github.com/mecha-org/mecha-agent/gateway/gatewaytest"
	"github.com/mecha-org/mecha-agent/hw"
	"github.com/mecha-org/mecha-agent/hw/hwtest"
	provisioningpb "github.com/mecha-org/mecha-agent/proto/provisioning"
)

// TestBoardGetsItsIdentity is the main job, over both front doors of the real
// gateway: press, read, claim, verify, deprovision.
func TestBoardGetsItsIdentity(t *testing.T) {
	for _, scheme := range []string{"https", "grpcs"} {
		t.Run(scheme, func(t *testing.T) {
			g := startGateway(t)
			r := newRig(t, scheme+"://"+g.addr, g.fingerprint)
			stop, _ := r.start()
			shown := r.press()

			r.seesOnDisplay(shown)
			if read := r.readLEDs(); read != shown.Code {
				t.Errorf("the LEDs say %q, the agent %q", read, shown.Code)
			}
			found, err := g.operator.Find(t.Context(), shown.Code)
			if err != nil || found.Board.Serial != "SIM-0001" || found.KeyFingerprint == "" || found.KeyFingerprint != shown.KeyFingerprint {
				t.Fatalf("the operator sees %+v, %v", found, err)
			}
			claim, err := g.operator.Claim(t.Context(), shown.Code, found.KeyFingerprint)
			if err != nil {
				t.Fatal(err)
			}
			done := r.awaitState(provisioningpb.State_STATE_PROVISIONED)
			if done.MachineId != claim.MachineID || !done.Provisioned {
				t.Errorf("provisioned as %q, claimed as %q", done.MachineId, claim.MachineID)
			}
			r.verify()
			if faults, err := r.board.Faults(t.Context()); err != nil || len(faults) > 0 {
				t.Errorf("the display was sent what its data sheet does not allow: %v, %v", faults, err)
			}

			// A restart finds the identity again.
			stop()
			stop, _ = r.start()
			if again := r.awaitState(provisioningpb.State_STATE_PROVISIONED); again.MachineId != claim.MachineID {
				t.Errorf("after a restart it is %q", again.MachineId)
			}

			r.remove(scheme)
			for _, name := range []string{"key.pem", "csr.pem", "machine.pem", "ca_bundle.pem", "root.pem"} {
				if _, err := os.Stat(r.file("id/" + name)); !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("%s is still there: %v", name, err)
				}
			}
			stop()
		})
	}
}

// remove removes the identity: by the button, which a hold that is too short does not,
// or by the call.
func (r *rig) remove(scheme string) {
	r.t.Helper()
	if scheme == "https" {
		answer, err := r.agent.Deprovision(r.t.Context(), &provisioningpb.Empty{})
		if err != nil || !answer.Success {
			r.t.Fatalf("deprovision: %v, %v", answer, err)
		}
		return
	}
	for _, hold := range []time.Duration{1500 * time.Millisecond, 5500 * time.Millisecond} {
		before := r.awaitState(provisioningpb.State_STATE_PROVISIONED)
		if err := r.board.Press(r.t.Context(), hold); err != nil {
			r.t.Fatal(err)
		}
		r.t.Logf("held for %s as machine %s", hold, before.MachineId)
	}
	if s := r.awaitState(provisioningpb.State_STATE_IDLE); s.MachineId != "" || s.Provisioned {
		r.t.Errorf("after the hold it is %v", s)
	}
}

// seesOnDisplay compares the decoded screen with the layout of the same view,
// pixel by pixel; the time left may have moved on by a second or two.
func (r *rig) seesOnDisplay(s *provisioningpb.StatusResponse) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	expires := s.CodeExpires.AsTime()
	var text string
	for ctx.Err() == nil {
		var err error
		if text, err = r.board.ScreenText(ctx); err != nil {
			r.t.Fatal(err)
		}
		now := time.Now()
		for back := range 4 {
			for _, life := range []time.Duration{5 * time.Minute} { // the gateway's, and the agent's default
				v := hw.View{Mode: hw.ModeCode, Code: s.Code, Made: expires.Add(-life), Expires: expires, ClaimURL: s.ClaimUrl, Step: "code shown"}
				if sameScreen(text, hw.Render(v, image.Rect(0, 0, sim.Width, sim.Height), now.Add(-time.Duration(back)*500*time.Millisecond))) {
					return
				}
			}
		}
	}
	r.t.Errorf("the display never showed the code as the layout has it; it shows\n%s", text)
}

// sameScreen compares half-block text in a frame with a picture.
func sameScreen(text string, want image.Image) bool {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	for row := range sim.Height / 2 {
		if row+1 >= len(lines) {
			return false
		}
		cells := []rune(lines[row+1])
		if len(cells) < sim.Width+2 {
			return false
		}
		for x := range sim.Width {
			upper, lower := lit(want, x, 2*row), lit(want, x, 2*row+1)
			if cells[x+1] != map[[2]bool]rune{{false, false}: ' ', {true, false}: '▀', {false, true}: '▄', {true, true}: '█'}[[2]bool{upper, lower}] {
				return false
			}
		}
	}
	return true
}

func lit(m image.Image, x, y int) bool {
	grey, _, _, _ := m.At(x, y).RGBA()
	return grey > 0x7fff
}

// readLEDs looks at the LEDs for one round.
func (r *rig) readLEDs() string {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	var events []hwtest.LEDEvent
	var code string
	if err := r.board.WatchLEDs(ctx, func(l sim.LEDState) bool {
		events = append(events, hwtest.LEDEvent{At: l.At, Bits: l.Bits, Strobe: l.Strobe})
		var err error
		code, err = hwtest.DecodeLEDs(events)
		return err != nil
	}); err != nil {
		r.t.Fatal(err)
	}
	return code
}

// TestPowerCutAfterTheClaimCostsNothing: the code stands on the panel, the
// power fails, the operator claims it, the power comes back.
func TestPowerCutAfterTheClaimCostsNothing(t *testing.T) {
	g := startGateway(t)
	r := newRig(t, "https://"+g.addr, g.fingerprint)
	_, kill := r.start()
	code := r.press().Code
	kill()
	claim, err := g.operator.Claim(t.Context(), code, "")
	if err != nil {
		t.Fatal(err)
	}
	stop, _ := r.start()
	if s := r.awaitState(provisioningpb.State_STATE_PROVISIONED); s.MachineId != claim.MachineID {
		t.Errorf("provisioned as %q, claimed as %q", s.MachineId, claim.MachineID)
	}
	r.verify()
	stop()
}

// TestPowerCutAtAnyTime kills the agent again and again at a random moment of
// the exchange: what the configured paths show afterwards is a whole identity
// or none, and the next start goes on.
func TestPowerCutAtAnyTime(t *testing.T) {
	const cuts = 8
	g := startGateway(t)
	r := newRig(t, "https://"+g.addr, g.fingerprint)
	claimed := map[string]bool{}
	claim := func(code string) { // a claim that was cut off is not lost: its code comes back
		t.Helper()
		if claimed[code] {
			return
		}
		claimed[code] = true
		if _, err := g.operator.Claim(t.Context(), code, ""); err != nil {
			t.Fatal(err)
		}
	}
	provisioned := 0
	for range cuts {
		_, kill := r.start()
		code := r.codeByRPC()
		claim(code)
		// Provision now instead of waiting for the next poll, and cut meanwhile.
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rand.IntN(40))*time.Millisecond)
		_, _ = r.agent.ProvisionByCode(ctx, &provisioningpb.ProvisioningRequest{Code: code}) // cut off or done, both are fine
		cancel()
		kill()
		if _, err := os.Stat(r.file("id/key.pem")); err == nil {
			provisioned++
			r.verify()
		} else if !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
	}
	t.Logf("%d of %d cuts left an identity", provisioned, cuts)
	stop, _ := r.start()
	code := r.codeByRPC()
	claim(code)
	r.awaitState(provisioningpb.State_STATE_PROVISIONED)
	r.verify()
	stop()
}

// codeByRPC asks for a fresh code until it gets one: right after a power cut
// the agent may be in the middle of the claim that it remembered.
func (r *rig) codeByRPC() string {
	r.t.Helper()
	r.await("a state in which to start", func(s *provisioningpb.StatusResponse) bool {
		return s.State != provisioningpb.State_STATE_CLAIMED && s.State != provisioningpb.State_STATE_SIGNING
	})
	answer, err := r.agent.GenerateCode(r.t.Context(), &provisioningpb.GenerateCodeRequest{})
	if err != nil {
		r.t.Fatal(err)
	}
	return answer.Code
}

// TestGatewayFails: every way for a gateway to go wrong ends in an identity
// when it recovers and in a clear error when the answer is wrong, and leaves
// nothing half written.
func TestGatewayFails(t *testing.T) {
	for _, tt := range []struct {
		name  string
		step  gatewaytest.Step
		fault gatewaytest.Fault
		fails string // part of the error that stays; empty: it recovers
	}{
		{"500 twice on polling", gatewaytest.Find, gatewaytest.Refuse(gateway.Internal).Times(2), ""},
		{"500 on signing", gatewaytest.Sign, gatewaytest.Refuse(gateway.Internal), ""},
		{"the answer to signing is lost", gatewaytest.Sign, gatewaytest.CutAfter(), ""},
		{"the answer to signing is cut", gatewaytest.Sign, gatewaytest.CutAnswer(), ""},
		{"proxy's error page", gatewaytest.Sign, gatewaytest.HTML(502), ""},
		{"truncated JSON", gatewaytest.Sign, gatewaytest.Truncated(), ""},
		{"nulls and arrays in the envelope", gatewaytest.Sign, gatewaytest.Odd(), ""},
		{"chain that does not verify", gatewaytest.Sign, gatewaytest.BrokenChain(), "verify"},
		{"certificate for another key", gatewaytest.Sign, gatewaytest.WrongKey(), "key"},
		{"certificate of another machine", gatewaytest.Sign, gatewaytest.OtherMachine(), "common name"},
		{"certificate that has ended", gatewaytest.Sign, gatewaytest.Expired(), "it ended"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			g := gatewaytest.New(t)
			g.Fail(tt.step, tt.fault)
			r := newRig(t, g.URL, "")
			stop, _ := r.start()
			code := r.codeByRPC()
			g.Claim(code)
			if tt.fails == "" {
				r.awaitState(provisioningpb.State_STATE_PROVISIONED)
				r.verify()
			} else {
				s := r.awaitState(provisioningpb.State_STATE_FAILED)
				if !strings.Contains(s.Error, tt.fails) || s.Provisioned {
					t.Errorf("status is %v, want an error with %q", s, tt.fails)
				}
				if _, err := os.Stat(r.file("id/key.pem")); !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("a key stands there without a certificate: %v", err)
				}
			}
			stop()
		})
	}
}
