package main

import (
	"bytes"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	provisioningpb "github.com/mecha-org/mecha-agent/proto/provisioning"
)

// screen is the line that a terminal shows after what was written: each erase
// starts it again. Lines that stay come before it.
func screen(b *bytes.Buffer) string {
	var shown []string
	for line := range strings.SplitSeq(b.String(), "\n") {
		shown = append(shown, line[max(0, strings.LastIndex(line, eraseLine)):])
	}
	return strings.ReplaceAll(strings.Join(shown, "\n"), eraseLine, "")
}

func waiting(left time.Duration) *provisioningpb.StatusResponse {
	return &provisioningpb.StatusResponse{State: provisioningpb.State_STATE_CODE_SHOWN, CodeExpires: timestamppb.New(time.Now().Add(left))}
}

func columns(n int) func() int { return func() int { return n } }

func TestProgressOnATerminal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		p := newProgress(&out, true, columns(80))
		see := func(want string) {
			t.Helper()
			synctest.Wait()
			p.mu.Lock()
			defer p.mu.Unlock()
			if got := screen(&out); got != want {
				t.Errorf("after %s the screen shows\n%q, want\n%q", time.Since(p.made), got, want)
			}
		}
		after := func(d time.Duration) { <-time.After(d) } // of the bubble's clock

		p.show(waiting(5 * time.Minute))
		see("waiting for the claim [##############################] 5m0s")
		after(100*time.Second + time.Millisecond)
		see("waiting for the claim [####################..........] 3m20s")

		// A failed poll says why, cut where the terminal ends; the bar goes on.
		failed := waiting(200*time.Second - time.Millisecond)
		failed.Error = "the gateway cannot be reached:\nconnection refused, and more of it"
		p.show(failed)
		see("waiting for the claim (the gateway canno [###################...........] 3m20s")

		// A new code fills the bar, and the note about it stays.
		p.show(waiting(time.Minute))
		p.note("the code expired")
		see("the code expired\nwaiting for the claim [##############################] 1m0s")
		after(59*time.Second + time.Millisecond)
		see("the code expired\nwaiting for the claim [..............................] 1s")
		after(2 * time.Second)
		see("the code expired\nwaiting for the claim")

		// Claimed: the code's time is of no matter any more.
		claimed := waiting(time.Minute)
		claimed.State = provisioningpb.State_STATE_SIGNING
		p.show(claimed)
		see("the code expired\nsigning")
		p.end()
		p.end()
		see("the code expired\n")
	})
}

// TestProgressWithAClockThatIsSet: a machine without a clock of its own starts
// in the past and learns the time later, or the other way round.
func TestProgressWithAClockThatIsSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, by := range []time.Duration{-time.Hour, time.Hour} {
			var out bytes.Buffer
			p := newProgress(&out, true, columns(0))
			p.show(waiting(time.Minute))
			p.mu.Lock()
			p.made, p.expires = p.made.Add(by), p.expires.Add(by) // as if now were set by -by
			p.draw()
			p.mu.Unlock()
			want := "waiting for the claim"
			if by > 0 {
				want += " [##############################] 1h1m0s"
			}
			if got := screen(&out); got != want {
				t.Errorf("clock set by %s: %q, want %q", -by, got, want)
			}
			p.end()
		}
	})
}

func TestProgressInALog(t *testing.T) {
	var out bytes.Buffer
	p := newProgress(&out, false, columns(20))
	s := waiting(time.Minute)
	p.show(s)
	p.show(s)
	s.Error = "no\x1b[2Jluck"
	p.show(s)
	p.note("the code expired")
	s.State, s.Error = provisioningpb.State_STATE_PROVISIONED, ""
	p.show(s)
	p.end()
	want := "waiting for the claim\nwaiting for the claim (no?[2Jluck)\nthe code expired\nprovisioned\n"
	if got := out.String(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
