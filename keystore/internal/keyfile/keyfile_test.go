package keyfile

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/mecha-org/mecha-agent/gateway"
	"github.com/mecha-org/mecha-agent/keystore"
)

// made returns the path of a file in a folder of its own.
func made(t *testing.T) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "a", "b", "key.pem")
	if err := MakeFolders(filepath.Dir(path)); err != nil {
		t.Fatal(err)
	}
	d, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if err := d.Install([]byte("text")); err != nil {
		t.Fatal(err)
	}
	return path
}

func read(path string) (string, error) {
	d, err := Open(path)
	if err != nil {
		return "", err
	}
	defer d.Close()
	text, err := d.Read(100)
	return string(text), err
}

func TestForeignOwner(t *testing.T) {
	if err := refuseOwner("/x", 0); err != nil {
		t.Errorf("root's file is refused: %v", err)
	}
	if err := refuseOwner("/x", uint32(os.Geteuid())); err != nil {
		t.Errorf("our own file is refused: %v", err)
	}
	err := refuseOwner("/x y", uint32(os.Geteuid()+4321))
	if !errors.Is(err, keystore.ErrExposed) || !strings.Contains(gateway.HintOf(err), "chown") || !strings.Contains(gateway.HintOf(err), "'/x y'") {
		t.Errorf("%v, hint %q, want ErrExposed and a chown", err, gateway.HintOf(err))
	}
	if os.Geteuid() == 0 { // only root can give a file away: the rule as Open applies it
		for _, what := range []func(string) string{filepath.Clean, filepath.Dir} {
			path := made(t)
			if err := os.Chown(what(path), 4321, 4321); err != nil {
				t.Fatal(err)
			}
			if _, err := read(path); !errors.Is(err, keystore.ErrExposed) {
				t.Errorf("Open with %s of another user: %v, want ErrExposed", what(path), err)
			}
		}
	}
}

// TestInstallReplacesNothing is the race that a first look cannot see: the name
// is taken while the key is made.
func TestInstallReplacesNothing(t *testing.T) {
	path := made(t)
	dir, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	if err := dir.Install([]byte("another")); !errors.Is(err, keystore.ErrExists) {
		t.Errorf("install over a file: %v, want ErrExists", err)
	}
	if text, err := read(path); err != nil || text != "text" {
		t.Errorf("read %q, %v", text, err)
	}
	if left, _ := os.ReadDir(filepath.Dir(path)); len(left) != 1 {
		t.Errorf("install left %v", left)
	}
}

// The whole way to the key is looked at, not the last folder alone.
func TestAncestors(t *testing.T) {
	for _, c := range []struct {
		name string
		mode os.FileMode
		ok   bool
	}{
		{"as made", 0o700, true},
		{"to be read", 0o755, true},
		{"group writes", 0o770, false},
		{"all write", 0o777, false},
		{"all write, sticky", os.ModeSticky | 0o777, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := made(t)
			above := filepath.Dir(filepath.Dir(path))
			if err := os.Chmod(above, c.mode); err != nil {
				t.Fatal(err)
			}
			_, err := read(path)
			if c.ok {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if hint := gateway.HintOf(err); !errors.Is(err, keystore.ErrExposed) || !strings.Contains(hint, "chmod go-w "+above) {
				t.Errorf("%v, hint %q, want ErrExposed and chmod of %s", err, hint, above)
			}
		})
	}
}

