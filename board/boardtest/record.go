package boardtest

import (
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
)

// maxContent is the most that is recorded of one file, in bytes.
const maxContent = 1 << 20

// recorded are the files that board.Detect asks for besides the device tree, as
// patterns of fs.Glob. A folder and a device are recorded as being there.
var recorded = []string{
	"proc/cpuinfo",
	"sys/devices/soc0/serial_number",
	"sys/class/dmi/id/sys_vendor", "sys/class/dmi/id/product_name", "sys/class/dmi/id/product_serial",
	"sys/class/dmi/id/board_vendor", "sys/class/dmi/id/board_name",
	"sys/class",
	"sys/bus/gpio/devices/gpiochip*/uevent",
	"sys/class/gpio/gpiochip*/label", "sys/class/gpio/gpiochip*/ngpio",
	"sys/bus/i2c/devices", "sys/bus/i2c/devices/i2c-*/uevent", "sys/class/i2c-dev/i2c-*", "dev/i2c-*",
	"sys/class/spi_master/spi*/uevent", "sys/class/spidev/spidev*",
	"sys/class/leds/*/trigger",
	"sys/class/input/event*/device/device/uevent", "sys/class/input/event*/device/capabilities/key",
	"sys/class/tpmrm/tpmrm*", "sys/class/tpmrm/tpmrm*/tpm_version_major",
	"sys/class/tpm/tpm*", "sys/class/tpm/tpm*/tpm_version_major",
	"sys/class/net/*/ifindex", "sys/class/net/*/type", "sys/class/net/*/address", "sys/class/net/*/addr_assign_type",
	"sys/class/net/*/uevent", "sys/class/net/*/device", "sys/class/net/*/wireless", "sys/class/net/*/phy80211",
}

// Record writes down, as Parse reads it, what board.Detect looks at of the machine
// whose root file system that is: Detect finds the same in both. What cannot be read
// is left out. Symbolic links stay links; an fs.FS that cannot read them, which
// os.DirFS can, gives a record without the names of parents.
//
// The record has the serial number and the MAC addresses of the machine.
func Record(root fs.FS) ([]byte, error) {
	r := recorder{root: root}
	if err := r.deviceTree(); err != nil {
		return nil, fmt.Errorf("recording the device tree: %w", err)
	}
	for _, pattern := range recorded {
		names, err := fs.Glob(root, pattern)
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			if err := r.take(name); err != nil {
				return nil, fmt.Errorf("recording %s: %w", name, err)
			}
		}
	}
	text, err := Format(&r.tree)
	return []byte(text), err
}

type recorder struct {
	root  fs.FS
	tree  Tree
	buses map[string]bool // nodes whose alias is that of a bus
}

// take adds the file at name and the links on the way there.
func (r *recorder) take(name string) error {
	at, rest := ".", name
	for links := 0; rest != ""; {
		var part string
		part, rest, _ = strings.Cut(rest, "/")
		next := path.Join(at, part)
		target, err := fs.ReadLink(r.root, next)
		if err != nil { // no link, or none that can be read
			at = next
			continue
		}
		if links++; links > maxLinks {
			return errLinks
		}
		if old, err := r.tree.ReadLink(next); err != nil {
			if err := r.tree.Link(next, target); err != nil {
				return err
			}
		} else if old != target {
			return errTaken // it changed meanwhile
		}
		if !path.IsAbs(target) {
			target = path.Join("/", at, target)
		}
		at, rest = ".", strings.TrimPrefix(path.Join(path.Clean(target), rest), "/")
	}
	return r.content(at)
}

// content adds what is at a path without links, if it can be read: one file of /sys
// that its driver has no answer for is no reason to have no record.
func (r *recorder) content(name string) error {
	switch info, err := fs.Stat(r.root, name); {
	case err != nil:
		return nil
	case info.IsDir():
		return r.tree.Folder(name)
	case !info.Mode().IsRegular():
		return r.tree.Add(name, nil) // to open a device may do something
	}
	data, err := r.read(name)
	if err != nil {
		return nil
	}
	return r.tree.Add(name, data)
}

