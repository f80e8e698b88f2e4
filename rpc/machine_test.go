package rpc

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/mecha-org/mecha-agent/gateway/gatewaytest"
	provisioningpb "github.com/mecha-org/mecha-agent/proto/provisioning"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// TestMachineAnswersItsFleet: who shows a certificate of the fleet is served, for
// one signature; nobody else is.
func TestMachineAnswersItsFleet(t *testing.T) {
	m := newMachine(t, "machine-1")
	p := servePort(t, m, "")
	for range 3 {
		p.answers("machine-1")
	}
	if keys := m.keys(); len(keys) != 1 || keys[0].signed.Load() != 3 {
		t.Errorf("%d openings, %d signatures for three connections", len(keys), keys[0].signed.Load())
	}

	other := newMachine(t, "").ca
	stranger, _ := certificate(t, other, "stranger")
	gateway, err := m.ca.Server(gatewaytest.ServerCert{})
	if err != nil {
		t.Fatal(err)
	}
	alone := p.friend
	alone.Certificate = alone.Certificate[:1]
	p.refuses("no certificate")
	p.refuses("another root", stranger)
	p.refuses("a server's certificate", gateway)
	p.refuses("a chain with a gap", alone)
	ended, _ := certificateOf(t, m.ca, "friend", time.Now().Add(-48*time.Hour))
	p.refuses("an ended certificate", ended)

	var answered string
	old := p.client(&answered, p.friend)
	old.MaxVersion = tls.VersionTLS12
	if c, err := tls.Dial("tcp", p.address, old); err == nil {
		c.Close()
		t.Error("TLS 1.2 was spoken")
	}
	c, err := tls.Dial("tcp", p.address, p.client(&answered, p.friend))
	if err == nil { // RFC 9113, 3.2: without ALPN it is no HTTP/2
		_, err = c.Read(make([]byte, 1))
		c.Close()
	}
	if err == nil {
		t.Error("a client without ALPN was served")
	}
}

// TestClientCAInsteadOfTheFleet: with server.client_ca the fleet's own
// certificates open nothing.
func TestClientCAInsteadOfTheFleet(t *testing.T) {
	operators := newMachine(t, "").ca
	p := servePort(t, newMachine(t, "machine-1"), write(t, "ca.pem", operators.RootPEM()))
	operator, _ := certificate(t, operators, "operator")
	if got, err := p.call(operator); err != nil || got != "machine-1" {
		t.Errorf("the operator: %q, %v", got, err)
	}
	p.refuses("a machine of the fleet", p.friend)
}

// TestFleetMayOnlyAsk: a machine of the fleet is told, and changes nothing; a
// holder of server.client_ca's certificates does.
func TestFleetMayOnlyAsk(t *testing.T) {
	operators := newMachine(t, "").ca
	operator, _ := certificate(t, operators, "operator")
	for _, c := range []struct {
		name, clientCA string
		cert           func(*port) tls.Certificate
		change         codes.Code
	}{
		{"machine", "", func(p *port) tls.Certificate { return p.friend }, codes.PermissionDenied},
		{"operator", write(t, "ca.pem", operators.RootPEM()), func(*port) tls.Certificate { return operator }, codes.OK},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := servePort(t, newMachine(t, "machine-1"), c.clientCA)
			var answered string
			conn, err := grpc.NewClient(p.address, grpc.WithTransportCredentials(credentials.NewTLS(p.client(&answered, c.cert(p)))))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			for method, want := range map[string]codes.Code{
				"Ping": codes.OK, "ping": codes.OK, "Status": codes.OK, "status": codes.OK,
				"GenerateCode": c.change, "generateCode": c.change, "ProvisionByCode": c.change, "provisionByCode": c.change,
				"Deprovision": c.change, "deprovision": c.change,
			} {
				// The empty message is every request's and every answer's beginning.
				err := conn.Invoke(t.Context(), "/provisioning.ProvisioningService/"+method, &provisioningpb.Empty{}, &provisioningpb.Empty{})
				if status.Code(err) != want {
					t.Errorf("%s: %v, want %s", method, err, want)
				}
			}
		})
	}
}

