//go:build system

package system_test

import (
	"context"
	"fmt"
	"image"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mecha-org/mecha-agent/hw"
	"github.com/mecha-org/mecha-agent/hw/hwtest"
	provisioningpb "github.com/mecha-org/mecha-agent/proto/provisioning"
)

// The panel of QEMU's ssd0303, and how much larger its pictures are.
const (
	oledWidth, oledHeight = 96, 16
	oledZoom              = 4
)

// clockSlack is how far the guest's clock may be from the host's: it is set once,
// at the start, and an emulated second is not always one.
const clockSlack = 15 * time.Second

// modes is how the panel says the states. It stands here a second time so that a
// wrong row of the agent's own shows.
var modes = map[provisioningpb.State]hw.Mode{
	provisioningpb.State_STATE_IDLE:        hw.ModeIdle,
	provisioningpb.State_STATE_CODE_SHOWN:  hw.ModeCode,
	provisioningpb.State_STATE_PROVISIONED: hw.ModeDone,
	provisioningpb.State_STATE_FAILED:      hw.ModeFailed,
}

// view is what the panel has to show for what the agent says of itself.
func (l *lab) view(s *provisioningpb.StatusResponse) hw.View {
	v := hw.View{Mode: modes[s.State], Code: s.Code, ClaimURL: s.ClaimUrl, Step: s.Step, MachineID: s.MachineId,
		Key: s.KeyFingerprint, Error: s.Error, Hint: s.Hint}
	switch {
	case s.Keystore == "tpm":
		v.Keystore = "Key in the TPM"
	case strings.Contains(s.KeystoreReason, "no TPM works here"):
		v.Keystore = "Key on disk, no TPM"
	default:
		v.Keystore = "Key on disk"
	}
	if s.CodeExpires != nil {
		v.Expires = s.CodeExpires.AsTime()
		v.Made = v.Expires.Add(-codeLife)
	}
	if s.State == provisioningpb.State_STATE_IDLE && l.board.button == nil {
		v.Step = "mecha-agent provision makes a code"
	}
	return v
}

// picture is what the OLED shows, taken from outside the guest, a pixel for each of
// the glass.
func (l *lab) picture() (*image.Gray, error) {
	shot, err := l.QMP.Screenshot(oledID, filepath.Join(l.Logs, "oled.png"))
	if err != nil {
		return nil, err
	}
	if size := shot.Bounds().Size(); size != image.Pt(oledWidth*oledZoom, oledHeight*oledZoom) {
		return nil, fmt.Errorf("the picture of the OLED has %v pixels", size)
	}
	out := image.NewGray(image.Rect(0, 0, oledWidth, oledHeight))
	for y := range oledHeight * oledZoom {
		for x := range oledWidth * oledZoom {
			c := uint8(0)
			if r, g, b, _ := shot.At(shot.Bounds().Min.X+x, shot.Bounds().Min.Y+y).RGBA(); r+g+b > 3*0x8000 {
				c = 0xff
			}
			at := out.PixOffset(x/oledZoom, y/oledZoom)
			if x%oledZoom+y%oledZoom > 0 && out.Pix[at] != c {
				return nil, fmt.Errorf("the pixel %d, %d of the OLED has two colours", x/oledZoom, y/oledZoom)
			}
			out.Pix[at] = c
		}
	}
	return out, nil
}

// differ counts the pixels that are not the same.
func differ(shot *image.Gray, want image.Image) (n int) {
	for y := range oledHeight {
		for x := range oledWidth {
			if r, _, _, _ := want.At(x, y).RGBA(); (r > 0x7fff) != (shot.GrayAt(x, y).Y > 0) {
				n++
			}
		}
	}
	return n
}

// shows waits until the OLED shows what v is on the host, pixel by pixel, and returns
// when it was. A view that changes with time is compared with each of the seconds
// around now.
func (l *lab) shows(t *testing.T, v hw.View) time.Time {
	t.Helper()
	return l.showsAt(t, v, func(now time.Time) (from, to time.Time, step time.Duration) {
		return now.Add(-clockSlack), now.Add(clockSlack), time.Second / 2
	})
}

