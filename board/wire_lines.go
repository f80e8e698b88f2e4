package board

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/mecha-org/mecha-agent/board/header"
)

// place is a GPIO line that a Wiring names.
type place struct {
	chip   Chip
	offset int
	pin    header.Pin // zero when it is on no header that we know
}

// id tells two places apart. Labels do not: two chips of one kind on I2C share theirs.
func (p place) id() lineID { return lineID{p.chip.Label, p.chip.Device, p.offset} }

type lineID struct {
	label, device string
	offset        int
}

// info returns what the kernel says of the line, nothing when it is unknown.
func (p place) info() Line {
	if p.offset < len(p.chip.Lines) {
		return p.chip.Lines[p.offset]
	}
	return Line{}
}

// String names the line for a person: "pin 11 (GPIO17)".
func (p place) String() string {
	switch {
	case p.pin.Number != 0:
		return p.pin.String() + " (" + p.pin.Name + ")"
	case p.info().Name != "":
		return p.info().Name
	}
	return p.chip.Label + ":" + strconv.Itoa(p.offset)
}

// locate finds the line that ref names. The Problem of an error lacks its
// Setting; an optional one comes with the place, which may still appear.
func (f *fitter) locate(ref string) (place, *Problem) {
	if pin, ok := f.b.Header.Pin(ref); ok {
		return f.onHeader(pin)
	}
	if found := f.named(ref); len(found) == 1 {
		return found[0], nil
	} else if len(found) > 1 {
		return place{}, &Problem{Text: fmt.Sprintf("%d lines are called %q", len(found), ref),
			Hint: fmt.Sprintf("write the controller and the offset: %s:%d", found[0].chip.Label, found[0].offset)}
	}
	if label, digits, ok := cutLast(ref, ":"); ok {
		if n, err := strconv.Atoi(digits); err == nil && n >= 0 && label != "" {
			return f.numbered(label, n)
		}
	}
	return place{}, f.unknown(ref)
}

// onHeader finds the line of a pin. Where the kernel labels the controller in
// another way than the table says, the line's name may lead there.
func (f *fitter) onHeader(pin header.Pin) (place, *Problem) {
	if pin.Chip == "" {
		return place{pin: pin}, &Problem{Text: fmt.Sprintf("%s is %s and has no GPIO line", pin, pin.Name)}
	}
	if chip, ok := f.chip(pin.Chip); ok {
		p := place{chip, pin.Offset, pin}
		if problem := f.ambiguous(pin.Chip); problem != nil {
			return p, problem
		}
		if n := len(chip.Lines); n > 0 && pin.Offset >= n {
			return p, &Problem{Text: fmt.Sprintf("%s is line %d of %s, which has %d here", pin, pin.Offset, pin.Chip, n)}
		}
		return p, f.driverless(chip)
	}
	for _, name := range []string{pin.Label, pin.Name} {
		if found := f.named(name); len(found) == 1 {
			found[0].pin = pin
			return found[0], nil
		}
	}
	return place{Chip{Label: pin.Chip}, pin.Offset, pin}, f.absent(pin.Chip)
}

// numbered finds a line by its controller and its offset.
func (f *fitter) numbered(label string, offset int) (place, *Problem) {
	chip, ok := f.chip(label)
	if !ok {
		chip = Chip{Label: label}
		return place{chip, offset, f.pinOf(chip, offset)}, f.absent(label)
	}
	if problem := f.ambiguous(label); problem != nil {
		return place{}, problem
	}
	if n := len(chip.Lines); n > 0 && offset >= n {
		return place{}, &Problem{Text: fmt.Sprintf("%s has lines 0 to %d, not %d", label, n-1, offset)}
	}
	return place{chip, offset, f.pinOf(chip, offset)}, f.driverless(chip)
}

// named finds lines by their names in the kernel: as they are, or, when none is,
// in another spelling, or without the function in square brackets that some
// device trees add ("P9_12 [gpio1_28]").
func (f *fitter) named(name string) (found []place) {
	if name == "" {
		return nil
	}
	for _, same := range []func(line string) bool{
		func(line string) bool { return line == name },
		func(line string) bool {
			bare, _, _ := strings.Cut(line, " [")
			return spelling(line) == spelling(name) || spelling(bare) == spelling(name)
		},
	} {
		for _, c := range f.chips {
			for i, l := range c.Lines {
				if l.Name != "" && same(l.Name) {
					found = append(found, place{c, i, f.pinOf(c, i)})
				}
			}
		}
		if found != nil {
			return found
		}
	}
	return nil
}

