package board

import (
	"cmp"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Where Linux shows its devices (Documentation/ABI). A device that comes from the
// device tree names its node in OF_FULLNAME of its uevent.
const (
	sysGPIO      = "sys/bus/gpio/devices"
	sysGPIOClass = "sys/class/gpio" // with CONFIG_GPIO_SYSFS only; labels are nowhere else
)

// exynosBank ends the names of the banks of Samsung's pin controllers: gpa0-gpio-bank.
const exynosBank = "-gpio-bank"

// maxLines is the most lines that a controller is given; a large one has 512.
const maxLines = 4096

// nodeOf returns the device-tree node of a device of /sys, "" when it has none.
func (s *source) nodeOf(device string) string { return s.uevent(device)["OF_FULLNAME"] }

// uevent returns the variables of a device (Documentation/ABI/testing/sysfs-uevent).
func (s *source) uevent(device string) map[string]string {
	vars := map[string]string{}
	for line := range strings.Lines(string(s.read(path.Join(device, "uevent"), maxProperty))) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			vars[key] = clean(value)
		}
	}
	return vars
}

// parentOf returns the name of the device that the link leads below: of
// /sys/bus/gpio/devices/gpiochip0 -> ../../../devices/platform/3f200000.gpio/gpiochip0
// it is 3f200000.gpio. It is "" where links cannot be read.
func (s *source) parentOf(link string) string {
	target, err := fs.ReadLink(s.root, link)
	if err != nil {
		return ""
	}
	parent := path.Dir(target)
	// The class's devices have a folder of the class's name between them.
	if base := path.Base(parent); base == "gpio" {
		parent = path.Dir(parent)
	}
	return path.Base(parent)
}

// chips lists the GPIO controllers: those that have a driver by their number, then
// those of the device tree that have none.
func (s *source) chips(t *deviceTree) []Chip {
	type live struct {
		Chip
		number int
		node   string
	}
	var list []live
	seen := map[string]int{} // controllers, by node
	classes := s.chipClasses()
	for _, name := range s.folder(sysGPIO) {
		number, ok := numberOf(name, "gpiochip")
		if !ok {
			continue
		}
		device := path.Join(sysGPIO, name)
		n, _ := t.find(s.nodeOf(device))
		seen[n.path]++
		parent := s.parentOf(device)
		c := Chip{Device: "/dev/" + name, Label: t.label(n, parent), Lines: t.lines(n)}
		if of := classes[parent]; parent != "" && len(of) == 1 {
			c.Label = of[0].label
			c.Lines = grow(c.Lines, of[0].lines)
		}
		list = append(list, live{c, number, n.path})
	}
	slices.SortFunc(list, func(a, b live) int { return cmp.Compare(a.number, b.number) })
	var chips []Chip
	for _, c := range list {
		// Of several controllers of one node nothing here says which has which of
		// its names (gpio-brcmstb.c, on the Raspberry Pi 5).
		if c.node != "" && seen[c.node] > 1 {
			c.Lines = nil
		}
		chips = append(chips, c.Chip)
	}
	for _, n := range t.nodes {
		if n.has("gpio-controller") && !n.off && seen[n.path] == 0 {
			chips = append(chips, Chip{Label: t.label(n, ""), Lines: t.lines(n)})
		}
	}
	return chips
}

// chipClass is what /sys/class/gpio/gpiochip512 says; 512 is the first line's number.
type chipClass struct {
	label string
	lines int
}

// chipClasses lists them by the device that they are of. A device with several
// controllers has several, which nothing there tells apart.
func (s *source) chipClasses() map[string][]chipClass {
	classes := map[string][]chipClass{}
	for _, name := range s.folder(sysGPIOClass) {
		if _, ok := numberOf(name, "gpiochip"); !ok {
			continue
		}
		device := path.Join(sysGPIOClass, name)
		if label := s.line(path.Join(device, "label")); label != "" {
			lines, _ := strconv.Atoi(s.line(path.Join(device, "ngpio")))
			parent := s.parentOf(device)
			classes[parent] = append(classes[parent], chipClass{label, lines})
		}
	}
	return classes
}

// numberOf returns 12 of "gpiochip12".
func numberOf(name, stem string) (int, bool) {
	digits, ok := strings.CutPrefix(name, stem)
	n, err := strconv.Atoi(digits)
	return n, ok && err == nil && n >= 0
}

// lines returns the lines that the node names, in the order of their offsets
// (Documentation/devicetree/bindings/gpio/gpio.txt in Linux).
func (t *deviceTree) lines(n node) []Line {
	if n.path == "" || !n.has("gpio-line-names") && !n.has("ngpios") {
		return nil
	}
	var lines []Line
	// An empty name counts: parseStrings would leave it out.
	if data := t.bytes(n.path, "gpio-line-names"); len(data) > 0 {
		for name := range strings.SplitSeq(strings.TrimSuffix(string(data), "\x00"), "\x00") {
			lines = append(lines, Line{Name: clean(name)})
		}
	}
	if c := t.cells(n.path, "ngpios"); len(c) == 1 {
		lines = grow(lines, int(min(c[0], maxLines)))
	}
	return lines[:min(len(lines), maxLines)]
}

// grow adds lines without a name until there are n.
func grow(lines []Line, n int) []Line {
	for len(lines) < min(n, maxLines) {
		lines = append(lines, Line{})
	}
	return lines
}

// label returns what the driver of a controller calls it, "" when that is not known.
// device is the name of its device in Linux, or "" to make it from the node.
func (t *deviceTree) label(n node, device string) string {
	if n.path == "" {
		return ""
	}
	for _, c := range parseStrings(t.bytes(n.path, "compatible")) {
		for _, rule := range chipLabels {
			if like(rule.compatible, c) {
				return rule.label(t, n, device)
			}
		}
	}
	if name := t.text(n.path, "st,bank-name"); name != "" {
		return name // pinctrl-stm32.c; the banks have no compatible
	}
	if bank, ok := strings.CutSuffix(n.base(), exynosBank); ok {
		return bank // pinctrl-samsung.c; the banks have no compatible
	}
	// A bank in the node of its pin controller (Amlogic).
	if parent, ok := t.find(path.Dir(n.path)); ok && n.base() == "bank" {
		return t.label(parent, device)
	}
	return ""
}

// missingGPIO says why no line can be wired.
func (s *source) missingGPIO(b *Board, add func(bool, string)) {
	live := slices.ContainsFunc(b.Chips, func(c Chip) bool { return c.Device != "" })
	switch {
	case len(b.Chips) == 0:
		add(true, "GPIO: no controller")
	case !live && s.exists("sys/class"):
		add(true, fmt.Sprintf("GPIO: none of the %d controllers of the device tree has a driver", len(b.Chips)))
	}
}