// showsAt is shows with the times that v may be drawn at.
func (l *lab) showsAt(t *testing.T, v hw.View, times func(now time.Time) (from, to time.Time, step time.Duration)) (at time.Time) {
	t.Helper()
	glass := image.Rect(0, 0, oledWidth, oledHeight)
	l.until(t, answerLimit, "the OLED with "+v.Mode.String(), func(context.Context) (bool, error) {
		shot, err := l.picture()
		if err != nil {
			return false, err
		}
		at = time.Now()
		least := oledWidth * oledHeight
		from, to, step := times(at)
		for now := from; !now.After(to); now = now.Add(step) {
			if least = min(least, differ(shot, hw.Render(v, glass, now))); least == 0 {
				return true, nil
			}
		}
		return false, fmt.Errorf("%d pixels differ, the picture is in %s", least, filepath.Join(l.Logs, "oled.png"))
	})
	return at
}

// The size that the agent takes a serial line for, which has none.
const terminalColumns, terminalRows = 80, 24

// prints waits until the terminal that is a display shows what v is on the host,
// character by character, and returns when it did.
func (l *lab) prints(t *testing.T, v hw.View) time.Time {
	t.Helper()
	return l.printsAt(t, v, func(now time.Time) (from, to time.Time, step time.Duration) {
		return now.Add(-clockSlack), now.Add(clockSlack), time.Second / 2
	})
}

// printsAt is prints with the times that v may be drawn at.
func (l *lab) printsAt(t *testing.T, v hw.View, times func(now time.Time) (from, to time.Time, step time.Duration)) (at time.Time) {
	t.Helper()
	l.until(t, answerLimit, "the terminal with "+v.Mode.String(), func(context.Context) (bool, error) {
		sent, err := os.ReadFile(filepath.Join(l.Logs, consoleLog))
		if err != nil {
			return false, err
		}
		seen := hwtest.NewTerminal(terminalColumns, terminalRows)
		_, _ = seen.Write(sent)
		at = time.Now()
		from, to, step := times(at)
		for now := from; !now.After(to); now = now.Add(step) {
			want := hwtest.NewTerminal(terminalColumns, terminalRows)
			if err := hw.NewTerminal(want, terminalColumns, terminalRows, true).Show(v, now); err != nil {
				return false, err
			}
			if want.String() == seen.String() {
				return true, nil
			}
		}
		return false, fmt.Errorf("it shows\n%s", seen)
	})
	return at
}

// countsDown checks that the panel of a button that is held since pressed counts
// down to holdTime, and then says that letting go removes the identity.
func (l *lab) countsDown(t *testing.T, pressed time.Time) {
	t.Helper()
	v := hw.View{Mode: hw.ModeReset, Made: pressed, Expires: pressed.Add(holdTime)}
	look := l.showsAt
	if l.board.terminal {
		look = l.printsAt
	}
	counting := look(t, v, func(time.Time) (from, to time.Time, step time.Duration) {
		return v.Made, v.Expires.Add(-time.Second / 2), 10 * time.Millisecond
	})
	armed := look(t, v, func(time.Time) (from, to time.Time, step time.Duration) {
		return v.Expires, v.Expires, time.Second
	})
	if d := armed.Sub(pressed); !counting.Before(armed) || d < holdTime {
		t.Errorf("the panel counted down after %s and was done after %s, want %s", counting.Sub(pressed), d, holdTime)
	}
}

// ledTick is how often the LEDs are looked at: several times in a dot of Morse, and
// in the time that a character stands.
const ledTick = 20 * time.Millisecond

// ledLimit is several rounds of the longest code.
const ledLimit = 2 * time.Minute

