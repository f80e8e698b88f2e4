package board

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/mecha-org/mecha-agent/board/header"
)

// Wire connects the parts of the panel that w names, and those that the board
// offers: Display, LEDs and Button are set, Close gives them back, and Chips says
// who holds which line now. The parts open their devices at the first use.
//
// What w names and cannot be is refused with a *WiringError that tells of all
// problems, and then nothing is connected: an unknown pin, one without a GPIO line,
// two functions on one line, a line that the kernel uses, a bus, a key or a light
// that is not there. What may still come, such as the driver of a controller, is
// said in Missing, and the part is connected.
//
// What nobody asked for never fails. That is a display of any kind on the header's
// bus, when w has no word on displays: its Optional is set. And it is the board's
// own status light as LEDs.Single, when nothing else is sure to show a code: see
// Wiring.SpareLight.
//
// Without a host nothing is connected, and w is only compared with what Detect
// found, which does not tell who holds a line.
func (b *Board) Wire(ctx context.Context, w Wiring, h Host) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("wiring board %s: %w", b.Name, err)
	}
	f := newFitter(b, h)
	f.fit(w)
	b.Chips = f.chips
	f.report()
	if slices.ContainsFunc(f.problems, func(p Problem) bool { return !p.Optional }) {
		return &WiringError{Problems: f.problems, picture: f.picture()}
	}
	if h != nil {
		f.connect(w, h)
	}
	return nil
}

// fitter compares a Wiring with a board. What fits is in plan.
type fitter struct {
	b        *Board
	chips    []Chip
	problems []Problem
	taken    map[lineID]use
	bad      map[int]string // role that is not right, by pin of the header
	onPin    map[int]string // role of a pin that may be no line
	plan     plan
}

// use is what a line is for.
type use struct {
	setting string // "hardware.leds.code[0]"
	role    string // for the picture: "LED 1"
}

// plan is what is to be connected.
type plan struct {
	display      *Display // without its bus
	bus          int
	code, rgb    []place
	strobe       *place
	single       *place
	light        string // of /sys/class/leds
	button       *place
	key          *Key
	displayAsked bool
}

// newFitter asks the host for the controllers as they are now. Those that it does
// not see are as Detect found them.
func newFitter(b *Board, h Host) *fitter {
	f := &fitter{b: b, chips: b.Chips, taken: map[lineID]use{}, bad: map[int]string{}, onPin: map[int]string{}}
	if h == nil {
		return f
	}
	chips, err := h.Chips()
	if err != nil {
		f.warn("hardware", "asking the GPIO controllers: "+err.Error(), hintOf(err))
	}
	known := func(c Chip) bool {
		return slices.ContainsFunc(chips, func(l Chip) bool {
			// Detect may not know the label, and had another device when the kernel
			// has given the controllers new numbers.
			return c.Device != "" && c.Device == l.Device || c.Label != "" && c.Label == l.Label
		})
	}
	f.chips = append(slices.Clone(chips), slices.DeleteFunc(slices.Clone(b.Chips), known)...)
	return f
}

// fit compares all of w with the board.
func (f *fitter) fit(w Wiring) {
	f.display(w.Display)
	for i, ref := range w.LEDs.Code {
		if p, ok := f.claim(use{fmt.Sprintf("hardware.leds.code[%d]", i), fmt.Sprintf("LED %d", i+1)}, ref); ok {
			f.plan.code = append(f.plan.code, p)
		}
	}
	f.plan.strobe = f.claimOne(use{"hardware.leds.strobe", "strobe"}, w.LEDs.Strobe)
	f.plan.single = f.claimOne(use{"hardware.leds.single", "LED"}, w.LEDs.Single)
	for i, ref := range w.LEDs.RGB {
		colour := []string{"red", "green", "blue"}[min(i, 2)]
		if p, ok := f.claim(use{fmt.Sprintf("hardware.leds.rgb[%d]", i), "LED " + colour}, ref); ok {
			f.plan.rgb = append(f.plan.rgb, p)
		}
	}
	f.groups(w.LEDs)
	f.light(w)
	f.plan.button = f.claimOne(use{"hardware.button.line", "button"}, w.Button.Line)
	f.key(w.Button)
	f.displayPins()
}

