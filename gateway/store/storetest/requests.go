package storetest

import (
	"time"

	"github.com/mecha-org/mecha-agent/gateway"
	"github.com/mecha-org/mecha-agent/gateway/store"
)

func addRequest(h harness) {
	want := request("ABC123", "key")
	want.ID = h.add(want)
	if want.ID == 0 {
		h.Error("the id is 0, which stands for no request")
	}
	// What a device does not announce is not taken from it.
	forged := request("DEF456", "other")
	forged.Claimed, forged.ClaimedBy, forged.MachineID = now, "nobody", "m"
	forged.Token, forged.TokenExpires, forged.CertificateSerial = secret("x"), now.Add(life), "01"
	forged.Challenge = newToken("x").Challenge
	plain := request("DEF456", "other")
	plain.ID = h.add(forged)
	if plain.ID == want.ID {
		h.Fatal("two requests have one id")
	}

	for _, r := range []store.Request{want, plain} {
		got, err := h.RequestByCode(h.Context(), r.Code, now)
		h.want("RequestByCode", err, nil)
		same(h, "RequestByCode", got, r)
		same(h, "RequestByID", h.byID(r.ID), r)
	}
	_, err := h.RequestByCode(h.Context(), "NOBODY", now)
	h.want("a code that nobody announced", err, store.ErrNotFound)
	_, err = h.RequestByID(h.Context(), plain.ID+1)
	h.want("an id that is none", err, store.ErrNotFound)
	_, err = h.RequestByID(h.Context(), 0)
	h.want("id 0", err, store.ErrNotFound)

	nobodys := request("GHJ789", "")
	nobodys.DeviceCode, nobodys.TPM, nobodys.EKPublic, nobodys.AKPublic = store.Hash{}, gateway.TPM{}, "", ""
	nobodys.ID = h.add(nobodys)
	same(h, "a request without device code", h.byID(nobodys.ID), nobodys)
}

func takenCode(h harness) {
	first := h.add(request("ABC123", "key 1"))
	second := request("ABC123", "key 2")
	_, err := h.AddRequest(h.Context(), second)
	h.want("the same code, the same moment", err, store.ErrTaken)
	second.Created = now.Add(life - time.Second)
	_, err = h.AddRequest(h.Context(), second)
	h.want("the same code, a second before its end", err, store.ErrTaken)

	// A claimed code stays taken until the exchange is over.
	if _, err := h.Claim(h.Context(), "ABC123", "", "m1", "op", now, now.Add(3*life)); err != nil {
		h.Fatal(err)
	}
	second.Created = now.Add(2 * life)
	_, err = h.AddRequest(h.Context(), second)
	h.want("a code whose exchange goes on", err, store.ErrTaken)
	same(h, "key of the first request", h.byID(first).KeyFingerprint, "key 1")
}

func codeEnd(h harness) {
	id := h.add(request("ABC123", "key"))
	end := now.Add(life)
	_, err := h.RequestByCode(h.Context(), "ABC123", end.Add(-time.Second))
	h.want("a second before the end", err, nil)
	got, err := h.RequestByCode(h.Context(), "ABC123", end)
	h.want("at the end", err, store.ErrExpired)
	same(h, "an expired request by its code", got, store.Request{})
	_, err = h.Claim(h.Context(), "ABC123", "", "m1", "op", end, end.Add(life))
	h.want("a claim at the end", err, store.ErrExpired)
	same(h, "an expired request by its id", h.byID(id).Code, "ABC123")
	if ms := h.allMachines(); len(ms) != 0 {
		h.Errorf("a refused claim made machines: %v", ms)
	}
}

// codeReserved: a code that has ended waits for its own key, and then only is
// anybody's.
func codeReserved(h harness) {
	h.add(request("ABC123", "key 1"))
	end := now.Add(life)
	another := request("ABC123", "key 2")
	for _, at := range []time.Time{end, end.Add(store.Reserved - time.Second)} {
		another.Created, another.Expires = at, at.Add(life)
		_, err := h.AddRequest(h.Context(), another)
		h.want("the code of another key", err, store.ErrTaken)
		_, err = h.RequestByCode(h.Context(), "ABC123", at)
		h.want("the reserved code", err, store.ErrExpired)
	}
	own := request("ABC123", "key 1")
	own.Created, own.Expires = end, end.Add(life)
	id := h.add(own)
	got, err := h.RequestByCode(h.Context(), "ABC123", end)
	h.want("RequestByCode", err, nil)
	same(h, "request of the key's own code", got.ID, id)

	// The same after a claim, from the end of the exchange on.
	end = end.Add(10 * life)
	_, err = h.Claim(h.Context(), "ABC123", "", "m1", "op", own.Created, end)
	h.want("Claim", err, nil)
	another.Created = end.Add(store.Reserved - time.Second)
	_, err = h.AddRequest(h.Context(), another)
	h.want("a code that another key's exchange had", err, store.ErrTaken)
	another.Created = end.Add(store.Reserved)
	h.add(another)
}

