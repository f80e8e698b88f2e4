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

// TestWrongCodes: 100 wrong codes from one address are refused from the limit
// on, right ones too; another address does not notice, and time heals.
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
		"claim": func(f *fixture, c *http.Client, i int) (reply, int) {
			return f.call(c, "POST", gateway.RouteClaim, gateway.ClaimBody{ProvisionCode: fmt.Sprintf("WR%04d", i)}, asOperator(f)), 404
		},
		"lookup": func(f *fixture, c *http.Client, i int) (reply, int) {
			return f.call(c, "GET", fmt.Sprintf("%s?code=WR%04d", gateway.RouteFindRequest, i), nil, asOperator(f)), 404
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
			for i := range 100 {
				r, status := guess(f, bad, i)
				switch {
				case i < 10 && r.status != status:
					t.Fatalf("guess %d: %d %s, want %d", i, r.status, r.rawText, status)
				case i >= 10:
					r.want(t, 429, gateway.TooMany, "too many wrong codes")
					if ra := r.header.Get("Retry-After"); ra != "600" {
						t.Fatalf("Retry-After %q, want 600", ra)
					}
				}
			}
			right := func(c *http.Client) reply {
				return f.call(c, "GET", gateway.RouteFindManifest+"?code=ABC123", nil, withBearer(d.sess.DeviceCode))
			}
			right(bad).want(t, 429, gateway.TooMany, "too many wrong codes")
			f.call(bad, "GET", gateway.RouteMachines, nil, asOperator(f)).want(t, 429, gateway.TooMany, "too many wrong codes")
			right(f.http).want(t, 400, gateway.Pending, "") // 127.0.0.1
			f.claim("ABC123")
			f.clock.add(wrongWindow)
			ok[gateway.ManifestPayload](t, right(bad))
		})
	}
}

// TestGuessesAtOnce: many guesses at the same moment get no more answers than
// one after the other.
func TestGuessesAtOnce(t *testing.T) {
	l := newLimiter(Limits{WrongCodes: 10, PerAddress: 1, Burst: 1, Overall: 1}, (&clock{now: time.Unix(1e9, 0)}).Now)
	from := netip.MustParsePrefix("192.0.2.1/32")
	wrong := errors.New("wrong")
	var wg, asked sync.WaitGroup
	var mu sync.Mutex
	told := 0
	asked.Add(100)
	for range 100 {
		wg.Go(func() {
			early := l.guess(from)
			asked.Done()
			asked.Wait() // all of them were let in before the first one is found wrong
			if early == nil && errors.Is(l.miss(from, wrong), wrong) {
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
	c := newLRU[int](3)
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
