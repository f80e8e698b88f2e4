package doctor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"github.com/mecha-org/mecha-agent/board"
	"github.com/mecha-org/mecha-agent/board/hosttest"
	"github.com/mecha-org/mecha-agent/keystore/choose"
	"github.com/mecha-org/mecha-agent/keystore/tpm"
	"github.com/mecha-org/mecha-agent/settings"
)

// noon is the clock of these tests.
var noon = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

var errNoAgent = errors.New("no agent")

// healthy is a machine on which all is well but for what it does not have: an agent
// that runs, an identity, a panel, a TPM.
func healthy(t *testing.T) *patient {
	t.Helper()
	c := settings.DefaultAgent()
	c.Provisioning.ServerURL = "https://gw.example:3000"
	p := &c.Provisioning.Paths
	dir := t.TempDir()
	p.Machine.PrivateKey, p.Machine.CSR, p.Machine.Cert = dir+"/key", dir+"/csr", dir+"/cert"
	p.CABundle.Cert, p.Root.Cert, p.State = dir+"/bundle", dir+"/root", dir+"/state"
	return &patient{Subject: Subject{Settings: c, File: "/etc/mecha/settings.yml", Board: board.Board{Name: "generic", Model: "Test board"}},
		Env: Env{
			Root: fstest.MapFS{}, User: "mecha", Key: choose.Read,
			Now: func() time.Time { return noon }, Built: noon.AddDate(0, -1, 0),
			Synced:   func() (bool, error) { return true, nil },
			Open:     func(string, int) error { return nil },
			Owner:    func(string) (Owner, error) { return Owner{}, nil },
			Writable: func(string) error { return nil },
			Free:     func(string) (uint64, error) { return 1 << 30, nil },
			InUse:    func(string) bool { return false },
			Resolve:  func(context.Context, string) ([]string, error) { return []string{"192.0.2.1"}, nil },
			Ping:     func(context.Context) error { return nil },
			Agent:    func(context.Context) (Agent, error) { return Agent{}, errNoAgent },
			TPM:      func(context.Context, string) (tpm.Info, error) { return tpm.Info{}, errors.New("no TPM here") },
		}}
}

func agentRuns(a Agent) func(*patient) {
	return func(p *patient) { p.Env.Agent = func(context.Context) (Agent, error) { return a, nil } }
}

// outcome is one way that a check may come out.
type outcome struct {
	name  string
	check func(context.Context, *patient) Finding
	ill   func(*patient)
	want  Result
	found string // part of it
	mend  string // part of it; empty: there must be none
}

func try(t *testing.T, outcomes []outcome) {
	t.Helper()
	for _, o := range outcomes {
		t.Run(o.name, func(t *testing.T) {
			p := healthy(t)
			if o.ill != nil {
				o.ill(p)
			}
			f := o.check(t.Context(), p)
			if f.Result != o.want || !strings.Contains(f.Found, o.found) || !strings.Contains(f.Mend, o.mend) || o.mend == "" && f.Mend != "" || f.Found == "" {
				t.Errorf("%s: %s\nhint: %s", f.Result, f.Found, f.Mend)
			}
		})
	}
}

// wired gives the board the wiring w through a host that opens nothing.
func wired(h *hosttest.Host, b board.Board, w board.Wiring) func(*patient) {
	return func(p *patient) {
		r := &Recorder{Host: h}
		p.Board = b
		p.BoardErr = p.Board.Wire(context.Background(), w, r)
		p.Devices, p.SpareLight = r.Devices, w.SpareLight()
	}
}

func TestRunIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		table := []check{
			{"deaf", func(context.Context, *patient) Finding { <-release; return ok("late") }},
			{"quick", func(context.Context, *patient) Finding { return ok("here") }},
			{"slow", func(ctx context.Context, _ *patient) Finding { <-ctx.Done(); <-release; return ok("late") }},
		}
		var left []string
		start := time.Now()
		got := run(t.Context(), table, &patient{}, func(names []string) { left = append(left, fmt.Sprint(names)) })
		if took := time.Since(start); took != checkLimit {
			t.Errorf("took %v", took)
		}
		close(release)
		if got[0].Result != Fail || got[0].Name != "deaf" || got[1].Result != OK || got[1].Name != "quick" || got[2].Result != Fail {
			t.Errorf("findings %+v", got)
		}
		if Failed(got) != 2 {
			t.Errorf("%d failed", Failed(got))
		}
		if len(left) != 3 || left[0] != "[deaf slow]" || left[2] != "[]" {
			t.Errorf("told %q", left)
		}
	})
}

func TestRunIsInterrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		release := make(chan struct{})
		defer close(release)
		time.AfterFunc(time.Second, cancel)
		got := run(ctx, []check{{"deaf", func(context.Context, *patient) Finding { <-release; return ok("late") }}}, &patient{}, nil)
		if got[0].Result != Skip {
			t.Errorf("finding %+v", got[0])
		}
	})
}

// TestTable: every check has its name once, and all of them say something of a
// machine without settings.
func TestTable(t *testing.T) {
	p := healthy(t)
	p.SettingsErr = errors.New("line 3 is wrong")
	got := Run(t.Context(), p.Subject, p.Env, nil)
	var names []string
	for i, f := range got {
		if i > 0 && f.Result != Skip || f.Found == "" || slices.Contains(names, f.Name) {
			t.Errorf("finding %+v", f)
		}
		names = append(names, f.Name)
	}
	if got[0].Result != Fail || Failed(got) != 1 {
		t.Errorf("settings: %+v, %d failed", got[0], Failed(got))
	}
}

// TestSilentAgent: an agent that does not answer fails nothing but its own check.
func TestSilentAgent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := healthy(t)
		wired(&hosttest.Host{}, p.Board, board.Wiring{})(p)
		p.Env.Agent = func(ctx context.Context) (Agent, error) { <-ctx.Done(); return Agent{}, ctx.Err() }
		for _, f := range Run(t.Context(), p.Subject, p.Env, nil) {
			if f.Result == Fail || f.Name == "agent" && f.Result != Warn {
				t.Errorf("finding %+v", f)
			}
		}
	})
}

// TestSystem asks the machine of the test: whatever it answers, it answers.
func TestSystem(t *testing.T) {
	env, dir := System(), t.TempDir()
	if env.User == "" || env.Now().IsZero() {
		t.Errorf("user %q at %v", env.User, env.Now())
	}
	if err := env.Writable(dir); err != nil {
		t.Error(err)
	}
	if err := env.Writable(dir + "/none"); err == nil {
		t.Error("a folder that is not there can be written")
	}
	if free, err := env.Free(dir); err != nil || free == 0 {
		t.Errorf("%d bytes free, error %v", free, err)
	}
	if o, err := env.Owner(dir); err != nil || o.Group == "" || !o.Member {
		t.Errorf("owner %+v, error %v", o, err)
	}
	if err := env.Open("/dev/null", 0); err != nil {
		t.Error(err)
	}
	if err := env.Open(dir+"/none", 0); err == nil {
		t.Error("a device that is not there can be opened")
	}
	if _, err := env.Synced(); err != nil {
		t.Error(err)
	}
}
