package server

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/mecha-org/mecha-agent/gateway"
)

// TestWrongCodes: of 100 wrong codes, tokens or keys from one address those past
// the limit are refused; whoever there has a right secret does not notice, nor
// does another address, and time heals.
func TestWrongCodes(t *testing.T) {
	for name, guess := range map[string]func(f *fixture, c *http.Client, i int) (reply, int){
		"find": func(f *fixture, c *http.Client, i int) (reply, int) {
			return f.call(c, "GET", fmt.Sprintf("%s?code=WR%04d", gateway.RouteFindManifest, i), nil, withBearer("x")), 404
		},
		"device code": func(f *fixture, c *http.Client, i int) (reply, int) {
			return f.call(c, "GET", gateway.RouteFindManifest+"?code=ABC123", nil, withBearer(fmt.Sprint(i))), 404
		},
		"token": func(f *fixture, c *http.Client, i int) (reply, int) {
			return f.call(c, "POST", gateway.RouteSign, gateway.SignBody{RequestType: "Provision", Token: fmt.Sprintf("1.%d", i)}), 401
		},
		"API key": func(f *fixture, c *http.Client, i int) (reply, int) {
			return f.call(c, "GET", gateway.RouteMachines, nil, func(r *http.Request) {
				r.Header.Set(gateway.HeaderAPIKeyID, f.key)
				r.Header.Set(gateway.HeaderAPIKeySecret, fmt.Sprint(i))
			}), 401
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, func(c *Config) { c.Limits.WrongCodes = 10; c.CodeLife = time.Hour })
			d := f.announce("ABC123")
			bad := f.from("127.0.0.2")
			hundredGuesses(t, func(i int) (reply, int) { return guess(f, bad, i) }, "from this address")

			// Everything that a device and an operator do goes on from there.
			d.http = bad
			d.find().want(t, 400, gateway.Pending, "")
			ok[gateway.FindPayload](t, f.call(bad, "GET", gateway.RouteFindRequest+"?code=ABC123", nil, asOperator(f)))
			ok[gateway.ClaimPayload](t, f.call(bad, "POST", gateway.RouteClaim, gateway.ClaimBody{ProvisionCode: "ABC123"}, asOperator(f)))
			d.man = ok[gateway.ManifestPayload](t, d.find())
			ok[gateway.IssuedPayload](t, d.sign(d.body()))

			r, status := guess(f, f.http, 100) // 127.0.0.1
			if r.status != status {
				t.Errorf("another address: %d %s, want %d", r.status, r.rawText, status)
			}
			f.clock.add(wrongWindow)
			if r, status := guess(f, bad, 101); r.status != status {
				t.Errorf("after the window: %d %s, want %d", r.status, r.rawText, status)
			}
		})
	}
}

// hundredGuesses wants the first 10 answered and the others refused.
func hundredGuesses(t *testing.T, guess func(i int) (reply, int), whose string) {
	t.Helper()
	for i := range 100 {
		r, status := guess(i)
		switch {
		case i < 10 && r.status != status:
			t.Fatalf("guess %d: %d %s, want %d", i, r.status, r.rawText, status)
		case i >= 10:
			r.want(t, 429, gateway.TooMany, "too many wrong codes, tokens or keys "+whose)
			if ra := r.header.Get("Retry-After"); ra != "600" {
				t.Fatalf("Retry-After %q, want 600", ra)
			}
		}
	}
}

// TestWrongCodesOfAnOperator: user codes can be guessed, so that past the limit
// the right one is refused too, to that API key and from every address, but not
// to others at the same address.
func TestWrongCodesOfAnOperator(t *testing.T) {
	for name, ask := range map[string]func(f *fixture, c *http.Client, code string) reply{
		"claim": func(f *fixture, c *http.Client, code string) reply {
			return f.call(c, "POST", gateway.RouteClaim, gateway.ClaimBody{ProvisionCode: code}, asOperator(f))
		},
		"lookup": func(f *fixture, c *http.Client, code string) reply {
			return f.call(c, "GET", gateway.RouteFindRequest+"?code="+code, nil, asOperator(f))
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, func(c *Config) { c.Limits.WrongCodes = 10; c.CodeLife = time.Hour })
			d := f.announce("ABC123")
			bad := f.from("127.0.0.2")
			second := ok[gateway.APIKeyPayload](t, f.call(f.http, "POST", gateway.RouteAPIKeys, gateway.APIKeyBody{Name: "second"}, asOperator(f)))
			hundredGuesses(t, func(i int) (reply, int) { return ask(f, bad, fmt.Sprintf("WR%04d", i)), 404 }, "by this API key")

			ask(f, bad, "ABC123").want(t, 429, gateway.TooMany, "by this API key")
			ask(f, f.http, "ABC123").want(t, 429, gateway.TooMany, "by this API key")
			if r, err := f.store.RequestByID(t.Context(), 1); err != nil || !r.Claimed.IsZero() {
				t.Errorf("a guess past the limit claimed the code: %v", err)
			}
			ok[gateway.MachinesPayload](t, f.call(bad, "GET", gateway.RouteMachines, nil, asOperator(f))) // it guesses no code
			d.http = bad
			d.find().want(t, 400, gateway.Pending, "")
			f.call(bad, "GET", gateway.RouteFindManifest+"?code=ABC123", nil, withBearer("x")).want(t, 404, gateway.NotFound, "")
			first := *f
			f.key, f.secr = second.ID, gateway.Secret(second.Secret)
			if r := ask(f, bad, "ABC123"); r.status != 200 {
				t.Errorf("another operator at the same address: %d %s", r.status, r.rawText)
			}
			f.clock.add(wrongWindow)
			if r := ask(&first, bad, "WR9999"); r.status != 404 {
				t.Errorf("after the window: %d %s, want 404", r.status, r.rawText)
			}
		})
	}
}

