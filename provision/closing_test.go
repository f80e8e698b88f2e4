package provision_test

import (
	"context"
	"testing"
	"time"

	"github.com/mecha-org/mecha-agent/gateway"
)

const asking = "asking whether the last code was claimed"

// A rate limit, which counts others at the same address too, is no answer to the
// last question.
func TestClaimUnderARateLimit(t *testing.T) {
	for name, giveUp := range map[string]func(r *rig){
		"press":   func(r *rig) { r.press() },
		"expiry":  func(r *rig) { r.after(5 * time.Minute) },
		"request": func(r *rig) { r.generate() },
	} {
		t.Run(name, func(t *testing.T) {
			run(t, func(r *rig) {
				r.gw.Interval = 10 * time.Minute // no poll comes by itself
				code := r.generate()
				r.after(500 * time.Millisecond)
				id := r.claim(code)
				r.gw.Script("find manifest", fail(gateway.TooMany))
				giveUp(r)
				r.after(11 * time.Minute)
				if s := r.want(provisioned); s.MachineID != id {
					t.Errorf("claimed as %q, status %+v", id, s)
				}
			})
		})
	}
}

// A claim that comes after the last poll is found before the code is given up,
// whatever the reason, also on a machine that has an identity.
func TestClaimAfterTheLastPoll(t *testing.T) {
	request := func(r *rig, code string) {
		if got := r.generate(); got != code || !r.byCode(code) {
			r.t.Error("a fresh code instead of the claimed one, or false")
		}
	}
	for name, giveUp := range map[string]func(r *rig, code string){
		"press":   func(r *rig, _ string) { r.press() },
		"expiry":  func(r *rig, _ string) { r.after(5 * time.Minute) },
		"request": request,
		"slow request": func(r *rig, code string) {
			slow := delay(4 * time.Second)
			r.gw.Always("announce", &slow)
			r.gw.Always("find manifest", &slow)
			request(r, code)
			r.healAll()
		},
	} {
		for _, plain := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				run(t, func(r *rig) {
					// No poll comes by itself: the first would be after the interval.
					r.gw.Plain, r.gw.Interval = plain, 10*time.Minute
					for range 2 {
						code := r.generate()
						r.after(500 * time.Millisecond)
						id := r.claim(code)
						giveUp(r, code)
						if s := r.want(provisioned); s.MachineID != id || !r.byCode(code) {
							t.Errorf("claimed as %q, status %+v", id, s)
						}
					}
				})
			})
		}
	}
}

// The announcement takes its time, and meanwhile the old code is claimed: it is
// that one which counts, whether the background found out or not.
func TestClaimWhileTheNextCodeIsAnnounced(t *testing.T) {
	for _, interval := range []time.Duration{time.Second, 10 * time.Minute} {
		run(t, func(r *rig) {
			r.gw.Interval = interval
			r.press()
			code := r.code()
			r.gw.Script("announce", delay(20*time.Second))
			go func() {
				<-time.After(10 * time.Second) // of the bubble
				r.claim(code)
			}()
			if got := r.generate(); got != code || !r.byCode(code) {
				t.Error("a fresh code instead of the claimed one, or false")
			}
			r.want(provisioned)
		})
	}
}

// Nobody claimed it: the next code comes at once, although the gateway was asked
// a moment ago and wants to be left alone.
func TestUnclaimedCodeIsReplacedAtOnce(t *testing.T) {
	for name, replace := range map[string]func(r *rig){
		"press":   func(r *rig) { r.press() },
		"request": func(r *rig) { r.generate() },
	} {
		t.Run(name, func(t *testing.T) {
			run(t, func(r *rig) {
				code := r.generate()
				r.after(30 * time.Second)
				for len(r.gw.Calls("find manifest")) < 20 {
					r.after(100 * time.Millisecond) // just polled
				}
				start := time.Now()
				replace(r)
				if s := r.want(shown); s.Code == code || s.Error != "" || time.Since(start) != 0 {
					t.Errorf("after %v: %+v", time.Since(start), s)
				}
			})
		})
	}
}

// A gateway that hangs does not keep a client: the code is announced already.
func TestLookIsBounded(t *testing.T) {
	run(t, func(r *rig) {
		code := r.generate()
		hang := delay(time.Hour)
		r.gw.Always("find manifest", &hang)
		start := time.Now()
		if r.generate() == code || time.Since(start) != 5*time.Second {
			t.Errorf("it took %v", time.Since(start))
		}
		r.healAll()
	})
}

