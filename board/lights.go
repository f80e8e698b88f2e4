package board

import (
	"path"
	"slices"
	"strconv"
	"strings"
)

// lights lists what /sys/class/leds has (Documentation/ABI/testing/sysfs-class-led),
// without what is there but is no light on the board.
func (s *source) lights() []LED {
	var list []LED
	for _, name := range s.folder("sys/class/leds") {
		if s.notALight(name) {
			continue
		}
		// The one in brackets is the one that is active: "none [mmc0] timer". The
		// file may be long: there is a trigger for every processor.
		_, after, _ := strings.Cut(string(s.read(path.Join("sys/class/leds", name, "trigger"), maxProperty)), "[")
		trigger, _, found := strings.Cut(after, "]")
		if !found {
			trigger = ""
		}
		list = append(list, LED{Name: clean(name), Trigger: clean(trigger)})
	}
	return list
}

// notALight says whether a name is of a light that is on a keyboard ("input3::capslock"),
// or of one that an SD host controller would have if it were wired ("mmc0::").
func (s *source) notALight(name string) bool {
	device, _, ok := strings.Cut(name, "::")
	if !ok {
		return false
	}
	stem := strings.TrimRight(device, "0123456789")
	return stem != device && (stem == "input" || stem == "mmc")
}

// evKey is the event type of keys, and the only one that a push button has
// (linux/input-event-codes.h).
const evKey = 1

// keys lists the push buttons of gpio-keys
// (Documentation/devicetree/bindings/input/gpio-keys.yaml in Linux).
func (s *source) keys(t *deviceTree) []Key {
	var list []Key
	for _, n := range t.nodes {
		parent := path.Dir(n.path)
		if !n.has("linux,code") || n.off || !t.gpioKeys(parent) {
			continue
		}
		if c := t.cells(n.path, "linux,input-type"); len(c) == 1 && c[0] != evKey {
			continue
		}
		code := t.cells(n.path, "linux,code")
		if len(code) != 1 || code[0] > 0x2ff { // KEY_MAX
			continue
		}
		k := Key{Name: t.text(n.path, "label"), Code: uint16(code[0])}
		fill(&k.Name, clean(path.Base(n.path)))
		k.Device = s.eventOf(parent, k.Code)
		list = append(list, k)
	}
	return list
}

func (t *deviceTree) gpioKeys(name string) bool {
	list := parseStrings(t.bytes(name, "compatible"))
	return slices.Contains(list, "gpio-keys") || slices.Contains(list, "gpio-keys-polled")
}

// eventOf returns the event device of the input device that is of that node and can
// say that code.
func (s *source) eventOf(node string, code uint16) string {
	for _, name := range s.folder("sys/class/input") {
		if _, ok := numberOf(name, "event"); !ok {
			continue
		}
		input := path.Join("sys/class/input", name, "device")
		if s.nodeOf(path.Join(input, "device")) == node && hasBit(s.line(path.Join(input, "capabilities/key")), int(code)) {
			return "/dev/input/" + name
		}
	}
	return ""
}

// hasBit reads a bitmap as input devices show it: hexadecimal words of the kernel's
// long, the highest first. Of how many bits a word is it does not say, so a bit that
// either reading finds is there: the node has told the button already.
func hasBit(bitmap string, bit int) bool {
	words := strings.Fields(bitmap)
	for _, size := range []int{32, 64} {
		i := len(words) - 1 - bit/size
		if i < 0 {
			continue
		}
		word, err := strconv.ParseUint(words[i], 16, 64)
		if err == nil && word>>(bit%size)&1 == 1 {
			return true
		}
	}
	return false
}

// tpm returns the device of the first TPM 2.0: the kernel's resource manager where
// it is there (Documentation/ABI/stable/sysfs-class-tpm). An older one is said in
// Missing.
func (s *source) tpm(b *Board) string {
	for _, class := range []string{"tpmrm", "tpm"} {
		for _, name := range s.folder(path.Join("sys/class", class)) {
			if _, ok := numberOf(name, class); !ok {
				continue
			}
			// The resource manager is there for a TPM 2.0 only. Kernels before 5.6
			// do not tell the version of the other.
			if s.line(path.Join("sys/class", class, name, "tpm_version_major")) == "1" {
				b.Missing = append(b.Missing, "TPM: "+clean(name)+" is older than TPM 2.0")
				continue
			}
			return "/dev/" + name
		}
	}
	return ""
}