// TestHandshakesFollowTheIdentity: none, one, another, none, without a restart.
func TestHandshakesFollowTheIdentity(t *testing.T) {
	m := newMachine(t, "")
	p := servePort(t, m, "")
	for range 5 {
		p.refuses("no identity", p.friend)
	}
	if n := p.log.lines("until the machine has an identity"); n != 1 {
		t.Errorf("five refused connections made %d lines", n)
	}
	m.become("machine-1")
	p.answers("machine-1")

	var answered string
	conn, err := grpc.NewClient(p.address, grpc.WithTransportCredentials(credentials.NewTLS(p.client(&answered, p.friend))))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	running := provisioningpb.NewProvisioningServiceClient(conn)
	goesOn := func(when string) {
		t.Helper()
		if _, err := running.Ping(t.Context(), &provisioningpb.PingRequest{}); err != nil || answered != "machine-1" {
			t.Errorf("%s the running connection is with %q, %v", when, answered, err)
		}
	}
	goesOn("at first")
	m.become("machine-2")
	eventually(t, "the first key is closed without another connection", func() bool { return m.keys()[0].closed.Load() == 1 })
	goesOn("after the change")
	p.answers("machine-2")
	m.become("")
	p.refuses("removed", p.friend)
	goesOn("after the removal")
	eventually(t, "the second key is closed", func() bool { return m.keys()[1].closed.Load() == 1 })
	m.become("machine-3")
	p.answers("machine-3")
	if n := p.log.lines("served with the machine's identity"); n != 3 {
		t.Errorf("three identities made %d lines", n)
	}
	p.stop()
	eventually(t, "the last key is closed at the end", func() bool { return m.keys()[2].closed.Load() == 1 })
	for i, k := range m.keys() {
		if n := k.closed.Load(); n != 1 {
			t.Errorf("key %d was closed %d times", i, n)
		}
	}
}

// TestNoHandshakeIsBehind: from the moment of a change on, nothing begins with what
// stood before.
func TestNoHandshakeIsBehind(t *testing.T) {
	m := newMachine(t, "")
	c := newMachineTLS(m, nil, nil)
	for n := range 100 {
		name := fmt.Sprintf("machine-%d", n)
		m.become(name)
		h, err := c.acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if got := h.Certificate.Leaf.Subject.CommonName; got != name {
			t.Fatalf("%s is behind, it is %s by now", got, name)
		}
		c.release(h)
	}
	c.close()
	for i, k := range m.keys() {
		eventually(t, "every key is closed", func() bool { return k.closed.Load() > 0 })
		if n := k.closed.Load(); n != 1 {
			t.Errorf("key %d was closed %d times", i, n)
		}
	}
	if _, err := c.acquire(t.Context()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after the end: %v", err)
	}
}

// TestKeyFails: the next handshake opens the key anew, and the log stays short.
func TestKeyFails(t *testing.T) {
	m := newMachine(t, "machine-1")
	var gone atomic.Bool
	m.sign = func() error {
		if gone.Load() {
			return errors.New("the TPM does not answer")
		}
		return nil
	}
	p := servePort(t, m, "")
	p.answers("machine-1")
	gone.Store(true)
	for range 5 {
		p.refuses("a key that fails", p.friend)
	}
	if n := len(m.keys()); n != 5 {
		t.Errorf("%d openings for five failures, want one for each", n)
	}
	if n := p.log.lines("does not sign"); n != 1 {
		t.Errorf("five failures made %d lines", n)
	}
	gone.Store(false)
	p.answers("machine-1")
	keys := m.keys()
	for _, k := range keys[:len(keys)-1] {
		if k.closed.Load() != 1 {
			t.Error("a key that failed was not closed once")
		}
	}

	// An identity that cannot be opened is asked again after a while, not by
	// every connection.
	m.set(func() { m.err = errors.New("owner authorisation") })
	m.become("machine-1")
	for range 3 {
		p.refuses("an identity that cannot be opened", p.friend)
	}
	if n := p.log.lines("cannot be opened"); n != 1 {
		t.Errorf("three refused connections made %d lines", n)
	}
	m.set(func() { m.err = nil })
	eventually(t, "it is opened again", func() bool { _, err := p.call(p.friend); return err == nil })
}

// TestIdentityWithoutRoot: the system's roots never decide who may call.
func TestIdentityWithoutRoot(t *testing.T) {
	m := newMachine(t, "machine-1")
	m.rootless = true
	p := servePort(t, m, "")
	p.refuses("no root", p.friend)
	if k := m.keys(); len(k) != 1 || k[0].closed.Load() != 1 || k[0].signed.Load() != 0 {
		t.Error("the key was used, or left open")
	}
}

