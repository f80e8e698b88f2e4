package screen_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"periph.io/x/conn/v3/i2c"
	"periph.io/x/conn/v3/physic"

	"github.com/mecha-org/mecha-agent/board/sim"
	"github.com/mecha-org/mecha-agent/hw"
	"github.com/mecha-org/mecha-agent/hw/screen"
	"github.com/mecha-org/mecha-agent/hw/screen/screentest"
)

// oneByte is a device that answers with a status and takes whatever it is sent.
type oneByte struct {
	addr   uint16
	status byte
	err    error // of every transfer
	asked  []uint16
}

func (o *oneByte) String() string                  { return "I2C7" }
func (o *oneByte) SetSpeed(physic.Frequency) error { return nil }
func (o *oneByte) Tx(addr uint16, w, r []byte) error {
	if len(w) == 0 {
		o.asked = append(o.asked, addr)
	}
	if o.err != nil {
		return o.err
	}
	if addr != o.addr {
		return fmt.Errorf("nothing answers at %#02x: %w", addr, syscall.EREMOTEIO)
	}
	for i := range r {
		r[i] = o.status
	}
	return nil
}

// hintOf returns the hint of an error.
func hintOf(err error) string {
	var h interface{ Hint() string }
	if errors.As(err, &h) {
		return h.Hint()
	}
	return ""
}

func open(t *testing.T, bus i2c.Bus, addr uint16, controller string, optional bool) hw.Screen {
	t.Helper()
	s, err := screen.Open(bus, addr, controller, optional)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestAuto: the controller is told by the address and the status byte, and no
// address is asked where no display is at home.
func TestAuto(t *testing.T) {
	for _, tt := range []struct {
		addr, set uint16
		status    byte
		want      string
	}{
		{0x3C, 0, 0x40, "ssd1306-128x64"},
		{0x3D, 0, 0x06, "ssd1306-128x64"},
		{0x3C, 0, 0x46, "ssd1306-128x64"},
		{0x3C, 0, 0x48, "sh1106-128x64"},
		{0x3D, 0, 0x08, "sh1106-128x64"},
		{0x27, 0, 0xFF, "hd44780-16x2"},
		{0x3F, 0, 0x08, "hd44780-16x2"},
		{0x70, 0, 0x00, "ht16k33"},
		{0x20, 0x20, 0xF7, "hd44780-16x2"},
		{0x3A, 0x3A, 0xF8, "hd44780-16x2"},
		{0x71, 0x71, 0x08, "ht16k33"},
		{0x5A, 0x5A, 0x00, "ssd1306-128x64"},
	} {
		t.Run(fmt.Sprintf("%#02x-%#02x", tt.addr, tt.status), func(t *testing.T) {
			bus := &oneByte{addr: tt.addr, status: tt.status}
			s := open(t, bus, tt.set, screen.Auto, true)
			if got := fmt.Sprint(s); got != "display on I2C7" || bus.asked != nil {
				t.Errorf("before the first view: %s, asked %#x", got, bus.asked)
			}
			if err := s.Show(hw.View{}, noon); err != nil {
				t.Fatal(err)
			}
			if got, want := fmt.Sprint(s), fmt.Sprintf("%s at %#02x of I2C7", tt.want, tt.addr); got != want {
				t.Errorf("it is %q, want %q", got, want)
			}
			if !screen.Answers(bus, tt.set, screen.Auto) {
				t.Error("it does not answer")
			}
			for _, a := range bus.asked {
				if !slices.Contains([]uint16{0x3C, 0x3D, 0x27, 0x3F, 0x70, tt.set}, a) {
					t.Errorf("%#02x was asked", a)
				}
			}
		})
	}
}

// TestAbsent: with nothing there, the error tells a display that was asked for from
// one that was not.
func TestAbsent(t *testing.T) {
	denied := fmt.Errorf("opening I2C7: %w", fs.ErrPermission)
	for _, tt := range []struct {
		name       string
		err        error
		controller string
		optional   bool
		absent     bool
		want, hint string
	}{
		{"optional", nil, screen.Auto, true, true, "no display on I2C7: not connected", ""},
		{"optional, stuck bus", syscall.ETIMEDOUT, screen.Auto, true, true, "not connected", ""},
		{"asked for", nil, "sh1106-128x64", false, false, "no sh1106-128x64 on I2C7 at 0x3c or 0x3d: nothing answers at 0x3c", "i2cdetect -y 7"},
		{"auto, asked for", nil, screen.Auto, false, false, "no display on I2C7 at 0x3c or 0x3d or 0x27 or 0x3f or 0x70", "SDA is pin 3"},
		{"asked for, stuck bus", syscall.ETIMEDOUT, "ht16k33", false, false, "connection timed out", ""},
		{"optional, denied", denied, screen.Auto, true, false, "permission denied", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bus := &oneByte{err: tt.err}
			s := open(t, bus, 0, tt.controller, tt.optional)
			err := s.Show(hw.View{}, noon)
			if errors.Is(err, hw.ErrAbsent) != tt.absent || err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
			if got := hintOf(err); !strings.Contains(got, tt.hint) || (got == "") != (tt.hint == "") {
				t.Errorf("hint %q, want %q", got, tt.hint)
			}
			if screen.Answers(bus, 0, tt.controller) {
				t.Error("it answers")
			}
			if err := errors.Join(s.Sleep(), s.Close()); err != nil {
				t.Errorf("putting nothing away: %v", err)
			}
		})
	}
}

