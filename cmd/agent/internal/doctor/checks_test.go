package doctor

import (
	"context"
	"crypto"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"github.com/mecha-org/mecha-agent/board"
	"github.com/mecha-org/mecha-agent/board/hosttest"
	"github.com/mecha-org/mecha-agent/gateway"
	"github.com/mecha-org/mecha-agent/keystore"
	"github.com/mecha-org/mecha-agent/keystore/tpm"
)

func hinted(text, hint string) error {
	return &gateway.Error{Kind: gateway.Unreachable, Err: errors.New(text), Advice: hint}
}

func TestNetwork(t *testing.T) {
	clock := func(at time.Time, synced bool, err error) func(*patient) {
		return func(p *patient) {
			p.Now = func() time.Time { return at }
			p.Synced = func() (bool, error) { return synced, err }
		}
	}
	server := func(url string) func(*patient) {
		return func(p *patient) { p.Settings.Provisioning.ServerURL = url }
	}
	try(t, []outcome{
		{"clock", checkClock, nil, OK, "2026-06-01T12:00:00Z", ""},
		{"clock of 1970", checkClock, clock(time.Unix(0, 0), true, nil), Fail, "1970-01-01", "timedatectl set-ntp true"},
		{"clock before the build", checkClock, clock(noon.AddDate(0, -2, 0), true, nil), Fail, "before this program", "timedatectl"},
		{"build not known", checkClock, func(p *patient) { p.Built = time.Time{}; clock(epoch.AddDate(0, 0, -1), true, nil)(p) }, Fail, "2024-12-31", "timedatectl"},
		{"clock alone", checkClock, clock(noon, false, nil), Warn, "not synchronised", "timedatectl set-ntp true"},
		{"clock does not tell", checkClock, clock(noon, false, errors.New("no clock")), Warn, "no clock", ""},

		{"name", checkDNS, nil, OK, "gw.example is 192.0.2.1", ""},
		{"address", checkDNS, server("https://192.0.2.7:3000"), Skip, "192.0.2.7 is an address", ""},
		{"address of IPv6", checkDNS, server("https://[2001:db8::1]:3000"), Skip, "2001:db8::1", ""},
		{"no such name", checkDNS, func(p *patient) {
			p.Resolve = func(_ context.Context, host string) ([]string, error) { return nil, errors.New("no such host " + host) }
		}, Fail, "no such host gw.example", "resolvectl status"},

		{"gateway", checkGateway, nil, OK, "https://gw.example:3000 answers", ""},
		{"gateway without TLS", checkGateway, server("http://localhost:3000"), OK, "http://localhost:3000 answers, without TLS", ""},
		{"no gateway", checkGateway, func(p *patient) {
			p.Ping = func(context.Context) error { return hinted("refused", "start it") }
		}, Fail, "refused", "start it"},

		{"agent", checkAgent, agentRuns(Agent{State: "idle"}), OK, "idle", ""},
		{"no agent", checkAgent, func(p *patient) {
			p.Env.Agent = func(context.Context) (Agent, error) { return Agent{}, hinted("no socket", "start it") }
		}, Warn, "no socket", "start it"},
		{"agent with trouble", checkAgent, agentRuns(Agent{State: "idle", Trouble: []string{"display gone", "button gone"}}), Warn, "idle\ndisplay gone\nbutton gone", ""},
		{"agent with an error", checkAgent, agentRuns(Agent{State: "failed", Error: "no room", Hint: "make room"}), Fail, "failed\nno room", "make room"},

		{"settings", checkSettings, nil, OK, "/etc/mecha/settings.yml", ""},
		{"defaults", checkSettings, func(p *patient) { p.File = "" }, OK, "no file", ""},
		{"wrong settings", checkSettings, func(p *patient) { p.SettingsErr = hinted("line 3", "mend it") }, Fail, "line 3", "mend it"},
	})
}

