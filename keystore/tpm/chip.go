package tpm

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"github.com/mecha-org/mecha-agent/keystore"
)

// chip is a connection to a TPM with what is loaded there: the parents of keys, a
// session salted to one of them, and keys. Whatever the TPM loses (a resource
// manager evicts, an emulator starts anew) is loaded again. One caller at a time.
type chip struct {
	ctx  context.Context
	path string
	dial func(path string) (exchanger, error)
	log  *slog.Logger

	conn     *conn // nil: to be opened
	doubtful bool  // a command has an unknown end: open the connection anew

	parents  map[tpm2.TPMHandle]*parent
	rootless bool         // see root
	session  tpm2.Session // nil: to be started
	loaded   []*resident  // the one used last at the end
	ak       *object      // nil: to be made
	ek       *ek          // nil: not known yet; it outlives the connection
	since    int          // signatures since evidence was last under way
}

// parent is a storage key at work.
type parent struct {
	handle    tpm2.TPMHandle
	name      tpm2.TPM2BName
	public    tpm2.TPMTPublic
	transient bool
}

// resident is a key that is loaded when it is needed. A handle of 0 says that it
// is not.
type resident struct {
	path   string // of its file; "": not there yet
	blob   blob
	name   tpm2.TPM2BName
	origin *origin // nil: nothing is known
	handle tpm2.TPMHandle
}

// bounded is a connection for as long as a context lives.
type bounded struct {
	ctx  context.Context
	conn *conn
}

// Send implements transport.TPM.
func (b bounded) Send(command []byte) ([]byte, error) { return b.conn.send(b.ctx, command) }

// do calls f with a connection, and a second time when the first showed that the
// TPM has lost what was loaded.
func (c *chip) do(ctx context.Context, f func(transport.TPM) error) error {
	level := slog.LevelDebug // another program on the same TPM, mostly
	if c.holds() {
		level = slog.LevelInfo
	}
	for again := false; ; again = true {
		err := c.connect(ctx)
		if err == nil {
			err = f(bounded{ctx, c.conn})
		}
		if err == nil {
			return nil
		}
		if !answered(err) {
			c.doubtful = true
		}
		if again || !lost(err) || ctx.Err() != nil {
			return meaning(err)
		}
		c.log.Log(ctx, level, "the TPM lost what was loaded: loading it anew", "tpm", c.path, "reason", err)
		c.doubtful = true // a device's resource manager forgets with the connection
	}
}

// holds says whether the TPM has something that it could lose.
func (c *chip) holds() bool {
	return c.conn != nil && !c.doubtful && (len(c.parents) > 0 || len(c.loaded) > 0 || c.session != nil || c.ak != nil)
}

// answered says whether the TPM gave an answer that was understood, so that the
// session's nonces and what is loaded are known.
func answered(err error) bool {
	var code tpm2.TPMRC
	if errors.As(err, &code) {
		return true
	}
	for _, verdict := range []error{ErrCleared, ErrReplaced, keystore.ErrDamaged, errKeyClosed} {
		if errors.Is(err, verdict) {
			return true
		}
	}
	return false
}

// lost says whether an error is one of those that a TPM gives which started anew,
// or whose resource manager evicted what was loaded: handles and sessions that it
// does not know, or that are somebody else's by now. That another TPM made a key is
// none of them, whatever code it was seen by.
func lost(err error) bool {
	if errors.Is(err, ErrGone) {
		return true
	}
	if errors.Is(err, keystore.ErrLost) || errors.Is(err, ErrOwnerAuth) || errors.Is(err, ErrEndorsementAuth) {
		return false
	}
	var code tpm2.TPMRC
	if !errors.As(err, &code) {
		return false
	}
	if code >= tpm2.TPMRCReferenceH0 && code <= tpm2.TPMRCReferenceS6 {
		return true
	}
	var detail tpm2.TPMFmt1Error
	if !errors.As(code, &detail) {
		return false
	}
	handle, _ := detail.Handle()
	session, _ := detail.Session()
	return handle || session && (errors.Is(code, tpm2.TPMRCAuthFail) || errors.Is(code, tpm2.TPMRCBadAuth) ||
		errors.Is(code, tpm2.TPMRCHandle) || errors.Is(code, tpm2.TPMRCValue) || errors.Is(code, tpm2.TPMRCNonce))
}

