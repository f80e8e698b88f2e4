package tpm

import (
	"context"
	"errors"
	"fmt"
	"io"

	"golang.org/x/sys/unix"
)

// device is a character device of the kernel. Its descriptor blocks, on purpose.
// The kernel holds a lock while a command runs, and not only read waits for it but
// poll too (tpm_common_read and tpm_common_poll in drivers/char/tpm/tpm-dev-common.c):
// in the poller of the Go runtime a TPM that hangs could stop every connection of
// the process. Here it stops one thread, which conn leaves behind.
type device struct{ fd int }

func openDevice(path string) (*device, error) {
	for {
		fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NOCTTY, 0)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return nil, err
		default:
			return &device{fd}, nil
		}
	}
}

// exchange writes the command, which the kernel wants in one piece, and reads the
// response, which kernels before 4.20 give in one piece only.
func (d *device) exchange(_ context.Context, command []byte) ([]byte, error) {
	n, err := again(func() (int, error) { return unix.Write(d.fd, command) })
	if err != nil {
		return nil, err
	}
	if n < len(command) {
		return nil, fmt.Errorf("the kernel took %d of %d bytes: %w", n, len(command), io.ErrShortWrite)
	}
	response := make([]byte, maxMessage)
	n, err = again(func() (int, error) { return unix.Read(d.fd, response) })
	if err != nil {
		return nil, err
	}
	return response[:n], nil
}

func (d *device) close() error { return unix.Close(d.fd) }

// again repeats a call that a signal interrupted before it did anything.
func again(call func() (int, error)) (int, error) {
	for {
		n, err := call()
		if !errors.Is(err, unix.EINTR) {
			return n, err
		}
	}
}
