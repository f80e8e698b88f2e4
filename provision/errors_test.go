package provision_test

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mecha-org/mecha-agent/gateway"
	"github.com/mecha-org/mecha-agent/provision"
	"github.com/mecha-org/mecha-agent/provision/provisiontest"
)

func fail(k gateway.Kind) provisiontest.Fault { return provisiontest.Fail(k) }

func lost(k gateway.Kind) provisiontest.Fault {
	f := fail(k)
	f.After = true
	return f
}

func delay(d time.Duration) provisiontest.Fault { return provisiontest.Fault{Delay: d} }

var everyKind = []gateway.Kind{gateway.Internal, gateway.BadRequest, gateway.TooLarge, gateway.Unauthorized,
	gateway.NotFound, gateway.Taken, gateway.Pending, gateway.Precondition, gateway.TooMany,
	gateway.AlreadyRunning, gateway.Unreachable, gateway.Deadline}

// Every kind of error at every step: either the exchange outlives it and ends
// with an identity, or it fails and says at which step and what to do.
func TestEveryKindAtEveryStep(t *testing.T) {
	survives := map[provisiontest.Op][]gateway.Kind{
		"announce":      {gateway.Internal, gateway.Unreachable, gateway.Deadline, gateway.TooMany, gateway.Taken},
		"find manifest": {gateway.Internal, gateway.Unreachable, gateway.Deadline, gateway.TooMany, gateway.Pending, gateway.NotFound},
		"sign":          {gateway.Internal, gateway.Unreachable, gateway.Deadline, gateway.TooMany, gateway.Unauthorized},
	}
	steps := map[provisiontest.Op]string{"announce": "announcing the code",
		"find manifest": "asking for the claim", "sign": "requesting the certificate"}
	for op, survivors := range survives {
		for _, k := range everyKind {
			t.Run(fmt.Sprint(op, "/", k), func(t *testing.T) {
				run(t, func(r *rig) {
					r.gw.Script(op, fail(k))
					r.press()
					r.after(7 * time.Second) // one poll, or one back-off
					if r.Status().State == shown {
						r.claim(r.code())
					}
					r.after(15 * time.Second)
					if slices.Contains(survivors, k) {
						if s := r.want(provisioned); s.Error != "" {
							t.Errorf("an old error is left: %+v", s)
						}
						return
					}
					s := r.want(failed)
					if !strings.HasPrefix(s.Error, steps[op]+": ") || s.Hint == "" || s.Provisioned {
						t.Errorf("status %+v", s)
					}
					if r.sessions.Saved() != (gateway.Session{}) {
						t.Error("the session was not forgotten")
					}
					r.press()
					r.claim(r.code())
					r.after(7 * time.Second)
					r.want(provisioned)
				})
			})
		}
	}
}

func TestGatewayThatRecovers(t *testing.T) {
	run(t, func(r *rig) {
		down := fail(gateway.Internal)
		r.gw.Always("announce", &down)
		r.press()
		r.after(10 * time.Minute)
		s := r.want(idle)
		if s.Error == "" || s.Hint == "" || s.Step != "announcing the code" {
			t.Errorf("the panel does not say so: %+v", s)
		}
		gaps := r.gw.Calls("announce")
		if len(gaps) < 10 || len(gaps) > 60 {
			t.Errorf("%d announcements in 10 minutes of back-off", len(gaps))
		}
		for i := 1; i < len(gaps); i++ {
			if most := min(time.Second<<min(i-1, 10), time.Minute); gaps[i].Sub(gaps[i-1]) > most {
				t.Errorf("wait %d was %v, want at most %v", i, gaps[i].Sub(gaps[i-1]), most)
			}
		}
		r.gw.Always("announce", nil)
		r.after(time.Minute)
		if s := r.want(shown); s.Error != "" || s.Hint != "" {
			t.Errorf("status %+v", s)
		}
		r.gw.Always("find manifest", &down)
		r.after(2 * time.Minute)
		if s := r.want(shown); s.Error == "" {
			t.Error("a failing poll is not told")
		}
		code := r.code()
		_, err := r.ProvisionByCode(r.t.Context(), code)
		wantKind(t, err, gateway.Internal)
		r.gw.Always("find manifest", nil)
		r.after(time.Minute + 10*time.Second)
		if s := r.want(shown); s.Error != "" || s.Code != code {
			t.Errorf("after a good poll: %+v", s)
		}
		r.claim(code)
		r.after(7 * time.Second)
		r.want(provisioned)
	})
}