// TestOpenRefuses: what cannot work is said at once, with what could.
func TestOpenRefuses(t *testing.T) {
	for _, tt := range []struct {
		addr       uint16
		controller string
		unknown    bool
		hint       string
	}{
		{0, "ssd1307", true, "known are auto, ssd1306-128x64, ssd1306-128x32"},
		{0, "", true, "hd44780-20x4, ht16k33"},
		{0x07, screen.Auto, false, "0x08 to 0x77"},
		{0x78, "ht16k33", false, "0x08 to 0x77"},
	} {
		_, err := screen.Open(&oneByte{}, tt.addr, tt.controller, true)
		if err == nil || errors.Is(err, screen.ErrUnknownController) != tt.unknown || !strings.Contains(hintOf(err), tt.hint) {
			t.Errorf("%#02x %q: %v, hint %q", tt.addr, tt.controller, err, hintOf(err))
		}
	}
	if _, err := screen.Open(nil, 0, screen.Auto, true); err == nil {
		t.Error("opened without a bus")
	}
}

// TestExchanged pulls one display out and plugs another in.
func TestExchanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		oled, lcd := sim.NewSSD1306(), screentest.NewLCD(0x3F, 16, 2)
		bus := screentest.Buses{oled}
		s := open(t, &bus, 0, screen.Auto, true)
		show := func() error { return s.Show(codeView, noon) }
		if err := show(); err != nil {
			t.Fatal(err)
		}
		bus = screentest.Buses{}
		if err := s.Show(hw.View{Mode: hw.ModeDone}, noon); err == nil || errors.Is(err, hw.ErrAbsent) {
			t.Errorf("the first view without it: %v", err)
		}
		if err := show(); !errors.Is(err, hw.ErrAbsent) {
			t.Errorf("the second: %v", err)
		}
		bus = screentest.Buses{lcd}
		if err := show(); err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(s); got != "hd44780-16x2 at 0x3f of test-i2c-1" {
			t.Errorf("it is %s", got)
		}
		if !strings.HasPrefix(lcd.Text(), "Code 7K2 M9X") {
			t.Errorf("it shows\n%s", lcd.Text())
		}
		for range 2 {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
		if err := show(); !errors.Is(err, os.ErrClosed) {
			t.Errorf("shown after Close: %v", err)
		}
		if got := append(oled.Faults(), lcd.Faults()...); len(got) > 0 {
			t.Errorf("faults: %q", got)
		}
	})
}

// TestControllers: the table is whole, and a caller cannot change it.
func TestControllers(t *testing.T) {
	for i, c := range screen.Controllers() {
		if c.Name == "" || c.Width == 0 || c.Height == 0 || c.Unit == "" || !strings.HasPrefix(c.Sheet, "https://") {
			t.Errorf("row %d: %+v", i, c)
		}
		c.Addresses[0] = 0x11
		if screen.Controllers()[i].Addresses[0] == 0x11 {
			t.Error("the table was changed")
		}
		if _, err := screen.Open(&oneByte{}, 0, strings.ToUpper(c.Name), false); err != nil {
			t.Error(err)
		}
	}
}

var noon = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

// codeView is a code of six characters, 3:44 before its end.
var codeView = hw.View{
	Mode: hw.ModeCode, Code: "7K2M9X", Step: "Code shown, claim it",
	Made: noon.Add(-76 * time.Second), Expires: noon.Add(224 * time.Second),
}