func TestState(t *testing.T) {
	folder := func(mode fs.FileMode) func(*patient) {
		return func(p *patient) {
			state := p.Settings.Provisioning.Paths.State
			if err := errors.Join(os.Mkdir(state, 0o700), os.Chmod(state, mode)); err != nil {
				t.Fatal(err)
			}
		}
	}
	free := func(n uint64, err error) func(*patient) {
		return func(p *patient) { p.Free = func(string) (uint64, error) { return n, err } }
	}
	unwritable := func(errno error) func(*patient) {
		return func(p *patient) {
			p.Writable = func(folder string) error { return &fs.PathError{Op: "writing to", Path: folder, Err: errno} }
		}
	}
	try(t, []outcome{
		{"there", checkState, folder(0o700), OK, "/state, 1024 MiB free", ""},
		{"to be made", checkState, nil, OK, "/state will be made, 1024 MiB", ""},
		{"to be made far down", checkState, func(p *patient) { p.Settings.Provisioning.Paths.State += "/a/b" }, OK, "/state/a/b will be made", ""},
		{"open to others", checkState, folder(0o777), Fail, "mode 0777", "chmod 700"},
		{"a file", checkState, func(p *patient) {
			if err := os.WriteFile(p.Settings.Provisioning.Paths.State, nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}, Fail, "is no folder", "provisioning.paths.state"},
		{"read-only", checkState, unwritable(syscall.EROFS), Fail, "read-only", "mount the file system"},
		{"of another user", checkState, unwritable(syscall.EACCES), Fail, "permission denied", "sudo install -d -m 700 -o mecha '"},
		{"full", checkState, free(leastFree-1, nil), Fail, "0 MiB free", "make room"},
		{"nearly full", checkState, free(leastFree, nil), Warn, "1 MiB free", "make room"},
		{"does not tell", checkState, free(0, errors.New("no statfs")), Warn, "no statfs", ""},
	})
}

func TestTPM(t *testing.T) {
	pi := board.Board{Compatible: []string{"raspberrypi,4-model-b"}}
	found := func(backend string, i tpm.Info, err error) func(*patient) {
		return func(p *patient) {
			p.Board.TPM, p.Settings.Keystore.Backend = "/dev/tpmrm0", backend
			p.TPM = func(context.Context, string) (tpm.Info, error) { return i, err }
		}
	}
	chip := tpm.Info{Maker: "Infineon", Vendor: "SLB9670", Firmware: "7.85", MaxTries: 32}
	used, locked := chip, chip
	used.LockoutCounter = 3
	locked.LockoutCounter, locked.InLockout = 32, true
	try(t, []outcome{
		{"none", checkTPM, nil, Skip, "none", ""},
		{"none on a Pi", checkTPM, func(p *patient) { p.Board = pi }, Skip, "none", "dtoverlay=tpm-slb9670 in /boot/firmware/config.txt"},
		{"none, and wanted", checkTPM, func(p *patient) { p.Settings.Keystore.Backend = "tpm" }, Fail, "none", "CONFIG_TCG_TIS_SPI"},
		{"none on a Pi, and wanted", checkTPM, func(p *patient) { p.Board, p.Settings.Keystore.Backend = pi, "tpm" }, Fail, "none", "dtoverlay=tpm-slb9670"},
		{"none, and the key is in one", checkTPM, func(p *patient) {
			p.Settings.Provisioning.Paths.Machine.PrivateKey = t.TempDir()
			p.Key = func(context.Context, string) (crypto.PublicKey, keystore.Info, error) {
				return nil, keystore.Info{Backend: "tpm"}, nil
			}
		}, Fail, "none", "CONFIG_TCG_TIS_SPI"},
		{"well", checkTPM, found("tpm", chip, nil), OK, "tpmrm0, Infineon SLB9670, firmware 7.85", ""},
		{"one of the settings", checkTPM, func(p *patient) {
			p.Settings.Keystore.TPM = "/run/swtpm.sock"
			p.TPM = func(_ context.Context, path string) (tpm.Info, error) {
				if path != "/run/swtpm.sock" {
					return tpm.Info{}, errors.New("asked at " + path)
				}
				return chip, nil
			}
		}, OK, "swtpm.sock, Infineon SLB9670", ""},
		{"some failures", checkTPM, found("tpm", used, nil), OK, "3 of 32 failed", ""},
		{"locked out", checkTPM, found("tpm", locked, nil), Fail, "locked out after 32", "tpm2_dictionarylockout --clear-lockout"},
		{"locked out, and not used", checkTPM, found("disk", locked, nil), Warn, "locked out", "tpm2_dictionarylockout"},
		{"refused", checkTPM, found("tpm", chip, hinted("no permission", "join tss")), Fail, "no permission", "join tss"},
		{"refused, and not used", checkTPM, found("disk", chip, hinted("no permission", "join tss")), Warn, "no permission", "join tss"},
	})
}

func TestI2C(t *testing.T) {
	header := func(device string, compatible ...string) func(*patient) {
		return func(p *patient) {
			p.Board.Compatible = compatible
			p.Board.I2C = []board.Bus{{Number: 0, Device: "/dev/i2c-0"}, {Number: 1, Device: device, Header: true}}
		}
	}
	and := func(all ...func(*patient)) func(*patient) {
		return func(p *patient) {
			for _, f := range all {
				f(p)
			}
		}
	}
	asked := func(p *patient) { p.Settings.Hardware.Display.Controller = "ssd1306-128x64" }
	root := func(name string) func(*patient) {
		return func(p *patient) { p.Root = fstest.MapFS{name: {}} }
	}
	const pi = "raspberrypi,4-model-b"
	try(t, []outcome{
		{"on", checkI2C, header("/dev/i2c-1"), OK, "/dev/i2c-1 is on the header", ""},
		{"no display", checkI2C, func(p *patient) { p.Settings.Hardware.Display.Controller = "none" }, Skip, "no display", ""},
		{"named", checkI2C, func(p *patient) { p.Settings.Hardware.Display.Bus = "i2c3" }, OK, "i2c3", ""},
		{"no header", checkI2C, func(p *patient) { p.Board.I2C = []board.Bus{{Device: "/dev/i2c-0"}} }, OK, "on the header: /dev/i2c-0", ""},
		{"off, not asked", checkI2C, header("", pi), Skip, "no display is asked for", "dtparam=i2c_arm=on in /boot/firmware/config.txt"},
		{"off on a Pi", checkI2C, and(header("", pi), asked), Fail, "has no device", "sudo raspi-config nonint do_i2c 0"},
		{"off on an older Pi", checkI2C, and(header("", pi), asked, root("boot/config.txt")), Fail, "has no device", "in /boot/config.txt"},
		{"off elsewhere", checkI2C, and(header(""), asked), Fail, "has no device", "CONFIG_I2C_CHARDEV"},
		{"module missing", checkI2C, and(header("", pi), asked, root("sys/bus/i2c/devices/i2c-1/name")), Fail, "has no device", "sudo modprobe i2c-dev"},
		{"adapter of another bus", checkI2C, and(header("", pi), asked, root("sys/bus/i2c/devices/i2c-0/name")), Fail, "has no device", "dtparam=i2c_arm=on"},
		{"none", checkI2C, asked, Fail, "no I2C bus has a device", "device tree"},
	})
}

// soonFree is the error of a line that another mecha-agent has.
type soonFree struct{ error }

func (soonFree) Soon() bool { return true }

// machine has a controller with a button, lights and a bus.
func machine() (*hosttest.Host, board.Board) {
	chip := board.Chip{Device: "/dev/gpiochip0", Label: "gpio", Lines: []board.Line{{Name: "A"}, {Name: "B"}, {Name: "C", Used: true, Consumer: "mecha-agent"}}}
	b := board.Board{Name: "generic", Model: "Test board", Chips: []board.Chip{chip}, I2C: []board.Bus{{Number: 1, Device: "/dev/i2c-1"}},
		Onboard: []board.LED{{Name: "ACT"}}, Keys: []board.Key{{Name: "Power", Code: 116, Device: "/dev/input/event0"}}}
	return &hosttest.Host{Controllers: []board.Chip{chip}}, b
}

func TestPanel(t *testing.T) {
	with := func(w board.Wiring, then ...func(*hosttest.Host, *patient)) func(*patient) {
		return func(p *patient) {
			h, b := machine()
			if w.LEDs.Onboard == "" {
				w.LEDs.Onboard = "none"
			}
			wired(h, b, w)(p)
			for _, f := range then {
				f(h, p)
			}
		}
	}
	display := board.Wiring{Display: board.DisplayWiring{Bus: "/dev/i2c-1", Controller: "ssd1306-128x64", Address: 0x3c}}
	button := board.Wiring{Button: board.ButtonWiring{Line: "A"}}
	own := board.Wiring{Button: board.ButtonWiring{Line: "C"}}
	answers := func(h *hosttest.Host, _ *patient) { h.Transfer = func(uint16, []byte, []byte) error { return nil } }
	running := func(_ *hosttest.Host, p *patient) { agentRuns(Agent{State: "idle"})(p) }
	starting := func(_ *hosttest.Host, p *patient) {
		p.InUse = func(state string) bool { return state == p.Settings.Provisioning.Paths.State }
	}
	optional := func(_ *hosttest.Host, p *patient) { p.Board.Display.Optional = true }
	untouched := func(h *hosttest.Host, p *patient) { // or it fails
		for _, name := range []string{"gpio:0", "i2c-1"} {
			if part := h.Part(name); part != nil {
				part.Fail = errors.New("touched")
			}
		}
	}
	held := func(h *hosttest.Host, _ *patient) { h.Part("gpio:0").Set(false) }
	broken := func(h *hosttest.Host, _ *patient) { h.Part("gpio:0").Fail = hinted("in use by another", "stop it") }
	others := func(h *hosttest.Host, _ *patient) {
		h.Part("gpio:0").Fail = soonFree{hinted(`in use by "mecha-agent"`, "stop it")}
	}
	high := func(_ *hosttest.Host, p *patient) { p.Settings.Hardware.Button.Active = "high" }
	try(t, []outcome{
		{"nothing", checkWiring, nil, OK, "nothing wired", ""},
		{"wired", checkWiring, with(button), OK, "button gpio:0", ""},
		{"refused", checkWiring, with(board.Wiring{Button: board.ButtonWiring{Line: "Z"}}), Fail, "hardware.button.line", "did you mean"},
		{"no machine", checkWiring, func(p *patient) { p.BoardErr = hinted("no root", "mount it") }, Fail, "no root", "mount it"},
		{"held by another agent", checkWiring, with(own), Warn, "held by the program mecha-agent", "board --pinout"},
		{"held by the agent", checkWiring, with(own, running), OK, "button gpio:2", ""},
		{"held by an agent that is starting", checkWiring, with(own, starting), OK, "button gpio:2", ""},

		{"no display", checkDisplay, nil, Skip, "none is wired", ""},
		{"display", checkDisplay, with(display, answers), OK, "ssd1306-128x64 at 0x3c of i2c-1 answers", ""},
		{"display of the agent", checkDisplay, with(display, running), Skip, "running agent", ""},
		{"display of an agent that is starting", checkDisplay, with(display, starting, untouched), Skip, "an agent has it that is starting", ""},
		{"display gone", checkDisplay, with(display), Fail, "does not answer", "i2cdetect -y 1 "},
		{"display that nobody asked for", checkDisplay, with(display, optional), Skip, "none is asked for", ""},

		{"no button", checkButton, nil, Skip, "none is wired", ""},
		{"button", checkButton, with(button), OK, "gpio:0 is released", ""},
		{"button of the agent", checkButton, with(button, running), Skip, "running agent", ""},
		{"button of an agent that is starting", checkButton, with(button, starting, untouched), Skip, "an agent has it that is starting", ""},
		{"button held", checkButton, with(button, held), Warn, "held down", "hardware.button.active: high"},
		{"button held, active high", checkButton, with(button, held, high), Warn, "held down", "hardware.button.active: low"},
		{"button of another user's agent", checkButton, with(button, others), Skip, `in use by "mecha-agent"`, "sudo -u USER mecha-agent doctor"},
		{"button broken", checkButton, with(button, broken), Fail, "in use by another", "stop it"},
	})
}

// TestButtonIsGivenBack: the button's line is free again as soon as it is read, while
// the other checks go on; it is not taken by who was interrupted.
func TestButtonIsGivenBack(t *testing.T) {
	h, b := machine()
	p := healthy(t)
	wired(h, b, board.Wiring{Button: board.ButtonWiring{Line: "A"}, LEDs: board.LEDWiring{Onboard: "none"}})(p)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	h.Part("gpio:0").Fail = errors.New("touched")
	if f := checkButton(ctx, p); f.Result != Skip {
		t.Errorf("interrupted: %+v", f)
	}
	h.Part("gpio:0").Fail = nil
	if f := checkButton(t.Context(), p); f.Result != OK {
		t.Errorf("finding %+v", f)
	}
	if err := h.Check(); err != nil {
		t.Errorf("after the check: %v", err)
	}
	if err := errors.Join(p.Board.Close(), h.Check()); err != nil {
		t.Errorf("in the end: %v", err)
	}
}

func TestDevices(t *testing.T) {
	all := board.Wiring{Display: board.DisplayWiring{Bus: "/dev/i2c-1"}, Button: board.ButtonWiring{Key: "Power"},
		LEDs: board.LEDWiring{RGB: []string{"A", "B", "C"}, Onboard: "ACT"}}
	spare := board.Wiring{Display: board.DisplayWiring{Controller: "none"}}
	refuse := func(w board.Wiring, path string, errno error, o Owner) func(*patient) {
		return func(p *patient) {
			h, b := machine()
			wired(h, b, w)(p)
			p.Open = func(name string, _ int) error {
				if name == path {
					return &fs.PathError{Op: "open", Path: name, Err: errno}
				}
				return nil
			}
			p.Owner = func(name string) (Owner, error) {
				if name != path {
					return Owner{}, errors.New("asked for another file")
				}
				return o, nil
			}
		}
	}
	tty := fs.ModeDevice | fs.ModeCharDevice
	i2c := Owner{Group: "i2c", GID: 998, Mode: tty | 0o660}
	member := i2c
	member.Member = true
	root := Owner{Group: "root", Mode: tty | 0o600}
	readers := Owner{Group: "input", GID: 104, Mode: tty | 0o640}
	asRoot := func(f func(*patient)) func(*patient) { return func(p *patient) { f(p); p.User = "root" } }
	const light = "/sys/class/leds/ACT/brightness"
	try(t, []outcome{
		{"none", checkDevices, nil, Skip, "uses none", ""},
		{"all", checkDevices, refuse(all, "", nil, root), OK,
			"/dev/i2c-1, /dev/gpiochip0, /sys/class/leds/ACT/trigger, /sys/class/leds/ACT/brightness, /dev/input/event0 can be opened", ""},
		{"bus of a group", checkDevices, refuse(all, "/dev/i2c-1", syscall.EACCES, i2c), Fail, "/dev/i2c-1 may not be used by mecha: permission denied", "sudo usermod -aG i2c mecha"},
		{"key of readers", checkDevices, refuse(all, "/dev/input/event0", syscall.EACCES, readers), Fail, "event0", "sudo usermod -aG input mecha"},
		{"controller of readers", checkDevices, refuse(all, "/dev/gpiochip0", syscall.EACCES, readers), Fail, "gpiochip0", "udev rule"},
		{"of root", checkDevices, refuse(all, "/dev/gpiochip0", syscall.EACCES, root), Fail, "gpiochip0", "for root alone"},
		{"sandbox", checkDevices, refuse(all, "/dev/i2c-1", syscall.EPERM, member), Fail, "i2c-1", "DeviceAllow=/dev/i2c-1"},
		{"sandbox of root", checkDevices, asRoot(refuse(all, "/dev/gpiochip0", syscall.EPERM, root)), Fail, "by root", "DeviceAllow=/dev/gpiochip0"},
		{"gone", checkDevices, refuse(all, "/dev/i2c-1", syscall.ENOENT, root), Fail, "no such file", "look for /dev/i2c-1"},
		{"another error", checkDevices, refuse(all, "/dev/i2c-1", syscall.ENXIO, root), Fail, "no such device", ""},
		{"light that is asked for", checkDevices, refuse(all, light, syscall.EACCES, Owner{Group: "root", Mode: 0o644}), Fail, light, "udev rule"},
		{"light that nobody asked for", checkDevices, refuse(spare, light, syscall.EACCES, Owner{Group: "root", Mode: 0o644}), Warn, light, "udev rule"},
	})
}

// TestReason: other errors stay what they are.
func TestReason(t *testing.T) {
	err := errors.New("broken")
	if got := reason(err); got != err {
		t.Errorf("got %v", got)
	}
	if got := reason(&fs.PathError{Op: "open", Path: filepath.Join("/", "dev"), Err: err}); got != err {
		t.Errorf("got %v", got)
	}
}
