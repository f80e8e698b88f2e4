package gatewaytest

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/mecha-org/mecha-agent/gateway"
)

// Fault is one way to go wrong, once unless Times says otherwise.
type Fault struct {
	name  string
	times int

	instead func(*Gateway, http.ResponseWriter, *http.Request) // nothing was done
	answer  func(http.ResponseWriter, gateway.Envelope)        // all was done, the answer suffers
	issue   issue                                              // at Sign only
}

type issue func(ca *CA, pub crypto.PublicKey, machineID string, now time.Time) (gateway.Issued, error)

// Times returns the fault, to be run into n times.
func (f Fault) Times(n int) Fault {
	f.times = n
	return f
}

// Fail lets the next request of a step run into the fault. Several faults of a
// step come one after the other; after the last one all is well again.
func (g *Gateway) Fail(step Step, f Fault) {
	g.t.Helper()
	switch {
	case f.times < 1:
		g.t.Errorf("gatewaytest: the fault %q happens %d times", f.name, f.times)
		return
	case f.issue != nil && step != Sign:
		g.t.Errorf("gatewaytest: the fault %s can happen at %s only", f.name, Sign)
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.faults[step] = append(g.faults[step], f)
}

// nextFault takes one off; the zero Fault means that all is well.
func (g *Gateway) nextFault(step Step) Fault {
	list := g.faults[step]
	if len(list) == 0 {
		return Fault{}
	}
	f := list[0]
	if list[0].times--; list[0].times == 0 {
		g.faults[step] = list[1:]
	}
	return f
}

func instead(name string, f func(*Gateway, http.ResponseWriter, *http.Request)) Fault {
	return Fault{name: name, times: 1, instead: f}
}

func spoiled(name string, f func(http.ResponseWriter, gateway.Envelope)) Fault {
	return Fault{name: name, times: 1, answer: f}
}

func misissued(name string, f issue) Fault { return Fault{name: name, times: 1, issue: f} }

// Refuse answers with an error of kind k, in an envelope.
func Refuse(k gateway.Kind) Fault {
	return instead("Refuse "+k.String(), func(_ *Gateway, w http.ResponseWriter, _ *http.Request) {
		write(w, k.HTTPStatus(), gateway.NewFailure(k, "as the test wants it", nil))
	})
}

// RefuseFor is Refuse with a Retry-After header, in seconds.
func RefuseFor(k gateway.Kind, wait time.Duration) Fault {
	return instead("RefuseFor "+k.String(), func(_ *Gateway, w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", strconv.Itoa(int(wait/time.Second)))
		write(w, k.HTTPStatus(), gateway.NewFailure(k, "as the test wants it", nil))
	})
}

// HTML answers with a page, as proxies (502) and captive portals (200) do.
func HTML(status int) Fault {
	return instead(fmt.Sprintf("HTML %d", status), func(_ *Gateway, w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.WriteHeader(status)
		fmt.Fprintf(w, "<!doctype html><title>%d</title><h1>%s</h1>", status, http.StatusText(status))
	})
}

// NoRoute answers with net/http's own 404, as a server does that never heard of
// the route.
func NoRoute() Fault {
	return instead("NoRoute", func(_ *Gateway, w http.ResponseWriter, r *http.Request) { http.NotFound(w, r) })
}

// Slow gives no answer until the client gives up, or the gateway closes.
func Slow() Fault {
	return instead("Slow", func(g *Gateway, _ http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-g.done:
		}
		panic(http.ErrAbortHandler)
	})
}

