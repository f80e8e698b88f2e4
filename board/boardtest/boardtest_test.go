package boardtest_test

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"

	"github.com/mecha-org/mecha-agent/board/boardtest"
)

const text = `# a comment
sys/class/tpm/
"a name/with \"quotes\"" "x"
sys/class/leds/ACT -> ../../devices/leds/ACT
sys/devices/leds/ACT/
	trigger "none [mmc0]\n"
	device -> ../..
  "my led" "1"
proc/device-tree -> /sys/firmware/devicetree/base
sys/firmware/devicetree/base/model "Raspberry Pi 3\x00"
`

func parse(t *testing.T, text string) *boardtest.Tree {
	t.Helper()
	tree, err := boardtest.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

func TestTree(t *testing.T) {
	tree := parse(t, text)
	if err := fstest.TestFS(tree, "sys/devices/leds/ACT/trigger", "sys/devices/leds/ACT/my led", "sys/firmware/devicetree/base/model"); err != nil {
		t.Error(err)
	}
	for name, want := range map[string]string{
		"sys/class/leds/ACT/trigger":                "none [mmc0]\n",
		"proc/device-tree/model":                    "Raspberry Pi 3\x00",
		"sys/class/leds/ACT/device/leds/ACT/my led": "1",
		`a name/with "quotes"`:                      "x",
	} {
		if got, err := fs.ReadFile(tree, name); err != nil || string(got) != want {
			t.Errorf("%s is %q, %v, want %q", name, got, err, want)
		}
	}
	for _, name := range []string{"sys/class/leds/PWR", "sys/class/tpm/tpm0", "proc/device-tree/model/x"} {
		if _, err := fs.Stat(tree, name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTreeRefuses(t *testing.T) {
	for _, text := range []string{
		"no content", "a", "a b", "/a \"x\"", "../a \"x\"", "a \"x", "a -> ", "a \"x\"\na/b \"y\"", "a/b \"y\"\na \"x\"", "a -> b\na \"x\"", "\"a", "\"a\" b", ". \"x\"", "a//b \"x\"",
	} {
		if _, err := boardtest.Parse(text); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
	loop := parse(t, "a -> b\nb -> a\n")
	if _, err := fs.Stat(loop, "a"); err == nil {
		t.Error("a loop leads somewhere")
	}
}

// FuzzText: what parses prints, and means the same.
func FuzzText(f *testing.F) {
	f.Add(text)
	f.Add("# \n\n a/\n\tb \"\"\n")
	f.Add("\"#\" \"\"\n\"#x/y\" \"\"\n")
	f.Fuzz(func(t *testing.T, text string) {
		tree, err := boardtest.Parse(text)
		if err != nil {
			return
		}
		first, err := boardtest.Format(tree)
		if err != nil {
			return // a link that no line can have
		}
		again, err := boardtest.Parse(first)
		if err != nil {
			t.Fatalf("%q prints %q: %v", text, first, err)
		}
		if second, err := boardtest.Format(again); err != nil || second != first {
			t.Errorf("%q prints %q, and then %q, %v", text, first, second, err)
		}
	})
}

// dtb makes a flattened device tree of tokens and strings (Devicetree Specification
// 0.4, chapter 5).
func dtb(strs string, structure ...any) []byte {
	var body []byte
	for _, part := range structure {
		switch v := part.(type) {
		case int:
			body = binary.BigEndian.AppendUint32(body, uint32(v))
		case string:
			body = append(body, v...)
			body = append(body, make([]byte, -len(body)&3)...)
		}
	}
	size, start := len(body), 40
	var out []byte
	out = binary.BigEndian.AppendUint32(out, 0xd00dfeed)
	for _, v := range []int{start + size + len(strs), start, start + size, start, 17, 16, 0, len(strs), size} {
		out = binary.BigEndian.AppendUint32(out, uint32(v))
	}
	return append(append(out, body...), strs...)
}

const (
	begin, end, prop, nop, last = 1, 2, 3, 4, 9
	names                       = "model\x00status\x00"
)

var small = dtb(names, nop, begin, "\x00", prop, 3, 0, "Pi\x00", begin, "soc@7e000000\x00", prop, 5, 6, "okay\x00", end, begin, "empty\x00", end, end, last)

func TestFromDTB(t *testing.T) {
	tree, err := boardtest.FromDTB(small)
	if err != nil {
		t.Fatal(err)
	}
	got, err := boardtest.Format(tree)
	want := "proc/device-tree/\n\tmodel \"Pi\\x00\"\nproc/device-tree/empty/\nproc/device-tree/soc@7e000000/\n\tstatus \"okay\\x00\"\n"
	if err != nil || got != want {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	for n := range small {
		if _, err := boardtest.FromDTB(small[:n]); err == nil {
			t.Errorf("%d of %d bytes are taken for all", n, len(small))
		}
	}
	for name, bad := range map[string][]byte{
		"no root":             dtb(names, last),
		"two roots":           dtb(names, begin, "\x00", end, begin, "\x00", end, last),
		"a property outside":  dtb(names, prop, 0, 0, begin, "\x00", end, last),
		"a name of elsewhere": dtb(names, begin, "\x00", begin, "../x\x00", end, end, last),
		"no property's name":  dtb(names, begin, "\x00", prop, 0, 99, end, last),
		"an unknown token":    dtb(names, begin, "\x00", 7, end, last),
		"no end":              dtb(names, begin, "\x00", end),
	} {
		if _, err := boardtest.FromDTB(bad); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}

func FuzzFromDTB(f *testing.F) {
	f.Add(small)
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		tree, err := boardtest.FromDTB(data)
		if err != nil {
			return
		}
		if _, err := boardtest.Format(tree); err != nil {
			t.Error(err)
		}
		if _, err := boardtest.Record(tree); err != nil {
			t.Error(err)
		}
	})
}

// TestRecord records a machine whose files are on disk, as those of a real one are,
// and among them what must not be opened.
func TestRecord(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{
		"proc/cpuinfo": "Serial : 1\n", "proc/mounts": "not asked for",
		"sys/firmware/devicetree/base/model":               "Pi\x00",
		"sys/firmware/devicetree/base/chosen/bootargs":     "secret\x00",
		"sys/firmware/devicetree/base/aliases/i2c1":        "/soc/i2c@74000\x00",
		"sys/firmware/devicetree/base/aliases/serial0":     "/soc/serial\x00",
		"sys/firmware/devicetree/base/soc/i2c@74000/reg":   "\x00\x07\x40\x00",
		"sys/firmware/devicetree/base/soc/serial/status":   "okay\x00",
		"sys/devices/leds/my led/trigger":                  "[none]",
		"sys/devices/leds/my led/max_brightness":           "255",
		"sys/devices/soc/eth/net/eth0/address":             "b8:27:eb:00:00:01\n",
		"sys/devices/soc/eth/net/eth0/statistics/rx_bytes": "1",
	} {
		name = filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte(content), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	for name, target := range map[string]string{
		"sys/class/leds/my led":               "../../devices/leds/my led",
		"sys/class/net/eth0":                  "../../devices/soc/eth/net/eth0",
		"sys/class/net/gone":                  "../../devices/gone",
		"sys/devices/soc/eth/net/eth0/device": "../../../eth",
	} {
		name = filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.Symlink(target, name)); err != nil {
			t.Fatal(err)
		}
	}
	// Who opens it waits for a writer, and the test ends with its time.
	if err := errors.Join(os.Mkdir(filepath.Join(dir, "dev"), 0o755), syscall.Mkfifo(filepath.Join(dir, "dev/i2c-1"), 0o600)); err != nil {
		t.Fatal(err)
	}
	got, err := boardtest.Record(os.DirFS(dir))
	if err != nil {
		t.Fatal(err)
	}
	want := `dev/
	i2c-1 ""
proc/
	cpuinfo "Serial : 1\n"
sys/class/leds/
	"my led" -> ../../devices/leds/my led
sys/class/net/
	eth0 -> ../../devices/soc/eth/net/eth0
"sys/devices/leds/my led/"
	trigger "[none]"
sys/devices/soc/eth/net/eth0/
	address "b8:27:eb:00:00:01\n"
	device -> ../../../eth
sys/firmware/devicetree/base/
	model "Pi\x00"
sys/firmware/devicetree/base/aliases/
	i2c1 "/soc/i2c@74000\x00"
sys/firmware/devicetree/base/soc/i2c@74000/
`
	if string(got) != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	again, err := boardtest.Record(parse(t, string(got)))
	if err != nil || string(again) != want {
		t.Errorf("of the record: %v\n%s", err, again)
	}
}

func TestRecordNothing(t *testing.T) {
	got, err := boardtest.Record(fstest.MapFS{})
	if err != nil || strings.TrimSpace(string(got)) != "" {
		t.Errorf("%q, %v", got, err)
	}
}
