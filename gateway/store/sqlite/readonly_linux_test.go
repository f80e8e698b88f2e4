package sqlite_test

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/mecha-org/mecha-agent/gateway/store/sqlite"
)

// unprivileged runs f on a thread to which the modes of files apply, for root
// too (capabilities(7): DAC_OVERRIDE, DAC_READ_SEARCH, FOWNER).
func unprivileged(t *testing.T, f func()) {
	t.Helper()
	done := make(chan error, 1)
	go func() {
		defer close(done)      // also when f ends the goroutine
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var data [2]unix.CapUserData
		if err := unix.Capget(&header, &data[0]); err != nil {
			done <- err
			return
		}
		data[0].Effective &^= 1<<unix.CAP_DAC_OVERRIDE | 1<<unix.CAP_DAC_READ_SEARCH | 1<<unix.CAP_FOWNER
		if err := unix.Capset(&header, &data[0]); err != nil {
			done <- err
			return
		}
		f()
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func chmod(t *testing.T, path string, mode os.FileMode) {
	t.Helper()
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

func TestReadOnly(t *testing.T) {
	for name, prepare := range map[string]func(t *testing.T, dir, path string){
		"folder, no file":   func(t *testing.T, dir, path string) { chmod(t, dir, 0o500) },
		"folder above":      func(t *testing.T, dir, path string) { os.Remove(dir); chmod(t, filepath.Dir(dir), 0o500) },
		"folder with store": func(t *testing.T, dir, path string) { openAt(t, path).Close(); chmod(t, dir, 0o500) },
		"file":              func(t *testing.T, dir, path string) { openAt(t, path).Close(); chmod(t, path, 0o400) },
		"file, no reading":  func(t *testing.T, dir, path string) { openAt(t, path).Close(); chmod(t, path, 0o000) },
	} {
		t.Run(name, func(t *testing.T) {
			above := t.TempDir()
			dir := filepath.Join(above, "gateway")
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { os.Chmod(above, 0o700); os.Chmod(dir, 0o700) })
			prepare(t, dir, filepath.Join(dir, "gateway.db"))
			unprivileged(t, func() { refused(t, filepath.Join(dir, "gateway.db"), sqlite.ErrReadOnly) })
		})
	}
}
