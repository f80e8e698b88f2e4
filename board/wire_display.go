package board

import (
	"cmp"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// display finds the display's bus. Whether a display answers there is found out
// when it is first written to.
func (f *fitter) display(w DisplayWiring) {
	f.plan.bus = -1
	if w.Controller == "none" {
		return
	}
	asked := w.Bus != "" || w.Address != 0 || w.Controller != "" && w.Controller != "auto"
	d := &Display{Address: w.Address, Controller: cmp.Or(w.Controller, "auto"), Optional: !asked}
	bus, ok := f.bus(w.Bus)
	switch {
	case ok && bus.Device != "":
		f.plan.display, f.plan.bus, f.plan.displayAsked = d, bus.Number, asked
	case !asked: // Detect says why there is none
	case ok:
		f.refuse("hardware.display.bus", fmt.Sprintf("the bus %s has no device: it is switched off, or its driver is not loaded", busName(bus)), f.busHint())
	case w.Bus == "":
		f.refuse("hardware.display.bus", "it is not known which bus the display is on", f.busList())
	default:
		f.refuse("hardware.display.bus", fmt.Sprintf("this board has no bus %q", w.Bus), f.busList())
	}
}

var i2cDevice = regexp.MustCompile(`^(?:/dev/)?i2c-([0-9]{1,4})$`)

// bus finds an I2C bus by its device, its alias or its node; without a name, the
// one on the header.
func (f *fitter) bus(name string) (Bus, bool) {
	var same func(Bus) bool
	switch m := i2cDevice.FindStringSubmatch(name); {
	case name == "":
		same = func(b Bus) bool { return headerBus(f.b.Header, b) }
	case m != nil:
		n, _ := strconv.Atoi(m[1])
		same = func(b Bus) bool { return b.Number == n && b.Device != "" }
	default:
		same = func(b Bus) bool {
			return strings.EqualFold(b.Alias, name) || b.Node != "" && (b.Node == name || path.Base(b.Node) == name)
		}
	}
	i := slices.IndexFunc(f.b.I2C, same)
	if i < 0 {
		return Bus{}, false
	}
	return f.b.I2C[i], true
}

// busName is how a person may write the bus in the settings.
func busName(b Bus) string { return cmp.Or(b.Device, b.Alias, b.Node) }

func (f *fitter) busList() string {
	var names []string
	for _, b := range f.b.I2C {
		if b.Device != "" {
			s := b.Device
			if b.Alias != "" {
				s += " (" + b.Alias + ")"
			}
			names = append(names, s)
		}
	}
	if len(names) == 0 {
		return f.busHint()
	}
	return "there are " + strings.Join(names, ", ")
}

// busHints tells how an I2C bus is switched on, by the maker's prefix of the
// device tree. The last is for all others.
var busHints = []struct{ prefix, hint string }{
	// https://www.raspberrypi.com/documentation/computers/configuration.html#i2c
	{"raspberrypi,", "write dtparam=i2c_arm=on in /boot/firmware/config.txt (/boot/config.txt on older systems) and restart; if it is there: sudo modprobe i2c-dev"},
	// https://docs.kernel.org/i2c/dev-interface.html
	{"", "sudo modprobe i2c-dev; if that does not help, the device tree has it switched off: use the overlay of the board's maker"},
}

func (f *fitter) busHint() string {
	for _, h := range busHints {
		if h.prefix == "" || slices.ContainsFunc(f.b.Compatible, func(c string) bool { return strings.HasPrefix(c, h.prefix) }) {
			return h.hint
		}
	}
	return ""
}