// Cut ends the connection when the request was read; nothing was done.
func Cut() Fault {
	return instead("Cut", func(*Gateway, http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
}

// CutAfter does what was asked, then ends the connection instead of telling.
func CutAfter() Fault {
	return spoiled("CutAfter", func(http.ResponseWriter, gateway.Envelope) { panic(http.ErrAbortHandler) })
}

// CutAnswer does what was asked, and ends the connection amid the answer.
func CutAnswer() Fault {
	return spoiled("CutAnswer", func(w http.ResponseWriter, env gateway.Envelope) {
		b := marshal(env)
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", strconv.Itoa(len(b)))
		w.Write(b[:len(b)/2])                 //nolint:errcheck // it is cut anyway
		http.NewResponseController(w).Flush() //nolint:errcheck // as above
		panic(http.ErrAbortHandler)
	})
}

// Truncated does what was asked, and answers with the first half of the JSON as
// if that were all of it.
func Truncated() Fault {
	return spoiled("Truncated", func(w http.ResponseWriter, env gateway.Envelope) {
		b := marshal(env)
		raw(w, b[:len(b)/2])
	})
}

// Odd does what was asked, and answers well, with nulls, numbers and arrays
// where texts belong and whatever may be missing missing. A client must take it.
func Odd() Fault {
	return spoiled("Odd", func(w http.ResponseWriter, env gateway.Envelope) {
		raw(w, fmt.Appendf(nil, `{"success":%t,"status":null,"statusCode":"200","errorCode":[],`+
			`"subErrors":[null,{"field":"a","message":"b"},["c"],7],"payload":%s}`, env.Success, orNull(env.Payload)))
	})
}

// NullPayload does what was asked, and leaves the payload of its success null.
func NullPayload() Fault { return otherPayload("NullPayload", "null") }

// ArrayPayload does what was asked, and answers with an array as payload.
func ArrayPayload() Fault { return otherPayload("ArrayPayload", "[]") }

func otherPayload(name, payload string) Fault {
	return spoiled(name, func(w http.ResponseWriter, env gateway.Envelope) {
		env.Payload = json.RawMessage(payload)
		raw(w, marshal(env))
	})
}

// Huge answers with 2 MiB of JSON.
func Huge() Fault {
	return spoiled("Huge", func(w http.ResponseWriter, env gateway.Envelope) {
		raw(w, append(bytes.Repeat([]byte(" "), 2<<20), marshal(env)...))
	})
}

// WrongKey issues a certificate for the right machine and another key.
func WrongKey() Fault {
	return misissued("WrongKey", func(ca *CA, _ crypto.PublicKey, id string, now time.Time) (gateway.Issued, error) {
		other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return gateway.Issued{}, err
		}
		return ca.Machine(other.Public(), id, now)
	})
}

// OtherMachine issues a certificate with the common name of another machine.
func OtherMachine() Fault {
	return misissued("OtherMachine", func(ca *CA, pub crypto.PublicKey, id string, now time.Time) (gateway.Issued, error) {
		return ca.Machine(pub, id+"-other", now)
	})
}

// Expired issues a certificate that ended a day ago.
func Expired() Fault {
	return misissued("Expired", func(ca *CA, pub crypto.PublicKey, id string, now time.Time) (gateway.Issued, error) {
		return ca.Machine(pub, id, now.Add(-validity-24*time.Hour))
	})
}

// BrokenChain issues a certificate of a CA of the same name, and sends the root
// and the intermediate that it does not lead to.
func BrokenChain() Fault {
	return misissued("BrokenChain", func(ca *CA, pub crypto.PublicKey, id string, now time.Time) (gateway.Issued, error) {
		stranger, err := NewCA(ca.name, now)
		if err != nil {
			return gateway.Issued{}, err
		}
		theirs, err := stranger.Machine(pub, id, now)
		if err != nil {
			return gateway.Issued{}, err
		}
		return gateway.Issued{Cert: theirs.Cert, RootCert: ca.RootPEM(), CABundle: []string{pemOf(ca.intermediate)}}, nil
	})
}

func raw(w http.ResponseWriter, b []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.Write(b) //nolint:errcheck // the client went away
}

func marshal(env gateway.Envelope) []byte {
	b, err := json.Marshal(env)
	if err != nil {
		panic(err) // never: all of it was made here
	}
	return b
}

func orNull(b json.RawMessage) json.RawMessage {
	if b == nil {
		return json.RawMessage("null")
	}
	return b
}
