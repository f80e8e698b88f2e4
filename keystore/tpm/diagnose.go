package tpm

import (
	"errors"
	"fmt"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"github.com/mecha-org/mecha-agent/keystore"
	"github.com/mecha-org/mecha-agent/keystore/internal/keyfile"
)

// Errors that tell apart why a key cannot be used while the TPM works. None of
// them is mended by trying again, and none takes anything away: the key file stays
// as it is.
var (
	ErrCleared   = error(lossError("the TPM was cleared after the key was made"))
	ErrReplaced  = error(lossError("another TPM made the key"))
	ErrSwapped   = errors.New("the file holds another key than the one made there")
	ErrLockout   = errors.New("the TPM is locked out")          // after too many wrong passwords
	ErrOwnerAuth = errors.New("the TPM's owner has a password") // that is needed to make its root key
)

// lossError is an error that wraps keystore.ErrLost in words of its own.
type lossError string

func (l lossError) Error() string { return string(l) }

// Is implements what errors.Is asks.
func (lossError) Is(target error) bool { return target == keystore.ErrLost }

const (
	hintOwnerAuth = "take the password away (tpm2_changeauth -c owner -p PASSWORD), or give the TPM a persistent " +
		"storage root key once: docs/tpm.md, \"Owner password\""
	hintLockout = "it unlocks by itself with time; at once: tpm2_dictionarylockout --clear-lockout (-p with the lockout " +
		"password, where one is set)"
	hintCleared  = "the key is gone for good: provision the machine anew"
	hintParent   = "make the parent persistent again, from the template that it was made from, or provision the machine anew"
	hintReplaced = "put the TPM of this machine back, or provision the machine anew"
)

// foreign says why the storage root key is another one than when the key was made.
// The owner's seed is new after a clear, the endorsement seed is not.
func (c *chip) foreign(t transport.TPM, r *resident) error {
	if r.unknown() {
		return keyfile.WithHint(fmt.Errorf("%w, or %w", ErrCleared, ErrReplaced), hintReplaced)
	}
	ours, err := c.made(t, r.origin)
	switch {
	case err != nil && !answered(err):
		return err // nothing is known of the key
	case err != nil:
		return keyfile.WithHint(fmt.Errorf("%w, or %w: %w", ErrCleared, ErrReplaced, err), hintReplaced)
	case !ours:
		return keyfile.WithHint(ErrReplaced, hintReplaced)
	}
	if h := r.blob.parent; h != tpm2.TPMRHOwner { // a clear takes it away, and a person can
		if p, err := c.persistent(t, h); err == nil && p == nil {
			return keyfile.WithHint(fmt.Errorf("%w, or its parent 0x%08x was removed", ErrCleared, uint32(h)), hintParent)
		}
	}
	return keyfile.WithHint(ErrCleared, hintCleared)
}

// unreadable says why TPM2_Load refused the key: a complaint about its parts
// (integrity 0x1df, mostly) means that it is not what this TPM wrote.
func (c *chip) unreadable(t transport.TPM, r *resident, err error) error {
	var code tpm2.TPMRC
	var detail tpm2.TPMFmt1Error
	if !errors.As(err, &code) || !errors.As(code, &detail) {
		return fmt.Errorf("loading the key: %w", err)
	}
	if parameter, _ := detail.Parameter(); !parameter {
		return fmt.Errorf("loading the key: %w", err)
	}
	if r.origin == nil {
		return fmt.Errorf("%w, or its TPM was cleared or replaced: %w", keystore.ErrDamaged, err)
	}
	return fmt.Errorf("%w: %w", keystore.ErrDamaged, err)
}
