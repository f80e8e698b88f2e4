package disk

import (
	"errors"
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

// explain puts path and hint to an error of parse.
func explain(err error, path string) error {
	hint := "remove " + quote(path) + " and provision the machine anew, or restore the file from a backup"
	if errors.Is(err, keystore.ErrWrongKind) {
		hint = "an ECDSA key becomes PKCS#8 by: openssl pkcs8 -topk8 -nocrypt -in " + quote(path) +
			"; any other kind must be replaced by a new key"
	}
	return &hinted{err: fmt.Errorf("%s: %w", path, err), hint: hint}
}

func notRegular(path string) error {
	return &hinted{
		err:  fmt.Errorf("%w: %s is not a regular file", keystore.ErrDamaged, path),
		hint: "look at what stands there (ls -ld " + quote(path) + ") and move it away",
	}
}

// refuseOwner lets nobody else's file in: its owner could read and replace it.
func refuseOwner(path string, uid uint32) error {
	if uid == 0 || int(uid) == os.Geteuid() {
		return nil
	}
	return &hinted{
		err:  fmt.Errorf("%w: %s belongs to user %d", keystore.ErrExposed, path, uid),
		hint: fmt.Sprintf("run as root: chown %d %s", os.Geteuid(), quote(path)),
	}
}

// quote makes a path safe to paste into a shell.
func quote(path string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/._-+@:,", r)
	}
	if strings.IndexFunc(path, func(r rune) bool { return !plain(r) }) < 0 {
		return path
	}
	return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
}