func codeUsedAgain(h harness) {
	old := h.add(request("ABC123", "key 1"))
	next := request("ABC123", "key 2")
	next.Created = now.Add(life + store.Reserved)
	next.Expires = next.Created.Add(life)
	id := h.add(next)

	got, err := h.RequestByCode(h.Context(), "ABC123", next.Created)
	h.want("RequestByCode", err, nil)
	same(h, "request of the code", got.ID, id)
	same(h, "the former request by its id", h.byID(old).KeyFingerprint, "key 1")
	r, err := h.Claim(h.Context(), "ABC123", "", "m2", "op", next.Created, next.Expires)
	h.want("Claim", err, nil)
	same(h, "key of what was claimed", r.KeyFingerprint, "key 2")
	if !h.byID(old).Claimed.IsZero() {
		h.Error("the former holder of the code was claimed with it")
	}

	// The same after an exchange that was claimed and ended.
	third := request("ABC123", "key 3")
	third.Created = next.Expires.Add(store.Reserved)
	third.Expires = third.Created.Add(life)
	h.add(third)
	same(h, "machine of the second request", h.byID(id).MachineID, "m2")
}

func claim(h harness) {
	want := request("ABC123", "key")
	want.ID = h.add(want)
	at, until := now.Add(time.Minute), now.Add(time.Hour)
	got, err := h.Claim(h.Context(), "ABC123", "", "machine-1", "operator-1", at, until)
	h.want("Claim", err, nil)
	want.Claimed, want.ClaimedBy, want.MachineID, want.Expires = at, "operator-1", "machine-1", until
	same(h, "what Claim returns", got, want)
	same(h, "what is stored", h.byID(want.ID), want)
	_, err = h.RequestByCode(h.Context(), "ABC123", now.Add(30*time.Minute))
	h.want("a claimed code while the exchange goes on", err, nil)

	ms := h.allMachines()
	if len(ms) != 1 {
		h.Fatalf("machines: %+v, want one", ms)
	}
	m := ms[0]
	same(h, "board of the machine", m.Board, want.Board)
	if m.ID != "machine-1" || m.KeyFingerprint != "key" || !m.Created.Equal(at) ||
		m.CertificateSerial != "" || !m.CertificateExpires.IsZero() || !m.Revoked.IsZero() {
		h.Errorf("machine %+v", m)
	}
}

// claimOfKey: a claim for the key that an operator saw takes no other.
func claimOfKey(h harness) {
	id := h.add(request("ABC123", "key 2"))
	_, err := h.Claim(h.Context(), "ABC123", "key 1", "m1", "op", now, now.Add(life))
	h.want("a claim for another key", err, store.ErrMismatch)
	if !h.byID(id).Claimed.IsZero() || len(h.allMachines()) != 0 {
		h.Error("the refused claim was stored")
	}
	r, err := h.Claim(h.Context(), "ABC123", "key 2", "m1", "op", now, now.Add(life))
	h.want("a claim for the key", err, nil)
	same(h, "machine", r.MachineID, "m1")
	_, err = h.Claim(h.Context(), "ABC123", "key 1", "m2", "op", now, now.Add(life))
	h.want("a second claim, for another key", err, store.ErrClaimed)

	nobodys := request("DEF456", "")
	nobodys.DeviceCode, nobodys.TPM, nobodys.EKPublic, nobodys.AKPublic = store.Hash{}, gateway.TPM{}, "", ""
	h.add(nobodys)
	_, err = h.Claim(h.Context(), "DEF456", "key 1", "m3", "op", now, now.Add(life))
	h.want("a claim for a key where there is none", err, store.ErrMismatch)
}

func claimRefused(h harness) {
	_, err := h.Claim(h.Context(), "NOBODY", "", "m1", "op", now, now.Add(life))
	h.want("an unknown code", err, store.ErrNotFound)
	first := h.claimed("ABC123", "key", "m1")
	_, err = h.Claim(h.Context(), "ABC123", "", "m2", "another", now, now.Add(2*life))
	h.want("a claimed code", err, store.ErrClaimed)
	same(h, "the first claim", h.byID(first.ID), first)

	h.add(request("DEF456", "another key"))
	_, err = h.Claim(h.Context(), "DEF456", "", "m1", "op", now, now.Add(life))
	if err == nil {
		h.Error("two keys have one machine id")
	}
	if r := h.byID(first.ID + 1); !r.Claimed.IsZero() {
		h.Errorf("a refused claim left %+v", r)
	}
	same(h, "machines", len(h.allMachines()), 1)
}

