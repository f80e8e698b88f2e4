package storetest

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mecha-org/mecha-agent/gateway/store"
)

// race calls f from many goroutines that start together, and checks that one
// call succeeds and all others get loser.
func race(h harness, loser error, f func(i int) error) {
	h.Helper()
	var wins atomic.Int64
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i := range many {
		wg.Go(func() {
			<-start
			switch err := f(i); {
			case err == nil:
				wins.Add(1)
			case !errors.Is(err, loser):
				h.Errorf("goroutine %d: error %v, want %v", i, err, loser)
			}
		})
	}
	close(start)
	wg.Wait()
	same(h, "winners", wins.Load(), 1)
}

func claimOnce(h harness) {
	id := h.add(request("ABC123", "key"))
	var winner atomic.Value
	race(h, store.ErrClaimed, func(i int) error {
		name := fmt.Sprintf("m%02d", i)
		r, err := h.Claim(h.Context(), "ABC123", "", name, "op-"+name, now, now.Add(life))
		if err == nil {
			winner.Store(r)
		}
		return err
	})
	if h.Failed() {
		return
	}
	r := winner.Load().(store.Request)
	same(h, "stored claim", h.byID(id), r)
	same(h, "operator of the machine", r.ClaimedBy, "op-"+r.MachineID)
	ms := h.allMachines()
	if len(ms) != 1 || ms[0].ID != r.MachineID {
		h.Errorf("machines %+v, want %s alone", ms, r.MachineID)
	}
}

// claimOneKey claims many codes of one device at the same time: they are one
// machine.
func claimOneKey(h harness) {
	for i := range many {
		h.add(request(fmt.Sprintf("CODE%02d", i), "key"))
	}
	var wg sync.WaitGroup
	for i := range many {
		wg.Go(func() {
			_, err := h.Claim(h.Context(), fmt.Sprintf("CODE%02d", i), "", fmt.Sprintf("m%02d", i), "op", now, now.Add(life))
			h.want("Claim", err, nil)
		})
	}
	wg.Wait()
	same(h, "machines", len(h.allMachines()), 1)
}

func announceOnce(h harness) {
	race(h, store.ErrTaken, func(i int) error {
		_, err := h.AddRequest(h.Context(), request("ABC123", fmt.Sprintf("key %d", i)))
		return err
	})
	// And when the code is anybody's again because its time is over.
	race(h, store.ErrTaken, func(i int) error {
		r := request("ABC123", fmt.Sprintf("key %d", i))
		r.Created, r.Expires = r.Created.Add(life+store.Reserved), r.Expires.Add(life+store.Reserved)
		_, err := h.AddRequest(h.Context(), r)
		return err
	})
}

func tokenOnce(h harness) {
	r := h.claimed("ABC123", "key", "m1")
	tok := h.setToken(r.ID, "token")
	race(h, store.ErrUsed, func(i int) error {
		used, err := h.UseToken(h.Context(), tok, now.Add(time.Duration(i)*time.Second))
		if err == nil && used.ID != r.ID {
			h.Errorf("the token is request %d's, not %d's", used.ID, r.ID)
		}
		return err
	})
}

func revokeOnce(h harness) {
	h.claimed("ABC123", "key", "m1")
	var wg sync.WaitGroup
	times := make([]time.Time, many)
	for i := range many {
		wg.Go(func() {
			var err error
			times[i], err = h.Revoke(h.Context(), "m1", now.Add(time.Duration(i)*time.Second))
			h.want("Revoke", err, nil)
		})
	}
	wg.Wait()
	for _, at := range times {
		same(h, "time of the revocation", at, h.allMachines()[0].Revoked)
	}
}

// everythingAtOnce takes many devices through the whole exchange at the same
// time, with readers in between.
func everythingAtOnce(h harness) {
	ctx := h.Context()
	var wg sync.WaitGroup
	for i := range many {
		name := fmt.Sprintf("%02d", i)
		wg.Go(func() {
			id, err := h.AddRequest(ctx, request("CODE"+name, "key "+name))
			h.want("AddRequest", err, nil)
			_, err = h.Claim(ctx, "CODE"+name, "", "m"+name, "op", now, now.Add(life))
			h.want("Claim", err, nil)
			h.want("SetToken", h.SetToken(ctx, id, newToken(name), now), nil)
			r, err := h.UseToken(ctx, secret(name), now)
			h.want("UseToken", err, nil)
			h.want("AddCertificate", h.AddCertificate(ctx, id, certificateOf(r.MachineID, r.KeyFingerprint, "c"+name)), nil)
		})
		wg.Go(func() {
			_, err := h.Machines(ctx, "", many)
			h.want("Machines", err, nil)
			_, err = h.Sweep(ctx, now)
			h.want("Sweep", err, nil)
		})
	}
	wg.Wait()
	for i, m := range h.allMachines() {
		name := fmt.Sprintf("%02d", i)
		if m.ID != "m"+name || m.KeyFingerprint != "key "+name || m.CertificateSerial != "c"+name {
			h.Errorf("machine %d is %+v", i, m)
		}
	}
	same(h, "machines", len(h.allMachines()), many)
}
