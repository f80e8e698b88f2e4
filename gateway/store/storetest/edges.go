package storetest

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/mecha-org/mecha-agent/gateway"
	"github.com/mecha-org/mecha-agent/gateway/store"
)

func times(h harness) {
	zone := time.FixedZone("far east", 14*60*60)
	for i, at := range []time.Time{
		time.Unix(0, 0),
		time.Date(1969, 7, 20, 20, 17, 40, 0, time.UTC),
		time.Date(2026, 3, 29, 2, 30, 0, 987654321, zone),
		time.Date(2040, 1, 1, 0, 0, 0, 999999999, time.Local), // past 2038
		time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC),      // "no well-defined expiration", RFC 5280 4.1.2.5
	} {
		r := request(fmt.Sprint("CODE", i), fmt.Sprint("key ", i))
		r.Created, r.Expires = at, at.Add(life)
		got := h.byID(h.add(r))
		for what, pair := range map[string][2]time.Time{"Created": {got.Created, r.Created}, "Expires": {got.Expires, r.Expires}} {
			if d := pair[1].Sub(pair[0]); d < 0 || d >= time.Second {
				h.Errorf("%s: %v became %v", what, pair[1], pair[0])
			}
			if pair[0].Location() != time.UTC {
				h.Errorf("%s is in %v, want UTC", what, pair[0].Location())
			}
		}
		if !got.Claimed.IsZero() || !got.TokenExpires.IsZero() || !got.TokenUsed.IsZero() {
			h.Errorf("what has not happened has a time: %+v", got)
		}
		// Expiry is a comparison of instants, whatever the zone.
		_, err := h.RequestByCode(h.Context(), r.Code, at.In(time.FixedZone("far west", -12*60*60)))
		h.want("RequestByCode", err, nil)
	}
}

func oddCharacters(h harness) {
	ctx := h.Context()
	for i, s := range []string{
		"", " ", "'; DROP TABLE requests; --", `"%_\*?`, "a\x00b", "\n\r\t\x1b[31m", "Grüße, 世界 \U0001F916",
		"e\u0301", "\u202e\ufeff", "bad utf-8 \xff\xfe", strings.Repeat("long ", 20_000),
	} {
		r := request("CODE"+s, "key "+s)
		r.Board = gateway.Board{Vendor: s, Model: s + "1", Serial: s + "2", SoC: s + "3", Revision: s + "4", Architecture: s + "5"}
		r.ID = h.add(r)
		same(h, "request", h.byID(r.ID), r)
		got, err := h.Claim(ctx, r.Code, "", "machine "+s, "by "+s, now, r.Expires)
		h.want("Claim", err, nil)
		r.Claimed, r.ClaimedBy, r.MachineID = now, "by "+s, "machine "+s
		same(h, "claimed request", got, r)

		c := certificateOf(r.MachineID, r.KeyFingerprint, fmt.Sprint("serial ", i, s))
		c.PEM = s
		h.addCertificate(r.ID, c)
		gotC, err := h.Certificate(ctx, c.Serial)
		h.want("Certificate", err, nil)
		same(h, "certificate", gotC, c)

		k := store.APIKey{ID: "id " + s, Name: s, Secret: secret(s), Created: now}
		h.want("AddAPIKey", h.AddAPIKey(ctx, k), nil)
		gotK, err := h.APIKey(ctx, k.ID)
		h.want("APIKey", err, nil)
		same(h, "API key", gotK, k)
	}
	for _, m := range h.allMachines() {
		if s := strings.TrimPrefix(m.ID, "machine "); m.Board.Vendor != s || m.KeyFingerprint != "key "+s {
			h.Errorf("machine %q is %+v", m.ID, m)
		}
	}
}

// calls is every method that takes a context, by name, on a store that prepared
// has filled.
func calls(s store.Store, id int64) map[string]func(ctx context.Context) error {
	return map[string]func(ctx context.Context) error{
		"AddRequest":    func(ctx context.Context) error { _, err := s.AddRequest(ctx, request("NEW000", "new")); return err },
		"RequestByCode": func(ctx context.Context) error { _, err := s.RequestByCode(ctx, "ABC123", now); return err },
		"RequestByID":   func(ctx context.Context) error { _, err := s.RequestByID(ctx, id); return err },
		"Claim": func(ctx context.Context) error {
			_, err := s.Claim(ctx, "DEF456", "", "m2", "op", now, now.Add(life))
			return err
		},
		"SetToken":       func(ctx context.Context) error { return s.SetToken(ctx, id, newToken("new"), now) },
		"UseToken":       func(ctx context.Context) error { _, err := s.UseToken(ctx, secret("token"), now); return err },
		"AddCertificate": func(ctx context.Context) error { return s.AddCertificate(ctx, 0, certificateOf("m1", "key", "02")) },
		"Certificate":    func(ctx context.Context) error { _, err := s.Certificate(ctx, "01"); return err },
		"Revoked":        func(ctx context.Context) error { _, err := s.Revoked(ctx, now); return err },
		"Machines":       func(ctx context.Context) error { _, err := s.Machines(ctx, "", 10); return err },
		"Revoke":         func(ctx context.Context) error { _, err := s.Revoke(ctx, "m1", now); return err },
		"AddAPIKey":      func(ctx context.Context) error { return s.AddAPIKey(ctx, store.APIKey{ID: "k2", Created: now}) },
		"APIKey":         func(ctx context.Context) error { _, err := s.APIKey(ctx, "k1"); return err },
		"HasAPIKeys":     func(ctx context.Context) error { _, err := s.HasAPIKeys(ctx); return err },
		"Sweep":          func(ctx context.Context) error { _, err := s.Sweep(ctx, now.Add(100*life)); return err },
	}
}

// prepared makes a store in which every one of calls succeeds, and returns the
// ids of a claimed request and of one that nobody claimed.
func prepared(h harness) (claimed, open int64) {
	r := h.claimed("ABC123", "key", "m1")
	h.setToken(r.ID, "token")
	h.addCertificate(r.ID, certificateOf("m1", "key", "01"))
	open = h.add(request("DEF456", "key 2"))
	h.want("AddAPIKey", h.AddAPIKey(h.Context(), store.APIKey{ID: "k1", Secret: secret("s"), Created: now}), nil)
	return r.ID, open
}

func cancelled(h harness) {
	id, open := prepared(h)
	before := h.byID(id)
	ctx, cancel := context.WithCancel(h.Context())
	cancel()
	for name, call := range calls(h.Store, id) {
		h.want(name+" with a cancelled context", call(ctx), context.Canceled)
	}
	same(h, "the request after calls that were cancelled", h.byID(id), before)
	same(h, "an unclaimed request after calls that were cancelled", h.byID(open).Claimed, time.Time{})
	same(h, "machines", len(h.allMachines()), 1)
	_, err := h.RequestByCode(h.Context(), "NEW000", now)
	h.want("a request that was cancelled", err, store.ErrNotFound)
	// The store goes on.
	_, err = h.Claim(h.Context(), "DEF456", "", "m2", "op", now, now.Add(life))
	h.want("Claim", err, nil)
}

func afterClose(h harness) {
	id, _ := prepared(h)
	h.want("Close", h.Close(), nil)
	for name, call := range calls(h.Store, id) {
		if call(h.Context()) == nil {
			h.Errorf("%s after Close succeeds", name)
		}
	}
	h.want("a second Close", h.Close(), nil)
}
