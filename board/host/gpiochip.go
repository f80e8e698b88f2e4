package host

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/mecha-org/mecha-agent/board"
)

// Flags of a line, from enum gpio_v2_line_flag of linux/gpio.h, which x/sys lacks.
const (
	flagUsed         = 1 << 0
	flagActiveLow    = 1 << 1
	flagInput        = 1 << 2
	flagOutput       = 1 << 3
	flagEdgeRising   = 1 << 4
	flagEdgeFalling  = 1 << 5
	flagPullUp       = 1 << 8
	flagPullDown     = 1 << 9
	flagBiasDisabled = 1 << 10
)

const chipPrefix = "gpiochip"

// Chips returns the GPIO controllers that this process may open, with their lines
// as they are now. The error joins what the others said; it wraps
// fs.ErrPermission, with a hint, where a group is missing. Links to a controller,
// which some systems keep for programs that go by number, are no controllers.
func (h *Host) Chips() ([]board.Chip, error) {
	paths, err := h.chipPaths()
	errs := []error{err}
	var chips []board.Chip
	for _, path := range paths {
		chip, err := h.describeChip(path)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		chips = append(chips, chip)
	}
	return chips, errors.Join(errs...)
}

// chipPaths returns the device files of the controllers, by number.
func (h *Host) chipPaths() ([]string, error) {
	entries, err := os.ReadDir(h.dev)
	if err != nil {
		return nil, fmt.Errorf("looking for GPIO controllers: %w", err)
	}
	var numbers []int
	for _, e := range entries {
		digits, ok := strings.CutPrefix(e.Name(), chipPrefix)
		if n, err := strconv.ParseUint(digits, 10, 31); ok && err == nil && e.Type()&os.ModeSymlink == 0 {
			numbers = append(numbers, int(n))
		}
	}
	slices.Sort(numbers)
	paths := make([]string, len(numbers))
	for i, n := range numbers {
		paths[i] = filepath.Join(h.dev, chipPrefix+strconv.Itoa(n))
	}
	return paths, nil
}

func (h *Host) describeChip(path string) (board.Chip, error) {
	c, err := h.openChip(path)
	if err != nil {
		return board.Chip{}, err
	}
	defer c.file.Close()
	chip := board.Chip{Device: path, Label: c.label, Lines: make([]board.Line, c.lines)}
	for i := range chip.Lines {
		info, err := c.line(i)
		if err != nil {
			return board.Chip{}, err
		}
		chip.Lines[i] = board.Line{Name: text(info.Name[:]), Consumer: text(info.Consumer[:]), Used: info.Flags&flagUsed != 0}
	}
	return chip, nil
}

// chip is an open GPIO controller.
type chip struct {
	file  *os.File
	ioctl ioctl
	label string
	lines int
}

func (h *Host) openChip(path string) (*chip, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, explain(path, fmt.Errorf("opening GPIO controller: %w", err))
	}
	var info unix.GPIOChipInfo
	if err := h.ioctl.on(f, unix.GPIO_GET_CHIPINFO_IOCTL, unsafe.Pointer(&info)); err != nil {
		f.Close()
		return nil, fmt.Errorf("asking GPIO controller %s: %w", path, err)
	}
	return &chip{
		file:  f,
		ioctl: h.ioctl,
		// As the kernel's own tools do: some drivers give no label.
		label: cmp.Or(text(info.Label[:]), text(info.Name[:])),
		lines: int(info.Lines),
	}, nil
}

// findChip opens the controller that want describes: the one with its label. Of
// several with this label it is the one that still has want's number; none of them
// by preference would be a guess, and a wrong line drives somebody else's part.
func (h *Host) findChip(want board.Chip) (*chip, error) {
	paths, err := h.chipPaths()
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(paths, func(a, b string) int { return place(a, want) - place(b, want) })
	var found *chip
	var refused []error
	for _, path := range paths {
		c, err := h.openChip(path)
		if err != nil {
			refused = append(refused, err)
			continue
		}
		switch {
		case c.label != want.Label && (want.Label != "" || path != want.Device):
			c.file.Close()
		case path == want.Device:
			return c, nil
		case found != nil:
			c.file.Close()
			found.file.Close()
			return nil, fmt.Errorf("finding GPIO controller: several are %q, and none is %s", want.Label, want.Device)
		default:
			found = c
		}
	}
	if found != nil {
		return found, nil
	}
	if len(refused) > 0 { // it may be among them
		return nil, errors.Join(refused...)
	}
	return nil, fmt.Errorf("finding GPIO controller %q: %w", cmp.Or(want.Label, want.Device), board.ErrAbsent)
}

