package provision_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mecha-org/mecha-agent/gateway"
	"github.com/mecha-org/mecha-agent/provision"
	"github.com/mecha-org/mecha-agent/provision/provisiontest"
)

func TestNewRefusesHalfAConfig(t *testing.T) {
	whole := provision.Config{Gateway: provisiontest.NewGateway(), Vault: &provisiontest.Vault{}, Sessions: &provisiontest.Sessions{}}
	if _, err := provision.New(whole); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*provision.Config){
		"gateway":     func(c *provision.Config) { c.Gateway = nil },
		"vault":       func(c *provision.Config) { c.Vault = nil },
		"sessions":    func(c *provision.Config) { c.Sessions = nil },
		"code length": func(c *provision.Config) { c.CodeLength = 13 },
		"duration":    func(c *provision.Config) { c.Window = -1 },
	} {
		c := whole
		spoil(&c)
		if _, err := provision.New(c); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func TestRunsOnceAndWithoutPanelOrLog(t *testing.T) {
	run(t, func(r *rig) {
		if r.Run(r.t.Context()) == nil {
			t.Error("Run ran twice")
		}
		r.powerCut()
		c := r.config
		c.Panel, c.Log = nil, nil
		p, err := provision.New(c)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(r.t.Context())
		go p.Run(ctx)
		if _, err := p.GenerateCode(ctx); err != nil {
			t.Error(err)
		}
		cancel()
		synctest.Wait()
	})
}

func TestPing(t *testing.T) {
	run(t, func(r *rig) {
		if err := r.Ping(r.t.Context()); err != nil {
			t.Error(err)
		}
		r.gw.Script("ping", fail(gateway.Unreachable), delay(time.Hour))
		err := r.Ping(r.t.Context())
		wantKind(t, err, gateway.Unreachable)
		if !strings.HasPrefix(err.Error(), "asking the gateway: ") {
			t.Errorf("error %v", err)
		}
		start := time.Now()
		wantKind(t, r.Ping(r.t.Context()), gateway.Deadline)
		if time.Since(start) != provision.DefaultCallTimeout {
			t.Errorf("it took %v", time.Since(start))
		}
	})
}

func TestCodesThatAreRefused(t *testing.T) {
	run(t, func(r *rig) {
		ask := func(code string) error {
			ok, err := r.ProvisionByCode(r.t.Context(), code)
			if ok {
				t.Errorf("true for %q", code)
			}
			return err
		}
		for _, bad := range []string{"", "abc", "ABCDEU", strings.Repeat("A", 13)} {
			wantKind(t, ask(bad), gateway.BadRequest)
		}
		err := ask("ABC123")
		wantKind(t, err, gateway.Precondition)
		if !strings.Contains(err.Error(), "no code was generated") || gateway.HintOf(err) == "" {
			t.Errorf("error %v", err)
		}
		old := r.generate()
		code := r.generate()
		err = ask(old)
		wantKind(t, err, gateway.Precondition)
		if !strings.Contains(err.Error(), "no longer on the panel") || strings.Contains(err.Error(), old) {
			t.Errorf("error %v", err)
		}
		if err := ask(strings.ToLower(code[:3]) + " - " + code[3:]); err != nil {
			t.Errorf("as a person types it: %v", err)
		}
	})
}

func TestGenerateCodeThatFailsLeavesEverything(t *testing.T) {
	for _, at := range []provision.State{idle, shown, provisioned, failed} {
		for _, k := range []gateway.Kind{gateway.Unreachable, gateway.Deadline, gateway.Internal, gateway.TooMany, gateway.BadRequest} {
			run(t, func(r *rig) {
				r.bring(at)
				r.healAll()
				before := r.Status()
				r.gw.Script("announce", fail(k))
				_, err := r.GenerateCode(r.t.Context())
				wantKind(t, err, k)
				after := r.Status()
				if after.Error != err.Error() || after.Hint == "" {
					t.Errorf("%v/%v: error %q, hint %q", at, k, after.Error, after.Hint)
				}
				after.Error, after.Hint = before.Error, before.Hint
				if after != before {
					t.Errorf("%v/%v: status %+v, want %+v", at, k, after, before)
				}
				if at == shown { // and the old code still works
					r.claim(before.Code)
					r.after(10 * time.Second)
					r.want(provisioned)
				}
			})
		}
	}
}

// A press that waits for the gateway goes on after a request that failed.
func TestGenerateCodeWhileAnnouncing(t *testing.T) {
	run(t, func(r *rig) {
		down := fail(gateway.Unreachable)
		r.gw.Always("announce", &down)
		r.press()
		_, err := r.GenerateCode(r.t.Context())
		wantKind(t, err, gateway.Unreachable)
		if s := r.want(idle); s.Step == "" {
			t.Error("the announcement has stopped")
		}
		r.gw.Always("announce", nil)
		r.after(time.Minute)
		r.want(shown)
	})
}

func TestClaimIsNotGivenUpForAFreshCode(t *testing.T) {
	for _, at := range []provision.State{claimed, signing} {
		run(t, func(r *rig) {
			r.bring(at)
			n := len(r.gw.Calls("announce"))
			code := r.sessions.Saved().Code
			r.press()
			r.want(at)
			if got := r.generate(); got != code || len(r.gw.Calls("announce")) != n {
				t.Error("the claim was given up")
			}
			r.healAll()
			if !r.byCode(code) {
				t.Error("false")
			}
		})
	}
}

func TestOneRequestWins(t *testing.T) {
	run(t, func(r *rig) {
		slow := delay(time.Second)
		r.gw.Always("announce", &slow)
		for range 3 {
			var mu sync.Mutex
			won, refused := 0, 0
			var wg sync.WaitGroup
			for i := range 50 {
				wg.Go(func() {
					start := time.Now()
					var err error
					switch {
					case i%5 == 4 && i > 5:
						_, err = r.Deprovision(r.t.Context())
					default:
						_, err = r.GenerateCode(r.t.Context())
					}
					mu.Lock()
					defer mu.Unlock()
					switch {
					case err == nil:
						won++
					case gateway.KindOf(err) == gateway.AlreadyRunning && time.Since(start) == 0:
						refused++
					default:
						t.Errorf("after %v: %v", time.Since(start), err)
					}
				})
				if i == 0 {
					synctest.Wait() // the first is at work: all others come too late
				}
			}
			wg.Wait()
			if won != 1 || refused != 49 {
				t.Errorf("%d won, %d were refused", won, refused)
			}
		}
		if n := len(r.gw.Calls("announce")); n != 3 {
			t.Errorf("%d announcements, want 3", n)
		}
	})
}

// Everything at once: nothing is lost, nothing hangs, every panel is in order.
func TestEverythingAtOnce(t *testing.T) {
	run(t, func(r *rig) {
		var wg sync.WaitGroup
		for i := range 50 {
			wg.Go(func() {
				for range 20 {
					switch i % 5 {
					case 0:
						r.Press()
					case 1:
						_, _ = r.GenerateCode(r.t.Context())
					case 2:
						_, _ = r.ProvisionByCode(r.t.Context(), r.Status().Code)
					case 3:
						_, _ = r.gw.Claim(r.Status().Code)
					case 4:
						ctx, cancel := context.WithTimeout(r.t.Context(), time.Second)
						for range r.Watch(ctx) {
						}
						cancel()
					}
				}
			})
		}
		wg.Wait()
		r.after(10 * time.Second)
		for r.Status().State != provisioned {
			r.press()
			if c := r.Status().Code; c != "" {
				_, _ = r.gw.Claim(c)
			}
			r.after(10 * time.Second)
		}
	})
}

func TestProvisionByCodeKeepsTheInterval(t *testing.T) {
	run(t, func(r *rig) {
		code := r.generate()
		for range 100 {
			if r.byCode(code) { // the gateway notes a poll that comes too early
				t.Fatal("true")
			}
			r.after(100 * time.Millisecond)
		}
		if n := len(r.gw.Calls("find manifest")); n != 2 {
			t.Errorf("%d polls in 10 s, want 2", n)
		}
	})
}

func TestProvisionByCodeWaitsForTheBackground(t *testing.T) {
	run(t, func(r *rig) {
		r.bring(signing)
		code := r.sessions.Saved().Code
		ctx, cancel := context.WithTimeout(r.t.Context(), time.Second)
		defer cancel()
		_, err := r.ProvisionByCode(ctx, code)
		wantKind(t, err, gateway.Deadline)
		r.want(signing) // it goes on
		if !r.byCode(code) {
			t.Error("false")
		}
	})
}

func TestRequestsEndWithTheirCallerOrWithRun(t *testing.T) {
	run(t, func(r *rig) {
		hang := delay(20 * time.Second)
		r.gw.Always("announce", &hang)
		ctx, cancel := context.WithTimeout(r.t.Context(), time.Second)
		defer cancel()
		_, err := r.GenerateCode(ctx)
		wantKind(t, err, gateway.Deadline)
		r.want(idle)
		errs := make(chan error)
		go func() {
			_, err := r.GenerateCode(r.t.Context())
			errs <- err
		}()
		synctest.Wait()
		start := time.Now()
		r.cancel()
		wantKind(t, <-errs, gateway.Unreachable)
		if time.Since(start) != 0 {
			t.Error("Run's end does not end the request")
		}
	})
}

func TestRequestsWaitForRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, err := provision.New(provision.Config{Gateway: provisiontest.NewGateway(), Vault: &provisiontest.Vault{}, Sessions: &provisiontest.Sessions{}})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = p.GenerateCode(ctx)
		wantKind(t, err, gateway.Deadline)
		go func() { _ = p.Run(ctx) }()
		_, err = p.Deprovision(t.Context())
		if err == nil || errors.Is(err, context.DeadlineExceeded) {
			wantKind(t, err, gateway.Unreachable) // Run's ctx had ended
		}
	})
}

