package board

import (
	"cmp"
	"path"
	"slices"
	"strings"

	"github.com/mecha-org/mecha-agent/board/header"
)

const (
	sysI2C    = "sys/bus/i2c/devices"  // adapters and their clients
	sysI2CDev = "sys/class/i2c-dev"    // adapters that have a /dev/i2c-N
	sysSPI    = "sys/class/spi_master" // controllers
	sysSPIDev = "sys/class/spidev"     // chip selects that have a /dev/spidevN.M
)

// i2c lists the I2C buses. Linux numbers a bus by its alias, and those without one
// as they come, behind the aliases (i2c_add_adapter in drivers/i2c/i2c-core-base.c).
func (s *source) i2c(t *deviceTree, h *header.Header) []Bus {
	b := busList{t: t, stem: "i2c", bus: isI2C}
	for _, name := range s.folder(sysI2C) {
		if number, ok := numberOf(name, "i2c-"); ok {
			device := ""
			if s.exists(path.Join(sysI2CDev, name)) || s.exists("dev/"+name) {
				device = "/dev/" + name
			}
			b.live(number, device, s.nodeOf(path.Join(sysI2C, name)))
		}
	}
	list := b.all(func(alias, node string) bool { return h.IsI2C(alias, node) })
	for i, bus := range list {
		list[i].Header = h.IsI2C(bus.Alias, bus.Node)
	}
	return list
}

// spi lists the SPI buses. The Device is the first chip select that spidev has.
func (s *source) spi(t *deviceTree) []Bus {
	b := busList{t: t, stem: "spi", bus: isSPI}
	first := map[string]string{}
	for _, name := range s.folder(sysSPIDev) {
		if bus, _, ok := strings.Cut(strings.TrimPrefix(name, "spidev"), "."); ok && first["spi"+bus] == "" {
			first["spi"+bus] = "/dev/" + name
		}
	}
	for _, name := range s.folder(sysSPI) {
		if number, ok := numberOf(name, "spi"); ok {
			b.live(number, first[name], s.nodeOf(path.Join(sysSPI, name)))
		}
	}
	return b.all(func(string, string) bool { return false })
}

// isI2C and isSPI say whether a node is a bus, switched on or not, by its name
// (Devicetree Specification 0.4, section 2.2.2) and by having numbered children.
// Linux's aspeed-g5.dtsi calls its buses i2c-bus, the Pi's firmware names the pins'
// switch i2c0mux. A node with a numbered alias needs no such proof: those of the
// Raspberry Pi 5 do not say how their children are numbered.
func isI2C(n node) bool {
	return isBus(n, "i2c", "i2c-gpio", "i2c-bus", "i2c-tunnel")
}

func isSPI(n node) bool { return isBus(n, "spi", "spi-gpio") }

func isBus(n node, names ...string) bool {
	base := strings.TrimRight(strings.TrimRight(n.base(), "0123456789"), "-")
	return slices.Contains(names, base) && n.has("#address-cells") && n.has("#size-cells")
}

// busList joins buses that have a driver with those of the device tree.
type busList struct {
	t    *deviceTree
	stem string // of aliases
	bus  func(node) bool
	list []Bus
	seen map[string]bool
}

// live adds a bus that has a driver.
func (b *busList) live(number int, device, node string) {
	if b.seen == nil {
		b.seen = map[string]bool{}
	}
	b.seen[node] = true
	b.list = append(b.list, Bus{Number: number, Device: device, Node: node, Alias: b.alias(node)})
}

func (b *busList) alias(node string) string {
	if alias := b.t.alias[node]; strings.HasPrefix(alias, b.stem) {
		return alias
	}
	return ""
}

// all returns the buses in order, with those of the device tree that no driver took:
// those switched on, and of those switched off the ones that have a name or that
// want asks for.
func (b *busList) all(want func(alias, node string) bool) []Bus {
	for _, n := range b.t.nodes {
		alias, number := b.alias(n.path), b.t.aliasNumber(n.path, b.stem)
		if number < 0 && !b.bus(n) || b.seen[n.path] || n.off && alias == "" && !want(alias, n.path) {
			continue
		}
		b.list = append(b.list, Bus{Number: number, Node: n.path, Alias: alias})
	}
	slices.SortStableFunc(b.list, func(x, y Bus) int {
		// Unknown numbers last.
		return cmp.Compare(uint(x.Number), uint(y.Number))
	})
	return b.list
}

// missingI2C says why the bus on the header, or any bus, cannot be used.
func (s *source) missingI2C(b *Board, t *deviceTree, add func(bool, string)) {
	if len(b.I2C) == 0 {
		add(true, "I2C: no bus")
		return
	}
	usable := slices.ContainsFunc(b.I2C, func(bus Bus) bool { return bus.Device != "" })
	i := slices.IndexFunc(b.I2C, func(bus Bus) bool { return bus.Header })
	if i < 0 {
		add(!usable && s.exists(sysI2C), "I2C: no bus has a device; the kernel module i2c-dev may not be loaded")
		return
	}
	bus := b.I2C[i]
	n, _ := t.find(bus.Node)
	name := cmp.Or(bus.Alias, b.Header.I2C, bus.Node)
	switch {
	case bus.Device != "":
	case n.off:
		add(true, "I2C: the header's bus "+name+" is switched off in the device tree")
	case !s.exists(sysI2C): // nothing but a device tree to look at
	case s.bound(bus.Node):
		add(true, "I2C: the header's bus "+name+" has no device; the kernel module i2c-dev may not be loaded")
	default:
		add(true, "I2C: the header's bus "+name+" has no driver")
	}
}

// bound says whether an I2C adapter of Linux is of that node.
func (s *source) bound(node string) bool {
	return slices.ContainsFunc(s.folder(sysI2C), func(name string) bool {
		_, adapter := numberOf(name, "i2c-")
		return adapter && s.nodeOf(path.Join(sysI2C, name)) == node
	})
}
