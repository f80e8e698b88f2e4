package board

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// SpareLight says that Wire may set LEDs.Single to the board's own status light,
// which nobody asked for. Who finds that a display answers leaves that light alone:
// it sets LEDs.Single to nil before anything is written to it. What drives the
// light is taken from it only by the first write.
func (w Wiring) SpareLight() bool {
	return w.LEDs.Single == "" && len(w.LEDs.Code) == 0 && (w.LEDs.Onboard == "" || w.LEDs.Onboard == "auto")
}

// groups checks that lights come in the numbers that show something.
func (f *fitter) groups(w LEDWiring) {
	if n := len(w.Code); n != 0 && n != 5 {
		f.refuse("hardware.leds.code", fmt.Sprintf("a character of the code is five lines, not %d", n),
			"for one light use hardware.leds.single")
	}
	if w.Strobe != "" && len(w.Code) == 0 {
		f.refuse("hardware.leds.strobe", "it is of no use without the five lines of hardware.leds.code", "")
	}
	if n := len(w.RGB); n != 0 && n != 3 {
		f.refuse("hardware.leds.rgb", fmt.Sprintf("a colour is three lines, red, green and blue, not %d", n), "")
	}
}

// light finds the light of /sys/class/leds to use as the single one.
func (f *fitter) light(w Wiring) {
	name := w.LEDs.Onboard
	switch {
	case name == "none":
	case w.SpareLight():
		// A display that somebody asked for shows the code.
		if f.plan.display == nil || f.plan.display.Optional {
			f.plan.light = statusLight(f.b.Onboard)
		}
	case name == "" || name == "auto":
	case !slices.ContainsFunc(f.b.Onboard, func(l LED) bool { return l.Name == name }):
		var names []string
		for _, l := range f.b.Onboard {
			names = append(names, l.Name)
		}
		hint := "this board has no lights of its own"
		if len(names) > 0 {
			hint = "there are " + strings.Join(names, ", ")
		}
		f.refuse("hardware.leds.onboard", fmt.Sprintf("this board has no light %q", name), hint)
	case w.LEDs.Single != "":
		f.refuse("hardware.leds.onboard", "there is one single light, and hardware.leds.single is it", "remove one of the two")
	default:
		f.plan.light = name
	}
}

// lightWords are what status lights are called, the best first: a word of the name
// in /sys/class/leds, without digits at its end. A light without one of them may
// mean something that must not be borrowed, such as power, network or charging.
//
// "act" and "led0" are the Raspberry Pi's, of which led0 and led1 (power) are the
// old names (https://github.com/raspberrypi/linux/blob/rpi-6.6.y/arch/arm/boot/dts/overlays/README);
// the others are functions of include/dt-bindings/leds/common.h and what makers
// write for them in the device trees of Linux.
var lightWords = []string{"act", "status", "stat", "user", "usr", "heartbeat", "sys", "indicator", "debug", "work"}

// borrowed are words of lights that mean something of their own, whatever else is
// in the name.
var borrowed = []string{"power", "pwr", "wlan", "wifi", "bt", "bluetooth", "lan", "wan", "eth", "mmc", "disk", "usb", "charging", "battery"}

// statusLight picks the light that is there to be used, or "".
func statusLight(lights []LED) string {
	best, rank := "", len(lightWords)
	for _, l := range lights {
		r := lightRank(l.Name)
		if r < rank || r == rank && best != "" && cmp.Less(l.Name, best) {
			best, rank = l.Name, r
		}
	}
	return best
}

func lightRank(name string) int {
	rank := len(lightWords)
	if name == "led0" {
		return 0
	}
	for _, word := range strings.FieldsFunc(strings.ToLower(name), func(r rune) bool { return strings.ContainsRune(":-_. ", r) }) {
		word = strings.TrimRight(word, "0123456789")
		if slices.Contains(borrowed, word) {
			return len(lightWords)
		}
		if i := slices.Index(lightWords, word); i >= 0 {
			rank = min(rank, i)
		}
	}
	return rank
}