// TestNoDeviceCodeIsNoGuess: without one nothing can be hit where unannounced
// codes are not served, so that an agent of the original locks nobody out.
func TestNoDeviceCodeIsNoGuess(t *testing.T) {
	f := newFixture(t, func(c *Config) { c.Limits.WrongCodes = 10 })
	f.announce("ABC123")
	for range 50 {
		f.call(f.http, "GET", gateway.RouteFindManifest+"?code=ABC123", nil).want(t, 404, gateway.NotFound, "unknown or expired")
	}
	f.call(f.http, "GET", gateway.RouteFindManifest+"?code=ABC123", nil, withBearer("x")).want(t, 404, gateway.NotFound, "unknown or expired")
}

// TestUnannouncedBehindOneAddress: agents of the original that ask for their codes
// in turn count as often as there are codes; a new one past the limit is refused,
// and those that wait go on and get their machines.
func TestUnannouncedBehindOneAddress(t *testing.T) {
	f := newFixture(t, func(c *Config) { c.Unannounced, c.Limits.WrongCodes = true, 10 })
	find := func(code string) reply { return f.call(f.http, "GET", gateway.RouteFindManifest+"?code="+code, nil) }
	for range 20 {
		for i := range 10 {
			find(fmt.Sprintf("AGNT%d", i)).want(t, 400, gateway.Pending, "")
		}
	}
	f.claim("AGNT3")
	f.claim("NEW000")
	for range 3 {
		find("NEW000").want(t, 429, gateway.TooMany, "from this address")
	}
	ok[gateway.ManifestPayload](t, find("AGNT3"))
	find("AGNT4").want(t, 400, gateway.Pending, "")
	f.clock.add(wrongWindow)
	ok[gateway.ManifestPayload](t, find("NEW000"))
}

// TestGuessesAtOnce: many guesses at the same moment get no more answers than
// one after the other.
func TestGuessesAtOnce(t *testing.T) {
	l := newLimiter(Limits{WrongCodes: 10, PerAddress: 1, Burst: 1, Overall: 1}, (&clock{now: time.Unix(1e9, 0)}).Now)
	from := byAddress(netip.MustParsePrefix("192.0.2.1/32"))
	wrong := errors.New("wrong")
	var wg, asked sync.WaitGroup
	var mu sync.Mutex
	told := 0
	asked.Add(100)
	for range 100 {
		wg.Go(func() {
			early := l.guess(from, "")
			asked.Done()
			asked.Wait() // all of them were let in before the first one is found wrong
			if early == nil && errors.Is(l.miss(from, "", wrong), wrong) {
				mu.Lock()
				defer mu.Unlock()
				told++
			}
		})
	}
	wg.Wait()
	if told != 10 {
		t.Errorf("%d guesses were answered, want 10", told)
	}
}

func TestPerAddressAndOverall(t *testing.T) {
	c := &clock{now: time.Unix(1e9, 0)}
	l := newLimiter(Limits{PerAddress: 2, Burst: 3, Overall: 5, WrongCodes: 1}, c.Now)
	a, b, d := netip.MustParsePrefix("192.0.2.1/32"), netip.MustParsePrefix("192.0.2.2/32"), netip.MustParsePrefix("192.0.2.3/32")
	admit := func(from netip.Prefix, want time.Duration, why string) {
		t.Helper()
		err := l.admit(from)
		var e *gateway.Error
		switch {
		case want == 0 && err != nil:
			t.Errorf("refused: %v", err)
		case want != 0 && (!errors.As(err, &e) || e.RetryAfter != want || e.Error() != why):
			t.Errorf("got %v, want %q after %s", err, why, want)
		}
	}
	for range 3 {
		admit(a, 0, "")
	}
	for range 10 { // takes nothing from the others
		admit(a, 500*time.Millisecond, "too many requests from this address")
	}
	admit(b, 0, "")
	admit(b, 0, "")
	admit(d, 200*time.Millisecond, "the gateway has too many requests at the moment")
	c.add(time.Second)
	admit(a, 0, "")
	admit(d, 0, "")
	if len(l.pace.items) != 3 {
		t.Errorf("%d addresses, want 3", len(l.pace.items))
	}
	c.add(time.Minute)
	l.sweep()
	if len(l.pace.items) != 0 {
		t.Errorf("%d addresses after a quiet minute, want none", len(l.pace.items))
	}
}

func TestNetwork(t *testing.T) {
	for in, want := range map[string]string{
		"192.0.2.7": "192.0.2.7/32", "::ffff:192.0.2.7": "192.0.2.7/32",
		"2001:db8:1:2:3:4:5:6": "2001:db8:1:2::/64", "fe80::1%eth0": "fe80::/64",
	} {
		if got := network(netip.MustParseAddr(in)).String(); got != want {
			t.Errorf("network of %s is %s, want %s", in, got, want)
		}
	}
	if got := remote("@"); got.IsValid() {
		t.Errorf("no address gave %s", got)
	}
}

func TestLRUIsBounded(t *testing.T) {
	c := newLRU[netip.Prefix, int](3)
	at := func(i int) netip.Prefix { return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), 32) }
	for i := range 3 {
		c.put(at(i), i)
	}
	c.get(at(0)) // in use
	c.put(at(3), 3)
	if _, ok := c.get(at(1)); ok || len(c.items) != 3 || c.order.Len() != 3 {
		t.Errorf("the one unseen for longest is still there, %d items", len(c.items))
	}
	if v, ok := c.get(at(0)); !ok || v != 0 {
		t.Error("the one in use was forgotten")
	}
}
