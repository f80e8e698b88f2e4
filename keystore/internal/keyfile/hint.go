package keyfile

import (
	"fmt"
	"os"
	"strings"

	"github.com/mecha-org/mecha-agent/keystore"
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

// WithHint puts to err what a person can do about it.
func WithHint(err error, hint string) error { return &hinted{err, hint} }

// Damaged puts path and hint to an error that says why a file holds no key.
func Damaged(err error, path string) error {
	return WithHint(fmt.Errorf("%s: %w", path, err), hintDamaged(path))
}

func hintDamaged(path string) string {
	return "remove " + Quote(path) + " and provision the machine anew, or restore the file from a backup"
}

func notRegular(path string) error {
	return WithHint(
		fmt.Errorf("%w: %s is not a regular file", keystore.ErrDamaged, path),
		"look at what stands there (ls -ld "+Quote(path)+") and move it away")
}

// refuseOwner lets nobody else's file in: its owner could read and replace it.
func refuseOwner(path string, uid uint32) error {
	if uid == 0 || int(uid) == os.Geteuid() {
		return nil
	}
	return WithHint(
		fmt.Errorf("%w: %s belongs to user %d", keystore.ErrExposed, path, uid),
		fmt.Sprintf("run as root: chown %d %s", os.Geteuid(), Quote(path)))
}

// Quote makes a path safe to paste into a shell.
func Quote(path string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/._-+@:,", r)
	}
	if strings.IndexFunc(path, func(r rune) bool { return !plain(r) }) < 0 {
		return path
	}
	return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
}
