package provision_test

import (
	"context"
	"testing"
	"time"

	"github.com/mecha-org/mecha-agent/gateway"
	"github.com/mecha-org/mecha-agent/provision"
)

const (
	idle        = provision.Idle
	shown       = provision.CodeShown
	claimed     = provision.Claimed
	signing     = provision.Signing
	provisioned = provision.Provisioned
	failed      = provision.Failed
)

func TestButtonToIdentity(t *testing.T) {
	run(t, func(r *rig) {
		r.want(idle)
		r.press()
		s := r.want(shown)
		code := r.code()
		if s.ClaimURL != "http://gateway/claim?code="+code || s.CodeExpires.Sub(s.CodeMade) != 5*time.Minute {
			t.Errorf("status %+v", s)
		}
		r.after(time.Minute)
		id := r.claim(code)
		r.after(10 * time.Second)
		s = r.want(provisioned)
		if s.MachineID != id || !s.Provisioned || s.CertificateExpires.IsZero() || s.Error != "" || s.Step != "" {
			t.Errorf("status %+v", s)
		}
		if r.sessions.Saved() != (gateway.Session{}) {
			t.Error("the session was not forgotten")
		}
		r.states(idle, shown, claimed, signing, provisioned)

		n, calls := len(r.panel.Shown()), len(r.gw.Calls("find manifest"))
		r.press()
		if got := r.panel.Shown(); len(got) != n+1 || got[n] != s {
			t.Error("a press on a provisioned machine does not show the panel again")
		}
		r.after(24 * time.Hour)
		if len(r.gw.Calls("find manifest")) != calls || len(r.gw.Calls("announce")) != 1 {
			t.Error("a provisioned machine talks to the gateway")
		}
	})
}

func TestClaimWithinOnePollTakesNoTime(t *testing.T) {
	run(t, func(r *rig) {
		code := r.generate()
		r.claim(code)
		start := time.Now()
		if !r.byCode(code) {
			t.Fatal("claimed, but false")
		}
		if d := time.Since(start); d != 0 {
			t.Errorf("it waited %v for nothing", d)
		}
		if !r.byCode(code) {
			t.Error("a code that has just been completed is false")
		}
	})
}

func TestOriginalCloud(t *testing.T) {
	for _, length := range []int{4, 6, 12} {
		run(t, func(r *rig) {
			r.powerCut()
			r.gw.Plain, r.config.CodeLength, r.config.CodeLife = true, length, 10*time.Minute
			r.boot()
			code := r.generate()
			if len(code) != min(length, 6) {
				t.Errorf("code of %d characters, want %d", len(code), min(length, 6))
			}
			if s := r.want(shown); s.CodeExpires.Sub(s.CodeMade) != 10*time.Minute {
				t.Errorf("status %+v", s)
			}
			if r.byCode(code) {
				t.Error("true before the claim")
			}
			r.gw.Script("find manifest", fail(gateway.NotFound), fail(gateway.Pending), fail(gateway.BadRequest))
			r.after(time.Minute)
			if s := r.want(shown); s.Code != code || s.Error != "" {
				t.Errorf("unclaimed is an error: %+v", s)
			}
			id := r.claim(code)
			r.after(7 * time.Second)
			if !r.byCode(code) || r.want(provisioned).MachineID != id {
				t.Error("claimed, but not provisioned")
			}
			r.states(idle, shown, claimed, signing, provisioned)
		})
	}
}

func TestCodesAreRefreshedUntilTheWindowIsOver(t *testing.T) {
	run(t, func(r *rig) {
		r.press()
		codes := map[string]bool{}
		for range 12 {
			r.want(shown)
			codes[r.code()] = true
			r.after(5 * time.Minute)
		}
		if len(codes) != 12 {
			t.Errorf("%d codes in an hour, want 12", len(codes))
		}
		r.want(idle)
		if r.sessions.Saved() != (gateway.Session{}) {
			t.Error("the last session was not forgotten")
		}
		n := len(r.gw.Calls("announce"))
		r.after(24 * time.Hour)
		if n != 12 || len(r.gw.Calls("announce")) != n {
			t.Errorf("%d announcements, then %d", n, len(r.gw.Calls("announce")))
		}
		r.press()
		r.want(shown)
	})
}

func TestPressForAFreshCode(t *testing.T) {
	run(t, func(r *rig) {
		r.press()
		first := r.code()
		r.after(time.Minute)
		r.press()
		r.want(shown)
		if r.code() == first {
			t.Error("the code is the same")
		}
	})
}

