package provision_test

import (
	"bytes"
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mecha-org/mecha-agent/gateway"
	"github.com/mecha-org/mecha-agent/provision"
	"github.com/mecha-org/mecha-agent/provision/provisiontest"
)

// rig is a machine and its gateway. What is on disk outlives a power cut.
type rig struct {
	t        *testing.T
	gw       *provisiontest.Gateway
	vault    *provisiontest.Vault
	sessions *provisiontest.Sessions
	panel    *provisiontest.Panel
	config   provision.Config
	log      *logbook
	seen     []string // codes and device codes, which the log must not hold

	*provision.Provisioner
	cancel context.CancelFunc
	done   chan struct{}
}

type logbook struct {
	mu sync.Mutex
	bytes.Buffer
}

func (l *logbook) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Buffer.Write(b)
}

// run builds a rig in a bubble of its own, and checks what everybody noted once
// test is through. The bubble fails when a goroutine is left.
func run(t *testing.T, test func(r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := &rig{t: t, gw: provisiontest.NewGateway(), vault: &provisiontest.Vault{},
			sessions: &provisiontest.Sessions{}, log: &logbook{}}
		r.vault.Sessions = r.sessions
		r.config = provision.Config{Gateway: r.gw, Vault: r.vault, Sessions: r.sessions,
			Board: gateway.Board{Vendor: "Mecha", Serial: "S-1"},
			Log:   slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug}))}
		t.Cleanup(func() { r.cancel(); <-r.done }) // also when the test gave up
		r.boot()
		test(r)
		r.powerCut()
		if err := r.gw.Close(); err != nil {
			t.Errorf("gateway: %v", err)
		}
		for _, secret := range r.seen {
			if strings.Contains(r.log.String(), secret) {
				t.Errorf("the log holds a code or a secret:\n%s", r.log)
			}
		}
		if strings.Contains(r.log.String(), "outside the table") {
			t.Errorf("a transition outside the table:\n%s", r.log)
		}
	})
}

func (r *rig) boot() {
	r.t.Helper()
	r.panel = &provisiontest.Panel{Sessions: r.sessions}
	r.config.Panel = r.panel
	var err error
	if r.Provisioner, err = provision.New(r.config); err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel, r.done = cancel, make(chan struct{})
	go func(p *provision.Provisioner, done chan struct{}) {
		defer close(done)
		if err := p.Run(ctx); err != nil {
			r.t.Errorf("Run: %v", err)
		}
	}(r.Provisioner, r.done)
	synctest.Wait()
}

// powerCut ends the Provisioner; only vault, sessions and gateway remain.
func (r *rig) powerCut() {
	r.t.Helper()
	r.cancel()
	<-r.done
	if err := r.panel.Close(); err != nil {
		r.t.Errorf("panel: %v", err)
	}
}

func (r *rig) after(d time.Duration) {
	<-time.After(d) // of the bubble: takes no time
	synctest.Wait()
}

func (r *rig) press() {
	r.Press()
	synctest.Wait()
}

// code is what a person reads off the panel.
func (r *rig) code() string {
	r.t.Helper()
	c := r.Status().Code
	if c == "" {
		r.t.Fatalf("no code is shown: %+v", r.Status())
	}
	r.seen = append(r.seen, c)
	if secret := r.sessions.Saved().DeviceCode.Reveal(); secret != "" {
		r.seen = append(r.seen, secret)
	}
	return c
}

func (r *rig) claim(code string) string {
	r.t.Helper()
	id, err := r.gw.Claim(code)
	if err != nil {
		r.t.Fatal(err)
	}
	return id
}

func (r *rig) want(s provision.State) provision.Status {
	r.t.Helper()
	got := r.Status()
	if got.State != s {
		r.t.Fatalf("state %v, want %v: error %q\n%s", got.State, s, got.Error, r.log)
	}
	return got
}

func (r *rig) states(want ...provision.State) {
	r.t.Helper()
	if got := r.panel.States(); !slices.Equal(got, want) {
		r.t.Fatalf("the panel showed %v, want %v", got, want)
	}
}

// generate is a client's GenerateCode.
func (r *rig) generate() string {
	r.t.Helper()
	code, err := r.GenerateCode(r.t.Context())
	if err != nil {
		r.t.Fatalf("GenerateCode: %v", err)
	}
	r.seen = append(r.seen, code)
	return code
}

// byCode is a client's ProvisionByCode, which must succeed as a call.
func (r *rig) byCode(code string) bool {
	r.t.Helper()
	ok, err := r.ProvisionByCode(r.t.Context(), code)
	if err != nil {
		r.t.Fatalf("ProvisionByCode: %v", err)
	}
	return ok
}

func wantKind(t *testing.T, err error, k gateway.Kind) {
	t.Helper()
	if err == nil || gateway.KindOf(err) != k {
		t.Fatalf("error %v of kind %v, want kind %v", err, gateway.KindOf(err), k)
	}
}
