package tpm

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"github.com/mecha-org/mecha-agent/keystore"
	"github.com/mecha-org/mecha-agent/keystore/internal/keyfile"
)

// Info is what a TPM says of itself. None of it is proven.
type Info struct {
	Manufacturer string // of the TCG's vendor ID registry: "IFX"
	Maker        string // its name: "Infineon"; Manufacturer when makers does not have it
	Vendor       string // what the maker calls the product, "SLB9670"; may be empty
	Firmware     string // four numbers that mean what the maker wants: "7.85.17.51968"
	Revision     string // of the TPM 2.0 Library that it implements: "1.38"

	LockoutCounter uint32        // failed authorisations that count now; 0 is as it should be
	MaxTries       uint32        // from this counter on it is locked out
	Recovery       time.Duration // without failures, the counter goes down by one after it; 0: never
	InLockout      bool          // objects with dictionary-attack protection are refused
	OwnerAuth      bool          // a password of the owner is set
	Cleanable      bool          // TPM2_Clear with the lockout authorisation is allowed
}

// String returns maker, product and firmware: "Infineon SLB9670, firmware
// 7.85.17.51968".
func (i Info) String() string {
	name := strings.TrimSpace(i.Maker + " " + i.Vendor)
	if name == "" {
		name = "unknown maker"
	}
	return name + ", firmware " + i.Firmware
}

// Inspect asks the TPM at path, a device or a Unix socket, about itself. It takes
// two commands and changes nothing. It returns when ctx ends at the latest; errors
// are those of Open and codes of the TPM.
func Inspect(ctx context.Context, path string) (Info, error) {
	t, err := Open(ctx, path)
	if err != nil {
		return Info{}, err
	}
	defer t.Close()
	info, err := inspect(t)
	if err != nil {
		return Info{}, fmt.Errorf("inspecting TPM %s: %w", path, err)
	}
	return info, nil
}

// Inspect is the function Inspect through the connection of the Store: a TPM without
// a resource manager has one user, which is the Store while it lives. It waits for
// what the Store is doing.
func (s *Store) Inspect(ctx context.Context) (info Info, err error) {
	err = s.do(ctx, func(t transport.TPM) (err error) {
		info, err = inspect(t)
		return err
	})
	if err != nil {
		return Info{}, fmt.Errorf("inspecting TPM %s: %w", s.chip.path, err)
	}
	return info, nil
}

// Of TPMA_PERMANENT: TCG TPM 2.0 Library, part 2, section 8.6.
const (
	ownerAuthSet = 1 << 0
	disableClear = 1 << 8
	inLockout    = 1 << 9
)

func inspect(t transport.TPM) (Info, error) {
	fixed, err := properties(t, tpm2.TPMPTFamilyIndicator, tpm2.TPMPTFirmwareVersion2)
	if err != nil {
		return Info{}, err
	}
	now, err := properties(t, tpm2.TPMPTPermanent, tpm2.TPMPTLockoutRecovery)
	if err != nil {
		return Info{}, err
	}
	revision := fixed[tpm2.TPMPTRevision] // in hundredths
	high, low := fixed[tpm2.TPMPTFirmwareVersion1], fixed[tpm2.TPMPTFirmwareVersion2]
	info := Info{
		Manufacturer: text(fixed[tpm2.TPMPTManufacturer]),
		Vendor: text(fixed[tpm2.TPMPTVendorString1], fixed[tpm2.TPMPTVendorString2],
			fixed[tpm2.TPMPTVendorString3], fixed[tpm2.TPMPTVendorString4]),
		Firmware: fmt.Sprintf("%d.%d.%d.%d", high>>16, high&0xffff, low>>16, low&0xffff),
		Revision: fmt.Sprintf("%d.%02d", revision/100, revision%100),

		LockoutCounter: now[tpm2.TPMPTLockoutCounter],
		MaxTries:       now[tpm2.TPMPTMaxAuthFail],
		Recovery:       time.Duration(now[tpm2.TPMPTLockoutInterval]) * time.Second,
		InLockout:      now[tpm2.TPMPTPermanent]&inLockout != 0,
		OwnerAuth:      now[tpm2.TPMPTPermanent]&ownerAuthSet != 0,
		Cleanable:      now[tpm2.TPMPTPermanent]&disableClear == 0,
	}
	info.Maker = maker(info.Manufacturer)
	return info, nil
}

// properties asks for the properties from first to last (TPM2_GetCapability: part
// 3, section 30.2). A TPM gives as many at once as it likes; what it does not have
// is left out.
func properties(t transport.TPM, first, last tpm2.TPMPT) (map[tpm2.TPMPT]uint32, error) {
	found := make(map[tpm2.TPMPT]uint32)
	for next := first; next <= last; {
		r, err := tpm2.GetCapability{Capability: tpm2.TPMCapTPMProperties,
			Property: uint32(next), PropertyCount: uint32(last-next) + 1}.Execute(t)
		if err != nil {
			return nil, meaning(err)
		}
		list, err := r.CapabilityData.Data.TPMProperties()
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrGarbage, err)
		}
		reached := next
		for _, p := range list.TPMProperty {
			if p.Property >= next && p.Property <= last {
				found[p.Property] = p.Value
				reached = max(reached, p.Property)
			}
		}
		if !r.MoreData || len(list.TPMProperty) == 0 {
			break
		}
		next = reached + 1
	}
	return found, nil
}

// meaning tells what a person can do about a code of the TPM, and calls what is
// no code, and none of ours, garbage: go-tpm could not read the response.
func meaning(err error) error {
	var code tpm2.TPMRC
	switch {
	case errors.Is(err, tpm2.TPMRCInitialize):
		return keyfile.WithHint(err, "nobody started the TPM: the board's firmware does so, swtpm with --flags startup-clear")
	case errors.Is(err, tpm2.TPMRCFailure):
		return keyfile.WithHint(err, "the TPM failed its self-test: cut the power of the board; when it stays like that, it is broken")
	case errors.Is(err, tpm2.TPMRCLockout):
		return keyfile.WithHint(fmt.Errorf("%w: %w", ErrLockout, err), hintLockout)
	case errors.As(err, &code):
		return err
	}
	for _, own := range []error{ErrNone, ErrPermission, ErrBusy, ErrGone, ErrHung, ErrGarbage, ErrVersion, ErrNotTPM,
		ErrCleared, ErrReplaced, keystore.ErrDamaged, errKeyClosed, ErrEndorsementAuth, context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, own) {
			return err
		}
	}
	return fmt.Errorf("%w: %w", ErrGarbage, err)
}

// text reads values of four characters each, without what does not print.
func text(values ...uint32) string {
	var b []byte
	for _, v := range values {
		b = binary.BigEndian.AppendUint32(b, v)
	}
	printable := func(r rune) rune {
		if r < ' ' || r > '~' {
			return -1
		}
		return r
	}
	return strings.TrimSpace(strings.Map(printable, strings.ToValidUTF8(string(b), "")))
}