// TestEndedCertificate: it is shown all the same, the log warns, and it is for the
// caller to refuse it.
func TestEndedCertificate(t *testing.T) {
	m := newMachine(t, "machine-1")
	m.made = time.Now().Add(-48 * time.Hour)
	p := servePort(t, m, "")
	_, err := p.call(p.friend)
	if err == nil || !strings.Contains(err.Error(), "expired") {
		t.Errorf("a caller who looks at the dates: %v", err)
	}
	lenient := &tls.Config{Certificates: []tls.Certificate{p.friend}, InsecureSkipVerify: true, NextProtos: []string{"h2"}}
	c, err := tls.Dial("tcp", p.address, lenient)
	if err != nil {
		t.Fatalf("a caller who does not: %v", err)
	}
	c.Close()
	if n := p.log.lines("level=WARN msg=\"TLS connections are served"); n != 1 {
		t.Errorf("%d warnings", n)
	}
}

// TestSlowKey: a handshake has its time, and what it began with: a key that is
// replaced meanwhile is closed when it has signed.
func TestSlowKey(t *testing.T) {
	m := newMachine(t, "machine-1")
	signing, goOn := make(chan struct{}), make(chan struct{})
	m.sign = func() error {
		signing <- struct{}{}
		<-goOn
		return nil
	}
	p := servePort(t, m, "")
	type answer struct {
		name string
		err  error
	}
	first := make(chan answer, 1)
	go func() {
		name, err := p.call(p.friend)
		first <- answer{name, err}
	}()
	<-signing
	m.set(func() { m.sign = nil })
	m.become("machine-2")
	p.answers("machine-2")
	if m.keys()[0].closed.Load() != 0 {
		t.Error("a key was closed while it signed")
	}
	close(goOn)
	if a := <-first; a.err != nil || a.name != "machine-1" {
		t.Errorf("the handshake that had begun: %q, %v", a.name, a.err)
	}
	eventually(t, "the replaced key is closed", func() bool { return m.keys()[0].closed.Load() == 1 })
}

// TestHangingKey: the handshakes end in time, and when the key wakes up it serves.
func TestHangingKey(t *testing.T) {
	m := newMachine(t, "machine-1")
	goOn := make(chan struct{})
	m.sign = func() error { <-goOn; return nil }
	p := servePortFor(t, m, "", 100*time.Millisecond)
	start := time.Now()
	for range signers + 1 { // one more waits for its turn
		p.refuses("a key that hangs", p.friend)
	}
	if took := time.Since(start); took > handshakeTime {
		t.Errorf("took %v", took)
	}
	if n := m.keys()[0].signed.Load(); n > signers {
		t.Errorf("%d signatures are under way, want %d at the most", n, signers)
	}
	close(goOn)
	eventually(t, "it serves", func() bool { _, err := p.call(p.friend); return err == nil })
	if len(m.keys()) != 1 {
		t.Error("a key that was late was opened anew")
	}
}

// TestManyHandshakes: fifty at once, and each once more, with a key as slow as a TPM's that changes
// meanwhile. All of them are served, and never more than two signatures wait.
func TestManyHandshakes(t *testing.T) {
	m := newMachine(t, "machine-0")
	var at, most atomic.Int32
	var total atomic.Int32
	m.sign = func() error {
		n := at.Add(1)
		defer at.Add(-1)
		for {
			if old := most.Load(); n <= old || most.CompareAndSwap(old, n) {
				break
			}
		}
		if total.Add(1)%10 == 0 {
			m.become(fmt.Sprintf("machine-%d", total.Load()))
		}
		<-time.After(5 * time.Millisecond) // a key's time to sign
		return nil
	}
	p := servePort(t, m, "")
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			for range 2 {
				if name, err := p.call(p.friend); err != nil || !strings.HasPrefix(name, "machine-") {
					t.Errorf("%q, %v", name, err)
				}
			}
		})
	}
	all.Wait()
	if total.Load() != 100 || most.Load() > signers {
		t.Errorf("%d signatures for a hundred connections, %d at once", total.Load(), most.Load())
	}
	p.stop()
	eventually(t, "all keys are closed once", func() bool {
		for _, k := range m.keys() {
			if k.closed.Load() != 1 {
				return false
			}
		}
		return true
	})
	if n := len(m.keys()); n < 2 {
		t.Errorf("%d keys: no change was noticed", n)
	}
}
