package identity

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// InUse reports whether a process, this one or another, has the store of the state
// folder open. It takes no lock to find out, not even for a moment: a store that is
// being opened would be refused. It looks in the kernel's list (proc_locks(5)), so
// that false also means that it cannot be told: this process may not look into the
// folder, or the file system's files have another device than its locks (btrfs).
func InUse(state string) bool {
	var st unix.Stat_t
	if err := unix.Stat(filepath.Join(state, lockName), &st); err != nil {
		return false
	}
	// 1: FLOCK  ADVISORY  WRITE 708 08:02:131105 0 EOF
	want := fmt.Sprintf("%02x:%02x:%d", unix.Major(uint64(st.Dev)), unix.Minor(uint64(st.Dev)), st.Ino)
	f, err := os.Open("/proc/locks")
	if err != nil {
		return false
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if w := strings.Fields(lines.Text()); len(w) > 5 && w[1] == "FLOCK" && w[3] == "WRITE" && w[5] == want {
			return true
		}
	}
	return false
}