func TestUnreachableUntilTheWindowIsOver(t *testing.T) {
	run(t, func(r *rig) {
		down := fail(gateway.Unreachable)
		r.gw.Always("announce", &down)
		r.press()
		r.after(time.Hour)
		if s := r.want(idle); s.Step != "" || s.Error == "" {
			t.Errorf("status %+v", s)
		}
		n := len(r.gw.Calls("announce"))
		r.after(time.Hour)
		if len(r.gw.Calls("announce")) != n {
			t.Error("it goes on after the window")
		}
	})
}

func TestSlowDown(t *testing.T) {
	run(t, func(r *rig) {
		told := fail(gateway.SlowDown)
		told.Err.(*gateway.Error).RetryAfter = 40 * time.Second
		r.gw.Script("find manifest", fail(gateway.SlowDown), told, fail(gateway.SlowDown))
		r.press()
		r.after(4 * time.Minute)
		calls := r.gw.Calls("find manifest")
		// 5 s, then 10 s, then the 40 s asked for, then 20 s for good (RFC 8628, section 3.5).
		last := r.gw.Calls("announce")[0]
		for i, c := range calls {
			least := []time.Duration{5, 10, 40, 20}[min(i, 3)] * time.Second
			if gap := c.Sub(last); gap < least || gap > least+max(least/4, 5*time.Second) {
				t.Errorf("wait %d was %v, want %v and a little", i, gap, least)
			}
			last = c
		}
		if len(calls) < 9 {
			t.Errorf("only %d polls", len(calls))
		}
		if s := r.want(shown); s.Error != "" {
			t.Errorf("slowing down is no error: %+v", s)
		}
	})
}

func TestTaken(t *testing.T) {
	run(t, func(r *rig) {
		f := fail(gateway.Taken)
		r.gw.Script("announce", f, f, f, f)
		r.generate()
		r.gw.Script("announce", f, f, f, f, f)
		before := r.Status()
		_, err := r.GenerateCode(r.t.Context())
		wantKind(t, err, gateway.Taken)
		if s := r.want(shown); s.Code != before.Code || s.Error != err.Error() {
			t.Errorf("not as before: %+v", s)
		}
	})
}

func TestLostAnswerOfSign(t *testing.T) {
	run(t, func(r *rig) {
		r.gw.Script("sign", lost(gateway.Unreachable), delay(time.Minute), lost(gateway.Deadline))
		code := r.generate()
		r.claim(code)
		if !r.byCode(code) { // waits for all of it
			t.Fatal("claimed, but false")
		}
		if n := r.gw.Signed(code); n != 3 {
			t.Errorf("signed %d times, want 3", n)
		}
		r.states(idle, shown, claimed, signing, claimed, signing, claimed, signing, claimed, signing, provisioned)
	})
}

func TestGatewayForgetsTheCode(t *testing.T) {
	run(t, func(r *rig) {
		r.press()
		code := r.code()
		r.gw.Drop(code)
		r.after(10 * time.Second)
		r.want(shown)
		if r.code() == code {
			t.Error("the code still stands")
		}
		_, err := r.ProvisionByCode(r.t.Context(), code)
		wantKind(t, err, gateway.Precondition)
	})
}

// A claim is followed beyond the code's life, until the gateway says that it is
// over; without a word from the gateway for an hour.
func TestClaimIsFollowedBeyondTheCodesLife(t *testing.T) {
	for name, ends := range map[string]func(r *rig, code string){
		"certificate": nil,
		"gateway":     func(r *rig, code string) { r.gw.Drop(code); r.after(2 * time.Minute) },
		"an hour":     func(r *rig, _ string) { r.after(46 * time.Minute) },
	} {
		t.Run(name, func(t *testing.T) {
			run(t, func(r *rig) {
				down := fail(gateway.Unreachable)
				r.gw.Always("sign", &down)
				r.config.Window = 2 * time.Hour
				r.powerCut()
				r.boot()
				r.press()
				code := r.code()
				r.after(4*time.Minute + 50*time.Second)
				id := r.claim(code)
				r.after(15 * time.Minute)
				if s := r.Status(); s.State != claimed && s.State != signing || s.Error == "" {
					t.Fatalf("status %+v", s)
				}
				if ends == nil {
					r.gw.Always("sign", nil)
					r.after(2 * time.Minute)
					if s := r.want(provisioned); s.MachineID != id {
						t.Errorf("status %+v", s)
					}
					return
				}
				ends(r, code)
				r.want(shown)
				if r.code() == code {
					t.Error("the claim is still followed")
				}
				_, err := r.ProvisionByCode(r.t.Context(), code)
				wantKind(t, err, gateway.Unreachable)
			})
		})
	}
}

