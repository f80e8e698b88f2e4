//go:build linux

package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mecha-org/mecha-agent/test/system/guest"
)

// network raises the loopback and the first wired interface. That one may come
// late, when it is on USB. There is no route to anywhere else: the host is on the
// same network, and the test needs nobody beyond it.
func network(limit time.Duration) error {
	if err := raise("lo", netip.MustParsePrefix("127.0.0.1/8")); err != nil {
		return err
	}
	for start := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		name, err := wired()
		if err == nil {
			return raise(name, netip.MustParsePrefix(guest.Address+"/24"))
		}
		if time.Since(start) > limit {
			return err
		}
	}
}

// wired returns the name of the first interface with a device behind it.
func wired() (string, error) {
	all, err := net.Interfaces()
	if err != nil {
		return "", err
	}
	for _, i := range all {
		if _, err := os.Stat("/sys/class/net/" + i.Name + "/device"); err == nil && !strings.HasPrefix(i.Name, "can") {
			return i.Name, nil
		}
	}
	return "", errors.New("no wired network interface appeared")
}

// raise gives the interface its address and switches it on (netdevice(7)).
func raise(name string, prefix netip.Prefix) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	for _, set := range []struct {
		request uint
		address []byte
	}{
		{unix.SIOCSIFADDR, prefix.Addr().AsSlice()},
		{unix.SIOCSIFNETMASK, net.CIDRMask(prefix.Bits(), 32)},
	} {
		r, err := unix.NewIfreq(name)
		if err != nil {
			return err
		}
		if err := r.SetInet4Addr(set.address); err != nil {
			return err
		}
		if err := unix.IoctlIfreq(fd, set.request, r); err != nil {
			return fmt.Errorf("giving %s the address %s: %w", name, prefix, err)
		}
	}
	r, err := unix.NewIfreq(name)
	if err != nil {
		return err
	}
	r.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, r); err != nil {
		return fmt.Errorf("switching %s on: %w", name, err)
	}
	return nil
}
