package provision_test

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/mecha-org/mecha-agent/gateway"
	"github.com/mecha-org/mecha-agent/provision"
	"github.com/mecha-org/mecha-agent/provision/provisiontest"
)

// Whatever persons, clients, operators, gateway, disk and power do, in any
// order: the panel sees only transitions of the table and states that make
// sense (it checks both), the log holds no code (the rig checks), and once
// everything works again, one press leads to an identity.
func TestAnythingInAnyOrder(t *testing.T) {
	edges := map[[2]provision.State]int{}
	for seed := range uint64(150) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			run(t, func(r *rig) { anything(r, rand.New(rand.NewPCG(seed, 1)), edges) })
		})
	}
	for from := provision.Idle; from <= provision.Failed; from++ {
		for to := provision.Idle; to <= provision.Failed; to++ {
			if from.CanBecome(to) && edges[[2]provision.State{from, to}] == 0 {
				t.Logf("%v to %v never happened", from, to)
			}
		}
	}
	if len(edges) < 15 {
		t.Errorf("only %d different transitions in all runs", len(edges))
	}
}

func anything(r *rig, rnd *rand.Rand, edges map[[2]provision.State]int) {
	ops := []provisiontest.Op{"announce", "find manifest", "sign"}
	count := func() {
		states := append([]provision.State{idle}, r.panel.States()...)
		for i := 1; i < len(states); i++ {
			edges[[2]provision.State{states[i-1], states[i]}]++
		}
	}
	disk := &fs.PathError{Op: "write", Path: "x", Err: errors.New("full")}
	for range 60 {
		if c := r.Status().Code; c != "" {
			r.seen = append(r.seen, c)
		}
		switch op := ops[rnd.IntN(len(ops))]; rnd.IntN(14) {
		case 0, 1:
			r.press()
		case 2:
			_, _ = r.GenerateCode(r.t.Context())
		case 3:
			_, _ = r.ProvisionByCode(r.t.Context(), r.Status().Code)
		case 4:
			if rnd.IntN(3) == 0 {
				_, _ = r.Deprovision(r.t.Context())
			}
		case 5, 6:
			_, _ = r.gw.Claim(r.Status().Code)
		case 7:
			r.gw.Script(op, fail(everyKind[rnd.IntN(len(everyKind))]))
		case 8:
			r.gw.Script(op, lost(gateway.Deadline), delay(time.Duration(rnd.IntN(40))*time.Second))
		case 9:
			r.vault.Fail([]string{"Key", "Commit", "Current", "Remove"}[rnd.IntN(4)], disk)
		case 10:
			r.sessions.Fail(disk)
		case 11:
			if rnd.IntN(2) == 0 {
				count()
				r.powerCut()
				r.boot()
			}
		default:
			r.after(time.Duration(rnd.IntN(100)) * time.Second)
		}
	}
	// Use up what is still scripted: all of it is outlived or ends in a press.
	for i := 0; ; i++ {
		r.after(90 * time.Second)
		if r.gw.Close() == nil && r.Status().State == provisioned && r.sessions.Saved() == (gateway.Session{}) {
			break
		}
		if i == 200 {
			r.t.Errorf("it never got an identity: %+v, gateway: %v\n%s", r.Status(), r.gw.Close(), r.log)
			break
		}
		if s := r.Status().State; slices.Contains([]provision.State{idle, failed}, s) {
			r.press()
		} else if s == provisioned {
			_, _ = r.GenerateCode(r.t.Context())
		}
		if c := r.Status().Code; c != "" {
			_, _ = r.gw.Claim(c)
		}
	}
	count()
}

// The table itself: every state can be left, and none leads to itself.
func TestTable(t *testing.T) {
	for s := provision.Idle; s <= provision.Failed; s++ {
		if s.CanBecome(s) {
			t.Errorf("%v leads to itself", s)
		}
		if s != provision.Idle && !s.CanBecome(provision.Idle) {
			t.Errorf("%v: nothing can be removed", s)
		}
	}
	if provision.CodeShown.CanBecome(provision.Signing) || provision.Idle.CanBecome(provision.Signing) {
		t.Error("a claim can be skipped")
	}
}
