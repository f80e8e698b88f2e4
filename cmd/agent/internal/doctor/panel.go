package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"periph.io/x/conn/v3/gpio"

	"github.com/mecha-org/mecha-agent/board"
	"github.com/mecha-org/mecha-agent/hw/screen"
	"github.com/mecha-org/mecha-agent/keystore/tpm"
)

func checkSettings(_ context.Context, p *patient) Finding {
	switch {
	case p.SettingsErr != nil:
		return broken(p.SettingsErr, "mecha-agent settings lists the keys")
	case p.File == "":
		return ok("no file, the defaults hold")
	}
	return ok("%s", p.File)
}

// checkWiring says what board.Wire said.
func checkWiring(ctx context.Context, p *patient) Finding {
	var refused *board.WiringError
	if errors.As(p.BoardErr, &refused) {
		return fail(refused.Error(), refused.Hint())
	}
	if p.BoardErr != nil {
		return broken(p.BoardErr, "")
	}
	taken := p.taken(ctx) != ""
	var doubts []string
	for _, m := range p.Board.Missing {
		// The agent that runs holds what it is wired to.
		own := taken && strings.Contains(m, "held by the program mecha-agent")
		if strings.HasPrefix(m, "hardware") && !own {
			doubts = append(doubts, m)
		}
	}
	if doubts != nil {
		return warn(lines(doubts), "mecha-agent board --pinout shows the pins")
	}
	var parts []string
	d := p.Board.Describe()
	for _, part := range []struct{ name, value string }{{"display", d.Display}, {"LEDs", d.LEDs}, {"button", d.Button}} {
		if part.value != "" {
			parts = append(parts, part.name+" "+part.value)
		}
	}
	if parts == nil {
		return ok("%s, nothing wired", p.Board)
	}
	return ok("%s: %s", p.Board, strings.Join(parts, "; "))
}

// checkI2C looks for the bus on the header, where displays are wired.
func checkI2C(_ context.Context, p *patient) Finding {
	c := p.Settings.Hardware.Display
	asked := c.Bus != "" || c.Address != 0 || c.Controller != "auto"
	usable := slices.DeleteFunc(slices.Clone(p.Board.I2C), func(b board.Bus) bool { return b.Device == "" })
	header := slices.IndexFunc(p.Board.I2C, func(b board.Bus) bool { return b.Header })
	switch {
	case c.Controller == "none":
		return skip("the settings say that there is no display")
	case c.Bus != "" && p.BoardErr == nil:
		return ok("hardware.display.bus is %s", c.Bus)
	case header >= 0 && p.Board.I2C[header].Device != "":
		return ok("%s is on the header", p.Board.I2C[header].Device)
	case header < 0 && len(usable) > 0:
		var names []string
		for _, b := range usable {
			names = append(names, b.Device)
		}
		return ok("it is not known which one is on the header: %s", strings.Join(names, ", "))
	}
	f := fail("the I2C bus of the header has no device", p.mendI2C(header))
	if header < 0 {
		f.Found = "no I2C bus has a device"
	}
	if !asked { // many boards have no display
		f.Found += ", and no display is asked for"
		return f.as(Skip)
	}
	return f
}

// mendI2C says how the bus is switched on, or only its driver loaded: the adapter
// may be there without a file in /dev.
func (p *patient) mendI2C(header int) string {
	const module = "sudo modprobe i2c-dev, and for every start: echo i2c-dev | sudo tee /etc/modules-load.d/i2c-dev.conf"
	adapters, _ := fs.Glob(p.Root, "sys/bus/i2c/devices/i2c-*")
	if header >= 0 {
		want := fmt.Sprintf("sys/bus/i2c/devices/i2c-%d", p.Board.I2C[header].Number)
		adapters = slices.DeleteFunc(adapters, func(a string) bool { return a != want })
	}
	switch {
	case len(adapters) > 0:
		return module
	case p.raspberry():
		return "write dtparam=i2c_arm=on in " + p.bootConfig() + " and restart, or: sudo raspi-config nonint do_i2c 0"
	}
	return "set status = \"okay\" for the bus in the device tree, or use the overlay of the board's maker; the kernel needs " +
		"CONFIG_I2C_CHARDEV and the driver of its controller"
}

func (p *patient) raspberry() bool {
	return slices.ContainsFunc(p.Board.Compatible, func(c string) bool { return strings.HasPrefix(c, "raspberrypi,") })
}

// bootConfig is the file of the Raspberry Pi's firmware, which moved with Raspberry
// Pi OS 12: https://www.raspberrypi.com/documentation/computers/config_txt.html
func (p *patient) bootConfig() string {
	const now, before = "boot/firmware/config.txt", "boot/config.txt"
	if _, err := fs.Stat(p.Root, now); err != nil {
		if _, err := fs.Stat(p.Root, before); err == nil {
			return "/" + before
		}
	}
	return "/" + now
}

