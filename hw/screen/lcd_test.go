package screen_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"periph.io/x/conn/v3/i2c"
	"periph.io/x/conn/v3/physic"

	"github.com/mecha-org/mecha-agent/hw"
	"github.com/mecha-org/mecha-agent/hw/screen"
	"github.com/mecha-org/mecha-agent/hw/screen/screentest"
)

var errNoAck = errors.New("no acknowledge")

// loose is a bus whose writes fail after some time, until it is mended.
type loose struct {
	i2c.Bus
	good int // writes that still succeed; negative: all
}

func (l *loose) Tx(addr uint16, w, r []byte) error {
	if len(w) > 0 {
		if l.good == 0 {
			return errNoAck
		}
		l.good--
	}
	return l.Bus.Tx(addr, w, r)
}

// TestLoose: wherever a write fails, the next view starts the display anew and all
// of it is there. A display that was never switched off has its power still.
func TestLoose(t *testing.T) {
	for _, c := range screen.Controllers() {
		t.Run(c.Name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := emulate(t, c)
				want := open(t, m, 0, c.Name, false)
				if err := want.Show(workingView, noon); err != nil {
					t.Fatal(err)
				}
				picture := m.Image()
				failures := 0
				for good := 0; ; good++ {
					m := emulate(t, c)
					bus := &loose{m, good}
					s := open(t, bus, 0, c.Name, false)
					err := errors.Join(s.Show(codeView, noon), s.Show(workingView, noon))
					if err == nil {
						break // so many writes are all
					}
					failures++
					if !errors.Is(err, errNoAck) {
						t.Fatalf("after %d writes: %v", good, err)
					}
					bus.good = -1
					if err := s.Show(workingView, noon); err != nil {
						t.Fatal(err)
					}
					if string(m.Image().Pix) != string(picture.Pix) {
						t.Fatalf("after %d writes the picture is wrong", good)
					}
					if faults := m.Faults(); len(faults) > 0 {
						t.Fatalf("after %d writes: %q", good, faults)
					}
				}
				if failures < 3 {
					t.Errorf("only %d writes can fail", failures)
				}
				bus := &loose{m, 0}
				s := open(t, bus, 0, c.Name, false)
				bus.good = -1
				if err := s.Show(workingView, noon); err != nil {
					t.Fatal(err)
				}
				bus.good = 0
				if err := s.Sleep(); !errors.Is(err, errNoAck) {
					t.Errorf("Sleep: %v", err)
				}
				bus.good = -1
				if err := s.Show(workingView, noon); err != nil {
					t.Fatal(err)
				}
				bus.good = 0
				if err := s.Close(); !errors.Is(err, errNoAck) {
					t.Errorf("Close: %v", err)
				}
			})
		})
	}
}

// TestLCDFast: the driver keeps the times of the data sheet also on a bus of 400
// kHz, on which less time goes by between instructions.
func TestLCDFast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lcd := screentest.NewLCD(0x3F, 20, 4)
		if err := lcd.SetSpeed(400 * physic.KiloHertz); err != nil {
			t.Fatal(err)
		}
		s := open(t, lcd, 0, "hd44780-20x4", false)
		for _, state := range states {
			if err := s.Show(state.view, noon.Add(state.after)); err != nil {
				t.Fatal(err)
			}
		}
		if picture, light := lcd.Lit(); !picture || !light {
			t.Errorf("picture %v, light %v", picture, light)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if picture, light := lcd.Lit(); picture || light || strings.Trim(lcd.Text(), " \n") != "" {
			t.Errorf("closed: picture %v, light %v, text\n%s", picture, light, lcd.Text())
		}
		if faults := lcd.Faults(); len(faults) > 0 {
			t.Errorf("faults: %q", faults)
		}
	})
}

// TestLCDHasOtherSigns: where the ROM departs from ASCII, something like it is shown.
func TestLCDHasOtherSigns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lcd := screentest.NewLCD(0x27, 16, 2)
		s := open(t, lcd, 0, "hd44780-16x2", false)
		if err := s.Show(hw.View{Mode: hw.ModeWorking, Step: `~user\x`}, noon); err != nil {
			t.Fatal(err)
		}
		if got := lcd.Text(); !strings.HasPrefix(got, "-user/x ") {
			t.Errorf("it shows %q", got)
		}
	})
}

// TestLCDModelSeesFaults: the emulation is worth asking.
func TestLCDModelSeesFaults(t *testing.T) {
	// init as the data sheet wants it, without the waits.
	start := []byte{0x30, 0x34, 0x30, 0x34, 0x30, 0x34, 0x30, 0x20, 0x24, 0x20}
	for _, tt := range []struct {
		name string
		w    []byte
		wait bool
		want string
	}{
		{"in a hurry", start, false, "too early"},
		{"RS with E", append(start[:10:10], 0x45, 0x41), true, "together with the rise of E"},
		{"RS while enabled", append(start[:10:10], 0x44, 0x45, 0x40), true, "while the LCD is enabled"},
		{"data with E", append(start[:10:10], 0x44, 0x80), true, "together with the fall of E"},
		{"a cursor", append(start[:10:10], 0x04, 0x00, 0xF4, 0xF0), true, "cursor"},
		{"address", append(start[:10:10], 0xB4, 0xB0, 0xF4, 0xF0), true, "address 0x3f is not in the memory"},
		{"no function set", []byte{0x00, 0x04, 0x00}, true, "before the interface is known"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				lcd := screentest.NewLCD(0x27, 16, 2)
				for _, b := range tt.w {
					if err := lcd.Tx(0x27, []byte{b}, nil); err != nil {
						t.Fatal(err)
					}
					if tt.wait {
						<-time.After(5 * time.Millisecond)
					}
				}
				if got := strings.Join(lcd.Faults(), "; "); !strings.Contains(got, tt.want) {
					t.Errorf("faults %q, want %q", got, tt.want)
				}
			})
		})
	}
	if err := screentest.NewLCD(0x27, 16, 2).Tx(0x26, nil, nil); err == nil {
		t.Error("another address is acknowledged")
	}
}

// TestSegmentsModelSeesFaults: likewise.
func TestSegmentsModelSeesFaults(t *testing.T) {
	for want, w := range map[string][]byte{
		"oscillator stands":    {0x81},
		"not for a display":    {0xF0},
		"behind command":       {0x21, 0x00},
		"blinking is switched": {0x82},
	} {
		d := screentest.NewHT16K33(0x70)
		if err := d.Tx(0x70, w, nil); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(d.Faults(), "; "); !strings.Contains(got, want) {
			t.Errorf("faults %q, want %q", got, want)
		}
	}
}
