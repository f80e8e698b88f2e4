// Package choose decides which keystore holds a machine's key: what the settings
// ask for, what was chosen before, and whether the TPM works. Store is the
// keystore that follows the decision.
package choose

import (
	"errors"
	"fmt"

	"github.com/mecha-org/mecha-agent/keystore/disk"
	"github.com/mecha-org/mecha-agent/keystore/internal/keyfile"
	"github.com/mecha-org/mecha-agent/keystore/tpm"
)

// Policies of the settings, and the backends among them.
const (
	Auto = "auto" // a TPM that works, else the disk
	TPM  = tpm.Backend
	Disk = disk.Backend
)

// ErrGone says that the machine's key is in a TPM that cannot be used now. It is
// never answered with a key elsewhere: that would be another machine.
var ErrGone = errors.New("the machine's key is in a TPM that cannot be used")

// ErrChanged says that the settings ask for another keystore than the one that
// holds the machine's key.
var ErrChanged = errors.New("the machine's key is in another keystore than the settings say")

// Reasons, as words.
const (
	inUse = "it holds the machine's key"
	noTPM = "no TPM works here: "
)

// Choose returns the backend to use, TPM or Disk, and why, as words for logs and
// displays. recorded is the backend that holds the machine's key, "" when there is
// no key yet; what is recorded never changes by itself. tpmErr is why the TPM
// cannot be used, nil when it works; its hint stays in the error. With recorded
// Disk nobody needs to ask the TPM.
func Choose(policy, recorded string, tpmErr error) (backend, why string, err error) {
	switch policy {
	case Auto, TPM, Disk:
	default:
		return "", "", fmt.Errorf("keystore.backend %q: want %s, %s or %s", policy, Auto, TPM, Disk)
	}
	switch recorded {
	case "", TPM, Disk:
	default:
		return "", "", fmt.Errorf("recorded keystore %q: want %s or %s", recorded, TPM, Disk)
	}
	if recorded != "" && policy != Auto && policy != recorded {
		return "", "", keyfile.WithHint(
			fmt.Errorf("%w: it is in %q, keystore.backend is %q", ErrChanged, recorded, policy),
			"set keystore.backend to "+recorded+", or deprovision the machine and provision it anew")
	}
	switch {
	case recorded == TPM && tpmErr != nil:
		return "", "", fmt.Errorf("%w: %w", ErrGone, tpmErr)
	case recorded != "":
		return recorded, inUse, nil
	case policy == Disk:
		return Disk, "the settings say so", nil
	case policy == TPM && tpmErr != nil:
		return "", "", fmt.Errorf("keystore.backend is %q: %w", TPM, tpmErr)
	case policy == TPM:
		return TPM, "the settings say so", nil
	case tpmErr != nil:
		return Disk, noTPM + tpmErr.Error(), nil
	}
	return TPM, "a TPM works here", nil
}