// Links above the key are followed when nobody else can turn them elsewhere.
func TestLinks(t *testing.T) {
	path := made(t)
	real := filepath.Dir(path)
	for _, c := range []struct {
		name    string
		link    func(dir string) (string, error)
		want    error
		exposed os.FileMode // of the folder of the link
	}{
		{"absolute", func(dir string) (string, error) { l := dir + "/l"; return l, os.Symlink(real, l) }, nil, 0},
		{"relative", func(dir string) (string, error) {
			to, err := filepath.Rel(dir, real)
			l := dir + "/l"
			return l, errors.Join(err, os.Symlink(to, l))
		}, nil, 0},
		{"link to a link", func(dir string) (string, error) {
			l, m := dir+"/l", dir+"/m"
			return m, errors.Join(os.Symlink(real, l), os.Symlink("l", m))
		}, nil, 0},
		{"loop", func(dir string) (string, error) { l := dir + "/l"; return l, os.Symlink("l", l) }, unix.ELOOP, 0},
		{"to nowhere", func(dir string) (string, error) { l := dir + "/l"; return l, os.Symlink("none", l) }, keystore.ErrNotExist, 0},
		{"to a file", func(dir string) (string, error) { l := dir + "/l"; return l, os.Symlink(path, l) }, unix.ENOTDIR, 0},
		{"in a folder of all", func(dir string) (string, error) { l := dir + "/l"; return l, os.Symlink(real, l) }, keystore.ErrExposed, 0o777},
		{"in a sticky folder of all", func(dir string) (string, error) { l := dir + "/l"; return l, os.Symlink(real, l) }, nil, os.ModeSticky | 0o777},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			link, err := c.link(dir)
			if err != nil {
				t.Fatal(err)
			}
			if c.exposed != 0 {
				if err := os.Chmod(dir, c.exposed); err != nil {
					t.Fatal(err)
				}
			}
			text, err := read(filepath.Join(link, "key.pem"))
			if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) || err == nil && text != "text" {
				t.Errorf("read %q, %v, want %v", text, err, c.want)
			}
		})
	}
	if os.Geteuid() != 0 {
		return // only root can give a link away
	}
	link := filepath.Join(t.TempDir(), "l")
	if err := errors.Join(os.Symlink(real, link), os.Lchown(link, 4321, 4321)); err != nil {
		t.Fatal(err)
	}
	if _, err := read(filepath.Join(link, "key.pem")); !errors.Is(err, keystore.ErrExposed) {
		t.Errorf("a link of another user: %v, want ErrExposed", err)
	}
}

// content is what lies in a folder, by name.
func content(t *testing.T, dir string) map[string]string {
	t.Helper()
	all, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	found := make(map[string]string)
	for _, e := range all {
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if st, err := e.Info(); err != nil || st.Mode() != modeFile {
			t.Errorf("%s: mode %v, %v", e.Name(), st.Mode(), err)
		}
		found[e.Name()] = string(text)
	}
	return found
}

func TestInstallBeside(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	path := filepath.Join(dir, "key.pem")
	d, err := OpenNew(path)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if err := os.WriteFile(path+".tpm", []byte("of a key that is gone"), modeFile); err != nil {
		t.Fatal(err)
	}
	beside := Beside{".tpm", []byte("where from")}
	if err := d.Install([]byte("key"), beside); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"key.pem": "key", "key.pem.tpm": "where from"}
	if got := content(t, dir); !maps.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	// What cannot be put beside keeps the key from its name, and nothing is left.
	d, err = OpenNew(filepath.Join(dir, "other.pem"))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	taken := filepath.Join(dir, "other.pem.d")
	if err := os.Mkdir(taken, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, second := range map[string]string{"no name of a file": "/x", "a folder is there": ".d"} {
		if err := d.Install([]byte("key"), beside, Beside{second, nil}); err == nil {
			t.Errorf("%s: no error", name)
		}
		if left, _ := os.ReadDir(dir); len(left) != len(want)+1 {
			t.Errorf("%s: left %v", name, left)
		}
	}
	if err := os.Remove(taken); err != nil {
		t.Fatal(err)
	}
	if got := content(t, dir); !maps.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

func TestReplace(t *testing.T) {
	path := made(t)
	d, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if err := d.Replace([]byte("another text")); err != nil {
		t.Fatal(err)
	}
	if got := content(t, filepath.Dir(path)); !maps.Equal(got, map[string]string{"key.pem": "another text"}) {
		t.Errorf("got %q", got)
	}
	if err := errors.Join(os.Remove(path), os.Mkdir(path, 0o700)); err != nil {
		t.Fatal(err)
	}
	if err := d.Replace([]byte("text")); err == nil {
		t.Error("a folder was replaced")
	}
	if left, _ := os.ReadDir(filepath.Dir(path)); len(left) != 1 {
		t.Errorf("left %v", left)
	}
}

func TestOpenNew(t *testing.T) {
	path := made(t)
	if _, err := OpenNew(path); !errors.Is(err, keystore.ErrExists) {
		t.Errorf("a file is there: %v", err)
	}
	dir := filepath.Dir(path)
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenNew(filepath.Join(dir, "new")); !errors.Is(err, keystore.ErrExposed) || gateway.HintOf(err) == "" {
		t.Errorf("others can write: %v, hint %q", err, gateway.HintOf(err))
	}
}