// The gateway is away when the claim comes, and comes back long after the code's
// end, or after a press.
func TestOutageAfterTheClaim(t *testing.T) {
	for name, press := range map[string]bool{"expiry": false, "press": true} {
		t.Run(name, func(t *testing.T) {
			run(t, func(r *rig) {
				r.press()
				code := r.code()
				r.after(time.Minute)
				down := fail(gateway.Unreachable)
				r.gw.Always("find manifest", &down)
				r.gw.Always("announce", &down)
				id := r.claim(code)
				if press {
					r.press()
				}
				r.after(20 * time.Minute)
				if s := r.want(idle); s.Step != asking || s.Error == "" {
					t.Errorf("status %+v", s)
				}
				if n := len(r.gw.Calls("find manifest")); n > 70 {
					t.Errorf("%d polls: no back-off", n)
				}
				_, err := r.ProvisionByCode(r.t.Context(), code)
				wantKind(t, err, gateway.Unreachable)
				r.healAll()
				r.after(90 * time.Second)
				if s := r.want(provisioned); s.MachineID != id || !r.byCode(code) {
					t.Errorf("claimed as %q, status %+v", id, s)
				}
			})
		})
	}
}

// What a restart finds: the clock has been set, or is that of a board without
// one, the gateway may be away, and the operator may have been there.
func TestRestartWithAnotherClock(t *testing.T) {
	year := func(y int) time.Time { return time.Date(y, 1, 1, 0, 5, 0, 0, time.UTC) } // it is 2000
	for name, expires := range map[string]time.Time{"1970": year(1970), "2040": year(2040), "now": year(2000)} {
		for _, before := range []bool{true, false} {
			for _, away := range []time.Duration{0, 30 * time.Minute} {
				if !before && away != 0 {
					continue // then there is no code to be claimed any more
				}
				t.Run(name, func(t *testing.T) {
					run(t, func(r *rig) {
						r.press()
						code, s := r.code(), r.sessions.Saved()
						r.powerCut()
						s.Expires = expires
						if err := r.sessions.SaveSession(context.Background(), s); err != nil {
							t.Fatal(err)
						}
						id := ""
						if before {
							id = r.claim(code)
						}
						down := fail(gateway.Unreachable)
						r.gw.Always("find manifest", &down)
						r.boot()
						r.after(away)
						r.healAll()
						if !before {
							r.after(7 * time.Second)
							if s := r.want(shown); s.Code != code || time.Until(s.CodeExpires) > 5*time.Minute {
								t.Errorf("status %+v", s)
							}
							id = r.claim(code)
						}
						r.after(75 * time.Second)
						if s := r.want(provisioned); s.MachineID != id {
							t.Errorf("claimed as %q, status %+v", id, s)
						}
					})
				})
			}
		}
	}
}

// Nobody claimed the code of an earlier run: nothing is left of it, and no fresh
// code appears unless a person presses the button.
func TestRestartAfterTheCodesEnd(t *testing.T) {
	run(t, func(r *rig) {
		r.press()
		code := r.code()
		r.powerCut()
		r.after(10 * time.Minute)
		down := fail(gateway.Unreachable)
		r.gw.Always("find manifest", &down)
		r.boot()
		r.after(2 * time.Hour)
		if s := r.want(idle); s.Step != "" || r.sessions.Saved() != (gateway.Session{}) || len(r.gw.Calls("announce")) != 1 {
			t.Errorf("status %+v", s)
		}
		r.healAll()
		r.press()
		if r.want(shown); r.code() == code {
			t.Error("the code is back")
		}
	})
	run(t, func(r *rig) { // a press before the answer
		r.press()
		r.powerCut()
		r.after(10 * time.Minute)
		r.boot()
		r.press()
		r.want(shown)
	})
}

// The certificate ends: the panel says so at that moment, and the button works.
func TestCertificateEnds(t *testing.T) {
	run(t, func(r *rig) {
		code := r.generate()
		id := r.claim(code)
		r.byCode(code)
		end := r.want(provisioned).CertificateExpires
		n := len(r.panel.Shown())
		r.after(time.Until(end) - time.Second)
		if len(r.panel.Shown()) != n {
			t.Error("the panel was told before the end")
		}
		r.after(time.Second)
		ended := func(when string) {
			t.Helper()
			all := r.panel.Shown()
			s := all[len(all)-1] // not by Status, which looks at the clock itself
			if s.State != failed || !s.Provisioned || s.MachineID != id ||
				s.Error != "the machine certificate ended at "+end.UTC().Format(time.RFC3339) || s.Hint == "" {
				t.Fatalf("%s: status %+v", when, s)
			}
		}
		ended("at the end")
		r.powerCut()
		r.boot()
		ended("after a restart")
		r.press()
		r.want(shown)
		r.after(2 * time.Hour)
		ended("when nobody claims")
		code = r.generate()
		id = r.claim(code)
		if !r.byCode(code) {
			t.Fatal("false")
		}
		if s := r.want(provisioned); s.Error != "" || s.MachineID != id {
			t.Errorf("status %+v", s)
		}
	})
}
