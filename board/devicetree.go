package board

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// deviceTreeRoots are the places where Linux shows the device tree. The second is
// a link to the first, absolute, so that it leads out of a copied tree; but a
// service may see only one of them.
var deviceTreeRoots = []string{"sys/firmware/devicetree/base", "proc/device-tree"}

// deviceTree is the live device tree, as far as Detect needs it
// (Devicetree Specification 0.4, chapters 2 and 3). A machine without one has an
// empty one.
type deviceTree struct {
	s     *source
	root  string            // where it is: "sys/firmware/devicetree/base"; empty: nowhere
	nodes []node            // those that are looked at, parents first
	alias map[string]string // of a node: "/soc/i2c@7e804000" -> "i2c1"
}

// node is a node of a device tree.
type node struct {
	path  string   // "/soc/i2c@7e804000"
	props []string // names of the properties, in order
	off   bool     // its status says that it is not to be used
}

// base is the name without the unit address: "i2c" of "/soc/i2c@7e804000".
func (n node) base() string {
	name, _, _ := strings.Cut(path.Base(n.path), "@")
	return name
}

func (n node) has(property string) bool {
	_, found := slices.BinarySearch(n.props, property)
	return found
}

// passedOver names nodes that neither are nor have a part that Detect looks for.
// They are about half of a device tree, and every node costs a few system calls. The
// pins of pin controllers, a third of it, are passed over too; the controllers' banks
// that are nodes of their own (Rockchip, STM32, Amlogic, Synopsys) begin as banks do,
// and end as exynosBank.
var (
	passedOver = map[string]bool{
		"__fixups__": true, "__local_fixups__": true, "__overrides__": true, "__symbols__": true,
		"aliases": true, "chosen": true, "clocks": true, "clock-controller": true, "cpus": true, "dma-controller": true,
		"gpc": true, "gpu": true, "in-ports": true, "interrupt-controller": true, "memory": true, "mmc": true,
		"opp-table": true, "out-ports": true, "pmu": true, "port": true, "ports": true, "power-controller": true,
		"psci": true, "pwm": true, "regulators": true, "reserved-memory": true, "sound": true,
		"thermal-zones": true, "timer": true, "watchdog": true,
	}
	banks = []string{"gpio", "bank"}
)

// The most nodes that are looked at, and how deep they may lie. The largest device
// tree of Linux 6.12 has about 3,000, eight deep.
const (
	maxNodes = 20_000
	maxDepth = 16
)

// deviceTree reads the tree's shape; properties are read when they are asked for.
func (s *source) deviceTree() *deviceTree {
	t := &deviceTree{s: s, alias: map[string]string{}}
	for _, root := range deviceTreeRoots {
		if s.exists(path.Join(root, "compatible")) || s.exists(path.Join(root, "model")) {
			t.root = root
			break
		}
	}
	if t.root == "" {
		return t
	}
	// Of several aliases of a node the first that numbers a bus is taken.
	for _, name := range s.folder(path.Join(t.root, "aliases")) {
		if name == "name" { // of the node, as every live one has
			continue
		}
		target := t.text("/aliases", name)
		if old := t.alias[target]; old == "" || !numbered(old) {
			t.alias[target] = name
		}
	}
	t.walk("/", 0)
	return t
}

// numbered says whether an alias is one of a numbered device: "i2c1".
func numbered(alias string) bool {
	return alias != "" && alias[len(alias)-1] >= '0' && alias[len(alias)-1] <= '9'
}

func (t *deviceTree) walk(name string, depth int) {
	if len(t.nodes) >= maxNodes || depth > maxDepth {
		return
	}
	entries, err := fs.ReadDir(t.s.root, path.Join(t.root, name))
	if err != nil {
		t.s.note(err)
		return
	}
	n := node{path: name}
	var children []string
	for _, e := range entries {
		if e.IsDir() {
			children = append(children, e.Name())
		} else {
			n.props = append(n.props, e.Name())
		}
	}
	if n.has("status") {
		// "ok" is a spelling of old that the kernel knows.
		status := t.text(name, "status")
		n.off = status != "okay" && status != "ok"
	}
	t.nodes = append(t.nodes, n)
	if n.off {
		return
	}
	pins := n.has("gpio-controller") || strings.HasPrefix(n.base(), "pin")
	for _, child := range children {
		base, _, _ := strings.Cut(child, "@")
		bank := strings.HasSuffix(base, exynosBank) || slices.ContainsFunc(banks, func(s string) bool { return strings.HasPrefix(base, s) })
		if passedOver[base] || pins && !bank {
			continue
		}
		t.walk(path.Join(name, child), depth+1)
	}
}

// find returns a node by its path.
func (t *deviceTree) find(name string) (node, bool) {
	i := slices.IndexFunc(t.nodes, func(n node) bool { return n.path == name })
	if i < 0 || name == "" {
		return node{}, false
	}
	return t.nodes[i], true
}

// bytes returns a property, nil when there is none.
func (t *deviceTree) bytes(name, property string) []byte {
	if t.root == "" {
		return nil
	}
	return t.s.read(path.Join(t.root, name, property), maxProperty)
}

// text returns a property of one string, or the first of several.
func (t *deviceTree) text(name, property string) string {
	return firstString(t.bytes(name, property))
}

// cells returns a property of 32-bit numbers.
func (t *deviceTree) cells(name, property string) []uint32 {
	data := t.bytes(name, property)
	list := make([]uint32, 0, len(data)/4)
	for ; len(data) >= 4; data = data[4:] {
		list = append(list, binary.BigEndian.Uint32(data))
	}
	return list
}

// aliasNumber is the number of a node's alias of that stem, 1 of "i2c1", which
// Linux numbers its device by. -1: it has none.
func (t *deviceTree) aliasNumber(name, stem string) int {
	digits, ok := strings.CutPrefix(t.alias[name], stem)
	if n, err := strconv.Atoi(digits); ok && err == nil && n >= 0 {
		return n
	}
	return -1
}

// identity reads the root node (Devicetree Specification 0.4, section 3.2): model
// and compatible, and the serial-number that firmware adds.
func (s *source) identity(b *Board, t *deviceTree) {
	fill(&b.Model, t.text("/", "model"))
	fill(&b.Serial, cleanSerial(t.text("/", "serial-number")))
	b.Compatible = parseStrings(t.bytes("/", "compatible"))
	// Firmware of the Raspberry Pi: one big-endian cell with the revision code.
	if v := t.bytes("/system", "linux,revision"); len(v) == 4 {
		if code := binary.BigEndian.Uint32(v); code != 0 {
			fill(&b.Revision, fmt.Sprintf("%04x", code))
		}
	}
}

// parseStrings splits a <stringlist> (Devicetree Specification, section 2.2.4):
// strings that each end with NUL. A missing last NUL is forgiven; strings that
// are empty or do not print are left out.
func parseStrings(data []byte) []string {
	var list []string
	for part := range bytes.SplitSeq(data, []byte{0}) {
		if s := clean(string(part)); s != "" {
			list = append(list, s)
		}
	}
	return list
}

func firstString(data []byte) string {
	if list := parseStrings(data); len(list) > 0 {
		return list[0]
	}
	return ""
}
