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
	soc      string
	leds     *ledRegisters
	button   *button
	oled     bool
	terminal bool // a second serial line is a display, in console.log
	powerKey bool // the button is the one that QMP can press
	light    *light

	tpm  tpmWay // how the guest comes to its TPM
	disk *disk  // what keeps root's home when the power is cut; otherwise nothing does
}

// tpmWay is how a TPM on the host becomes /dev/tpmrm0 in the guest.
type tpmWay int

const (
	noTPM    tpmWay = iota
	tpmTIS          // QEMU has the device, at the registers of the TCG's PC Client specification
	tpmProxy        // the kernel has a driver for TPMs elsewhere, tpm_vtpm_proxy, which /init serves
)

// disk is a disk of the board: ext4, not partitioned.
type disk struct {
	drive  string   // of QEMU's -drive, but for the file
	device []string // more of QEMU's arguments
	guest  string   // what the guest has it as
}

// light is one of /sys/class/leds that can be seen from outside.
type light struct {
	name string
	leds ledRegisters
}

// ledRegisters says where the LEDs of a board can be seen from outside.
type ledRegisters struct {
	level uint64 // register with the level of the lines
	// Which bits of it: one that says the code in Morse; or five that say it in binary,
	// the most significant first, and the strobe; or red, green and blue.
	morse int
	bits  []int
	rgb   []int
	// outputs are the registers that make the lines outputs: what is in them then, as
	// far as the mask goes.
	outputs []outputRegister
}

type outputRegister struct {
	address     uint64
	mask, value uint32
}

// countedTime lets the guest's time go on with the instructions that it has run.
// The old Pi's timer (BCM2835 ARM Peripherals, section 12) fires when its counter
// equals a value that the kernel sets, 15 microseconds ahead at times: on a host that
// is busy just then it has passed, and the guest sleeps until the counter is around,
// 71 minutes later.
var countedTime = []string{"-icount", "shift=auto"}

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

		hardware: `  display: {controller: ssd0303-96x16}
  leds: {single: "pin 11", dot: 100ms}
`,
		is: "raspberrypi", model: "Raspberry Pi 3 Model B", soc: "bcm2837",
		oled: true,
		// GPLEV0 and GPFSEL1: BCM2835 ARM Peripherals, section 6.1. Pin 11 is GPIO17.
		leds: &ledRegisters{level: 0x3f200034, morse: 17, outputs: []outputRegister{{0x3f200004, 7 << 21, 1 << 21}}},
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

		hardware: `  display: {controller: ssd0303-96x16, bus: /dev/i2c-1}
  leds: {code: ["30220000.gpio:20", "30220000.gpio:21", "30220000.gpio:22", "30220000.gpio:23", "30220000.gpio:24"], strobe: "30220000.gpio:25", pace: 500ms}
  button: {line: "30200000.gpio:10"}
`,
		is: "imx8mp", model: "NXP i.MX8MPlus EVK board", soc: "imx8mp",
		oled: true,
		// GPIO_DR and GPIO_GDIR of GPIO3: i.MX 8M Plus Reference Manual, section 8.3.5.
		leds: &ledRegisters{level: 0x30220000, bits: []int{20, 21, 22, 23, 24, 25},
			outputs: []outputRegister{{0x30220004, 0x3f << 20, 0x3f << 20}}},
		button: &button{device: "/machine/soc/gpio1", line: 10, held: false},
	},
	{
		name:    "virt",
		program: "qemu-system-aarch64",
		machine: virtMachine,
		kernel:  "cloud-arm64",
		// The power button's line is free for the agent without its driver.
		edits:   [][]string{{"-r", "/gpio-keys"}},
		modules: []string{"virtio_mmio", "virtio_net"},
		console: "ttyAMA0",
		arch:    "arm64",

		hardware: `  console: /dev/ttyAMA1
  leds: {rgb: ["9030000.pl061:0", "9030000.pl061:1", "9030000.pl061:2"]}
  button: {line: "9030000.pl061:5"}
`,
		is: "virt", model: "linux,dummy-virt", soc: "virt",
		terminal: true,
		// GPIODATA of all lines, and GPIODIR: ARM DDI 0190B, section 3.3.
		leds:   &ledRegisters{level: 0x90303fc, rgb: []int{0, 1, 2}, outputs: []outputRegister{{0x9030400, 7, 7}}},
		button: &button{device: "[pl061]", line: 5, held: false},
	},
	{
		name:    "virt-keys",
		program: "qemu-system-aarch64",
		machine: virtMachine,
		kernel:  "arm64", // that for clouds has no gpio-keys
		modules: []string{"virtio_mmio", "virtio_net", "gpio_keys", "evdev"},
		console: "ttyAMA0",
		arch:    "arm64",

		hardware: `  console: /dev/ttyAMA1
  button: {key: KEY_POWER}
`,
		is: "virt", model: "linux,dummy-virt", soc: "virt",
		terminal: true,
		button:   &button{device: "[pl061]", line: 3, held: true},
		powerKey: true,
	},
	{
		name:    "raspi0",
		program: "qemu-system-arm",
		machine: args([]string{"-M", "raspi0", "-serial", "stdio",
			"-device", "usb-net,netdev=n0", "-netdev", "user,id=n0"}, oneThread, oledAt("i2c-bus.1"), countedTime),
		kernel:  "rpi",
		tree:    "bcm2835-rpi-zero.dtb",
		modules: []string{"i2c-dev", "cdc_ether", "rndis_host", "leds-gpio", "ledtrig-default-on"},
		console: "ttyAMA0,115200",
		// The model has no power controller, and the driver takes that for a panic.
		command: "initcall_blacklist=bcm2835_power_driver_init",
		arch:    "arm/6",

		hardware: `  display: {controller: ssd0303-96x16}
  leds: {code: ["pin 29", "pin 31", "pin 33", "pin 35", "pin 37"], strobe: "pin 36", pace: 500ms}
`,
		is: "raspberrypi", model: "Raspberry Pi Zero", soc: "bcm2835",
		oled: true,
		// Pins 29, 31, 33, 35, 37 and 36 are GPIO5, 6, 13, 19, 26 and 16.
		leds: &ledRegisters{level: 0x20200034, bits: []int{5, 6, 13, 19, 26, 16}, outputs: []outputRegister{
			{0x20200000, 7<<15 | 7<<18, 1<<15 | 1<<18},
			{0x20200004, 7<<9 | 7<<18 | 7<<27, 1<<9 | 1<<18 | 1<<27},
			{0x20200008, 7 << 18, 1 << 18},
		}},
		// GPIO47, in GPLEV1 and GPFSEL4.
		light: &light{"ACT", ledRegisters{level: 0x20200038, morse: 15, outputs: []outputRegister{{0x20200010, 7 << 21, 1 << 21}}}},
	},
}

var virtMachine = args([]string{"-M", "virt,acpi=off", "-cpu", "cortex-a53", "-m", "512M", "-serial", "stdio",
	"-device", "virtio-net-device,netdev=n0", "-netdev", "user,id=n0"}, oneThread)