func (f *fitter) claimOne(u use, ref string) *place {
	if ref == "" {
		return nil
	}
	if p, ok := f.claim(u, ref); ok {
		return &p
	}
	return nil
}

// claim finds the line that ref names and takes it for u. Not ok: it was refused.
func (f *fitter) claim(u use, ref string) (place, bool) {
	p, problem := f.locate(ref)
	if problem == nil || problem.Optional {
		if other, used := f.taken[p.id()]; used {
			problem = &Problem{Text: fmt.Sprintf("%s is %s already", p, other.setting), Hint: "give each its own line"}
		} else {
			f.taken[p.id()] = u
			if held := f.held(p, u); held != nil {
				problem = held
			}
		}
	}
	if problem == nil {
		return p, true
	}
	problem.Setting = u.setting
	f.problems = append(f.problems, *problem)
	if problem.Optional {
		return p, true
	}
	if p.pin.Number != 0 {
		f.bad[p.pin.Number] = u.role
	}
	return place{}, false
}

func (f *fitter) refuse(setting, text, hint string) {
	f.problems = append(f.problems, Problem{Setting: setting, Text: text, Hint: hint})
}

func (f *fitter) warn(setting, text, hint string) {
	f.problems = append(f.problems, Problem{Setting: setting, Text: text, Hint: hint, Optional: true})
}

// report writes the warnings to Missing, instead of what Detect said there of the
// panel's parts before they had a wiring.
func (f *fitter) report() {
	f.b.Missing = slices.DeleteFunc(slices.Clone(f.b.Missing), func(s string) bool {
		part, _, _ := strings.Cut(s, ":")
		return part == "display" || part == "LEDs" || part == "button" || strings.HasPrefix(part, "hardware")
	})
	for _, p := range f.problems {
		if p.Optional {
			s := p.String()
			if p.Hint != "" {
				s += " (" + p.Hint + ")"
			}
			f.b.Missing = append(f.b.Missing, s)
		}
	}
}

// displayPins keeps other functions off the two pins of the display's bus, once
// all of them are known.
func (f *fitter) displayPins() {
	if f.plan.display == nil || f.plan.bus < 0 || !f.onHeaderBus(f.plan.bus) {
		return
	}
	for _, pin := range f.b.Header.I2CPins() {
		u, used := f.taken[f.lineOf(pin)]
		switch {
		case !used || pin.Chip == "":
			f.onPin[pin.Number] = "display"
		case f.plan.displayAsked:
			f.refuse(u.setting, fmt.Sprintf("%s (%s) carries %s of the display's bus", pin, pin.Name, pin.Use[strings.LastIndex(pin.Use, " ")+1:]),
				"choose another line, or set hardware.display.bus")
			f.bad[pin.Number] = "display"
		default:
			f.plan.display = nil
			clear(f.onPin)
			f.warn("hardware.display", fmt.Sprintf("not looked for, because %s is %s", pin, u.setting), "")
			return
		}
	}
}

// onHeaderBus says whether /dev/i2c-number is the bus on the header.
func (f *fitter) onHeaderBus(number int) bool {
	return slices.ContainsFunc(f.b.I2C, func(bus Bus) bool {
		return bus.Number == number && bus.Device != "" && headerBus(f.b.Header, bus)
	})
}

func headerBus(h *header.Header, bus Bus) bool { return bus.Header || h.IsI2C(bus.Alias, bus.Node) }

// hintOf returns the hint that an error carries, or "".
func hintOf(err error) string {
	var h interface{ Hint() string }
	if errors.As(err, &h) {
		return h.Hint()
	}
	return ""
}
