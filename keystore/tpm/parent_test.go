package tpm

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/google/go-tpm/tpm2"

	"github.com/mecha-org/mecha-agent/gateway"
	"github.com/mecha-org/mecha-agent/keystore/tpm/tpmtest"
)

// persist makes a storage root key of the owner persistent.
func persist(t testing.TB, socket string, template tpm2.TPMTPublic) {
	t.Helper()
	c := raw(t, socket)
	r, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHOwner, InPublic: tpm2.New2B(template)}.Execute(c)
	without(t, err)
	_, err = tpm2.EvictControl{Auth: tpm2.TPMRHOwner,
		ObjectHandle:     &tpm2.NamedHandle{Handle: r.ObjectHandle, Name: r.Name},
		PersistentHandle: srkHandle}.Execute(c)
	without(t, err)
	flush(c, r.ObjectHandle)
}

// A persistent key is a parent when it is a storage root key without
// dictionary-attack protection, else the owner's primary key is.
func TestPersistentParent(t *testing.T) {
	guarded := srkTemplate()
	guarded.ObjectAttributes.NoDA = false
	for name, c := range map[string]struct {
		template tpm2.TPMTPublic
		want     tpm2.TPMHandle
	}{
		"fit":       {srkTemplate(), srkHandle},
		"other ECC": {tpm2.ECCSRKTemplate, srkHandle},
		"guarded":   {guarded, tpm2.TPMRHOwner},
		"RSA":       {tpm2.RSASRKTemplate, tpm2.TPMRHOwner},
	} {
		t.Run(name, func(t *testing.T) {
			socket := tpmtest.Start(t)
			persist(t, socket, c.template)
			s := newTestStore(t, Config{Path: socket})
			path := newKeyPath(t)
			without(t, create(t, s, path).Close())
			text, err := os.ReadFile(path)
			without(t, err)
			b, err := decode(text)
			without(t, err)
			if b.parent != c.want {
				t.Errorf("parent 0x%08x, want 0x%08x", uint32(b.parent), uint32(c.want))
			}
			k, err := newTestStore(t, Config{Path: socket}).Open(t.Context(), path)
			without(t, err)
			sign(t, k)
			without(t, k.Close())
		})
	}
}

// The parent that was persistent when the key was made is made anew.
func TestPersistentParentGone(t *testing.T) {
	socket := tpmtest.Start(t)
	persist(t, socket, srkTemplate())
	path := newKeyPath(t)
	without(t, create(t, newTestStore(t, Config{Path: socket}), path).Close())
	c := raw(t, socket)
	r, err := tpm2.ReadPublic{ObjectHandle: tpm2.TPMHandle(srkHandle)}.Execute(c)
	without(t, err)
	_, err = tpm2.EvictControl{Auth: tpm2.TPMRHOwner,
		ObjectHandle: &tpm2.NamedHandle{Handle: srkHandle, Name: r.Name}, PersistentHandle: srkHandle}.Execute(c)
	without(t, err)
	k, err := newTestStore(t, Config{Path: socket}).Open(t.Context(), path)
	without(t, err)
	sign(t, k)
	without(t, k.Close())
}

// A removed parent that was no primary key of the H-2 template cannot be made
// anew here, and the words leave both ways open.
func TestPersistentParentLost(t *testing.T) {
	socket := tpmtest.Start(t)
	persist(t, socket, tpm2.ECCSRKTemplate)
	path := newKeyPath(t)
	used(t, newTestStore(t, Config{Path: socket}), path)
	c := raw(t, socket)
	r, err := tpm2.ReadPublic{ObjectHandle: tpm2.TPMHandle(srkHandle)}.Execute(c)
	without(t, err)
	_, err = tpm2.EvictControl{Auth: tpm2.TPMRHOwner,
		ObjectHandle: &tpm2.NamedHandle{Handle: srkHandle, Name: r.Name}, PersistentHandle: srkHandle}.Execute(c)
	without(t, err)
	_, err = newTestStore(t, Config{Path: socket}).Open(t.Context(), path)
	if !errors.Is(err, ErrCleared) || !strings.Contains(gateway.HintOf(err), "persistent again") {
		t.Errorf("got %v, hint %q", err, gateway.HintOf(err))
	}
	persist(t, socket, tpm2.ECCSRKTemplate)
	k, err := newTestStore(t, Config{Path: socket}).Open(t.Context(), path)
	without(t, err)
	sign(t, k)
	without(t, k.Close())
}
