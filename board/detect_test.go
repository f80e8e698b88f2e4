package board

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// tree builds a file system from pairs of path and content.
func tree(pairs ...string) fstest.MapFS {
	m := fstest.MapFS{}
	for i := 0; i+1 < len(pairs); i += 2 {
		m[pairs[i]] = &fstest.MapFile{Data: []byte(pairs[i+1])}
	}
	return m
}

// A Raspberry Pi Zero W with a kernel that shows no device tree.
const piZeroCPUInfo = `processor	: 0
model name	: ARMv6-compatible processor rev 7 (v6l)
BogoMIPS	: 697.95
Features	: half thumb fastmult vfp edsp java tls
CPU implementer	: 0x41
CPU architecture: 7
CPU variant	: 0x0
CPU part	: 0xb76
CPU revision	: 7

Hardware	: BCM2835
Revision	: 9000c1
Serial		: 00000000d41d8cd9
`

const laptopCPUInfo = `processor	: 0
vendor_id	: GenuineIntel
cpu family	: 6
model		: 142
model name	: Intel(R) Core(TM) i7-8650U CPU @ 1.90GHz
flags		: fpu vme de pse tsc msr
bugs		:

`

func TestDetect(t *testing.T) {
	tests := []struct {
		name string
		root fstest.MapFS
		want Board // information only
	}{
		{
			name: "Raspberry Pi 4",
			root: tree(
				"proc/device-tree/model", "Raspberry Pi 4 Model B Rev 1.4\x00",
				"proc/device-tree/compatible", "raspberrypi,4-model-b\x00brcm,bcm2711\x00",
				"proc/device-tree/serial-number", "10000000d41d8cd9\x00",
				"proc/device-tree/system/linux,revision", "\x00\xc0\x31\x14",
				"proc/cpuinfo", "Revision\t: ffffff\nSerial\t\t: 1000000000000bad\nModel\t\t: another\n",
			),
			want: Board{Name: "raspberrypi", Vendor: "Raspberry Pi Foundation", Model: "Raspberry Pi 4 Model B Rev 1.4", SoC: "bcm2711", Revision: "c03114", Serial: "10000000d41d8cd9"},
		},
		{
			name: "device tree below sys only",
			root: tree(
				"sys/firmware/devicetree/base/model", "Raspberry Pi 3 Model B\x00",
				"sys/firmware/devicetree/base/compatible", "raspberrypi,3-model-b\x00brcm,bcm2837\x00",
				"proc/cpuinfo", "Revision\t: a02082\nSerial\t\t: 000000001234abcd\n",
			),
			want: Board{Name: "raspberrypi", Vendor: "Raspberry Pi Foundation", Model: "Raspberry Pi 3 Model B", SoC: "bcm2837", Revision: "a02082", Serial: "000000001234abcd"},
		},
		{
			name: "Pi Zero, cpuinfo with revision code only",
			root: tree("proc/cpuinfo", piZeroCPUInfo),
			want: Board{Name: "raspberrypi", Vendor: "Raspberry Pi Foundation", Model: "Raspberry Pi Zero W Rev 1.1", SoC: "bcm2835", Revision: "9000c1", Serial: "00000000d41d8cd9"},
		},
		{
			name: "Pi Zero, cpuinfo with model",
			root: tree("proc/cpuinfo", piZeroCPUInfo+"Model\t\t: Raspberry Pi Zero W Rev 1.1 (as it says)\n"),
			want: Board{Name: "raspberrypi", Vendor: "Raspberry Pi Foundation", Model: "Raspberry Pi Zero W Rev 1.1 (as it says)", SoC: "bcm2835", Revision: "9000c1", Serial: "00000000d41d8cd9"},
		},
		{
			name: "i.MX8M Plus EVK",
			root: tree(
				"proc/device-tree/model", "NXP i.MX8MPlus EVK board\x00",
				"proc/device-tree/compatible", "fsl,imx8mp-evk\x00fsl,imx8mp\x00",
				"sys/devices/soc0/serial_number", "1F2E3D4C5B6A7988\n",
			),
			want: Board{Name: "imx8mp", Vendor: "NXP Semiconductors", Model: "NXP i.MX8MPlus EVK board", SoC: "imx8mp", Serial: "1F2E3D4C5B6A7988"},
		},
		{
			name: "unknown vendor, strings without end, U-Boot's SMBIOS beside the device tree",
			root: tree(
				"proc/device-tree/model", "Example  Board\t2\n",
				"proc/device-tree/compatible", "example,board-2\x00example,soc-9",
				"proc/device-tree/serial-number", "0000000000000000\x00",
				"sys/class/dmi/id/sys_vendor", "Unknown\n",
				"sys/class/dmi/id/product_name", "Unknown Product\n",
				"sys/class/dmi/id/product_serial", "EX-77\n",
			),
			want: Board{Vendor: "example", Model: "Example Board 2", SoC: "soc-9", Serial: "EX-77"},
		},
		{
			name: "x86 laptop",
			root: tree(
				"proc/cpuinfo", laptopCPUInfo,
				"sys/class/dmi/id/sys_vendor", "LENOVO\n",
				"sys/class/dmi/id/product_name", "20L7CTO1WW\n",
				"sys/class/dmi/id/product_serial", "PF1ABCDE\n",
				"sys/class/dmi/id/board_vendor", "not this\n",
				"sys/class/dmi/id/board_name", "not this\n",
			),
			want: Board{Vendor: "LENOVO", Model: "20L7CTO1WW", Serial: "PF1ABCDE"},
		},
		{
			name: "x86 board whose maker left the system's fields alone",
			root: tree(
				"sys/class/dmi/id/sys_vendor", "To Be Filled By O.E.M.\n",
				"sys/class/dmi/id/product_name", "To be filled by O.E.M.\n",
				"sys/class/dmi/id/product_serial", "Default string\n",
				"sys/class/dmi/id/board_vendor", "ASRock\n",
				"sys/class/dmi/id/board_name", "B450M Pro4\n",
			),
			want: Board{Vendor: "ASRock", Model: "B450M Pro4"},
		},
		{
			name: "virtual machine",
			root: tree(
				"sys/class/dmi/id/sys_vendor", "QEMU\n",
				"sys/class/dmi/id/product_name", "Standard PC (Q35 + ICH9, 2009)\n",
				"sys/class/dmi/id/product_serial", "\n",
			),
			want: Board{Vendor: "QEMU", Model: "Standard PC (Q35 + ICH9, 2009)"},
		},
		{
			name: "virtual machine with a device tree",
			root: tree(
				"proc/device-tree/model", "linux,dummy-virt\x00",
				"proc/device-tree/compatible", "linux,dummy-virt\x00",
			),
			want: Board{Name: "virt", Vendor: "virtual machine", Model: "linux,dummy-virt", SoC: "virt"},
		},
		{name: "nothing", root: tree()},
		{
			name: "garbage",
			root: tree(
				"proc/device-tree/model", "\xff\xfe\x00\x01\x02",
				"proc/device-tree/compatible", strings.Repeat("\x00", 9000),
				"proc/device-tree/system/linux,revision", "xx",
				"proc/cpuinfo", ":::\n\x00:\x00\nRevision:zz\nSerial",
			),
			want: Board{},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Detect(tt.root)
			if err != nil {
				t.Fatal(err)
			}
			type info [7]string
			words := func(b Board) info {
				return info{b.Name, b.Vendor, b.Model, b.SoC, b.Revision, b.Serial, b.Architecture}
			}
			tt.want.Architecture = got.Architecture
			fill(&tt.want.Name, Generic)
			if words(got) != words(tt.want) {
				t.Errorf("got  %q\nwant %q", words(got), words(tt.want))
			}
			if !strings.HasPrefix(got.Architecture, runtime.GOARCH) {
				t.Errorf("architecture %q on %s", got.Architecture, runtime.GOARCH)
			}
			if got.Display != nil || got.LEDs != nil || got.Button != nil {
				t.Error("a generic board has parts")
			}
			for part, want := range map[string]bool{
				"model": tt.want.Model == "", "serial": tt.want.Serial == "",
				"MAC": true, "GPIO": true, "I2C": true, "TPM": true, "header": got.Header == nil,
				// Nothing is wired yet, which is no fault.
				"display": false, "LEDs": false, "button": false,
			} {
				says := slices.ContainsFunc(got.Missing, func(s string) bool { return strings.HasPrefix(s, part+": ") })
				if says != want {
					t.Errorf("Missing names %s: %v, want %v: %q", part, says, want, got.Missing)
				}
			}
		})
	}
}