func claimKnownKey(h harness) {
	h.claimed("ABC123", "key", "m1")
	again := request("DEF456", "key")
	again.Board.Revision = "2.0"
	h.add(again)
	r, err := h.Claim(h.Context(), "DEF456", "", "m2", "op", now, now.Add(life))
	h.want("Claim", err, nil)
	same(h, "machine", r.MachineID, "m1")
	ms := h.allMachines()
	if len(ms) != 1 {
		h.Fatalf("machines: %+v, want one", ms)
	}
	same(h, "board of the machine", ms[0].Board, again.Board)

	// Once it has changed its key, the former key is nobody's.
	h.addCertificate(r.ID, certificateOf("m1", "new key", "01"))
	same(h, "machine of the new key", h.claimed("GHJ789", "new key", "m3").MachineID, "m1")
	same(h, "machine of the former key", h.claimed("KMN123", "key", "m4").MachineID, "m4")
}

func claimWithoutKey(h harness) {
	a := h.claimed("ABC123", "", "m1")
	b := h.claimed("DEF456", "", "m2")
	same(h, "first machine", a.MachineID, "m1")
	same(h, "second machine", b.MachineID, "m2")
	h.revoke("m1", now)
	same(h, "third machine", h.claimed("GHJ789", "", "m3").MachineID, "m3")
}

func claimRevokedKey(h harness) {
	r := h.claimed("ABC123", "first key", "m1")
	h.addCertificate(r.ID, certificateOf("m1", "first key", "01"))
	h.addCertificate(0, certificateOf("m1", "second key", "02"))
	h.revoke("m1", now)
	for code, key := range map[string]string{"DEF456": "first key", "GHJ789": "second key"} {
		id := h.add(request(code, key))
		_, err := h.Claim(h.Context(), code, "", "m2", "op", now, now.Add(life))
		h.want("a claim for the "+key+" of a revoked machine", err, store.ErrRevoked)
		if !h.byID(id).Claimed.IsZero() {
			h.Error("the refused claim was stored")
		}
	}

	// A machine that never got a certificate is revoked all the same.
	h.claimed("KMN123", "third key", "m3")
	h.revoke("m3", now)
	h.add(request("PQR456", "third key"))
	_, err := h.Claim(h.Context(), "PQR456", "", "m4", "op", now, now.Add(life))
	h.want("a claim for the key of a machine revoked early", err, store.ErrRevoked)
	same(h, "machines", len(h.allMachines()), 2)
}

func sweep(h harness) {
	h.add(request("DEAD00", "key 1"))
	long := request("LATER0", "key 2")
	long.Expires = now.Add(10 * life)
	later := h.add(long)
	done := h.claimed("DNE000", "key 3", "m1")
	replaced := h.add(request("DEAD11", "key 4"))
	again := request("DEAD11", "key 5")
	again.Created, again.Expires = now.Add(life+store.Reserved), now.Add(10*life+store.Reserved)
	kept := h.add(again)

	n, err := h.Sweep(h.Context(), now.Add(life))
	h.want("Sweep", err, nil)
	same(h, "swept at the moment they end", n, 0)
	n, err = h.Sweep(h.Context(), now.Add(life+time.Second))
	h.want("Sweep", err, nil)
	same(h, "swept", n, 2)
	same(h, "a request that goes on", h.byID(later).Code, "LATER0")
	same(h, "the code's new request", h.byID(kept).KeyFingerprint, "key 5")
	same(h, "a claimed request", h.byID(done.ID), done)
	_, err = h.RequestByID(h.Context(), replaced)
	h.want("an expired request that lost its code", err, store.ErrNotFound)
	_, err = h.RequestByCode(h.Context(), "DEAD00", now.Add(life))
	h.want("a swept code", err, store.ErrNotFound)
	n, err = h.Sweep(h.Context(), now.Add(100*life))
	h.want("Sweep", err, nil)
	same(h, "swept a hundred lives later", n, 2)
	same(h, "a claimed request, then", h.byID(done.ID), done)
	if id := h.add(request("NEW000", "key 6")); id <= kept {
		h.Errorf("id %d was given a second time: an operator may still ask for it", id)
	}
}
