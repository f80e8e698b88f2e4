//go:build system

package system_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	provisioningpb "github.com/mecha-org/mecha-agent/proto/provisioning"
	"github.com/mecha-org/mecha-agent/test/system/guest"
)

// restart ends the agent, as a service manager does, and starts it again. It returns
// when the new one answers.
func (l *lab) restart(t *testing.T) {
	t.Helper()
	if code := l.ask(t, guest.Request{Restart: true}).Code; code != 0 {
		t.Errorf("the agent ended with exit code %d", code)
	}
	var s *provisioningpb.StatusResponse
	l.until(t, answerLimit, "the agent after its restart", l.statusIs(&s, func(*provisioningpb.StatusResponse) bool { return true }))
}

// rewire starts the agent again with other hardware in its settings.
func (l *lab) rewire(t *testing.T, hardware string) {
	t.Helper()
	l.ask(t, guest.Request{Write: guest.Settings, Data: []byte(l.agentSettings(hardware))})
	l.restart(t)
}

// goesOnWithoutDisplay starts the agent with a display at an address where there is
// none: it says so in its status, and a code comes all the same.
func (l *lab) goesOnWithoutDisplay(t *testing.T) {
	if !l.board.oled {
		t.Log("the board has no display to miss")
		return
	}
	const wrong = "0x3d"
	hardware := strings.Replace(l.board.hardware, "display: {", "display: {address: "+wrong+", ", 1)
	if hardware == l.board.hardware {
		t.Fatal("the settings have no display")
	}
	l.rewire(t, hardware)
	var s *provisioningpb.StatusResponse
	l.until(t, answerLimit, "trouble with the display", l.statusIs(&s, func(s *provisioningpb.StatusResponse) bool {
		return slices.ContainsFunc(s.Trouble, func(line string) bool { return strings.Contains(line, wrong) })
	}))
	t.Logf("status says: %s", strings.Join(s.Trouble, "; "))
	l.generate(t)
	l.waitState(t, answerLimit, provisioningpb.State_STATE_CODE_SHOWN)

	l.rewire(t, l.board.hardware)
	l.until(t, answerLimit, "no trouble, and the code", l.statusIs(&s, func(s *provisioningpb.StatusResponse) bool {
		return len(s.Trouble) == 0 && s.State == provisioningpb.State_STATE_CODE_SHOWN
	}))
	l.panelSays(t, s)
}

// generate asks the agent for a code, and again while it cannot reach the gateway: an
// emulated processor on a busy host may be too slow for the gateway's patience with a
// TLS handshake.
func (l *lab) generate(t *testing.T) {
	t.Helper()
	l.until(t, answerLimit, "a code", func(ctx context.Context) (bool, error) {
		_, err := l.agent.GenerateCode(ctx, &provisioningpb.GenerateCodeRequest{})
		if err != nil && status.Code(err) != codes.Unavailable {
			t.Fatal(err)
		}
		return err == nil, err
	})
}

// givesLightBack borrows one of the board's own lights for the code, kills the agent,
// and checks that the next one gives the light back to what drove it.
func (l *lab) givesLightBack(t *testing.T) {
	light := l.board.light
	if light == nil {
		t.Log("the board has no light of its own")
		return
	}
	const driver = "default-on"
	trigger := "/sys/class/leds/" + light.name + "/trigger"
	l.ask(t, guest.Request{Write: trigger, Data: []byte(driver)})
	l.rewire(t, "  leds: {onboard: "+light.name+", dot: 200ms}\n")
	l.generate(t)
	code := l.waitState(t, answerLimit, provisioningpb.State_STATE_CODE_SHOWN)
	l.areOutputs(t, light.leds)
	l.says(t, light.leds, code.Code)
	drives := func(want string) {
		t.Helper()
		if now := string(l.ask(t, guest.Request{Read: trigger}).Data); !strings.Contains(now, "["+want+"]") {
			t.Errorf("the light is driven by %q, want %s", strings.TrimSpace(now), want)
		}
	}
	drives("none")
	l.ask(t, guest.Request{Write: guest.Settings, Data: []byte(l.agentSettings("  leds: {onboard: none}\n"))})
	l.ask(t, guest.Request{Crash: true})
	l.waitState(t, answerLimit, provisioningpb.State_STATE_CODE_SHOWN)
	drives(driver)
}