func TestWatch(t *testing.T) {
	run(t, func(r *rig) {
		ctx, cancel := context.WithCancel(r.t.Context())
		quick, slow := r.Watch(ctx), r.Watch(ctx)
		if s := <-quick; s.State != idle {
			t.Errorf("first %+v", s)
		}
		r.press()
		if s := <-quick; s.State != shown || s.Code == "" {
			t.Errorf("second %+v", s)
		}
		r.claim(r.code())
		r.after(10 * time.Second)
		if s := <-slow; s.State != provisioned {
			t.Errorf("the slow reader got %+v, want the latest", s)
		}
		cancel()
		synctest.Wait()
		<-quick
		if _, open := <-quick; open {
			t.Error("open after its context ended")
		}
		if _, open := <-slow; open {
			t.Error("open after its context ended")
		}
		if s, open := <-r.Watch(ctx); !open || s.State != provisioned {
			t.Error("a watch that comes too late gets nothing")
		}
	})
}

// TestCodeEndsWithTheShorterLife: the setting bounds what the gateway grants,
// and the other way round.
func TestCodeEndsWithTheShorterLife(t *testing.T) {
	for _, tt := range []struct{ gateway, agent, want time.Duration }{
		{10 * time.Minute, 5 * time.Minute, 5 * time.Minute},
		{2 * time.Minute, 5 * time.Minute, 2 * time.Minute},
	} {
		run(t, func(r *rig) {
			r.powerCut()
			r.gw.CodeLife, r.config.CodeLife = tt.gateway, tt.agent
			r.boot()
			if _, err := r.GenerateCode(r.t.Context()); err != nil {
				r.t.Fatal(err)
			}
			if s := r.Status(); s.CodeExpires.Sub(s.CodeMade) != tt.want {
				t.Errorf("gateway grants %v, setting is %v: the code stands for %v", tt.gateway, tt.agent, s.CodeExpires.Sub(s.CodeMade))
			}
		})
	}
}