func (r *recorder) read(name string) ([]byte, error) {
	f, err := r.root.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxContent))
}

// What Detect asks of a node of a device tree, by what the node is.
var (
	ofAny   = []string{"status", "linux,revision", "local-mac-address", "mac-address"}
	ofRoot  = []string{"#address-cells", "#size-cells", "compatible", "model", "serial-number"}
	ofBus   = []string{"#address-cells", "#size-cells"}
	ofKey   = []string{"label", "linux,code", "linux,input-type"}
	ofKeys  = []string{"compatible"}
	ofLines = []string{"compatible", "gpio-controller", "gpio-line-names", "ngpios", "reg", "st,bank-name"}
	// Above controllers: what translates their addresses.
	aboveLines = []string{"#address-cells", "#size-cells", "compatible", "ranges"}
)

// deviceTree records the first device tree that there is, at one of two places.
func (r *recorder) deviceTree() error {
	for _, dir := range []string{"sys/firmware/devicetree/base", DeviceTree} {
		for _, name := range []string{"compatible", "model"} {
			if _, err := fs.Stat(r.root, path.Join(dir, name)); err == nil {
				return r.treeAt(dir)
			}
		}
	}
	return nil
}

func (r *recorder) treeAt(dir string) error {
	aliases, err := fs.Glob(r.root, path.Join(dir, "aliases", "*"))
	if err != nil {
		return err
	}
	r.buses = map[string]bool{}
	targets := map[string]string{} // of aliases, as paths of files
	for _, name := range aliases {
		data, err := r.read(name)
		if err != nil {
			return err
		}
		target := path.Join(dir, strings.TrimRight(string(data), "\x00"))
		if fs.ValidPath(target) {
			targets[name] = target
			r.buses[target] = r.buses[target] || isBusName(path.Base(name))
		}
	}
	if _, err := r.node(dir, ofRoot, 0); err != nil {
		return err
	}
	for name, target := range targets {
		if _, err := fs.Stat(&r.tree, target); err != nil {
			continue // an alias of a node that is not recorded says nothing
		}
		if err := r.content(name); err != nil {
			return err
		}
	}
	return nil
}

// below is what a node has below it, or is.
type below struct{ lines, key bool }

// node records of the node at name what wanted names and what else Detect asks of
// it. A node of which it asks nothing is not there.
func (r *recorder) node(name string, wanted []string, depth int) (below, error) {
	var children, is below
	entries, err := fs.ReadDir(r.root, name)
	if err != nil || depth > maxDepth {
		return is, err
	}
	has := map[string]bool{}
	for _, e := range entries {
		if !e.IsDir() {
			has[e.Name()] = true
			continue
		}
		child, err := r.node(path.Join(name, e.Name()), nil, depth+1)
		if err != nil {
			return is, err
		}
		children.lines, children.key = children.lines || child.lines, children.key || child.key
	}
	is.lines, is.key = has["gpio-controller"], has["linux,code"]
	bus := r.buses[name] || has["#address-cells"] && isBusName(path.Base(name))
	for _, rule := range []struct {
		holds      bool
		properties []string
	}{
		{is.lines, ofLines}, {is.key, ofKey}, {bus, ofBus}, {children.lines, aboveLines}, {children.key, ofKeys},
	} {
		if rule.holds {
			wanted = append(wanted, rule.properties...)
		}
	}
	_, err = fs.Stat(&r.tree, name) // there is one below it
	if there := err == nil; there || len(wanted) > 0 || has["linux,revision"] || has["mac-address"] || has["local-mac-address"] {
		wanted = append(wanted, ofAny...)
		if err := r.tree.Folder(name); err != nil {
			return is, err
		}
	}
	for _, property := range wanted {
		if !has[property] {
			continue
		}
		if err := r.content(path.Join(name, property)); err != nil {
			return is, err
		}
	}
	is.lines = is.lines || children.lines
	return is, nil
}

// isBusName says whether a node or an alias of this name may be of an I2C or SPI bus.
func isBusName(name string) bool {
	return strings.HasPrefix(name, "i2c") || strings.HasPrefix(name, "spi")
}