// checkDisplay asks the display for an answer, unless an agent is talking to it.
func checkDisplay(ctx context.Context, p *patient) Finding {
	d := p.Board.Display
	if d == nil {
		return skip("none is wired")
	}
	if why := p.taken(ctx); why != "" {
		return skip(why)
	}
	where := fmt.Sprintf("%s on %s", d.Controller, d.Bus)
	if d.Address != 0 {
		where = fmt.Sprintf("%s at %#02x of %s", d.Controller, d.Address, d.Bus)
	}
	switch {
	case screen.Answers(d.Bus, d.Address, d.Controller):
		return ok("%s answers", where)
	case d.Optional:
		return skip("none answers on " + d.Bus.String() + ", and none is asked for")
	}
	name := d.Bus.String()
	number := name[len(strings.TrimRight(name, "0123456789")):]
	return fail(where+" does not answer",
		"check power, SDA and SCL; i2cdetect -y "+number+" lists what answers; then set hardware.display.address")
}

// checkButton reads the button, unless an agent holds its line. It has the line for
// no longer than that takes: an agent may be starting.
func checkButton(ctx context.Context, p *patient) Finding {
	b := p.Board.Button
	if b == nil {
		return skip("none is wired: mecha-agent provision makes a code")
	}
	if why := p.taken(ctx); why != "" {
		return skip(why)
	}
	level, err := glance(b)
	var ours interface{ Soon() bool } // of board/host: mecha-agent has it
	switch {
	case errors.As(err, &ours) && ours.Soon():
		return Finding{Result: Skip, Found: err.Error(), Mend: asService}
	case err != nil:
		return broken(err, "")
	}
	if level == gpio.High {
		return ok("%s is released", b.Name())
	}
	other := "high"
	if p.Settings.Hardware.Button.Active == "high" {
		other = "low"
	}
	return warn(b.Name()+" is held down",
		"let go of it; if nobody holds it, check its wires, or set hardware.button.active: "+other)
}

// glance takes a line, reads it and gives it back.
func glance(in gpio.PinIn) (gpio.Level, error) {
	err := in.In(gpio.PullUp, gpio.NoEdge)
	level := in.Read()
	if c, ok := in.(io.Closer); ok {
		err = errors.Join(err, c.Close())
	}
	return level, err
}

// needsTPM reports whether the machine's key is in a TPM, or is to be.
func (p *patient) needsTPM(ctx context.Context) bool {
	if p.Settings.Keystore.Backend == tpm.Backend {
		return true
	}
	path, err := filepath.EvalSymlinks(p.Settings.Provisioning.Paths.Machine.PrivateKey)
	if err != nil {
		return false
	}
	_, info, err := p.Key(ctx, path)
	return err == nil && info.Backend == tpm.Backend
}

// checkTPM asks the TPM who it is and whether it is locked out. Its troubles are no
// fault as long as the key is on the disk.
func checkTPM(ctx context.Context, p *patient) Finding {
	wanted := p.needsTPM(ctx)
	grade := func(f Finding, spare Result) Finding {
		if f.Result == Fail && !wanted {
			return f.as(spare)
		}
		return f
	}
	device := cmp.Or(p.Settings.Keystore.TPM, p.Board.TPM)
	if device == "" {
		mend := "the kernel needs CONFIG_TCG_TIS_SPI, or the driver of the TPM's other bus, and the device tree must name the TPM"
		if p.raspberry() {
			mend = "for an SLB 9670 or 9672 on the header: write dtparam=spi=on and dtoverlay=tpm-slb9670 in " + p.bootConfig() + " and restart"
		}
		f := grade(fail("none", mend), Skip)
		if !wanted {
			f.Found, f.Mend = "none, and the key is not in one", ""
			if p.raspberry() {
				f.Mend = mend
			}
		}
		return f
	}
	info, err := p.TPM(ctx, device)
	switch {
	case err != nil:
		return grade(broken(err, ""), Warn)
	case info.InLockout:
		return grade(fail(fmt.Sprintf("%s: locked out after %d failed authorisations", info, info.LockoutCounter),
			"tpm2_dictionarylockout --clear-lockout, with --auth where lockout has a password"), Warn)
	case info.LockoutCounter > 0:
		return ok("%s, %s; %d of %d failed authorisations before the lockout", path.Base(device), info, info.LockoutCounter, info.MaxTries)
	}
	return ok("%s, %s", path.Base(device), info)
}