// pinOf returns the pin that a line is on. Where the table's controllers are not
// the kernel's, the line's name tells.
func (f *fitter) pinOf(c Chip, offset int) header.Pin {
	if pin, ok := f.b.Header.At(c.Label, offset); ok {
		return pin
	}
	bare, _, _ := strings.Cut(place{chip: c, offset: offset}.info().Name, " [")
	pin, ok := f.b.Header.Pin(bare)
	if _, other := f.chip(pin.Chip); !ok || other || pin.Chip == "" {
		return header.Pin{}
	}
	return pin
}

func (f *fitter) chip(label string) (Chip, bool) {
	i := slices.IndexFunc(f.chips, func(c Chip) bool { return c.Label == label })
	if i < 0 {
		return Chip{}, false
	}
	return f.chips[i], true
}

// ambiguous refuses a label that several controllers have: a guess would drive
// somebody else's part.
func (f *fitter) ambiguous(label string) *Problem {
	n := 0
	for _, c := range f.chips {
		if c.Label == label {
			n++
		}
	}
	if n < 2 {
		return nil
	}
	return &Problem{Text: fmt.Sprintf("%d GPIO controllers are labelled %s", n, label),
		Hint: "write the name of the line; gpio-line-names of the device tree gives it one"}
}

// lineOf returns the line of a pin of the header.
func (f *fitter) lineOf(pin header.Pin) lineID {
	p, _ := f.onHeader(pin)
	return p.id()
}

// driverless warns of a controller that only the device tree knows.
func (f *fitter) driverless(c Chip) *Problem {
	if c.Device != "" {
		return nil
	}
	return &Problem{Text: "the kernel has no driver for the GPIO controller " + c.Label + " yet", Optional: true}
}

// absent warns of a controller that is not there: one on USB may come later.
func (f *fitter) absent(label string) *Problem {
	p := &Problem{Text: "no GPIO controller is labelled " + label + " now", Optional: true}
	if labels := f.labels(); len(labels) > 0 {
		p.Hint = "there are " + strings.Join(labels, ", ")
	}
	return p
}

func (f *fitter) labels() (list []string) {
	for _, c := range f.chips {
		list = append(list, c.Label)
	}
	return list
}

// unknown says what ref may have been meant to be.
func (f *fitter) unknown(ref string) *Problem {
	p := &Problem{Text: fmt.Sprintf("this board has no line %q", ref)}
	h := f.b.Header
	if n := strings.TrimSpace(ref); isNumber(n) {
		p.Text = fmt.Sprintf("%q may be a pin or a line", n)
		p.Hint = fmt.Sprintf(`write "pin %s" for the pin of the header, or the name of the line`, n)
		if _, ok := h.Pin("GPIO" + n); ok {
			p.Hint = fmt.Sprintf(`write "pin %s" for the pin of the header, or "GPIO%s" for the line`, n, n)
		}
		return p
	}
	if n, ok := strings.CutPrefix(spelling(ref), "pin"); ok && isNumber(n) && h != nil && len(h.Pins) > 0 {
		p.Hint = fmt.Sprintf("the header has %s to %s", h.Pins[0], h.Pins[len(h.Pins)-1])
		return p
	}
	var names []string
	if h != nil {
		for _, pin := range h.Pins {
			if pin.Chip != "" {
				names = append(names, pin.String(), pin.Name)
			}
		}
	}
	for _, c := range f.chips {
		for _, l := range c.Lines {
			if l.Name != "" {
				names = append(names, l.Name)
			}
		}
	}
	switch near := nearest(ref, names); {
	case near != "":
		p.Hint = fmt.Sprintf("did you mean %q?", near)
	case h == nil:
		p.Hint = "no table has the header of this board: write a line's name, or its controller's label and its offset (label:offset)"
	default:
		p.Hint = "`mecha-agent board --pinout` shows the lines of this board"
	}
	return p
}

func isNumber(s string) bool {
	_, err := strconv.ParseUint(s, 10, 32)
	return err == nil
}

// spelling is what two ways to write one name have in common.
func spelling(s string) string {
	return strings.NewReplacer(" ", "", ".", "_", "-", "_").Replace(strings.ToLower(s))
}

// cutLast cuts s around the last sep.
func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// nearest returns the name that is most like word, or "" when none is: a third of
// the letters, and three at most, may differ.
func nearest(word string, names []string) string {
	word = spelling(word)
	best, limit := "", min(max(len(word)/3, 1), 3)+1
	for _, n := range names {
		if d := distance(word, spelling(n)); d < limit {
			best, limit = n, d
		}
	}
	return best
}

// distance counts the letters to insert, delete or replace on the way from a to b
// (Levenshtein).
func distance(a, b string) int {
	last, row := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			wrong := 1
			if a[i-1] == b[j-1] {
				wrong = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+wrong)
		}
		last, row = row, last
	}
	return last[len(b)]
}