func TestManifestThatMakesNoSense(t *testing.T) {
	for _, m := range []gateway.Manifest{{}, {MachineID: "../etc"}, {MachineID: "a b"}, {MachineID: "ü"},
		{MachineID: strings.Repeat("x", 129)}, {MachineID: "ok", CertSignURL: "@evil.example/"}} {
		run(t, func(r *rig) {
			code := r.generate()
			r.claim(code)
			r.gw.Script("find manifest", provisiontest.Fault{Break: func(a any) { *a.(*gateway.Manifest) = m }})
			_, err := r.ProvisionByCode(r.t.Context(), code)
			wantKind(t, err, gateway.Internal)
			if s := r.want(failed); s.Error != err.Error() || len(r.gw.Calls("sign")) != 0 {
				t.Errorf("status %+v", s)
			}
		})
	}
}

func TestAnnouncementWithoutDeviceCodeIsNotTheOriginalCloud(t *testing.T) {
	run(t, func(r *rig) {
		r.gw.Script("announce", provisiontest.Fault{Break: func(a any) { a.(*gateway.Session).DeviceCode = "" }},
			provisiontest.Fault{Break: func(a any) { a.(*gateway.Session).Expires = time.Now() }})
		for range 2 {
			_, err := r.GenerateCode(r.t.Context())
			wantKind(t, err, gateway.Internal)
			r.want(idle)
		}
	})
}

func TestAnswerThatDoesNotVerify(t *testing.T) {
	run(t, func(r *rig) {
		code := r.generate()
		old := r.claim(code)
		r.byCode(code)
		r.gw.Script("sign", provisiontest.Fault{Break: func(a any) { a.(*gateway.Issued).Cert = "of another" }})
		code = r.generate()
		r.claim(code)
		_, err := r.ProvisionByCode(r.t.Context(), code)
		if !errors.Is(err, provisiontest.ErrUnverified) || !strings.HasPrefix(err.Error(), "storing the identity: ") {
			t.Fatalf("error %v", err)
		}
		if s := r.want(failed); s.MachineID != old || !s.Provisioned {
			t.Errorf("the old identity is gone: %+v", s)
		}
		if _, again := r.ProvisionByCode(r.t.Context(), code); again != err {
			t.Errorf("asked again: %v", again)
		}
		if r.sessions.Saved() != (gateway.Session{}) {
			t.Error("the session was not forgotten")
		}
		r.press()
		r.claim(r.code())
		r.after(10 * time.Second)
		if s := r.want(provisioned); s.MachineID == old {
			t.Errorf("status %+v", s)
		}
	})
}

