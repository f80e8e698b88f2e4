package host

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"periph.io/x/conn/v3/gpio"
)

// ledTree is a folder that stands for /sys/class/leds, and one for state.
type ledTree struct {
	t     *testing.T
	host  *Host
	state string
}

func newLEDs(t *testing.T) ledTree {
	return ledTree{t, &Host{leds: filepath.Join(t.TempDir(), "leds")}, filepath.Join(t.TempDir(), "state")}
}

// plug puts a light there; an empty trigger is a kernel without triggers.
func (l ledTree) plug(name, trigger, brightness string) {
	l.t.Helper()
	folder := filepath.Join(l.host.leds, name)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		l.t.Fatal(err)
	}
	files := map[string]string{"brightness": brightness + "\n", "max_brightness": "255\n"}
	if trigger != "" {
		files["trigger"] = trigger + "\n"
	}
	for file, content := range files {
		if err := os.WriteFile(filepath.Join(folder, file), []byte(content), 0o600); err != nil {
			l.t.Fatal(err)
		}
	}
}

// wants compares what the files of a light say, "" for one that is not there.
func (l ledTree) wants(when, name, trigger, brightness, saved string) {
	l.t.Helper()
	for path, want := range map[string]string{
		filepath.Join(l.host.leds, name, "trigger"):    trigger,
		filepath.Join(l.host.leds, name, "brightness"): brightness,
		filepath.Join(l.state, "leds", name):           saved,
	} {
		b, err := os.ReadFile(path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			l.t.Fatal(err)
		}
		if got := strings.TrimSpace(string(b)); got != want {
			l.t.Errorf("%s: %s is %q, want %q", when, path, got, want)
		}
	}
	if entries, err := filepath.Glob(filepath.Join(l.state, "leds", ".*")); err != nil || len(entries) > 0 {
		l.t.Errorf("%s: left over: %v, %v", when, entries, err)
	}
}

func TestLED(t *testing.T) {
	for _, c := range []struct {
		name       string
		trigger    string
		taken      string // the file trigger while it is ours
		back       string // and afterwards
		brightness string
		saved      string
		backBright string
	}{
		{"with a trigger", "none [mmc0] timer", "none", "mmc0", "0", "mmc0 0", "0"},
		{"the first", "[heartbeat] none", "none", "heartbeat", "255", "heartbeat 255", "255"},
		{"without one", "[none] mmc0", "[none] mmc0", "[none] mmc0", "128", "none 128", "128"},
		{"a kernel without triggers", "", "", "", "1", "none 1", "1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLEDs(t)
			l.plug("green:act", c.trigger, c.brightness)
			o := l.host.LED("green:act", l.state)
			l.wants("before", "green:act", c.trigger, c.brightness, "")
			for level, want := range map[gpio.Level]string{gpio.High: "255", gpio.Low: "0"} {
				if err := o.Out(level); err != nil {
					t.Fatal(err)
				}
				l.wants("while it is ours", "green:act", c.taken, want, c.saved)
			}
			if err := o.Close(); err != nil {
				t.Fatal(err)
			}
			l.wants("afterwards", "green:act", c.back, c.backBright, "")
			if err := o.Out(gpio.High); !errors.Is(err, fs.ErrClosed) {
				t.Errorf("Out after Close: %v", err)
			}
			if err := o.Close(); err != nil {
				t.Errorf("second Close: %v", err)
			}
		})
	}
}

// TestLEDSavedFirst checks the order: a light whose trigger cannot be written down
// is left alone.
func TestLEDSavedFirst(t *testing.T) {
	l := newLEDs(t)
	l.plug("ACT", "none [mmc0]", "0")
	if err := os.WriteFile(l.state, nil, 0o600); err != nil { // a file where a folder should be
		t.Fatal(err)
	}
	o := l.host.LED("ACT", l.state)
	if err := o.Out(gpio.High); err == nil {
		t.Error("no error")
	}
	b, err := os.ReadFile(filepath.Join(l.host.leds, "ACT", "trigger"))
	if err != nil || string(b) != "none [mmc0]\n" {
		t.Errorf("trigger %q, %v", b, err)
	}
	if err := o.Close(); err != nil {
		t.Error(err)
	}
}

func TestLEDWithoutState(t *testing.T) {
	l := newLEDs(t)
	l.plug("ACT", "none [mmc0]", "0")
	o := l.host.LED("ACT", "")
	if err := o.Out(gpio.High); err != nil {
		t.Fatal(err)
	}
	l.wants("while it is ours", "ACT", "none", "255", "")
	if err := errors.Join(o.Close(), l.host.RestoreLEDs("")); err != nil {
		t.Fatal(err)
	}
	l.wants("afterwards", "ACT", "mmc0", "0", "")
}

