package tpm

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/mecha-org/mecha-agent/gateway"
)

// The hint names the group that the node belongs to, and no group when that
// would be root's or when it may do nothing.
func TestPermissionHint(t *testing.T) {
	node := filepath.Join(t.TempDir(), "tpmrm0")
	if err := os.WriteFile(node, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	err := explain(node, &fs.PathError{Op: "open", Path: node, Err: unix.EACCES})
	if !errors.Is(err, ErrPermission) || !errors.Is(err, unix.EACCES) {
		t.Fatalf("got %v", err)
	}
	if hint := gateway.HintOf(err); !strings.Contains(hint, "tpm-udev") || strings.Contains(hint, "usermod") {
		t.Errorf("mode 0600: got %q", hint)
	}
	if os.Geteuid() != 0 {
		return // only root may give a file away; CI is root
	}
	for _, c := range []struct {
		gid  int
		mode fs.FileMode
		want string
	}{
		{2147483000, 0o660, "usermod -aG 2147483000 $USER"}, // a group without a name
		{12, 0o660, "usermod -aG man $USER"},                // Debian's static groups: base-passwd
		{12, 0o640, "tpm-udev"},
		{0, 0o660, "tpm-udev"},
	} {
		if err := errors.Join(os.Chown(node, 0, c.gid), os.Chmod(node, c.mode)); err != nil {
			t.Fatal(err)
		}
		if hint := permissionHint(node); !strings.Contains(hint, c.want) {
			t.Errorf("group %d, mode %v: got %q, want %q", c.gid, c.mode, hint, c.want)
		}
	}
}

func TestExplain(t *testing.T) {
	other := errors.New("other")
	for _, c := range []struct{ cause, want error }{
		{unix.EBUSY, ErrBusy},
		{unix.ENODEV, ErrGone},
		{unix.EPIPE, ErrGone},
		{unix.ETIME, ErrHung},
		{unix.EPERM, ErrPermission},
		{other, other},
	} {
		err := explain("/dev/tpm0", fmt.Errorf("reading: %w", c.cause))
		if !errors.Is(err, c.want) || !errors.Is(err, c.cause) {
			t.Errorf("%v: got %v, want %v", c.cause, err, c.want)
		}
		if (gateway.HintOf(err) == "") != (c.cause == other) {
			t.Errorf("%v: hint %q", c.cause, gateway.HintOf(err))
		}
	}
}
