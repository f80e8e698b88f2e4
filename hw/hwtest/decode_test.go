package hwtest

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/mecha-org/mecha-agent/hw"
)

// player writes events as a person with a torch would.
type player struct {
	at     time.Time
	events []LEDEvent
}

func (p *player) show(bits uint8, strobe bool, d time.Duration) {
	p.events = append(p.events, LEDEvent{p.at, bits, strobe})
	p.at = p.at.Add(d)
}

// samples is what is seen by who looks again after every pause.
func (p *player) samples(pause func() time.Duration) (samples []LEDEvent) {
	if len(p.events) == 0 {
		return nil
	}
	n := 0
	for at := p.events[0].At; !at.After(p.at); at = at.Add(pause()) {
		for n+1 < len(p.events) && !p.events[n+1].At.After(at) {
			n++
		}
		samples = append(samples, LEDEvent{at, p.events[n].Bits, p.events[n].Strobe})
	}
	return samples
}

// round plays a code: a long gap first, then character by character.
func (p *player) round(code string, pace time.Duration) {
	p.show(0, false, 2*pace)
	for i := range len(code) {
		if i > 0 {
			p.show(0, false, pace/2)
		}
		v := uint8(strings.IndexByte(hw.LEDAlphabet, code[i]))
		p.show(v, false, 0)
		p.show(v, true, pace)
		p.show(v, false, 0)
	}
}

func TestDecodeLEDs(t *testing.T) {
	for _, tt := range []struct {
		name string
		play func(p *player)
		want string // empty: no whole code
	}{
		{"nothing", func(p *player) {}, ""},
		{"dark", func(p *player) { p.show(0, false, time.Hour); p.show(0, false, 0) }, ""},
		{"one round, end not seen", func(p *player) { p.round("ABC", time.Second) }, ""},
		{"one round, end seen", func(p *player) {
			p.round("ABC", time.Second)
			p.show(0, false, 1300*time.Millisecond)
			p.show(0, false, 0)
		}, "ABC"},
		{"end not yet sure", func(p *player) {
			p.round("ABC", time.Second)
			p.show(0, false, 1200*time.Millisecond)
			p.show(0, false, 0)
		}, ""},
		{"one round and the start of the next", func(p *player) { p.round("ABC", time.Second); p.round("A", time.Second) }, "ABC"},
		{"came in the middle", func(p *player) {
			p.round("ABC123", time.Second)
			p.events = p.events[11:]
			p.round("ABC123", time.Second)
			p.round("A", time.Second)
		}, "ABC123"},
		{"came in the middle, saw no other", func(p *player) { p.round("ABC123", time.Second); p.events = p.events[11:]; p.round("A", time.Second) }, ""},
		{"refreshed", func(p *player) { p.round("ABC", time.Second); p.round("XYZ", time.Second); p.round("X", time.Second) }, "XYZ"},
		{"fast", func(p *player) { p.round("000000", 100*time.Millisecond); p.round("0", 100*time.Millisecond) }, "000000"},
		{"seen lit at first", func(p *player) {
			p.round("ABC", time.Second)
			p.events = p.events[2:]
			p.round("XYZ", time.Second)
			p.round("XYZ", time.Second)
		}, "XYZ"},
		{"a code of one character", func(p *player) { p.round("7", time.Second); p.round("7", time.Second) }, "7"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := &player{at: start}
			tt.play(p)
			got, err := DecodeLEDs(p.events)
			if got != tt.want || (tt.want == "") != errors.Is(err, ErrNoCode) {
				t.Errorf("%q, %v, want %q", got, err, tt.want)
			}
			// Sampled instead, it reads the same.
			samples := p.samples(func() time.Duration { return 10 * time.Millisecond })
			if got, _ := DecodeLEDs(samples); got != tt.want {
				t.Errorf("sampled: %q, want %q", got, tt.want)
			}
		})
	}
}

