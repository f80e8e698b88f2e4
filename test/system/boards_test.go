//go:build system

package system_test

// board is a machine of QEMU with the kernel of a distribution, and what is
// connected to it.
type board struct {
	name    string
	program string   // of QEMU
	machine []string // -M and what belongs to it: memory, network, serial lines, display
	kernel  string   // flavour: a folder that scripts/kernels.sh makes
	tree    string   // device tree of the kernel's package; empty: QEMU's own
	edits   [][]string
	modules []string // what they need goes in before them
	console string   // terminal of the kernel, and of /init
	command string   // more of the kernel's command line
	arch    string   // of the binaries, by GOARCH and GOARM: "arm64", "arm/6"

	hardware string // the hardware part of settings.yml, indented by two

	is       string // what `mecha-agent board` is to call it: a row of package board's tables
	model    string // likewise, of the device tree
	leds     *ledRegisters
	button   *button
	terminal bool // the panel is a second serial line, in console.log
}

// ledRegisters says where the LEDs of a board can be seen from outside.
type ledRegisters struct {
	level  uint64 // register with the level of the lines
	lines  []int  // bits of it: one for Morse; or five, the first of them the most significant, and the strobe
	invert bool

	direction uint64 // register that makes lines outputs
	output    map[int]uint32
	mask      map[int]uint32
}

// button is an input line that a test can set.
type button struct {
	device string // QOM path; a type name in brackets is looked for: "[pl061]"
	line   int
	held   bool // level of the line while it is held
}

// oled is the display of every board that has one. QEMU's model of the SSD0303
// panel is the only small display that it has.
const oledID = "oled"

func oledAt(bus string) []string {
	return []string{"-device", "ssd0303,bus=" + bus + ",address=0x3c,id=" + oledID}
}

// One processor that runs in one thread with the devices: twice as fast as four
// that wait for each other.
var oneThread = []string{"-accel", "tcg,thread=single"}

func args(parts ...[]string) (all []string) {
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}

// boards is the table of what is booted.
var boards = []board{
	{
		name:    "raspi3b",
		program: "qemu-system-aarch64",
		machine: args([]string{"-M", "raspi3b", "-m", "1G", "-serial", "null", "-serial", "stdio",
			"-device", "usb-net,netdev=n0", "-netdev", "user,id=n0"}, oneThread, oledAt("i2c-bus.1")),
		kernel:  "arm64",
		tree:    "broadcom/bcm2837-rpi-3-b.dtb",
		modules: []string{"i2c-bcm2835", "i2c-dev", "phy-generic", "dwc2", "cdc_ether", "rndis_host"},
		console: "ttyS1,115200",
		arch:    "arm64",
	},
	{
		name:    "imx8mp-evk",
		program: "qemu-system-aarch64",
		machine: args([]string{"-M", "imx8mp-evk", "-smp", "1", "-m", "1G", "-serial", "null", "-serial", "stdio",
			"-nic", "user,id=n0"}, oneThread, oledAt("i2c-bus.1")),
		kernel: "arm64",
		tree:   "freescale/imx8mp-evk.dtb",
		// The MAC address is in fuses, of which QEMU has no model: without them the
		// driver waits for good.
		edits:   [][]string{{"-d", "/soc@0/bus@30800000/ethernet@30be0000", "nvmem-cells", "nvmem-cell-names"}},
		modules: []string{"i2c-imx", "i2c-dev", "fec", "realtek", "smsc"},
		console: "ttymxc1,115200",
		arch:    "arm64",
	},
	{
		name:    "virt",
		program: "qemu-system-aarch64",
		machine: args([]string{"-M", "virt,acpi=off", "-cpu", "cortex-a53", "-m", "512M", "-serial", "stdio",
			"-device", "virtio-net-device,netdev=n0", "-netdev", "user,id=n0"}, oneThread),
		kernel:  "cloud-arm64",
		modules: []string{"virtio_mmio", "virtio_net"},
		console: "ttyAMA0",
		arch:    "arm64",
	},
	{
		name:    "raspi0",
		program: "qemu-system-arm",
		machine: args([]string{"-M", "raspi0", "-serial", "stdio",
			"-device", "usb-net,netdev=n0", "-netdev", "user,id=n0"}, oneThread, oledAt("i2c-bus.1")),
		kernel:  "rpi",
		tree:    "bcm2835-rpi-zero.dtb",
		modules: []string{"i2c-dev", "cdc_ether", "rndis_host"},
		console: "ttyAMA0,115200",
		// The model has no power controller, and the driver takes that for a panic.
		command: "initcall_blacklist=bcm2835_power_driver_init",
		arch:    "arm/6",
	},
}