// locked refuses to open some files, as the kernel does for other users.
type locked struct {
	fstest.MapFS
	names map[string]error
}

func (l locked) Open(name string) (fs.File, error) {
	if err := l.names[name]; err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return l.MapFS.Open(name)
}

func TestDetectSaysWhatItMayNotRead(t *testing.T) {
	root := locked{
		tree("sys/class/dmi/id/sys_vendor", "LENOVO", "sys/class/dmi/id/product_name", "20L7CTO1WW"),
		map[string]error{"sys/class/dmi/id/product_serial": fs.ErrPermission},
	}
	b, err := Detect(root)
	if err != nil {
		t.Fatal(err)
	}
	want := "not read: open sys/class/dmi/id/product_serial: " + fs.ErrPermission.Error()
	if !slices.Contains(b.Missing, want) {
		t.Errorf("Missing %q, want %q", b.Missing, want)
	}
	if b.Model != "20L7CTO1WW" {
		t.Errorf("model %q", b.Model)
	}
}

func TestDetectRefusesNoRoot(t *testing.T) {
	if _, err := Detect(nil); err == nil {
		t.Error("no error without a file system")
	}
	_, err := Detect(os.DirFS(filepath.Join(t.TempDir(), "absent")))
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v, want one of a folder that is not there", err)
	}
}

