package tpm

import (
	"errors"
	"fmt"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"github.com/mecha-org/mecha-agent/keystore/internal/keyfile"
)

// newParent is the parent of a new key, and the handle to be written down for it:
// the persistent storage root key where there is a fit one, which needs no
// password of the owner, else the owner hierarchy.
func (c *chip) newParent(t transport.TPM) (*parent, tpm2.TPMHandle, error) {
	p, err := c.root(t)
	if err != nil || p != nil {
		return p, srkHandle, err
	}
	p, err = c.parent(t, tpm2.TPMRHOwner)
	return p, tpm2.TPMRHOwner, err
}

// root returns the persistent storage root key, nil when the TPM has none that is
// fit. It is asked for once in the life of a connection.
func (c *chip) root(t transport.TPM) (*parent, error) {
	if c.rootless {
		return nil, nil
	}
	p, err := c.persistent(t, srkHandle)
	if err != nil {
		return nil, err
	}
	if p == nil || !isSRK(&p.public) {
		c.rootless = true
		return nil, nil
	}
	return p, nil
}

// persistent returns a persistent key to be a parent, nil when there is none.
func (c *chip) persistent(t transport.TPM, h tpm2.TPMHandle) (*parent, error) {
	if p := c.parents[h]; p != nil && !p.transient {
		return p, nil
	}
	r, err := c.readPublic(t, h)
	if errors.Is(err, tpm2.TPMRCHandle) {
		return nil, nil
	}
	var public *tpm2.TPMTPublic
	if err == nil {
		public, err = r.OutPublic.Contents()
	}
	if err != nil {
		return nil, fmt.Errorf("reading the persistent key 0x%08x: %w", uint32(h), err)
	}
	return c.keep(h, &parent{handle: h, name: r.Name, public: *public}), nil
}

// parent returns a parent by its handle in key files. A persistent one that is
// gone may come back as the owner's primary key, which it most often is a copy of.
func (c *chip) parent(t transport.TPM, h tpm2.TPMHandle) (*parent, error) {
	if p := c.parents[h]; p != nil {
		return p, nil
	}
	if h != tpm2.TPMRHOwner {
		p, err := c.persistent(t, h)
		if err != nil || p != nil {
			return p, err
		}
		return c.parent(t, tpm2.TPMRHOwner)
	}
	var r *tpm2.CreatePrimaryResponse
	err := c.room(t, func() (err error) {
		r, err = tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHOwner, InPublic: tpm2.New2B(srkTemplate())}.Execute(t)
		return err
	})
	switch {
	case errors.Is(err, tpm2.TPMRCBadAuth), errors.Is(err, tpm2.TPMRCAuthFail):
		return nil, keyfile.WithHint(fmt.Errorf("%w: %w", ErrOwnerAuth, err), hintOwnerAuth)
	case errors.Is(err, tpm2.TPMRCHierarchy):
		return nil, keyfile.WithHint(fmt.Errorf("making the storage root key: %w", err),
			"the owner hierarchy is switched off until the next start: look for it in the firmware's settings")
	case err != nil:
		return nil, fmt.Errorf("making the storage root key: %w", err)
	}
	public, err := r.OutPublic.Contents()
	if err != nil {
		return nil, fmt.Errorf("making the storage root key: %w", err)
	}
	return c.keep(h, &parent{handle: r.ObjectHandle, name: r.Name, public: *public, transient: true}), nil
}

// readPublic reads a persistent key, for which the TPM needs a free place too.
func (c *chip) readPublic(t transport.TPM, h tpm2.TPMHandle) (r *tpm2.ReadPublicResponse, err error) {
	err = c.room(t, func() (err error) {
		r, err = tpm2.ReadPublic{ObjectHandle: h}.Execute(t)
		return err
	})
	return r, err
}

func (c *chip) keep(h tpm2.TPMHandle, p *parent) *parent {
	c.parents[h] = p
	return p
}

// create makes a key below p and loads it. TPM2_CreateLoaded does both at once;
// TPMs of before revision 1.38 do not have it.
func (c *chip) create(t transport.TPM, p *parent, session tpm2.Session, template tpm2.TPMTPublic) (*resident, error) {
	auth := tpm2.AuthHandle{Handle: p.handle, Name: p.name, Auth: session}
	var r *tpm2.CreateLoadedResponse
	err := c.room(t, func() (err error) {
		r, err = tpm2.CreateLoaded{ParentHandle: auth, InPublic: tpm2.New2BTemplate(&template)}.Execute(t)
		return err
	})
	if err == nil {
		k := &resident{blob: blob{public: r.OutPublic, private: r.OutPrivate}, name: r.Name, handle: r.ObjectHandle}
		c.loaded = append(c.loaded, k)
		return k, nil
	}
	if !errors.Is(err, tpm2.TPMRCCommandCode) {
		return nil, unmakeable(err)
	}
	var made *tpm2.CreateResponse
	err = c.room(t, func() (err error) {
		made, err = tpm2.Create{ParentHandle: auth, InPublic: tpm2.New2B(template)}.Execute(t)
		return err
	})
	if err != nil {
		return nil, unmakeable(err)
	}
	return &resident{blob: blob{public: made.OutPublic, private: made.OutPrivate}}, nil
}

func unmakeable(err error) error {
	if errors.Is(err, tpm2.TPMRCCurve) || errors.Is(err, tpm2.TPMRCValue) {
		return keyfile.WithHint(fmt.Errorf("making the key: %w", err), "this TPM may not have the curve: set keystore.curve to P-256")
	}
	return fmt.Errorf("making the key: %w", err)
}
