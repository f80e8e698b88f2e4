package tpm

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/mecha-org/mecha-agent/keystore/internal/keyfile"
)

// Errors that tell apart why a TPM cannot be used; compare with errors.Is. A code
// that the TPM itself answers with stays what it is: errors.Is(err,
// tpm2.TPMRCLockout).
var (
	ErrNone       = errors.New("no TPM")                              // the path does not exist
	ErrPermission = errors.New("no permission to use the TPM")        // the hint names the group
	ErrBusy       = errors.New("another program holds the TPM")       // /dev/tpm0 has room for one
	ErrGone       = errors.New("nothing stands behind the TPM")       // driver unbound, emulator ended
	ErrHung       = errors.New("the TPM does not answer")             // within the time that a command may take
	ErrGarbage    = errors.New("the TPM answers what makes no sense") // wrong size, tag, or content
	ErrVersion    = errors.New("it is no TPM 2.0")                    // but a TPM 1.2
	ErrNotTPM     = errors.New("neither a TPM device nor a socket")   // a file, a folder, a pipe
)

// causes are the errors of the operating system with what they mean here, and
// what a person can do. Their order does not matter.
var causes = []struct {
	cause error
	means error
	hint  string
}{
	{fs.ErrNotExist, ErrNone, "check that the TPM is plugged in and that the device tree or the firmware names it"},
	{unix.ENOTDIR, ErrNone, ""},
	{unix.EBUSY, ErrBusy, "use /dev/tpmrm0, which many programs can share, or end the other program"},
	{unix.ECONNREFUSED, ErrGone, "start the TPM emulator that listens there"},
	{unix.ENXIO, ErrGone, "the kernel has no driver for it: look for tpm in dmesg"},
	{unix.ENODEV, ErrGone, "the kernel has no driver for it: look for tpm in dmesg"},
	{unix.EPIPE, ErrGone, "the kernel has taken its driver away: look for tpm in dmesg"},
	{unix.ECONNRESET, ErrGone, "the TPM emulator ended: look at its log"},
	{unix.ETIME, ErrHung, "look for tpm in dmesg, then cut the power of the board"}, // the driver's own limit
	{os.ErrDeadlineExceeded, ErrHung, "look at the TPM emulator's log, then start it again"},
}

// explain puts the meaning and the hint to an error of the operating system.
// Others are returned as they are.
func explain(path string, err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return keyfile.WithHint(fmt.Errorf("%w: %w", ErrPermission, err), permissionHint(path))
	}
	for _, c := range causes {
		if errors.Is(err, c.cause) {
			return keyfile.WithHint(fmt.Errorf("%w: %w", c.means, err), c.hint)
		}
	}
	return err
}

// permissionHint names the group that may use the node.
func permissionHint(path string) string {
	const rule = "only root may use it: install the package tpm-udev, or run as root"
	info, err := os.Stat(path)
	if err != nil {
		return rule
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || st.Gid == 0 || st.Mode&0o060 != 0o060 {
		return rule
	}
	group := strconv.FormatUint(uint64(st.Gid), 10)
	if g, err := user.LookupGroupId(group); err == nil {
		group = g.Name
	}
	return "join its group: sudo usermod -aG " + group + " $USER, then log in anew"
}