func TestReprovisioningKeepsTheOldIdentity(t *testing.T) {
	run(t, func(r *rig) {
		code := r.generate()
		old := r.claim(code)
		if !r.byCode(code) {
			t.Fatal("first provisioning")
		}
		second := r.generate()
		if s := r.want(shown); s.MachineID != old || !s.Provisioned || second == code {
			t.Errorf("status %+v", s)
		}
		r.after(2 * time.Hour) // nobody claims
		if s := r.want(provisioned); s.MachineID != old {
			t.Errorf("status %+v", s)
		}
		third := r.generate()
		id := r.claim(third)
		if !r.byCode(third) || r.want(provisioned).MachineID != id || id == old {
			t.Errorf("status %+v", r.Status())
		}
	})
}

// The deployed GUI asks for a code, asks after it every 20 s, for another one
// every 60 s, and gives up on any error. The operator claims what the panel
// shows, at any time; no claim is made in vain.
func TestDeployedGUI(t *testing.T) {
	for first := 500 * time.Millisecond; first < 3*time.Minute; first += 3100 * time.Millisecond {
		run(t, func(r *rig) {
			operator, stop := first, make(chan struct{})
			defer close(stop)
			claims := 0
			go func() {
				for {
					select {
					case <-stop:
						return
					case <-time.After(operator):
						if _, err := r.gw.Claim(r.Status().Code); err == nil {
							claims++
						}
						operator = 30 * time.Second
					}
				}
			}()
			var code string
			for second := 0; second < 300; second += 20 {
				if second%60 == 0 {
					code = r.generate() // before it asks: the harder order
				} else if r.byCode(code) {
					r.want(provisioned)
					if claims != 1 {
						t.Errorf("claimed after %v, and %d claims were made in vain", first, claims-1)
					}
					return
				}
				r.after(20 * time.Second)
			}
			t.Errorf("claimed after %v and never told", first)
		})
	}
}

func TestDeprovision(t *testing.T) {
	for _, at := range []provision.State{idle, shown, claimed, signing, provisioned, failed} {
		t.Run(at.String(), func(t *testing.T) {
			run(t, func(r *rig) {
				r.bring(at)
				if _, err := r.Deprovision(r.t.Context()); err != nil {
					t.Fatal(err)
				}
				s := r.want(idle)
				if s != (provision.Status{}) {
					t.Errorf("left over: %+v", s)
				}
				if r.sessions.Saved() != (gateway.Session{}) {
					t.Error("the session was not forgotten")
				}
				r.healAll()
				calls := len(r.gw.Calls("find manifest")) + len(r.gw.Calls("sign"))
				r.after(2 * time.Hour)
				if got := len(r.gw.Calls("find manifest")) + len(r.gw.Calls("sign")); got != calls {
					t.Errorf("%d calls after it", got-calls)
				}
				r.want(idle)
				r.press()
				r.claim(r.code())
				r.after(10 * time.Second)
				r.want(provisioned)
			})
		})
	}
}

// bring takes the machine to a state and keeps it there.
func (r *rig) bring(to provision.State) {
	r.t.Helper()
	if to == idle {
		return
	}
	if to == failed {
		f := fail(gateway.BadRequest)
		r.gw.Always("announce", &f)
	}
	if to == claimed {
		f := fail(gateway.Unreachable)
		r.gw.Always("sign", &f)
	}
	if to == signing {
		f := delay(25 * time.Second)
		r.gw.Always("sign", &f)
	}
	r.press()
	if to != failed && to != shown {
		r.claim(r.code())
		r.after(8 * time.Second)
	}
	r.want(to)
}

func (r *rig) healAll() {
	r.gw.Always("announce", nil)
	r.gw.Always("find manifest", nil)
	r.gw.Always("sign", nil)
}

func TestStopInEveryStateLeavesNothingRunning(t *testing.T) {
	for _, at := range []provision.State{idle, shown, claimed, signing, provisioned, failed} {
		t.Run(at.String(), func(t *testing.T) {
			run(t, func(r *rig) { // the bubble fails when a goroutine stays
				r.bring(at)
				watch := r.Watch(context.Background())
				r.cancel()
				<-r.done
				n := 0
				for range watch {
					n++
				}
				if n != 1 {
					t.Errorf("%d statuses, want 1", n)
				}
				r.want(at)
				_, err := r.GenerateCode(r.t.Context())
				wantKind(t, err, gateway.Unreachable)
			})
		})
	}
}