func (c *chip) connect(ctx context.Context) error {
	if c.conn != nil && c.doubtful {
		if err := c.conn.idle(ctx); err != nil {
			return err
		}
		_ = c.conn.Close() // nothing is lost with it
		c.conn = nil
	}
	if c.conn != nil {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	to, err := c.dial(c.path)
	if err != nil {
		return err
	}
	c.forget()
	c.conn, c.doubtful = newConn(c.ctx, c.path, to), false
	return nil
}

// forget takes all that was loaded for lost.
func (c *chip) forget() {
	c.parents = make(map[tpm2.TPMHandle]*parent)
	c.rootless, c.session, c.ak = false, nil, nil
	if c.ek != nil {
		c.ek.here, c.ek.loaded = false, nil
	}
	for _, r := range c.loaded {
		r.handle = 0
	}
	c.loaded = nil
}

// close frees what is loaded and the connection, within closeTimeout each.
func (c *chip) close() error {
	if c.conn == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.ctx), closeTimeout)
	defer cancel()
	if t := (bounded{ctx, c.conn}); !c.doubtful && !c.managed() {
		for len(c.loaded) > 0 {
			c.unload(t, c.loaded[0])
		}
		for _, p := range c.parents {
			if p.transient {
				flush(t, p.handle)
			}
		}
		c.dropEK(t)
		c.dropAK(t)
		if c.session != nil {
			flush(t, c.session.Handle())
		}
	}
	c.forget()
	return c.conn.Close()
}

// managed says whether the kernel's resource manager stands before the TPM: it
// flushes by itself when the connection ends, and shows nobody else's objects.
func (c *chip) managed() bool { return strings.HasPrefix(filepath.Base(c.path), "tpmrm") }

func flush(t transport.TPM, h tpm2.TPMHandle) {
	_, _ = tpm2.FlushContext{FlushHandle: h}.Execute(t) // one that is gone already is as good
}

// auth returns the session that authorises with an empty password. It is salted to
// a parent, so that nobody on the bus can change a command or a response, and
// encrypts what is sent. It is started once: what it costs is one command.
func (c *chip) auth(t transport.TPM, p *parent) (tpm2.Session, error) {
	if c.session != nil {
		return c.session, nil
	}
	err := c.room(t, func() (err error) {
		c.session, _, err = tpm2.HMACSession(t, tpm2.TPMAlgSHA256, 16,
			tpm2.Salted(p.handle, p.public), tpm2.AESEncryption(128, tpm2.EncryptIn))
		return err
	})
	if err != nil {
		c.session = nil
	}
	return c.session, err
}

// load makes the key ready to be used, and returns the session to use it with.
func (c *chip) load(t transport.TPM, r *resident) (tpm2.Session, error) {
	if r.handle != 0 && c.session != nil {
		c.touch(r)
		return c.session, nil
	}
	p, err := c.parent(t, r.blob.parent)
	if err != nil {
		return nil, err
	}
	if r.origin != nil && !bytes.Equal(r.origin.SRK, p.name.Buffer) {
		return nil, c.foreign(t, r)
	}
	session, err := c.auth(t, p)
	if err != nil || r.handle != 0 {
		return session, err
	}
	var response *tpm2.LoadResponse
	err = c.room(t, func() (err error) {
		response, err = tpm2.Load{
			ParentHandle: tpm2.AuthHandle{Handle: p.handle, Name: p.name, Auth: session},
			InPrivate:    r.blob.private, InPublic: r.blob.public,
		}.Execute(t)
		return err
	})
	if err != nil {
		return nil, c.unreadable(t, r, err)
	}
	r.handle, r.name = response.ObjectHandle, response.Name
	c.loaded = append(c.loaded, r)
	c.settle(t)
	return session, nil
}

// settle flushes a parent that was made for a key which is loaded now, behind the
// kernel's resource manager: that one loads, saves and flushes all that a
// connection holds with each command (tpm2_load_space and tpm2_save_space in
// drivers/char/tpm/tpm2-space.c): a signature is six commands of the TPM then, and
// nine with a parent that it does not need (measured: docs/tpm.md). Elsewhere it
// stays: making it anew is dear.
func (c *chip) settle(t transport.TPM) {
	if !c.managed() {
		return
	}
	for h, p := range c.parents {
		if p.transient {
			flush(t, p.handle)
			delete(c.parents, h)
		}
	}
}

func (c *chip) touch(r *resident) {
	if i := slices.Index(c.loaded, r); i >= 0 && i < len(c.loaded)-1 {
		c.loaded = append(slices.Delete(c.loaded, i, i+1), r)
	}
}

func (c *chip) unload(t transport.TPM, r *resident) {
	if i := slices.Index(c.loaded, r); i >= 0 {
		c.loaded = slices.Delete(c.loaded, i, i+1)
		flush(t, r.handle)
	}
	r.handle = 0
}
