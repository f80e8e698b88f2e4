package storetest

import (
	"fmt"
	"time"

	"github.com/mecha-org/mecha-agent/gateway"
	"github.com/mecha-org/mecha-agent/gateway/store"
)

func certificate(h harness) {
	r := h.claimed("ABC123", "key", "m1")
	want := certificateOf("m1", "key", "0a1b2c")
	h.addCertificate(r.ID, want)
	got, err := h.Certificate(h.Context(), "0a1b2c")
	h.want("Certificate", err, nil)
	same(h, "certificate", got, want)
	same(h, "serial in the request", h.byID(r.ID).CertificateSerial, "0a1b2c")
	m := h.allMachines()[0]
	same(h, "serial in the machine", m.CertificateSerial, "0a1b2c")
	same(h, "end in the machine", m.CertificateExpires, want.NotAfter)
	same(h, "attestation of the machine", m.Attestation, gateway.TPMProven)
	same(h, "TPM of the machine", m.TPM, tpm("key"))
	_, err = h.Certificate(h.Context(), "ffff")
	h.want("an unknown serial", err, store.ErrNotFound)

	// A device that announced nothing shows its key only now.
	late := h.claimed("DEF456", "", "m2")
	h.addCertificate(late.ID, certificateOf("m2", "late key", "0b"))
	same(h, "key of the late machine", h.allMachines()[1].KeyFingerprint, "late key")
	same(h, "machine of the late key", h.claimed("GHJ789", "late key", "m3").MachineID, "m2")
}

func certificateRenewed(h harness) {
	r := h.claimed("ABC123", "key", "m1")
	h.addCertificate(r.ID, certificateOf("m1", "key", "01"))
	next := certificateOf("m1", "key", "02")
	next.NotAfter = next.NotAfter.Add(24 * time.Hour)
	next.Attestation, next.TPM = gateway.SoftwareKey, gateway.TPM{}
	h.addCertificate(0, next)
	m := h.allMachines()[0]
	same(h, "serial in the machine", m.CertificateSerial, "02")
	same(h, "end in the machine", m.CertificateExpires, next.NotAfter)
	same(h, "attestation of the machine", m.Attestation, gateway.SoftwareKey)
	same(h, "TPM of the machine", m.TPM, gateway.TPM{})
	same(h, "serial in the request", h.byID(r.ID).CertificateSerial, "01")
	_, err := h.Certificate(h.Context(), "01")
	h.want("the former certificate", err, nil)
}

func certificateRefused(h harness) {
	ctx := h.Context()
	r := h.claimed("ABC123", "key", "m1")
	other := h.claimed("DEF456", "key 2", "m2")
	unclaimed := h.add(request("GHJ789", "key 3"))
	h.addCertificate(r.ID, certificateOf("m1", "key", "01"))
	before := h.allMachines()

	if err := h.AddCertificate(ctx, r.ID, certificateOf("m1", "key", "01")); err == nil {
		h.Error("a serial was used twice")
	}
	for what, c := range map[string]struct {
		request int64
		machine string
	}{
		"no such machine":          {0, "m9"},
		"no such request":          {99, "m1"},
		"a request without claim":  {unclaimed, "m1"},
		"another machine's":        {other.ID, "m1"},
		"another machine's in all": {r.ID, "m2"},
	} {
		h.want(what, h.AddCertificate(ctx, c.request, certificateOf(c.machine, "key 4", "02")), store.ErrNotFound)
	}
	h.revoke("m2", now)
	h.want("a revoked machine", h.AddCertificate(ctx, other.ID, certificateOf("m2", "key 5", "02")), store.ErrRevoked)
	h.want("a revoked machine's key", h.AddCertificate(ctx, r.ID, certificateOf("m1", "key 2", "02")), store.ErrRevoked)

	_, err := h.Certificate(ctx, "02")
	h.want("what was refused", err, store.ErrNotFound)
	same(h, "machine", h.allMachines()[0], before[0])
	same(h, "serial in the request", h.byID(r.ID).CertificateSerial, "01")
}

