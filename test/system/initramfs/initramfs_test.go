package initramfs_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/mecha-org/mecha-agent/test/system/initramfs"
)

// TestArchive holds the archive byte by byte: the kernel is the only other reader.
func TestArchive(t *testing.T) {
	var a initramfs.Archive
	a.Console()
	a.File("/etc/mecha/settings.yml", 0o644, []byte("hardware: {}\n"))
	a.File("/etc/mecha/other", 0o755, nil)
	a.Folder("/etc", 0o700) // it is there
	a.Folder("/root", 0o700)
	var out bytes.Buffer
	if n, err := a.WriteTo(&out); err != nil || n != int64(out.Len()) {
		t.Fatal(n, err)
	}
	type entry struct {
		name, mode, device string
		data               string
	}
	var got []entry
	rest := out.Bytes()
	for len(rest) > 0 {
		field := func(i int) string { return string(rest[6+8*i : 14+8*i]) }
		number := func(i int) (n int) {
			for _, c := range field(i) {
				n = n<<4 | strings.IndexRune("0123456789abcdef", c)
			}
			return n
		}
		if string(rest[:6]) != "070701" {
			t.Fatalf("no header at %q", rest[:min(20, len(rest))])
		}
		name := 110
		data := (name + number(11) + 3) &^ 3
		next := (data + number(6) + 3) &^ 3
		got = append(got, entry{string(rest[name : name+number(11)-1]), field(1), field(9) + field(10), string(rest[data : data+number(6)])})
		if rest[name+number(11)-1] != 0 {
			t.Errorf("the name %q does not end in zero", got[len(got)-1].name)
		}
		rest = rest[next:]
	}
	const none = "0000000000000000"
	want := []entry{
		{"dev", "000041ed", none, ""},
		{"dev/console", "00002180", "0000000500000001", ""},
		{"etc", "000041ed", none, ""},
		{"etc/mecha", "000041ed", none, ""},
		{"etc/mecha/settings.yml", "000081a4", none, "hardware: {}\n"},
		{"etc/mecha/other", "000081ed", none, ""},
		{"root", "000041c0", none, ""},
		{"TRAILER!!!", "00000000", none, ""},
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%q\nwant\n%q", got, want)
	}
}

func TestModules(t *testing.T) {
	tree := fstest.MapFS{
		"modules.builtin": {Data: []byte("kernel/drivers/gpio/gpio-pl061.ko\n")},
		"modules.dep": {Data: []byte("kernel/usb/common.ko.xz:\n" +
			"kernel/usb/core.ko.xz: kernel/usb/common.ko.xz\n" +
			"kernel/net/usb-net.ko.xz: kernel/net/mii.ko.xz kernel/usb/core.ko.xz kernel/usb/common.ko.xz\n" +
			"kernel/net/mii.ko.xz:\n")},
	}
	for _, c := range []struct {
		names string
		want  string
		err   string
	}{
		{"usb_net", "usb/common usb/core net/mii net/usb-net", ""},
		{"mii usb-net", "net/mii usb/common usb/core net/usb-net", ""},
		{"gpio_pl061 core core", "usb/common usb/core", ""},
		{"", "", ""},
		{"mii sound", "", "the kernel has no module sound"},
	} {
		got, err := initramfs.Modules(tree, strings.Fields(c.names)...)
		if c.err != "" {
			if err == nil || err.Error() != c.err {
				t.Errorf("%q: error %v, want %s", c.names, err, c.err)
			}
			continue
		}
		var want []string
		for m := range strings.FieldsSeq(c.want) {
			want = append(want, "kernel/"+m+".ko.xz")
		}
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %q, %v; want %q", c.names, got, err, want)
		}
	}
	for _, missing := range []string{"modules.builtin", "modules.dep"} {
		less := fstest.MapFS{}
		for name, f := range tree {
			if name != missing {
				less[name] = f
			}
		}
		if _, err := initramfs.Modules(less, "mii"); err == nil {
			t.Errorf("no error without %s", missing)
		}
	}
}

func TestUnpack(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a.ko")
	if err := os.WriteFile(file, []byte("module"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := initramfs.Unpack(context.Background(), file); err != nil || string(got) != "module" {
		t.Errorf("plain: %q, %v", got, err)
	}
	if out, err := exec.Command("xz", file).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if got, err := initramfs.Unpack(context.Background(), file+".xz"); err != nil || string(got) != "module" {
		t.Errorf("compressed: %q, %v", got, err)
	}
	if err := os.WriteFile(file+".xz", []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := initramfs.Unpack(context.Background(), file+".xz"); err == nil {
		t.Error("a damaged module was unpacked")
	}
}