func TestFullDisk(t *testing.T) {
	full := &fs.PathError{Op: "write", Path: "cert.pem", Err: syscall.ENOSPC}
	wrapped := fmt.Errorf("%w: no space", provision.ErrStorage)
	again := map[string]func(r *rig, code string){
		"press":   func(r *rig, _ string) { r.press(); r.after(7 * time.Second) },
		"request": func(r *rig, code string) { r.byCode(code) },
		"generate": func(r *rig, code string) {
			if got := r.generate(); got != code || !r.byCode(code) {
				r.t.Errorf("another code, or false")
			}
		},
		"restart": func(r *rig, _ string) { r.powerCut(); r.boot(); r.after(7 * time.Second) },
	}
	for name, again := range again {
		for _, cause := range []error{full, wrapped} {
			t.Run(name, func(t *testing.T) {
				run(t, func(r *rig) {
					code := r.generate()
					id := r.claim(code)
					r.vault.Fail("Commit", cause)
					_, err := r.ProvisionByCode(r.t.Context(), code)
					if !errors.Is(err, cause) {
						t.Fatalf("error %v", err)
					}
					if s := r.want(failed); !strings.Contains(s.Hint, "disk") {
						t.Errorf("hint %q", s.Hint)
					}
					again(r, code)
					if s := r.want(provisioned); s.MachineID != id {
						t.Errorf("the claim was lost: %+v", s)
					}
				})
			})
		}
	}
	t.Run("too late", func(t *testing.T) {
		run(t, func(r *rig) {
			r.press()
			code := r.code()
			r.claim(code)
			r.vault.Fail("Commit", full)
			r.after(66 * time.Minute)
			r.want(failed)
			r.press()
			r.want(shown)
			if r.code() == code {
				t.Error("an expired claim was tried again")
			}
		})
	})
	t.Run("session", func(t *testing.T) {
		run(t, func(r *rig) {
			r.sessions.Fail(full, full)
			_, err := r.GenerateCode(r.t.Context())
			if !errors.Is(err, full) || !strings.HasPrefix(err.Error(), "saving the session: ") {
				t.Errorf("error %v", err)
			}
			r.want(idle)
			r.press()
			r.want(failed)
			r.press()
			r.want(shown)
		})
	})
}

// A board that starts in the past takes its certificate once its clock is right:
// the claim waits for it, as long as the gateway does.
func TestClockThatIsBehind(t *testing.T) {
	behind := fmt.Errorf("%w: not yet valid", provision.ErrClock)
	run(t, func(r *rig) {
		code := r.generate()
		id := r.claim(code)
		r.vault.Fail("Commit", behind, behind, behind, behind, behind, behind)
		r.after(10 * time.Second)
		s := r.want(claimed)
		if !strings.HasPrefix(s.Error, "storing the identity: ") || !strings.Contains(s.Hint, "clock") {
			t.Errorf("status %+v", s)
		}
		r.after(10 * time.Minute)
		if s := r.want(provisioned); s.MachineID != id || s.Error != "" || !r.byCode(code) || r.gw.Signed(code) != 7 {
			t.Errorf("signed %d times, status %+v", r.gw.Signed(code), s)
		}
	})
	run(t, func(r *rig) {
		r.vault.Fail("Commit", slices.Repeat([]error{behind}, 1000)...)
		code := r.generate()
		r.claim(code)
		r.after(10 * time.Second)
		r.gw.Drop(code)
		_, err := r.ProvisionByCode(r.t.Context(), code)
		if !errors.Is(err, behind) {
			t.Errorf("error %v", err)
		}
		r.after(time.Second)
		if r.want(shown); r.code() == code {
			t.Error("the claim is still followed")
		}
	})
}

func TestKeyThatCannotBeOpened(t *testing.T) {
	run(t, func(r *rig) {
		broken := errors.New("no TPM")
		r.vault.Fail("Key", broken)
		r.press()
		if s := r.want(failed); s.Error != "opening the key: no TPM" {
			t.Errorf("status %+v", s)
		}
		r.press()
		code := r.code()
		r.claim(code)
		r.vault.Fail("Key", broken)
		r.after(10 * time.Second)
		r.want(failed)
		r.press()
		r.after(7 * time.Second)
		r.want(provisioned)
	})
}

func TestDeprovisionThatFails(t *testing.T) {
	run(t, func(r *rig) {
		code := r.generate()
		r.claim(code)
		r.byCode(code)
		r.vault.Fail("Remove", errors.New("read-only"))
		_, err := r.Deprovision(r.t.Context())
		if err == nil || err.Error() != "removing the identity: read-only" {
			t.Errorf("error %v", err)
		}
		if s := r.want(provisioned); s.Error != err.Error() {
			t.Errorf("status %+v", s)
		}
	})
}

// TestRefusedCodeIsInTheLog: the client that asked knows why; so must who reads
// the log afterwards.
func TestRefusedCodeIsInTheLog(t *testing.T) {
	run(t, func(r *rig) {
		r.gw.Script("announce", fail(gateway.Unreachable))
		if _, err := r.GenerateCode(r.t.Context()); err == nil {
			r.t.Error("no error")
		}
		if text := r.log.String(); !strings.Contains(text, "no code could be announced") || !strings.Contains(text, "kind=unreachable") {
			r.t.Errorf("the log says\n%s", text)
		}
	})
}