// place sorts the controller first that has the number it had before.
func place(path string, want board.Chip) int {
	if path == want.Device {
		return 0
	}
	return 1
}

// line asks for the state of a line.
func (c *chip) line(offset int) (unix.GPIOV2LineInfo, error) {
	info := unix.GPIOV2LineInfo{Offset: uint32(offset)}
	err := c.ioctl.on(c.file, unix.GPIO_V2_GET_LINEINFO_IOCTL, unsafe.Pointer(&info))
	if err != nil {
		err = fmt.Errorf("asking for line %d of GPIO controller %s: %w", offset, c.label, err)
		if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOTTY) {
			err = &hinted{err, "the GPIO interface (uAPI version 2) came with Linux 5.10: update the kernel"}
		}
	}
	return info, err
}

// request takes a line for this process, until the file is closed.
func (c *chip) request(offset int, flags uint64, attrs ...unix.GPIOV2LineAttribute) (*os.File, error) {
	if offset < 0 || offset >= c.lines {
		return nil, fmt.Errorf("GPIO controller %s has no line %d, only 0 to %d: %w", c.label, offset, c.lines-1, board.ErrAbsent)
	}
	r := unix.GPIOV2LineRequest{Num_lines: 1}
	r.Offsets[0] = uint32(offset)
	copy(r.Consumer[:len(r.Consumer)-1], Consumer)
	r.Config.Flags = flags
	r.Config.Num_attrs = uint32(len(attrs))
	for i, a := range attrs {
		r.Config.Attrs[i] = unix.GPIOV2LineConfigAttribute{Attr: a, Mask: 1}
	}
	if err := c.ioctl.on(c.file, unix.GPIO_V2_GET_LINE_IOCTL, unsafe.Pointer(&r)); err != nil {
		return nil, c.refused(offset, err)
	}
	// Without blocking, so that os.File can wait for it with a deadline.
	if err := unix.SetNonblock(int(r.Fd), true); err != nil {
		unix.Close(int(r.Fd))
		return nil, err
	}
	return os.NewFile(uintptr(r.Fd), c.label+":"+strconv.Itoa(offset)), nil
}

// refused says why a request failed; it names who has the line.
func (c *chip) refused(offset int, err error) error {
	switch {
	case errors.Is(err, unix.EBUSY):
		taken := &takenError{err: err}
		if info, err := c.line(offset); err == nil {
			taken.by, taken.free = text(info.Consumer[:]), info.Flags&flagUsed == 0
		}
		return taken
	case errors.Is(err, unix.ENXIO):
		return &hinted{fmt.Errorf("it has no interrupt: %w", err),
			"a button needs a line that reports edges: choose one of another controller"}
	}
	return err
}

// takenError is the refusal of a line that somebody has.
type takenError struct {
	by   string // consumer, where it is known
	free bool   // it has been given back since
	err  error
}

func (e *takenError) Error() string { return "in use by " + e.who() + ": " + e.err.Error() }
func (e *takenError) Unwrap() error { return e.err }

func (e *takenError) who() string {
	if e.by == "" {
		return "another program"
	}
	return strconv.Quote(e.by)
}

// Hint returns what a person can do about it.
func (e *takenError) Hint() string {
	if e.by == Consumer {
		return "a mecha-agent doctor lets go of it by itself; an agent that runs beside this one must be stopped"
	}
	return "choose another line, or take this one away from " + e.who()
}

// Soon reports that the line will most likely be free in a moment: a process of
// this program looks at it.
func (e *takenError) Soon() bool { return e.by == Consumer || e.free }