func revoke(h harness) {
	_, err := h.Revoke(h.Context(), "m1", now)
	h.want("no such machine", err, store.ErrNotFound)
	r := h.claimed("ABC123", "key", "m1")
	h.claimed("DEF456", "key 2", "m2")
	h.addCertificate(r.ID, certificateOf("m1", "key", "01"))
	h.addCertificate(0, certificateOf("m2", "key 2", "02"))

	at := now.Add(time.Minute)
	same(h, "time of the first revocation", h.revoke("m1", at), at)
	same(h, "time of the second", h.revoke("m1", at.Add(time.Hour)), at)
	ms := h.allMachines()
	same(h, "revoked machine", ms[0].Revoked, at)
	same(h, "other machine", ms[1].Revoked, time.Time{})
	for serial, want := range map[string]time.Time{"01": at, "02": {}} {
		c, err := h.Certificate(h.Context(), serial)
		h.want("Certificate", err, nil)
		same(h, "revocation of "+serial, c.Revoked, want)
	}
}

func revokedList(h harness) {
	ctx := h.Context()
	all, err := h.Revoked(ctx, now)
	h.want("Revoked", err, nil)
	same(h, "revoked at first", len(all), 0)
	r := h.claimed("ABC123", "key", "m1")
	long, short := certificateOf("m1", "key", "0c"), certificateOf("m1", "key", "0b")
	short.NotAfter = now.Add(time.Hour)
	h.addCertificate(r.ID, long)
	h.addCertificate(0, short)
	h.claimed("DEF456", "key 2", "m2")
	h.addCertificate(0, certificateOf("m2", "key 2", "0a"))
	h.revoke("m1", now)

	long.Revoked, short.Revoked = now, now
	for _, c := range []struct {
		at   time.Time
		want map[store.Certificate]bool
	}{
		{now, map[store.Certificate]bool{long: true, short: true}},
		{short.NotAfter.Add(-time.Second), map[store.Certificate]bool{long: true, short: true}},
		{short.NotAfter, map[store.Certificate]bool{long: true}},
		{long.NotAfter, nil},
	} {
		got, err := h.Revoked(ctx, c.at)
		h.want("Revoked", err, nil)
		same(h, fmt.Sprintf("revoked certificates that end after %v", c.at), len(got), len(c.want))
		for _, g := range got {
			if !c.want[g] {
				h.Errorf("%+v is listed at %v", g, c.at)
			}
		}
	}
}

func machinesByPage(h harness) {
	// "a" < "a-" < "a0" < "b", and upper case first: the order of bytes.
	ids := []string{"B", "a", "a-", "a.", "a0", "a:", "aa", "b", "é"}
	for _, i := range []int{4, 0, 8, 2, 6, 1, 7, 3, 5} {
		h.claimed("C"+ids[i], "key "+ids[i], ids[i])
	}
	for _, limit := range []int{1, 2, 4, len(ids), 100} {
		var got []string
		for after := ""; ; {
			page, err := h.Machines(h.Context(), after, limit)
			h.want("Machines", err, nil)
			if len(page) > limit {
				h.Fatalf("a page of %d has %d machines", limit, len(page))
			}
			if len(page) == 0 {
				break
			}
			for _, m := range page {
				got = append(got, m.ID)
			}
			after = page[len(page)-1].ID
		}
		same(h, fmt.Sprintf("machines by %d", limit), fmt.Sprint(got), fmt.Sprint(ids))
	}
	for _, limit := range []int{0, -1} {
		page, err := h.Machines(h.Context(), "", limit)
		h.want("Machines", err, nil)
		same(h, fmt.Sprintf("machines by %d", limit), len(page), 0)
	}
}

func apiKeys(h harness) {
	ctx := h.Context()
	has, err := h.HasAPIKeys(ctx)
	h.want("HasAPIKeys", err, nil)
	same(h, "HasAPIKeys at first", has, false)
	_, err = h.APIKey(ctx, "k1")
	h.want("APIKey", err, store.ErrNotFound)

	want := store.APIKey{ID: "k1", Name: "the first", Secret: secret("s"), Created: now}
	h.want("AddAPIKey", h.AddAPIKey(ctx, want), nil)
	if err := h.AddAPIKey(ctx, store.APIKey{ID: "k1", Name: "thief", Secret: secret("t"), Created: now}); err == nil {
		h.Error("a key was replaced")
	}
	got, err := h.APIKey(ctx, "k1")
	h.want("APIKey", err, nil)
	same(h, "API key", got, want)
	has, err = h.HasAPIKeys(ctx)
	h.want("HasAPIKeys", err, nil)
	same(h, "HasAPIKeys", has, true)
}
