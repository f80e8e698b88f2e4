package host

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestHints(t *testing.T) {
	const unknown = 987654 // a group without a name
	for _, c := range []struct {
		name string
		who
		want string
	}{
		{"a group", who{node{"/dev/gpiochip0", 0o660, unknown}, false, []int{100}},
			"/dev/gpiochip0 is for the group 987654: sudo usermod -aG 987654 USER"},
		{"root's group", who{node{"/dev/gpiochip0", 0o660, 0}, false, []int{100}}, "for root alone"},
		{"a device with a usual group", who{node{"/dev/gpiochip12", 0o600, 0}, false, []int{100}}, `KERNEL=="gpiochip*", GROUP="gpio", MODE="0660"`},
		{"a key", who{node{"/dev/input/event3", 0o600, 0}, false, []int{100}}, `KERNEL=="event*", GROUP="input", MODE="0660"`},
		{"no device", who{node{"/sys/class/leds/ACT/trigger", 0o644, 0}, false, []int{100}}, "let a udev rule give it"},
		{"its group may not", who{node{"/dev/gpiochip0", 0o600, unknown}, false, []int{unknown}}, "for root alone"},
		{"its group may read alone", who{node{"/sys/class/leds/ACT/trigger", 0o644, unknown}, false, []int{unknown}}, "for root alone"},
		{"a member, and yet", who{node{"/dev/gpiochip0", 0o660, unknown}, false, []int{1, unknown}}, "DeviceAllow=/dev/gpiochip0 rw"},
		{"root, and yet", who{node{"/dev/gpiochip0", 0o600, 0}, true, nil}, "DeviceAllow=/dev/gpiochip0 rw"},
	} {
		if got := c.who.hint(); !strings.Contains(got, c.want) {
			t.Errorf("%s: %q, want %q in it", c.name, got, c.want)
		}
	}
	if got := groupName(0); got != "root" {
		t.Errorf("group 0 is %q", got)
	}
}

func TestExplain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "gpiochip0")
	if err := os.WriteFile(path, nil, 0o660); err != nil {
		t.Fatal(err)
	}
	refused := fmt.Errorf("opening: %w", fs.ErrPermission)
	// This process owns the file, is in its group: only a sandbox could refuse it.
	if err := explain(path, refused); !errors.Is(err, fs.ErrPermission) || !strings.Contains(hintOf(err), path) {
		t.Errorf("error %v, hint %q", err, hintOf(err))
	}
	for _, err := range []error{explain(path, fs.ErrNotExist), explain(path+"x", refused)} {
		if hintOf(err) != "" {
			t.Errorf("%v: hint %q", err, hintOf(err))
		}
	}
}
