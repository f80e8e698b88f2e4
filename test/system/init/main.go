//go:build linux

// Init is the first program of an emulated board (test/system). It does what a
// distribution would: mounts, inserts modules, gives the network its address and
// starts the agent as a package installs it. Then it answers the test's questions
// (package guest). It prints milestones and the agent's log on the console.
//
// It sets the clock from the kernel's command line, where a board without a
// battery would wait for NTP.
package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mecha-org/mecha-agent/test/system/guest"
)

func main() {
	if os.Getpid() != 1 {
		fmt.Fprintln(os.Stderr, "init: this is the first program of a virtual machine, and not for any other place")
		os.Exit(2)
	}
	fmt.Println(guest.Milestone, "failed", start())
	// A first program that ends is a panic of the kernel, and QEMU ends with it
	// (panic=-1, -no-reboot): the test sees that at once.
}

// deviceLimit is how late a device may be.
const deviceLimit = 20 * time.Second

// start brings the board up and answers requests until something breaks, of which it
// returns the error.
func start() error {
	milestone("init")
	if err := mount(); err != nil {
		return err
	}
	if err := setClock(); err != nil {
		return err
	}
	if err := insertModules(guest.ModuleList); err != nil {
		return err
	}
	milestone("modules")
	if err := mountDisk(deviceLimit); err != nil {
		return err
	}
	if err := network(deviceLimit); err != nil {
		return err
	}
	milestone("network")
	if err := proxyTPM(deviceLimit); err != nil {
		return err
	}
	commands, err := net.Listen("tcp", fmt.Sprintf("%s:%d", guest.Address, guest.CommandPort))
	if err != nil {
		return err
	}
	relayed, err := net.Listen("tcp", fmt.Sprintf("%s:%d", guest.Address, guest.AgentPort))
	if err != nil {
		return err
	}
	go relay(relayed, "127.0.0.1:3001")
	a := &agent{}
	if err := a.start(); err != nil {
		return err
	}
	milestone("agent")
	for {
		conn, err := commands.Accept()
		if err != nil {
			return err
		}
		go func() {
			if err := guest.Serve(conn, a.answer); err != nil {
				fmt.Println(guest.Milestone, "request", err)
			}
		}()
	}
}

// mount mounts what programs expect of a running system.
func mount() error {
	for _, m := range []struct{ kind, at string }{
		{"proc", "/proc"}, {"sysfs", "/sys"}, {"devtmpfs", "/dev"}, {"tmpfs", "/run"}, {"tmpfs", "/tmp"},
	} {
		if err := os.MkdirAll(m.at, 0o755); err != nil {
			return err
		}
		if err := unix.Mount(m.kind, m.at, m.kind, 0, ""); err != nil && !errors.Is(err, unix.EBUSY) {
			return fmt.Errorf("mounting %s: %w", m.at, err)
		}
	}
	return nil
}

// parameter returns what the kernel's command line has behind name; nothing when it
// is not there.
func parameter(name string) (string, error) {
	line, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return "", err
	}
	for word := range strings.FieldsSeq(string(line)) {
		if text, ok := strings.CutPrefix(word, name); ok {
			return text, nil
		}
	}
	return "", nil
}

// setClock takes the time from the kernel's command line.
func setClock() error {
	text, err := parameter(guest.Now)
	if err != nil || text == "" {
		return err
	}
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return fmt.Errorf("reading the time: %w", err)
	}
	// The kernel has been running for a while since the host wrote that down.
	tv := unix.NsecToTimeval(time.Unix(seconds, 0).Add(uptime()).UnixNano())
	if err := unix.Settimeofday(&tv); err != nil {
		return fmt.Errorf("setting the clock: %w", err)
	}
	return nil
}

// mountDisk mounts the disk of root's home, where there is one. It may come late, and
// for a moment it has a name before it can be opened.
func mountDisk(limit time.Duration) error {
	device, err := parameter(guest.Disk)
	if err != nil || device == "" {
		return err
	}
	for start := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		err := unix.Mount(device, "/root", "ext4", 0, "")
		switch {
		case err == nil:
			milestone("disk")
			return nil
		case !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ENXIO) || time.Since(start) > limit:
			return fmt.Errorf("mounting %s: %w", device, err)
		}
	}
}

// appears waits until the file is there.
func appears(file string, limit time.Duration) error {
	for start := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		_, err := os.Stat(file)
		if err == nil || time.Since(start) > limit {
			return err
		}
	}
}

// insertModules inserts the modules that the file lists.
func insertModules(list string) error {
	text, err := os.ReadFile(list)
	if err != nil {
		return err
	}
	for path := range strings.FieldsSeq(string(text)) {
		if err := insert(path); err != nil {
			return fmt.Errorf("inserting %s: %w", path, err)
		}
	}
	return nil
}

func insert(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.FinitModule(int(f.Fd()), "", 0); !errors.Is(err, unix.EEXIST) {
		return err
	}
	return nil
}

// relay leads connections on to address, a service of the guest's loopback.
func relay(l net.Listener, address string) {
	for {
		from, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer from.Close()
			to, err := net.DialTimeout("tcp", address, 5*time.Second)
			if err != nil {
				return // the host sees its connection closed, and tries again
			}
			defer to.Close()
			go func() {
				_, _ = io.Copy(to, from)
				_ = to.Close()
			}()
			_, _ = io.Copy(from, to)
		}()
	}
}

// milestone prints where the guest is, and when.
func milestone(name string) {
	fmt.Printf("%s %s %.2f\n", guest.Milestone, name, uptime().Seconds())
}

// uptime returns the time since the kernel's start.
func uptime() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return 0
	}
	return time.Duration(ts.Nano())
}
