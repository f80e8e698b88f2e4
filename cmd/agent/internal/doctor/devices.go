package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/mecha-org/mecha-agent/board"
)

// Device is a file that the wiring uses.
type Device struct {
	Path string
	Flag int // of open(2), as the agent opens it
}

// Recorder is a host that notes down which devices the wiring uses, and leaves the
// rest to the host that it stands before.
type Recorder struct {
	board.Host
	Devices []Device // each once
}

func (r *Recorder) note(path string, flag int) {
	if d := (Device{path, flag}); path != "" && !slices.Contains(r.Devices, d) {
		r.Devices = append(r.Devices, d)
	}
}

// Output implements board.Host.
func (r *Recorder) Output(c board.Chip, offset int, activeLow bool) board.Output {
	r.note(c.Device, os.O_RDWR)
	return r.Host.Output(c, offset, activeLow)
}

// Input implements board.Host.
func (r *Recorder) Input(c board.Chip, offset int, activeHigh bool) board.Input {
	r.note(c.Device, os.O_RDWR)
	return closedOnce(r.Host.Input(c, offset, activeHigh))
}

// I2C implements board.Host.
func (r *Recorder) I2C(number int) board.Conn {
	r.note("/dev/i2c-"+strconv.Itoa(number), os.O_RDWR)
	return r.Host.I2C(number)
}

// LED implements board.Host.
func (r *Recorder) LED(name, state string) board.Output {
	r.note(lights+name+"/trigger", os.O_WRONLY)
	r.note(lights+name+"/brightness", os.O_WRONLY)
	return r.Host.LED(name, state)
}

// Key implements board.Host.
func (r *Recorder) Key(device string, code uint16) board.Input {
	r.note(device, os.O_RDONLY)
	return closedOnce(r.Host.Key(device, code))
}

// brief is an input that is closed when it has been looked at. The board closes it
// once more, at its end.
type brief struct {
	board.Input
	close func() error
}

func closedOnce(in board.Input) brief { return brief{in, sync.OnceValue(in.Close)} }

// Close implements io.Closer.
func (b brief) Close() error { return b.close() }

const lights = "/sys/class/leds/"

// checkDevices opens what the wiring uses, as the agent would. Opening does nothing
// to a line, a bus or a light.
func checkDevices(_ context.Context, p *patient) Finding {
	if len(p.Devices) == 0 {
		return skip("the wiring uses none")
	}
	var good, bad, mends []string
	worst := Warn
	for _, d := range p.Devices {
		err := p.Open(d.Path, d.Flag)
		if err == nil {
			good = append(good, d.Path)
			continue
		}
		bad = append(bad, fmt.Sprintf("%s may not be used by %s: %v", d.Path, p.User, reason(err)))
		if mend := p.mendDevice(d, err); mend != "" && !slices.Contains(mends, mend) {
			mends = append(mends, mend)
		}
		if !p.unasked(d) {
			worst = Fail
		}
	}
	if bad == nil {
		return ok("%s can be opened", strings.Join(good, ", "))
	}
	return Finding{Result: worst, Found: lines(bad), Mend: strings.Join(mends, "; ")}
}

// unasked says that the settings do not name the device: the board only offers it.
func (p *patient) unasked(d Device) bool {
	switch {
	case strings.HasPrefix(d.Path, lights):
		return p.SpareLight
	case strings.HasPrefix(d.Path, "/dev/i2c-"):
		return p.Board.Display != nil && p.Board.Display.Optional
	}
	return false
}

// mendDevice says what lets this process open a device. Where the mode lets it in
// already, only a sandbox can have refused.
func (p *patient) mendDevice(d Device, err error) string {
	if errors.Is(err, fs.ErrNotExist) {
		return "restart the board, and look for " + d.Path
	}
	o, ownerErr := p.Owner(d.Path)
	if !errors.Is(err, fs.ErrPermission) || ownerErr != nil {
		return ""
	}
	need := fs.FileMode(0o060)
	switch d.Flag {
	case os.O_RDONLY:
		need = 0o040
	case os.O_WRONLY:
		need = 0o020
	}
	grants := o.Mode&need == need
	switch {
	case p.User == "root" || grants && o.Member:
		return fmt.Sprintf("a sandbox keeps it out: a systemd unit needs DeviceAllow=%s rw, a container --device %s", d.Path, d.Path)
	case grants && o.GID != 0:
		return fmt.Sprintf("sudo usermod -aG %s %s, then log in again (in a systemd unit: SupplementaryGroups=%s)", o.Group, p.User, o.Group)
	}
	return fmt.Sprintf("%s is for root alone: let a udev rule give it to a group, or run the agent as root", d.Path)
}

// reason is an error of the file system without the path, which is said already.
func reason(err error) error {
	var inPath *fs.PathError
	if errors.As(err, &inPath) {
		return inPath.Err
	}
	return err
}
