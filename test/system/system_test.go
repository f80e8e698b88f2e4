//go:build system

package system_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	provisioningpb "github.com/mecha-org/mecha-agent/proto/provisioning"
	"github.com/mecha-org/mecha-agent/test/system/guest"
)

// TestBoards takes every board through its life: it starts without an identity,
// shows a code, is claimed, works, and is reset. Whatever the agent says of itself
// is compared with what can be seen from outside the guest.
func TestBoards(t *testing.T) {
	for _, b := range boards {
		t.Run(b.name, func(t *testing.T) {
			l := boot(t, b)
			var code *provisioningpb.StatusResponse
			var id string
			// Each step needs what the one before it left.
			for _, step := range []struct {
				name string
				do   func(t *testing.T)
			}{
				{"code", func(t *testing.T) { code = l.firstCode(t) }},
				{"panel", func(t *testing.T) { l.panelSays(t, code) }},
				{"lights", func(t *testing.T) { l.lightsSay(t, code) }},
				{"board", l.isKnown},
				{"press", func(t *testing.T) { code = l.nextCode(t, code) }},
				{"claim", func(t *testing.T) { id = l.claimed(t, code) }},
				{"identity", func(t *testing.T) { l.hasIdentity(t, id) }},
				{"rest", l.rests},
				{"restart", func(t *testing.T) { l.restartKeeps(t, id) }},
				{"hold", l.holdRemoves},
				{"unplugged", l.goesOnWithoutDisplay},
				{"light", l.givesLightBack},
			} {
				if !t.Run(step.name, step.do) {
					return
				}
			}
		})
	}
}

// isKnown checks what the agent found out about the board.
func (l *lab) isKnown(t *testing.T) {
	var is struct{ Name, Vendor, Model, SoC, Architecture string }
	if err := json.Unmarshal([]byte(l.run(t, 0, "board", "--json")), &is); err != nil {
		t.Fatal(err)
	}
	arch := strings.Replace(l.board.arch, "/", "/v", 1)
	if is.Name != l.board.is || is.Model != l.board.model || !strings.EqualFold(is.SoC, l.board.soc) || is.Vendor == "" || is.Architecture != arch {
		t.Errorf("the board is %+v, want %s %q %s %s and a vendor", is, l.board.is, l.board.model, l.board.soc, arch)
	}
}

// pressTime is how long a finger stays on the button, at least: emulated processors
// are slow.
const pressTime = 200 * time.Millisecond

// hold holds the button down for as long as that.
func (l *lab) hold(t *testing.T, d time.Duration) {
	t.Helper()
	l.press(t, true)
	select {
	case <-time.After(d):
	case <-t.Context().Done():
	}
	l.press(t, false)
}

// askForCode does what its owner does: presses the button, or asks on the command line
// where there is none.
func (l *lab) askForCode(t *testing.T) {
	t.Helper()
	switch {
	case l.board.powerKey:
		if err := l.QMP.Execute("system_powerdown", nil, nil); err != nil {
			t.Fatal(err)
		}
	case l.board.button != nil:
		l.hold(t, pressTime)
	default:
		l.generate(t)
	}
}

// firstCode checks that the board is idle and shows that, and returns its first
// code as soon as the panel has it.
func (l *lab) firstCode(t *testing.T) *provisioningpb.StatusResponse {
	code, at := l.getsCode(t)
	if !at.IsZero() {
		t.Logf("%s: from power to /init %.1f s, to the agent %.1f s, to the code on the panel %.1f s; from /init to the code %.1f s",
			l.board.name, l.booted.Sub(l.Started).Seconds(), l.running.Sub(l.Started).Seconds(), at.Sub(l.Started).Seconds(), at.Sub(l.booted).Seconds())
	}
	return code
}

// getsCode checks that the board is idle, asks it for a code, and returns that, and
// when the panel had it.
func (l *lab) getsCode(t *testing.T) (code *provisioningpb.StatusResponse, at time.Time) {
	t.Helper()
	idle := l.waitState(t, answerLimit, provisioningpb.State_STATE_IDLE)
	if idle.Code != "" || idle.MachineId != "" || idle.Provisioned || len(idle.Trouble) != 0 {
		t.Errorf("a board without an identity says %v", idle)
	}
	l.askForCode(t)
	code = l.waitState(t, answerLimit, provisioningpb.State_STATE_CODE_SHOWN)
	if len(code.Code) != codeLength || code.CodeExpires.AsTime().Before(time.Now()) {
		t.Fatalf("the code is %v", code)
	}
	return code, l.panelSays(t, code)
}

// panelSays compares the panel with what the agent says of itself, and returns when
// it was seen.
func (l *lab) panelSays(t *testing.T, s *provisioningpb.StatusResponse) (at time.Time) {
	t.Helper()
	v := l.view(s)
	if l.board.oled {
		at = l.shows(t, v)
	}
	if l.board.terminal {
		at = l.prints(t, v)
	}
	return at
}

// lightsSay reads the code off the LEDs.
func (l *lab) lightsSay(t *testing.T, s *provisioningpb.StatusResponse) {
	leds := l.board.leds
	if leds == nil {
		t.Log("the board has no lights")
		return
	}
	l.areOutputs(t, *leds)
	if leds.rgb != nil {
		l.hasColour(t, s.State)
		return
	}
	l.says(t, *leds, s.Code)
}

