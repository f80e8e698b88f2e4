package doctor

import (
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"runtime/debug"
	"slices"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mecha-org/mecha-agent/identity"
	"github.com/mecha-org/mecha-agent/keystore/tpm"
)

// System returns this machine. Root, Key, Ping and Agent are left to the caller.
func System() Env {
	return Env{
		User: userName(), Now: time.Now, Built: built(), Synced: synced, Open: open, Owner: owner,
		Writable: func(folder string) error {
			if err := unix.Faccessat(unix.AT_FDCWD, folder, unix.W_OK|unix.X_OK, unix.AT_EACCESS); err != nil {
				return &fs.PathError{Op: "writing to", Path: folder, Err: err}
			}
			return nil
		},
		Free:    free,
		InUse:   identity.InUse,
		Resolve: net.DefaultResolver.LookupHost,
		TPM:     tpm.Inspect,
	}
}

func userName() string {
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return strconv.Itoa(os.Geteuid())
}

// built is when the source of this program was committed.
func built() time.Time {
	info, _ := debug.ReadBuildInfo()
	if info == nil {
		return time.Time{}
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.time" {
			t, _ := time.Parse(time.RFC3339, s.Value)
			return t
		}
	}
	return time.Time{}
}

// synced says whether the kernel's clock follows a time server: adjtimex(2).
func synced() (bool, error) {
	var t unix.Timex
	if _, err := unix.Adjtimex(&t); err != nil {
		return false, fmt.Errorf("asking the kernel's clock: %w", err)
	}
	return t.Status&unix.STA_UNSYNC == 0, nil
}

// open does not wait for a device that has nobody at its other end.
func open(path string, flag int) error {
	f, err := os.OpenFile(path, flag|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return err
	}
	return f.Close()
}

func owner(path string) (Owner, error) {
	info, err := os.Stat(path)
	if err != nil {
		return Owner{}, err
	}
	st, isUnix := info.Sys().(*syscall.Stat_t)
	if !isUnix {
		return Owner{}, fmt.Errorf("%s: %w", path, fs.ErrInvalid)
	}
	gid := int(st.Gid)
	groups, _ := os.Getgroups() // none known is as good as in none
	o := Owner{Group: strconv.Itoa(gid), GID: gid, Mode: info.Mode(), Member: os.Getegid() == gid || slices.Contains(groups, gid)}
	if g, err := user.LookupGroupId(o.Group); err == nil {
		o.Group = g.Name
	}
	return o, nil
}

func free(folder string) (uint64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(folder, &st); err != nil {
		return 0, &fs.PathError{Op: "statfs", Path: folder, Err: err}
	}
	return st.Bavail * uint64(st.Bsize), nil
}