func TestDetectThisMachine(t *testing.T) {
	b, err := Detect(os.DirFS("/"))
	if err != nil || b.Name != Generic {
		t.Errorf("Detect = %v, %v", b, err)
	}
}

func TestArchitecture(t *testing.T) {
	info := func(goarm string) *debug.BuildInfo {
		return &debug.BuildInfo{Settings: []debug.BuildSetting{{Key: "GOOS", Value: "linux"}, {Key: "GOARM", Value: goarm}}}
	}
	tests := []struct {
		goarch string
		info   *debug.BuildInfo
		want   string
	}{
		{"arm", info("6"), "arm/v6"},
		{"arm", info("7,hardfloat"), "arm/v7"},
		{"arm", info(""), "arm"},
		{"arm", nil, "arm"},
		{"arm", &debug.BuildInfo{}, "arm"},
		{"arm64", info("7"), "arm64"},
	}
	for _, tt := range tests {
		if got := architecture(tt.goarch, tt.info); got != tt.want {
			t.Errorf("architecture(%q, %v) = %q, want %q", tt.goarch, tt.info, got, tt.want)
		}
	}
}

// Codes and names from the document that piOf cites.
func TestPiOf(t *testing.T) {
	tests := []struct{ revision, model, compatible string }{
		{"c03114", "Raspberry Pi 4 Model B Rev 1.4", "raspberrypi,4-model-b brcm,bcm2711"},
		{"a02082", "Raspberry Pi 3 Model B Rev 1.2", "raspberrypi,3-model-b brcm,bcm2837"},
		{"900032", "Raspberry Pi Model B Plus Rev 1.2", "raspberrypi,model-b-plus brcm,bcm2835"},
		{"d04170", "Raspberry Pi 5 Model B Rev 1.0", "raspberrypi,5-model-b brcm,bcm2712"},
		{"902120", "Raspberry Pi Zero 2 W Rev 1.0", "raspberrypi,model-zero-2-w brcm,bcm2837"},
		{"000e", "Raspberry Pi Model B Rev 2.0", "raspberrypi,model-b-rev2 brcm,bcm2835"},
		{"0002", "Raspberry Pi Model B Rev 1.0", "raspberrypi,model-b-rev1 brcm,bcm2835"},
		{"1000003", "Raspberry Pi Model B Rev 1.0", "raspberrypi,model-b-rev1 brcm,bcm2835"}, // overvolted
		{"0015", "Raspberry Pi Model A Plus Rev 1.1", "raspberrypi,model-a-plus brcm,bcm2835"},
		{"0001", "", ""},
		{"80fff0", "", ""}, // no such model
		{"80f120", "Raspberry Pi Zero 2 W Rev 1.0", ""},
		{"", "", ""},
		{"xyz", "", ""},
	}
	for _, tt := range tests {
		if got := piOf(tt.revision); got.model != tt.model || strings.Join(got.compatible, " ") != tt.compatible {
			t.Errorf("piOf(%q) = %q, %q, want %q, %q", tt.revision, got.model, got.compatible, tt.model, tt.compatible)
		}
	}
}
