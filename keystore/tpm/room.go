package tpm

import (
	"errors"
	"slices"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"
	"golang.org/x/sys/unix"
)

// room calls f, and makes room in the TPM as long as f finds none: of our keys the
// one goes that was not used for longest, then what others have left behind, then
// what evidence needs. It gives up when others take the room again and again.
func (c *chip) room(t transport.TPM, f func() error) (err error) {
	for range 16 {
		err = f()
		objects := errors.Is(err, tpm2.TPMRCObjectMemory) || errors.Is(err, tpm2.TPMRCObjectHandles) ||
			errors.Is(err, unix.ENOMEM) // the kernel's resource manager has three places a connection
		sessions := errors.Is(err, tpm2.TPMRCSessionMemory) || errors.Is(err, tpm2.TPMRCSessionHandles)
		switch {
		case objects && len(c.loaded) > 0:
			c.unload(t, c.loaded[0])
		case objects && c.strays(t, transientFirst), sessions && c.strays(t, sessionFirst):
		case objects && c.ek != nil && c.ek.loaded != nil && c.ek.loaded.transient:
			c.dropEK(t)
		case objects && c.ak != nil:
			c.dropAK(t)
		default:
			return err
		}
	}
	return err
}

// The first handles of a kind: TCG TPM 2.0 Library, part 2, section 7.
const (
	sessionFirst   = 0x02000000
	transientFirst = 0x80000000
)

// strays flushes what is loaded and not ours, and says whether that was anything.
// A TPM without a resource manager has one user at a time; what a program that was
// killed left there would stay until the power is cut.
func (c *chip) strays(t transport.TPM, first uint32) bool {
	if c.managed() {
		return false
	}
	all, err := handles(t, first)
	if err != nil {
		return false
	}
	flushed := false
	for _, h := range all {
		if !c.ours(h) {
			flush(t, h)
			flushed = true
		}
	}
	if flushed {
		c.log.Info("flushed what other programs left in the TPM", "tpm", c.path)
	}
	return flushed
}

func (c *chip) ours(h tpm2.TPMHandle) bool {
	for _, p := range c.parents {
		if p.handle == h {
			return true
		}
	}
	return slices.ContainsFunc(c.loaded, func(r *resident) bool { return r.handle == h }) ||
		c.session != nil && c.session.Handle() == h || c.ak != nil && c.ak.handle == h ||
		c.ek != nil && c.ek.loaded != nil && c.ek.loaded.handle == h
}

// handles are those of one kind that the TPM has, up to 64.
func handles(t transport.TPM, first uint32) ([]tpm2.TPMHandle, error) {
	r, err := tpm2.GetCapability{Capability: tpm2.TPMCapHandles, Property: first, PropertyCount: 64}.Execute(t)
	if err != nil {
		return nil, err
	}
	list, err := r.CapabilityData.Data.Handles()
	if err != nil {
		return nil, err
	}
	return list.Handle, nil
}
