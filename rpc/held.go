package rpc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/mecha-org/mecha-agent/gateway"
)

// heldCredential is an opened identity with those who use it: this cache,
// handshakes, and signatures that outlive theirs. The last one closes it.
type heldCredential struct {
	*MachineCredential
	changed <-chan struct{}
	dropped chan struct{} // closed when the cache has let go of it
	users   int           // machineTLS.mu is held
}

// refusal is why there is nothing to serve with.
type refusal struct {
	err     error
	changed <-chan struct{}
	until   time.Time
}

// acquire returns the identity in use, to be released. When it has to be opened,
// all handshakes wait for one opening.
func (m *machineTLS) acquire(ctx context.Context) (*heldCredential, error) {
	for {
		m.mu.Lock()
		switch h := m.held; {
		case m.closed:
			m.mu.Unlock()
			return nil, net.ErrClosed
		case h != nil && !isClosed(h.changed):
			h.users++
			m.mu.Unlock()
			return h, nil
		case m.refusal.err != nil && !isClosed(m.refusal.changed) && time.Now().Before(m.refusal.until):
			m.mu.Unlock()
			return nil, m.refusal.err
		}
		opening := m.opening
		if opening == nil {
			opening = make(chan struct{})
			m.opening = opening
			go m.open(opening)
		}
		m.mu.Unlock()
		select {
		case <-opening:
		case <-ctx.Done():
			return nil, fmt.Errorf("opening the machine's identity: %w", ctx.Err())
		}
		if err := ctx.Err(); err != nil { // it changes faster than it can be opened
			return nil, fmt.Errorf("opening the machine's identity: %w", err)
		}
	}
}

// open opens the identity in use and has all who wait look again.
func (m *machineTLS) open(opening chan struct{}) {
	defer close(opening)
	ctx, cancel := context.WithTimeout(context.Background(), openTime)
	defer cancel()
	changed := m.id.Changed() // before the opening: what changes in between is seen
	c, err := m.id.Open(ctx)
	if err == nil && m.callers == nil && c.Roots == nil {
		// Without a pool crypto/tls would take whom the system trusts.
		err = errors.Join(errors.New("the identity has no root"), c.Close())
	}
	m.mu.Lock()
	m.opening, m.refusal = nil, refusal{}
	old := m.held // outdated, and not dropped yet
	if err != nil {
		m.refusal = refusal{err, changed, time.Now().Add(retryTime)}
		m.held = nil
	} else {
		m.held = &heldCredential{MachineCredential: c, changed: changed, dropped: make(chan struct{}), users: 1}
		go m.dropWhenChanged(m.held)
	}
	m.mu.Unlock()
	m.dropped(old)
	m.tellOpened(c, err)
}

// dropWhenChanged lets go of a key that is in use no more, also when no
// further connection comes.
func (m *machineTLS) dropWhenChanged(h *heldCredential) {
	select {
	case <-h.changed:
	case <-m.done:
	case <-h.dropped:
	}
	m.drop(h)
}

// drop takes h out of the cache: the next handshake opens the identity anew.
func (m *machineTLS) drop(h *heldCredential) {
	m.mu.Lock()
	var old *heldCredential
	if m.held == h {
		old, m.held = h, nil
	}
	m.mu.Unlock()
	m.dropped(old)
}

// dropped ends the cache's use of what it held; nil is nothing.
func (m *machineTLS) dropped(old *heldCredential) {
	if old != nil {
		close(old.dropped)
		m.release(old)
	}
}

func (m *machineTLS) retain(h *heldCredential) {
	m.mu.Lock()
	defer m.mu.Unlock()
	h.users++
}

func (m *machineTLS) release(h *heldCredential) {
	m.mu.Lock()
	h.users--
	last := h.users == 0
	m.mu.Unlock()
	if !last {
		return
	}
	if err := h.Close(); err != nil {
		m.log.Debug("closing the machine's key", "error", err)
	}
}

// close lets go of the key, once the last handshake has ended.
func (m *machineTLS) close() {
	m.mu.Lock()
	old := m.held
	m.held = nil
	if !m.closed {
		m.closed = true
		close(m.done)
	}
	m.mu.Unlock()
	m.dropped(old)
}

// tellOpened tells of the state, not of the connection: whoever scans ports does
// not fill the log.
func (m *machineTLS) tellOpened(c *MachineCredential, err error) {
	switch {
	case errors.Is(err, ErrNoIdentity):
		m.tell("no identity", slog.LevelWarn, "TLS connections are refused until the machine has an identity",
			"error", err, "hint", "the Unix socket (server.socket) works all the same: mecha-agent provision")
	case err != nil:
		m.tell("unopened", slog.LevelWarn, "TLS connections are refused: the machine's identity cannot be opened",
			"error", err, "hint", gateway.HintOf(err))
	default:
		leaf, level := c.Certificate.Leaf, slog.LevelInfo
		if !time.Now().Before(leaf.NotAfter) {
			level = slog.LevelWarn // served all the same: whether it counts is the caller's to say
		}
		m.tell("serving "+leaf.SerialNumber.Text(16), level, "TLS connections are served with the machine's identity",
			"machine", leaf.Subject.CommonName, "until", leaf.NotAfter.UTC().Format(time.RFC3339))
	}
}

// tell logs a state when it is another than the last. One that comes and goes is
// told once in a while.
func (m *machineTLS) tell(state string, level slog.Level, text string, args ...any) {
	m.mu.Lock()
	now := time.Now()
	last, before := m.told[state]
	news := state != m.state && (!before || now.Sub(last) >= quietTime)
	m.state = state
	if news {
		m.told[state] = now
	}
	m.mu.Unlock()
	if news {
		m.log.Log(context.Background(), level, text, args...)
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