// nextCode asks for a code while one stands: its owner wants another one.
func (l *lab) nextCode(t *testing.T, was *provisioningpb.StatusResponse) (now *provisioningpb.StatusResponse) {
	l.askForCode(t)
	l.until(t, answerLimit, "another code than "+was.Code, l.statusIs(&now, func(s *provisioningpb.StatusResponse) bool {
		return s.State == provisioningpb.State_STATE_CODE_SHOWN && s.Code != was.Code && s.Code != ""
	}))
	l.panelSays(t, now)
	return now
}

// claimed claims the code at the gateway, and returns the machine's id once the agent
// has its certificate and the panel says so.
func (l *lab) claimed(t *testing.T, code *provisioningpb.StatusResponse) (id string) {
	begin := time.Now()
	id, err := l.gateway.claim(t.Context(), code.Code)
	if err != nil {
		t.Fatal(err)
	}
	done := l.waitState(t, answerLimit, provisioningpb.State_STATE_PROVISIONED)
	t.Logf("provisioned %.1f s after the claim was sent", time.Since(begin).Seconds())
	if done.MachineId != id || !done.Provisioned || done.Code != "" {
		t.Errorf("the machine claimed as %s says %v", id, done)
	}
	l.panelSays(t, done)
	if l.board.leds != nil && l.board.leds.rgb != nil {
		l.hasColour(t, done.State)
	}
	return id
}

// What the defaults of the settings are.
const (
	codeLength = 6
	holdTime   = 5 * time.Second
)

// Rest of a provisioned board: at most restWakeups a second over two windows of
// restTime, and at most quietWakeups over the second, within restWindows in a row.
const (
	restTime     = 10 * time.Second
	restWakeups  = 1.0
	quietWakeups = 0.5
	restWindows  = 8
)

// rests counts how often the agent is woken while it has nothing to do, until it comes
// to rest. What a claim leaves to be done happens once and ends by itself: the runtime
// gives memory back for ten or twenty seconds, the gateway closes its connection after
// half a minute. What goes on for good is in every window: polling once a second counts
// 30 in each (docs/performance.md).
func (l *lab) rests(t *testing.T) {
	begin := l.ask(t, guest.Request{Wakeups: true})
	first, before := begin, begin // of the window before, and of this one
	var busy []string
	for i := range restWindows {
		select {
		case <-time.After(restTime):
		case <-t.Context().Done():
			t.Fatal(t.Context().Err())
		}
		after := l.ask(t, guest.Request{Wakeups: true})
		seconds := after.Uptime - before.Uptime
		if seconds < restTime.Seconds()/2 {
			t.Fatalf("%s were %.1f s to the guest", restTime, seconds)
		}
		n := after.Wakeups - before.Wakeups
		busy = append(busy, fmt.Sprintf("%d wake-ups in %.1f s", n, seconds))
		both := float64(after.Wakeups-first.Wakeups) / (after.Uptime - first.Uptime)
		if i > 0 && both <= restWakeups && float64(n)/seconds <= quietWakeups {
			t.Logf("%s: %.2f wake-ups a second over the last two windows of %q", l.board.name, both, busy)
			return
		}
		first, before = before, after
	}
	t.Errorf("the agent does not come to rest: %q, want at most %.1f a second over two of them, and %.1f over the second",
		busy, restWakeups, quietWakeups)
}

// restartKeeps ends the agent and starts it again.
func (l *lab) restartKeeps(t *testing.T, id string) {
	l.restart(t)
	s := l.waitState(t, answerLimit, provisioningpb.State_STATE_PROVISIONED)
	if s.MachineId != id {
		t.Errorf("after a restart the machine is %s, was %s", s.MachineId, id)
	}
	l.panelSays(t, s)
}

// holdRemoves holds the button: for a while, which changes nothing, and for longer
// than it takes, which removes the identity.
func (l *lab) holdRemoves(t *testing.T) {
	if l.board.button == nil {
		t.Log("the board has no button")
		return
	}
	before := l.waitState(t, answerLimit, provisioningpb.State_STATE_PROVISIONED)
	l.hold(t, 3*time.Second)
	l.panelSays(t, before)
	if s := l.waitState(t, answerLimit, provisioningpb.State_STATE_PROVISIONED); s.MachineId != before.MachineId {
		t.Errorf("a hold of 3 s left %v", s)
	}

	l.press(t, true)
	pressed := time.Now()
	l.countsDown(t, pressed)
	if s, err := l.status(t.Context()); err != nil || s.MachineId != before.MachineId {
		t.Errorf("while the button is held the agent says %v, %v", s, err)
	}
	select {
	case <-time.After(time.Until(pressed.Add(6 * time.Second))):
	case <-t.Context().Done():
	}
	l.press(t, false)
	after := l.waitState(t, answerLimit, provisioningpb.State_STATE_IDLE)
	if after.MachineId != "" || after.Provisioned {
		t.Errorf("a hold of 6 s left %v", after)
	}
	l.panelSays(t, after)
	l.hasNoIdentity(t)
}
