package board

import (
	"fmt"
	"slices"
	"strings"

	"github.com/mecha-org/mecha-agent/board/header"
)

// programs are the consumers' names of lines that a program holds, not a driver:
// it may let go of them. The last two are what the kernel says of one that gave no
// name and of /sys/class/gpio.
var programs = []string{"mecha-agent", "gpioset", "gpioget", "gpiomon", "gpionotify", "gpio-manager", "lg", "?", "sysfs"}

// held says that somebody has the line: a driver, which keeps it, or a program.
// Nil: it is free, or it is not known.
func (f *fitter) held(p place, u use) *Problem {
	line := p.info()
	switch {
	case !line.Used:
		return f.onBus(p)
	case line.Consumer == "":
		return &Problem{Text: fmt.Sprintf("%s has another function now", p), Hint: "`mecha-agent board --pinout` shows which lines are free"}
	case slices.Contains(programs, line.Consumer):
		return &Problem{Text: fmt.Sprintf("%s is held by the program %s", p, line.Consumer), Hint: "stop it, or choose another line", Optional: true}
	}
	problem := &Problem{Text: fmt.Sprintf("%s is used by the kernel: %s", p, line.Consumer), Hint: "`mecha-agent board --pinout` shows which lines are free"}
	if u.role == "button" && len(f.keys(line.Consumer)) == 1 {
		problem.Hint = fmt.Sprintf("it is a key that the kernel knows: remove the line, and set hardware.button.key to %q", line.Consumer)
	}
	if u.role != "button" && slices.ContainsFunc(f.b.Onboard, func(l LED) bool { return l.Name == line.Consumer }) {
		problem.Hint = fmt.Sprintf("it is a light that the kernel knows: remove the line, and set hardware.leds.onboard to %q", line.Consumer)
	}
	return problem
}

// onBus warns of a pin that carries a bus which is switched on. The kernel lets
// a program have such a line on many controllers, and the bus is cut.
func (f *fitter) onBus(p place) *Problem {
	if bus, ok := activeBus(f.b, p.pin); ok {
		return &Problem{Text: fmt.Sprintf("%s carries %s, and %s is switched on", p, p.pin.Use, bus),
			Hint: "choose another line, or switch the bus off", Optional: true}
	}
	return nil
}

// activeBus returns the bus that a pin carries besides ("SPI0 MOSI"), when the
// board has it switched on.
func activeBus(b *Board, pin header.Pin) (name string, ok bool) {
	word, _, _ := strings.Cut(pin.Use, " ")
	onHeader := slices.Contains(b.Header.I2CPins(), pin)
	for _, bus := range b.I2C {
		if bus.Device != "" && (onHeader && headerBus(b.Header, bus) || bus.Alias != "" && strings.EqualFold(bus.Alias, word)) {
			return busName(bus), true
		}
	}
	for _, bus := range b.SPI {
		if bus.Device != "" && bus.Alias != "" && strings.EqualFold(bus.Alias, word) {
			return busName(bus), true
		}
	}
	return "", false
}
