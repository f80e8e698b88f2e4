package host

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

// hinted is an error that a person can mend.
type hinted struct {
	err  error
	hint string
}

func (e *hinted) Error() string { return e.err.Error() }
func (e *hinted) Unwrap() error { return e.err }

// Hint returns what a person can do about it.
func (e *hinted) Hint() string { return e.hint }

// explain puts a hint to the error of opening path: who may, when this process
// may not.
func explain(path string, err error) error {
	if !errors.Is(err, fs.ErrPermission) {
		return err
	}
	var st unix.Stat_t
	if unix.Stat(path, &st) != nil {
		return err
	}
	groups, _ := os.Getgroups() // none known is as good as in none
	return &hinted{err: err, hint: who{
		node: node{path: path, mode: st.Mode, group: int(st.Gid)},
		root: os.Geteuid() == 0,
		in:   append(groups, os.Getegid()),
	}.hint()}
}

// node is a file that was refused.
type node struct {
	path  string
	mode  uint32
	group int
}

// who was refused a node.
type who struct {
	node
	root bool  // runs as root
	in   []int // the groups of the process
}

// hint says what lets the process in. The rule of the mode bits comes first, so
// that a refusal in spite of it can only be a sandbox: systemd's DevicePolicy, or
// a container without the device.
func (w who) hint() string {
	const readWrite = 0o060
	member := w.mode&readWrite == readWrite && slices.Contains(w.in, w.group)
	switch {
	case w.root || member:
		return fmt.Sprintf("the mode of %s lets this process in, so its sandbox keeps it out: "+
			"a systemd unit needs DeviceAllow=%s rw, a container --device %s", w.path, w.path, w.path)
	case w.mode&readWrite == readWrite && w.group != 0:
		name := groupName(w.group)
		return fmt.Sprintf("%s is for the group %s: sudo usermod -aG %s USER, then log in again "+
			"(a systemd unit: SupplementaryGroups=%s)", w.path, name, name, name)
	}
	for _, g := range deviceGroups {
		if ok, _ := filepath.Match(g.device, w.path); ok {
			return fmt.Sprintf(`%s is for root alone: run as root, or give it to a group by a udev rule: KERNEL=="%s", GROUP="%s", MODE="0660"`,
				w.path, filepath.Base(g.device), g.group)
		}
	}
	return fmt.Sprintf("%s is for root alone: run as root, or let a udev rule give it to a group", w.path)
}

// deviceGroups are the groups that devices have where a distribution gives them one:
// systemd's 50-udev-default.rules (input, video), Debian's i2c-tools (i2c), and for all
// the Raspberry Pi's 99-com.rules,
// https://github.com/RPi-Distro/raspberrypi-sys-mods/blob/master/etc.armhf/udev/rules.d/99-com.rules
var deviceGroups = []struct{ device, group string }{
	{"/dev/gpiochip*", "gpio"}, {"/dev/i2c-*", "i2c"}, {"/dev/spidev*", "spi"}, {"/dev/input/event*", "input"}, {"/dev/fb*", "video"},
}

// groupName is the name of a group, or its number when it has none.
func groupName(gid int) string {
	g, err := user.LookupGroupId(strconv.Itoa(gid))
	if err != nil {
		return strconv.Itoa(gid)
	}
	return g.Name
}
