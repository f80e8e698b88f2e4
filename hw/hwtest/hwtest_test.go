package hwtest

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"periph.io/x/conn/v3/gpio"

	"github.com/mecha-org/mecha-agent/hw"
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// player writes events as a person with a torch would.
type player struct {
	at     time.Time
	events []LEDEvent
}

func (p *player) show(bits uint8, strobe bool, d time.Duration) {
	p.events = append(p.events, LEDEvent{p.at, bits, strobe})
	p.at = p.at.Add(d)
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
			p.show(0, false, 1100*time.Millisecond)
			p.show(0, false, 0)
		}, "ABC"},
		{"end not yet sure", func(p *player) {
			p.round("ABC", time.Second)
			p.show(0, false, 900*time.Millisecond)
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
		{"a code of one character", func(p *player) { p.round("7", time.Second); p.round("7", time.Second) }, "7"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := &player{at: start}
			tt.play(p)
			got, err := DecodeLEDs(p.events)
			if got != tt.want || (tt.want == "") != errors.Is(err, ErrNoCode) {
				t.Errorf("%q, %v, want %q", got, err, tt.want)
			}
			// Sampled every 10 ms instead, as from a register, it reads the same.
			var samples []LEDEvent
			for i := 0; len(p.events) > 0 && !start.Add(time.Duration(i)*10*time.Millisecond).After(p.at); i++ {
				s := LEDEvent{At: start.Add(time.Duration(i) * 10 * time.Millisecond)}
				for _, e := range p.events {
					if !e.At.After(s.At) {
						s.Bits, s.Strobe = e.Bits, e.Strobe
					}
				}
				if !s.At.Before(p.events[0].At) {
					samples = append(samples, s)
				}
			}
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

// TestScreenCheck: the fake tells when it was misused.
func TestScreenCheck(t *testing.T) {
	show := func(s *Screen) { s.Show(hw.View{}, start) }
	for name, use := range map[string]func(s *Screen){
		"not closed":     func(s *Screen) { show(s) },
		"more than once": func(s *Screen) { s.Close(); s.Close() },
		"after it was":   func(s *Screen) { s.Close(); show(s) },
		"two sides":      func(s *Screen) { s.busy = true; show(s); s.Close() },
		"":               func(s *Screen) { show(s); s.Close() },
	} {
		s := new(Screen)
		use(s)
		if err := s.Check(); (err == nil) != (name == "") || err != nil && !strings.Contains(err.Error(), name) {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// TestPresser: a press lasts as long as asked, bouncing included.
func TestPresser(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var levels []gpio.Level
		var first, last time.Time
		f := Presser{Bounces: 2, Set: func(l gpio.Level) {
			if l == gpio.Low && first.IsZero() {
				first = time.Now()
			}
			if l == gpio.High && time.Since(first) >= time.Second && last.IsZero() {
				last = time.Now()
			}
			levels = append(levels, l)
		}}
		if err := f.Press(t.Context(), time.Second); err != nil {
			t.Fatal(err)
		}
		want := []gpio.Level{false, true, false, true, false, true, false, true, false, true}
		if len(levels) != len(want) {
			t.Fatalf("levels %v, want %v", levels, want)
		}
		for i := range want {
			if levels[i] != want[i] {
				t.Fatalf("levels %v, want %v", levels, want)
			}
		}
		if held := last.Sub(first); held != time.Second {
			t.Errorf("held %v", held)
		}
	})
}
