// Package tpm speaks to a TPM 2.0: a device of the kernel or the Unix socket of
// an emulator. Whatever it does ends in time, also when the TPM does not answer.
package tpm

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/google/go-tpm/tpm2/transport"

	"github.com/mecha-org/mecha-agent/keystore/internal/keyfile"
)

// Paths are the device nodes of TPMs, the best one first: tpmrm0 goes through
// the kernel's resource manager, so that programs share it, tpm0 is for one alone.
// https://docs.kernel.org/security/tpm/tpm_tis.html and the text on in-kernel
// resource management in the TCG's "TSS 2.0 TAB and Resource Manager" say more.
func Paths() []string { return []string{"/dev/tpmrm0", "/dev/tpm0"} }

// CommandTimeout is how long one command may take. The slowest that this package
// and its users send is the making of an ECC key, 311 ms on an SLB9673; firmware
// TPMs that wait for flash memory take seconds.
const CommandTimeout = 30 * time.Second

// closeTimeout is how long Close waits for the kernel, which flushes the sessions
// of /dev/tpmrm0 then.
const closeTimeout = 2 * time.Second

// maxMessage is the most bytes of a command or a response: TPM_BUFSIZE of the
// kernel's driver (drivers/char/tpm/tpm.h), and more than TPMs announce.
const maxMessage = 4096

// Open returns a connection to the TPM at path, a device node or the Unix socket
// of an emulator (swtpm's server socket). It is safe for concurrent use, and each
// Send takes at most CommandTimeout. The end of ctx ends the connection: what is
// sent later fails.
//
// Errors wrap one of this package's or what ctx ended with, and have a hint
// where a person can do something.
func Open(ctx context.Context, path string) (transport.TPMCloser, error) {
	t, err := open(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("opening TPM %s: %w", path, err)
	}
	return t, nil
}

func open(ctx context.Context, path string) (transport.TPMCloser, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	to, err := dial(path)
	if err != nil {
		return nil, err
	}
	return newConn(ctx, path, to), nil
}

// dial finds out what stands at path.
func dial(path string) (exchanger, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, explain(path, err)
	}
	switch mode := info.Mode(); {
	case mode&os.ModeSocket != 0:
		return socket{path}, nil
	case mode&os.ModeCharDevice != 0:
		d, err := openDevice(path)
		if err != nil {
			return nil, explain(path, err)
		}
		return d, nil
	}
	return nil, keyfile.WithHint(ErrNotTPM, "give the path of a TPM device, such as /dev/tpmrm0")
}
