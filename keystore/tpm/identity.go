package tpm

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"github.com/mecha-org/mecha-agent/keystore"
	"github.com/mecha-org/mecha-agent/keystore/internal/keyfile"
)

// madeEK is origin.EKFrom of the Name of the endorsement key that is made from
// template L-2 (P-256).
const madeEK = "P-256"

// identify finds what tells the TPM from all others, also after a clear, and where
// that is from: the hash of the endorsement key's certificate, which takes no time
// and which a clear leaves, else the Name of the endorsement key. (A persistent one
// goes with a clear. Of the endorsement hierarchy, only asymmetric keys stay the
// same then: its proof value is new, and goes into all others.)
func (c *chip) identify(t transport.TPM) (id name, from string, err error) {
	if c.ek != nil && c.ek.here {
		return c.ek.id, c.ek.from, nil
	}
	indices, err := handles(t, nvFirst)
	if err != nil {
		return nil, "", err
	}
	for _, kind := range ekKinds() {
		if !slices.Contains(indices, kind.certificate) {
			continue
		}
		if der, err := readCertificates(t, kind.certificate); err != nil {
			return nil, "", err
		} else if len(der) > 0 {
			return hash(der[0]), source(kind.certificate), nil
		}
	}
	id, err = c.nameEK(t)
	return id, madeEK, err
}

func hash(certificate []byte) name {
	sum := sha256.Sum256(certificate)
	return sum[:]
}

func source(h tpm2.TPMHandle) string { return fmt.Sprintf("0x%08x", uint32(h)) }

func (c *chip) nameEK(t transport.TPM) (name, error) {
	k, err := c.primary(t, tpm2.ECCEKTemplate)
	if err != nil {
		return nil, fmt.Errorf("making the endorsement key: %w", err)
	}
	k.free(t)
	return k.name.Buffer, nil
}

// made says whether this TPM is the one that an origin tells of, which has to have
// an EK.
func (c *chip) made(t transport.TPM, o *origin) (bool, error) {
	if o.EKFrom == madeEK {
		id, err := c.nameEK(t)
		return bytes.Equal(id, o.EK), err
	}
	number, err := strconv.ParseUint(o.EKFrom, 0, 32)
	if err != nil {
		return false, fmt.Errorf("%w: an endorsement key from %q", keystore.ErrDamaged, o.EKFrom)
	}
	h := tpm2.TPMHandle(number)
	if h < persistentFirst {
		der, err := readCertificates(t, h)
		if errors.Is(err, tpm2.TPMRCHandle) {
			return false, nil
		}
		return len(der) > 0 && bytes.Equal(hash(der[0]), o.EK), err
	}
	// Keys of before certificates were looked at name a persistent endorsement key,
	// which is made anew when a clear took it away.
	r, err := c.readPublic(t, h)
	if err == nil {
		return bytes.Equal(r.Name.Buffer, o.EK), nil
	}
	if !errors.Is(err, tpm2.TPMRCHandle) {
		return false, fmt.Errorf("reading the endorsement key: %w", err)
	}
	for _, kind := range ekKinds() {
		if kind.persistent != h {
			continue
		}
		k, err := c.primary(t, kind.template())
		if err != nil {
			return false, fmt.Errorf("making the endorsement key: %w", err)
		}
		k.free(t)
		if bytes.Equal(k.name.Buffer, o.EK) {
			return true, nil
		}
	}
	return false, fmt.Errorf("the endorsement key at %s is gone: %w", o.EKFrom, err)
}

// remember writes to the origins of keys which TPM made them, where they do not say.
// That waits until the first provisioning has what it needs: evidence makes the
// endorsement key anyway, else Sign does it with the second signature (the first is
// a request's), else Open. What goes wrong goes to the log: the keys work without.
func (s *Store) remember(ctx context.Context) {
	s.files.Lock()
	defer s.files.Unlock()
	if len(s.unknown) == 0 {
		return
	}
	err := s.do(ctx, func(t transport.TPM) error {
		id, from, err := s.chip.identify(t)
		if err != nil {
			return err
		}
		for _, r := range s.unknown {
			r.origin = &origin{Key: r.origin.Key, SRK: r.origin.SRK, EK: id, EKFrom: from}
		}
		return nil
	})
	var code tpm2.TPMRC
	if err != nil && !errors.As(err, &code) {
		return // the TPM was not asked: another time
	}
	for _, r := range s.unknown {
		reason := err
		if reason == nil {
			reason = r.amend()
		}
		if reason != nil {
			s.log.Warn("a cleared TPM will not be told from another", "key", r.path, "reason", reason)
		}
	}
	s.unknown = nil
}

// note has r remembered when there is time.
func (s *Store) note(r *resident) {
	s.files.Lock()
	defer s.files.Unlock()
	if r.unknown() {
		s.unknown = append(s.unknown, r)
	}
}

// unknown says whether it is known where the key comes from, but not which TPM that
// is.
func (r *resident) unknown() bool { return r.origin != nil && len(r.origin.EK) == 0 }

// amend writes the origin anew, unless the key has gone from its file since.
func (r *resident) amend() error {
	was, err := readOrigin(r.path)
	if errors.Is(err, keystore.ErrNotExist) || err == nil && !bytes.Equal(was.Key, r.origin.Key) {
		return nil
	}
	if err != nil {
		return err
	}
	text, err := r.origin.encode()
	if err != nil {
		return err
	}
	dir, err := keyfile.Open(r.path + OriginSuffix)
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := dir.Replace(text); err != nil {
		return err
	}
	// Somebody may have deleted the key meanwhile, its own file first.
	if _, err := os.Lstat(r.path); errors.Is(err, fs.ErrNotExist) {
		return removeOrigin(r.path)
	}
	return nil
}
