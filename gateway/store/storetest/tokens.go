package storetest

import (
	"time"

	"github.com/mecha-org/mecha-agent/gateway/store"
)

func token(h harness) {
	want := h.claimed("ABC123", "key", "m1")
	tok := h.setToken(want.ID, "token")
	want.Token, want.TokenExpires, want.Challenge = tok, now.Add(life), newToken("token").Challenge
	same(h, "with its token", h.byID(want.ID), want)
	at := now.Add(time.Minute)
	got, err := h.UseToken(h.Context(), tok, at)
	h.want("UseToken", err, nil)
	want.TokenUsed = at
	same(h, "what UseToken returns", got, want)
	same(h, "what is stored", h.byID(want.ID), want)
	_, err = h.UseToken(h.Context(), tok, at)
	h.want("a token used again", err, store.ErrUsed)
	_, err = h.UseToken(h.Context(), tok, now.Add(10*life))
	h.want("a token used again, late", err, store.ErrUsed)
	same(h, "after the replay", h.byID(want.ID), want)
}

func tokenRefused(h harness) {
	ctx := h.Context()
	set := func(id int64, at time.Time) error {
		return h.SetToken(ctx, id, store.Token{Hash: secret("token"), Expires: at.Add(life)}, at)
	}
	h.want("SetToken without a request", set(99, now), store.ErrNotFound)
	open := h.add(request("ABC123", "key 1"))
	h.want("SetToken before the claim", set(open, now), store.ErrNotFound)
	_, err := h.UseToken(ctx, secret("token"), now)
	h.want("a token that was never handed out", err, store.ErrNotFound)
	_, err = h.UseToken(ctx, store.Hash{}, now)
	h.want("the zero hash", err, store.ErrNotFound)

	r := h.claimed("DEF456", "key 2", "m2")
	h.want("SetToken after the exchange", set(r.ID, r.Expires), store.ErrExpired)
	h.want("SetToken just before its end", set(r.ID, r.Expires.Add(-time.Second)), nil)
	// The token would live on; the exchange does not.
	_, err = h.UseToken(ctx, secret("token"), r.Expires)
	h.want("a token after the exchange", err, store.ErrExpired)

	short := secret("short")
	if err := h.SetToken(ctx, r.ID, store.Token{Hash: short, Expires: now.Add(time.Minute)}, now); err != nil {
		h.Fatal(err)
	}
	_, err = h.UseToken(ctx, short, now.Add(time.Minute))
	h.want("a token at its end", err, store.ErrExpired)
	if !h.byID(r.ID).TokenUsed.IsZero() {
		h.Error("a refused token is marked as used")
	}
	_, err = h.UseToken(ctx, short, now.Add(time.Minute-time.Second))
	h.want("a token just before its end", err, nil)
}

func tokenReplaced(h harness) {
	r := h.claimed("ABC123", "key", "m1")
	first := h.setToken(r.ID, "first")
	second := h.setToken(r.ID, "second")
	_, err := h.UseToken(h.Context(), first, now)
	h.want("the former token", err, store.ErrNotFound)
	_, err = h.UseToken(h.Context(), second, now)
	h.want("the token", err, nil)

	// The answer to the sign request got lost: a new token makes up for it.
	third := h.setToken(r.ID, "third")
	if !h.byID(r.ID).TokenUsed.IsZero() {
		h.Error("a fresh token is marked as used")
	}
	_, err = h.UseToken(h.Context(), second, now)
	h.want("the token before", err, store.ErrNotFound)
	_, err = h.UseToken(h.Context(), third, now)
	h.want("the fresh token", err, nil)

	fourth := h.setToken(r.ID, "fourth")
	h.want("taking the token away", h.SetToken(h.Context(), r.ID, store.Token{Expires: now}, now), nil)
	same(h, "token", h.byID(r.ID).Token, store.Hash{})
	_, err = h.UseToken(h.Context(), fourth, now)
	h.want("the token that was taken away", err, store.ErrNotFound)
	_, err = h.UseToken(h.Context(), store.Hash{}, now)
	h.want("the zero hash", err, store.ErrNotFound)
}

func tokenRevoked(h harness) {
	r := h.claimed("ABC123", "key", "m1")
	tok := h.setToken(r.ID, "token")
	h.revoke("m1", now)
	_, err := h.UseToken(h.Context(), tok, now)
	h.want("the token of a revoked machine", err, store.ErrRevoked)
	if !h.byID(r.ID).TokenUsed.IsZero() {
		h.Error("the refused token is marked as used")
	}
	err = h.SetToken(h.Context(), r.ID, newToken("another"), now)
	h.want("SetToken for a revoked machine", err, store.ErrRevoked)
	same(h, "the token", h.byID(r.ID).Token, tok)
}