// TestLEDAfterCrash leaves a light taken and begins again, with the LED and
// without it.
func TestLEDAfterCrash(t *testing.T) {
	crashed := func(t *testing.T) ledTree {
		l := newLEDs(t)
		l.plug("ACT", "none [mmc0]", "0")
		if err := l.host.LED("ACT", l.state).Out(gpio.High); err != nil {
			t.Fatal(err)
		}
		l.plug("ACT", "[none] mmc0", "255") // as a kernel shows it then
		return l
	}
	t.Run("used again", func(t *testing.T) {
		l := crashed(t)
		o := l.host.LED("ACT", l.state)
		if err := o.Out(gpio.Low); err != nil {
			t.Fatal(err)
		}
		l.wants("in the second run", "ACT", "[none] mmc0", "0", "mmc0 0")
		if err := o.Close(); err != nil {
			t.Fatal(err)
		}
		l.wants("afterwards", "ACT", "mmc0", "0", "")
	})
	t.Run("used no more", func(t *testing.T) {
		l := crashed(t)
		if err := l.host.RestoreLEDs(l.state); err != nil {
			t.Fatal(err)
		}
		l.wants("afterwards", "ACT", "mmc0", "0", "")
		if err := l.host.RestoreLEDs(l.state); err != nil {
			t.Error(err)
		}
	})
	t.Run("the light is gone", func(t *testing.T) {
		l := crashed(t)
		if err := os.RemoveAll(filepath.Join(l.host.leds, "ACT")); err != nil {
			t.Fatal(err)
		}
		if err := l.host.RestoreLEDs(l.state); err != nil {
			t.Error(err)
		}
		l.wants("afterwards", "ACT", "", "", "")
	})
	t.Run("cut while it was written", func(t *testing.T) {
		l := newLEDs(t)
		l.plug("ACT", "none [mmc0]", "0")
		if err := os.MkdirAll(filepath.Join(l.state, "leds"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(l.state, "leds", ".123"), []byte("mm"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := l.host.RestoreLEDs(l.state); err != nil {
			t.Error(err)
		}
		l.wants("afterwards", "ACT", "none [mmc0]", "0", "")
	})
}

// TestRestoreLEDsDamaged checks that one bad file does not keep the others from
// being restored, and that a new run makes a good one of it.
func TestRestoreLEDsDamaged(t *testing.T) {
	l := newLEDs(t)
	l.plug("ACT", "none [mmc0]", "0")
	l.plug("PWR", "[none] default-on", "0")
	for name, content := range map[string]string{"ACT": "", "PWR": "default-on 255\n"} {
		if err := os.MkdirAll(filepath.Join(l.state, "leds"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(l.state, "leds", name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	err := l.host.RestoreLEDs(l.state)
	if err == nil || !strings.Contains(err.Error(), "giving LED ACT back") || !strings.Contains(hintOf(err), "remove "+l.state) {
		t.Errorf("error %v, hint %q", err, hintOf(err))
	}
	l.wants("the good one", "PWR", "default-on", "255", "")
	o := l.host.LED("ACT", l.state)
	if err := o.Out(gpio.High); err != nil {
		t.Fatal(err)
	}
	l.wants("the bad one, in use", "ACT", "none", "255", "mmc0 0")
	if err := o.Close(); err != nil {
		t.Error(err)
	}
	l.wants("the bad one", "ACT", "mmc0", "0", "")
}

// TestLEDComesBack pulls a USB light out and plugs it in again, when the kernel
// gives it its trigger back.
func TestLEDComesBack(t *testing.T) {
	l := newLEDs(t)
	l.plug("usb", "none [heartbeat]", "0")
	o := l.host.LED("usb", l.state)
	if err := o.Out(gpio.High); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(l.host.leds, "usb")); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := o.Out(gpio.Low); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("error %v", err)
		}
	}
	l.plug("usb", "none [heartbeat]", "0")
	if err := o.Out(gpio.High); err != nil {
		t.Fatal(err)
	}
	l.wants("back", "usb", "none", "255", "heartbeat 0")
	if err := o.Close(); err != nil {
		t.Error(err)
	}
	l.wants("afterwards", "usb", "heartbeat", "0", "")
}

func TestLEDNames(t *testing.T) {
	l := newLEDs(t)
	l.plug(".", "[none]", "0")
	for _, name := range []string{"", ".", "..", "../leds", "a/b", "/", ".hidden"} {
		if err := l.host.LED(name, l.state).Out(gpio.High); err == nil || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%q: error %v", name, err)
		}
	}
}

func FuzzLEDState(f *testing.F) {
	for _, s := range []string{"mmc0 255\n", "none 0", "", "a b", "a 1 2", "netdev -1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		s, err := parseLEDState(line)
		if err != nil {
			return
		}
		if again, err := parseLEDState(s.String()); err != nil || again != s {
			t.Errorf("%q: %+v becomes %+v, %v", line, s, again, err)
		}
	})
}
