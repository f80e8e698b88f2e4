//go:build linux

package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/mecha-org/mecha-agent/test/system/guest"
)

// newDevice is struct vtpm_proxy_new_dev (include/uapi/linux/vtpm_proxy.h).
type newDevice struct {
	flags uint32 // in
	_     uint32 // number of the TPM
	fd    uint32 // where commands are read and responses written
	_, _  uint32 // major and minor number of /dev/tpmN
}

// Of the same file.
const (
	iocNewDevice     = 0xc014a100 // VTPM_PROXY_IOC_NEW_DEV
	flagTPM2         = 1          // VTPM_PROXY_FLAG_TPM2
	ccSetLocality    = 0x20001000 // TPM2_CC_SET_LOCALITY: from the driver to who serves it
	headerSize       = 10         // tag, size, code (TPM 2.0 Library, part 1, section 18)
	longestTPMPacket = 4096       // TPM_BUFSIZE of drivers/char/tpm
)

// proxyTPM gives the kernel the TPM that answers on the host, where there is one,
// and returns when the resource manager of the kernel is ready for it. On these boards
// a TPM would be on SPI or I2C, and QEMU has no model of one. Nothing is changed on the
// way: a command goes out as the driver wrote it, and the response comes back.
func proxyTPM(limit time.Duration) error {
	address, err := parameter(guest.TPM)
	if err != nil || address == "" {
		return err
	}
	host, err := net.DialTimeout("tcp", address, limit)
	if err != nil {
		return fmt.Errorf("connecting to the TPM: %w", err)
	}
	control, err := unix.Open("/dev/vtpmx", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("opening /dev/vtpmx: %w", err)
	}
	defer unix.Close(control)
	d := newDevice{flags: flagTPM2}
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(control), iocNewDevice, uintptr(unsafe.Pointer(&d))); errno != 0 {
		return fmt.Errorf("making a TPM of the proxy's: %w", errno)
	}
	go func() {
		fmt.Println(guest.Milestone, "TPM proxy", carry(int(d.fd), host))
		_ = unix.Close(int(d.fd)) // the driver's commands fail from now on
	}()
	if err := appears("/dev/tpmrm0", limit); err != nil {
		return err
	}
	milestone("tpm")
	return nil
}

// carry takes commands from the driver to the host, and responses back, until one of
// them ends.
func carry(driver int, host net.Conn) error {
	defer host.Close()
	packet := make([]byte, longestTPMPacket)
	for {
		n, err := unix.Read(driver, packet)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return fmt.Errorf("reading a command: %w", err)
		}
		if n < headerSize {
			return fmt.Errorf("a command of %d bytes", n)
		}
		if binary.BigEndian.Uint32(packet[6:]) == ccSetLocality {
			n = copy(packet, "\x80\x01\x00\x00\x00\x0a\x00\x00\x00\x00") // TPM_RC_SUCCESS, and no more
		} else if n, err = exchange(host, packet, n); err != nil {
			return err
		}
		if _, err := unix.Write(driver, packet[:n]); err != nil {
			return fmt.Errorf("writing a response: %w", err)
		}
	}
}

// exchange sends the first n bytes of packet and returns how many the response has,
// which takes their place.
func exchange(host net.Conn, packet []byte, n int) (int, error) {
	if _, err := host.Write(packet[:n]); err != nil {
		return 0, fmt.Errorf("sending a command: %w", err)
	}
	if _, err := io.ReadFull(host, packet[:headerSize]); err != nil {
		return 0, fmt.Errorf("receiving a response: %w", err)
	}
	size := binary.BigEndian.Uint32(packet[2:])
	if size < headerSize || size > longestTPMPacket {
		return 0, fmt.Errorf("a response of %d bytes", size)
	}
	if _, err := io.ReadFull(host, packet[headerSize:size]); err != nil {
		return 0, fmt.Errorf("receiving a response: %w", err)
	}
	return int(size), nil
}