// TestDecodeLEDsRefuses: what cannot be read is not guessed.
func TestDecodeLEDsRefuses(t *testing.T) {
	for name, events := range map[string][]LEDEvent{
		"lines that change while the strobe is lit": {{start, 1, false}, {start, 1, true}, {start.Add(1), 3, true}},
		"a sixth line":              {{start, 32, true}, {start.Add(1), 0, false}},
		"events in the wrong order": {{start, 1, false}, {start.Add(-1), 1, false}},
	} {
		if code, err := DecodeLEDs(events); err == nil || errors.Is(err, ErrNoCode) {
			t.Errorf("%s: %q, %v", name, code, err)
		}
	}
}

// FuzzDecodeLEDs: any events give a code of the alphabet or an error, and a code
// reads the same when it is played again.
func FuzzDecodeLEDs(f *testing.F) {
	f.Add([]byte{0, 200, 0x21, 100, 0x01, 0, 0, 200, 0x21, 100, 0, 250, 0, 0})
	f.Add([]byte{0x3F, 1, 0x3E, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		var events []LEDEvent
		at := start
		for ; len(b) >= 2; b = b[2:] {
			events = append(events, LEDEvent{at, b[0] & 0x1F, b[0]&0x20 != 0})
			at = at.Add(time.Duration(b[1]) * 10 * time.Millisecond)
		}
		code, err := DecodeLEDs(events)
		if err != nil {
			return
		}
		p := &player{at: at}
		p.round(code, time.Second)
		p.round(code, time.Second)
		if again, err := DecodeLEDs(p.events); err != nil || again != code {
			t.Fatalf("%q reads as %q, %v when it is played again", code, again, err)
		}
	})
}

// TestDecodeLEDsTorn reads codes of which no sample was taken at one moment: the lines
// first and then the strobe, or the other way round, while they change.
func TestDecodeLEDsTorn(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for n := range 200 {
		p := &player{at: start}
		var code []byte
		for range 4 + r.IntN(8) {
			code = append(code, hw.LEDAlphabet[r.IntN(32)])
		}
		for range 3 {
			p.round(string(code), 100*time.Millisecond)
		}
		samples := p.samples(func() time.Duration { return time.Duration(15+r.IntN(18)) * time.Millisecond })
		torn := make([]LEDEvent, len(samples))
		for i, s := range samples {
			torn[i] = s
			before := samples[max(i-1, 0)]
			if before.Strobe != s.Strobe {
				torn[i].Bits = before.Bits&0b11100 | s.Bits&0b00011
			}
		}
		if got, err := DecodeLEDs(torn); err != nil || got != string(code) {
			t.Errorf("%d: %q, %v, want %q", n, got, err, code)
		}
	}
}

// TestDecodeErrors: who gets no code is told what was seen.
func TestDecodeErrors(t *testing.T) {
	p := &player{at: start}
	for range 3 {
		p.show(0, true, 250*time.Millisecond)
		p.show(0, false, time.Second)
	}
	for name, decode := range map[string]func([]LEDEvent) (string, error){"DecodeLEDs": DecodeLEDs, "DecodeMorse": DecodeMorse} {
		_, err := decode(nil)
		if !errors.Is(err, ErrNoCode) || !strings.Contains(err.Error(), "nothing was seen") {
			t.Errorf("%s of nothing: %v", name, err)
		}
		if _, err = decode([]LEDEvent{{At: start}, {At: start.Add(time.Second)}}); !errors.Is(err, ErrNoCode) || !strings.Contains(err.Error(), "0 changes in 1s") {
			t.Errorf("%s of darkness: %v", name, err)
		}
	}
	if _, err := DecodeMorse(p.events); !errors.Is(err, ErrNoCode) || !strings.Contains(err.Error(), "2 flashes of 250ms to 250ms, and 2 gaps of 1s to 1s") {
		t.Errorf("DecodeMorse of a blinking light: %v", err)
	}
}