// says reads the LEDs until they say the code, as a person would who knows it: a host
// that is busy makes the guest stand still for a moment, and a gap longer than it is.
// The same wrong code twice in a row is what the LEDs say.
func (l *lab) says(t *testing.T, leds ledRegisters, want string) {
	t.Helper()
	for last, begin := "", time.Now(); ; {
		code := l.sample(t, leds)
		if code == want {
			return
		}
		if code == last || time.Since(begin) > ledLimit {
			t.Fatalf("the LEDs say %q, the agent %q", code, want)
		}
		t.Logf("read %q at first", code)
		last = code
	}
}

// sample reads the LEDs' register for as long as it takes until a code can be read
// in what it saw.
func (l *lab) sample(t *testing.T, leds ledRegisters) string {
	t.Helper()
	decode := hwtest.DecodeLEDs
	if leds.bits == nil {
		decode = hwtest.DecodeMorse
	}
	var events []hwtest.LEDEvent
	tick := time.NewTicker(ledTick)
	defer tick.Stop()
	begin := time.Now()
	for {
		words, err := l.QMP.Words(leds.level, 1)
		if err != nil {
			t.Fatal(err)
		}
		events = append(events, leds.event(words[0], time.Now()))
		if len(events)%25 == 0 {
			code, err := decode(events)
			if err == nil {
				t.Logf("%s: the LEDs said the code in %.1f s, %d samples", l.board.name, time.Since(begin).Seconds(), len(events))
				return code
			}
			if time.Since(begin) > ledLimit {
				t.Fatalf("the LEDs, %d samples in %s: %v", len(events), ledLimit, err)
			}
		}
		select {
		case <-t.Context().Done():
			t.Fatal(t.Context().Err())
		case <-tick.C:
		}
	}
}

// event is what the register says of the LEDs.
func (r *ledRegisters) event(word uint32, at time.Time) hwtest.LEDEvent {
	e := hwtest.LEDEvent{At: at}
	if r.bits == nil {
		e.Strobe = word>>r.morse&1 != 0
		return e
	}
	for i, bit := range r.bits[:5] {
		e.Bits |= uint8(word>>bit&1) << (4 - i)
	}
	e.Strobe = word>>r.bits[5]&1 != 0
	return e
}

// areOutputs checks that the lines drive what is connected to them: a level alone
// may be a pull-up's.
func (l *lab) areOutputs(t *testing.T, leds ledRegisters) {
	t.Helper()
	for _, r := range leds.outputs {
		words, err := l.QMP.Words(r.address, 1)
		if err != nil {
			t.Fatal(err)
		}
		if words[0]&r.mask != r.value {
			t.Errorf("the register %#x is %#x: the lines of the LEDs are no outputs", r.address, words[0])
		}
	}
}

// colours are those of the states that the RGB LED shows without blinking: red is
// the first bit.
var colours = map[provisioningpb.State]uint8{
	provisioningpb.State_STATE_IDLE:        0b000,
	provisioningpb.State_STATE_CODE_SHOWN:  0b001,
	provisioningpb.State_STATE_PROVISIONED: 0b010,
}

// hasColour waits until the RGB LED has the colour of the state, and checks that it
// stays.
func (l *lab) hasColour(t *testing.T, state provisioningpb.State) {
	t.Helper()
	look := func() (colour uint8, err error) {
		words, err := l.QMP.Words(l.board.leds.level, 1)
		if err != nil {
			return 0, err
		}
		for i, bit := range l.board.leds.rgb {
			colour |= uint8(words[0]>>bit&1) << (2 - i)
		}
		return colour, nil
	}
	l.until(t, answerLimit, "the colour of "+state.String(), func(context.Context) (bool, error) {
		colour, err := look()
		if err == nil && colour != colours[state] {
			err = fmt.Errorf("the RGB LED is %03b, want %03b", colour, colours[state])
		}
		return err == nil, err
	})
	tick := time.NewTicker(ledTick)
	defer tick.Stop()
	for range 50 {
		<-tick.C
		if colour, err := look(); err != nil || colour != colours[state] {
			t.Fatalf("the RGB LED is %03b, %v, want %03b steadily", colour, err, colours[state])
		}
	}
}
