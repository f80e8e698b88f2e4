package board

import (
	"path"
	"strconv"
)

// chipLabel says how a driver labels its controllers.
type chipLabel struct {
	compatible string // pattern, see like
	label      func(t *deviceTree, n node, device string) string
}

// chipLabels has the drivers whose labels do not depend on the order in which
// devices were found, from drivers/gpio and drivers/pinctrl of Linux 6.12. That of
// gpio-omap.c does: its "gpio-0-31" is the controller that was there first.
//
// The driver of the Raspberry Pi 5 is that of the Raspberry Pi's own kernel,
// https://github.com/raspberrypi/linux/blob/rpi-6.12.y/drivers/pinctrl/pinctrl-rp1.c
var chipLabels = []chipLabel{
	{"brcm,bcm2835-gpio", fixed("pinctrl-bcm2835")},
	{"brcm,bcm2711-gpio", fixed("pinctrl-bcm2711")},
	{"raspberrypi,rp1-gpio", fixed("pinctrl-rp1")},
	{"raspberrypi,firmware-gpio", fixed("raspberrypi-exp-gpio")},

	{"fsl,imx*-gpio", ofDevice}, // gpio-mxc.c and gpio-vf610.c
	{"fsl,vf610-gpio", ofDevice},
	{"fsl,qoriq-gpio", ofDevice}, // gpio-mpc8xxx.c, through gpio-mmio.c
	{"ti,keystone-gpio", ofDevice},
	{"ti,am64-gpio", ofDevice},
	{"ti,am654-gpio", ofDevice},
	{"ti,dm6441-gpio", ofDevice},
	{"arm,pl061", ofDevice},
	{"allwinner,sun*-*-pinctrl", ofDevice},
	{"allwinner,sun*-*-r-pinctrl", ofDevice},
	{"qcom,*-pinctrl", ofDevice},
	{"qcom,*-tlmm", ofDevice},
	{"aspeed,ast*-gpio", ofDevice},
	{"marvell,orion-gpio", ofDevice},
	{"marvell,armada-8k-gpio", ofDevice},

	{"rockchip,gpio-bank", rockchipBank},
	{"rockchip,rk3188-gpio-bank0", rockchipBank},

	{"amlogic,meson-*-periphs-pinctrl", fixed("periphs-banks")},
	{"amlogic,c3-periphs-pinctrl", fixed("periphs-banks")},
	{"amlogic,t7-periphs-pinctrl", fixed("periphs-banks")},
	{"amlogic,meson-*-aobus-pinctrl", fixed("aobus-banks")},
	{"amlogic,meson8-cbus-pinctrl", fixed("cbus-banks")},
	{"amlogic,meson8b-cbus-pinctrl", fixed("cbus-banks")},
	{"amlogic,meson8m2-cbus-pinctrl", fixed("cbus-banks")},
	{"amlogic,meson8-aobus-pinctrl", fixed("ao-bank")},
	{"amlogic,meson8m2-aobus-pinctrl", fixed("ao-bank")},
	{"amlogic,meson8b-aobus-pinctrl", fixed("aobus-banks")},

	{"nvidia,tegra186-gpio", fixed("tegra186-gpio")},
	{"nvidia,tegra186-gpio-aon", fixed("tegra186-gpio-aon")},
	{"nvidia,tegra194-gpio", fixed("tegra194-gpio")},
	{"nvidia,tegra194-gpio-aon", fixed("tegra194-gpio-aon")},
	{"nvidia,tegra234-gpio", fixed("tegra234-gpio")},
	{"nvidia,tegra234-gpio-aon", fixed("tegra234-gpio-aon")},
	{"nvidia,tegra20-gpio", fixed("tegra-gpio")},
	{"nvidia,tegra30-gpio", fixed("tegra-gpio")},
	{"nvidia,tegra210-gpio", fixed("tegra-gpio")},

	{"xlnx,zynqmp-gpio-1.0", fixed("zynqmp_gpio")},
	{"xlnx,zynq-gpio-1.0", fixed("zynq_gpio")},
	{"xlnx,versal-gpio-1.0", fixed("versal_gpio")},
	{"xlnx,pmc-gpio-1.0", fixed("pmc_gpio")},
}

func fixed(label string) func(*deviceTree, node, string) string {
	return func(*deviceTree, node, string) string { return label }
}

// ofDevice is the name of the device, "30200000.gpio": the address of its registers
// as the processor sees it, and the node's name (of_device_make_bus_id in Linux's
// drivers/of/platform.c).
func ofDevice(t *deviceTree, n node, device string) string {
	if device != "" {
		return device
	}
	if address, ok := t.address(n); ok {
		return strconv.FormatUint(address, 16) + "." + n.base()
	}
	return ""
}

// rockchipBank is numbered by its alias. Without one the driver counts, in the order
// of the device tree.
func rockchipBank(t *deviceTree, n node, _ string) string {
	if i := t.aliasNumber(n.path, "gpio"); i >= 0 {
		return "gpio" + strconv.Itoa(i)
	}
	i := 0
	for _, sibling := range t.nodes {
		if sibling.path == n.path {
			return "gpio" + strconv.Itoa(i)
		}
		if path.Dir(sibling.path) == path.Dir(n.path) && sibling.has("gpio-controller") && !sibling.off {
			i++
		}
	}
	return ""
}

// address translates the first address of a node's registers to what the processor
// sees, by the ranges of the buses above it (Devicetree Specification 0.4, section
// 2.3.8). Not ok: it has none, or cannot be reached.
func (t *deviceTree) address(n node) (uint64, bool) {
	reg := t.cells(n.path, "reg")
	bus := path.Dir(n.path)
	size := t.size(bus, "#address-cells", 2)
	address, ok := number(reg, size)
	for ; ok && bus != "/"; bus = path.Dir(bus) {
		parent := t.size(path.Dir(bus), "#address-cells", 2)
		address, ok = t.translate(bus, address, parent)
	}
	return address, ok
}

// translate leads an address on a bus to one on the bus above it, whose addresses
// have that many cells.
func (t *deviceTree) translate(bus string, address uint64, parent int) (uint64, bool) {
	n, found := t.find(bus)
	if !found || !n.has("ranges") {
		return 0, false
	}
	ranges := t.cells(bus, "ranges")
	if len(ranges) == 0 {
		return address, true // the two are one
	}
	child, length := t.size(bus, "#address-cells", 2), t.size(bus, "#size-cells", 1)
	for step := max(1, child+parent+length); len(ranges) >= step; ranges = ranges[step:] {
		from, ok1 := number(ranges, child)
		to, ok2 := number(ranges[child:], parent)
		size, ok3 := number(ranges[child+parent:], length)
		if ok1 && ok2 && ok3 && address >= from && address-from < size {
			return to + (address - from), true
		}
	}
	return 0, false
}

// size returns how many cells an address or a length has.
func (t *deviceTree) size(name, property string, otherwise int) int {
	if c := t.cells(name, property); len(c) == 1 && c[0] <= 4 {
		return int(c[0])
	}
	return otherwise
}

// number makes one number of one or two cells.
func number(cells []uint32, n int) (uint64, bool) {
	switch {
	case n < 1 || n > 2 || len(cells) < n:
		return 0, false
	case n == 1:
		return uint64(cells[0]), true
	}
	return uint64(cells[0])<<32 | uint64(cells[1]), true
}
