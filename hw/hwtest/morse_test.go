package hwtest

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mecha-org/mecha-agent/hw"
)

// key plays a round of a code in Morse, the long gap first.
func (p *player) key(code string, dot time.Duration) {
	p.show(0, false, 14*dot)
	for i := range len(code) {
		if i > 0 {
			p.show(0, false, 3*dot)
		}
		var elements []int
		for n := strings.IndexByte(signs, code[i]); n > 1; n /= 2 {
			elements = append([]int{n % 2}, elements...)
		}
		for j, dash := range elements {
			if j > 0 {
				p.show(0, false, dot)
			}
			p.show(0, true, time.Duration(1+2*dash)*dot)
		}
	}
}

// blink plays a light that is lit and dark in turn.
func (p *player) blink(times int, lengths ...time.Duration) {
	for range times {
		for i, d := range lengths {
			p.show(0, i%2 == 0, d*time.Millisecond)
		}
	}
}

const dot = 100 * time.Millisecond

func TestDecodeMorse(t *testing.T) {
	for _, tt := range []struct {
		name string
		play func(p *player)
		want string // empty: no whole code
	}{
		{"nothing", func(p *player) {}, ""},
		{"dark", func(p *player) { p.show(0, false, time.Hour) }, ""},
		{"lit", func(p *player) { p.show(0, true, time.Hour) }, ""},
		{"one round, end not seen", func(p *player) { p.key("7K2M9X", dot) }, ""},
		{"one round, and the next begins", func(p *player) { p.key("7K2M9X", dot); p.key("T", dot) }, "7K2M9X"},
		{"one round, end not yet sure", func(p *player) { p.key("7K2M9X", dot); p.show(0, false, 14*dot) }, ""},
		{"every character", func(p *player) { p.key(hw.LEDAlphabet, dot); p.key("A", dot) }, hw.LEDAlphabet},
		{"dots", func(p *player) { p.key("EEEE", dot); p.key("EE", dot) }, "EEEE"},
		{"dashes", func(p *player) { p.key("TTTT", dot); p.key("TT", dot) }, "TTTT"},
		{"long dashes", func(p *player) { p.key("0000", dot); p.key("00", dot) }, "0000"},
		{"came in the middle", func(p *player) {
			p.key("ABC123", dot)
			p.events = p.events[9:]
			p.key("ABC123", dot)
			p.key("A", dot)
		}, "ABC123"},
		{"came in the middle, saw no other", func(p *player) {
			p.key("ABC123", dot)
			p.events = p.events[9:]
			p.key("A", dot)
		}, ""},
		{"refreshed", func(p *player) { p.key("ABC", dot); p.key("XYZ", dot); p.key("X", dot) }, "XYZ"},
		{"cut off", func(p *player) {
			p.key("ABC", dot)
			p.key("ABC", dot)
			p.key("XYZ", dot)
			p.at = p.events[len(p.events)-3].At.Add(dot / 2)
			p.events = p.events[:len(p.events)-2]
			p.show(0, false, time.Minute)
		}, "ABC"},
		{"after waiting", func(p *player) { p.blink(9, 100, 1900); p.key("XYZ", dot); p.key("XYZ", dot); p.key("X", dot) }, "XYZ"},
		{"then done", func(p *player) { p.key("XYZ", dot); p.key("XYZ", dot); p.show(0, true, time.Minute) }, "XYZ"},
		{"fast", func(p *player) { p.key("7K2M9X", dot/2); p.key("7", dot/2) }, "7K2M9X"},
		{"slow", func(p *player) { p.key("7K2M9X", 8*dot); p.key("7", 8*dot) }, "7K2M9X"},
		{"one character, which no code has", func(p *player) { p.key("E", dot); p.key("E", dot); p.key("E", dot) }, ""},
		{"waiting", func(p *player) { p.blink(30, 100, 1900) }, ""},
		{"working", func(p *player) { p.blink(60, 500, 500) }, ""},
		{"failed", func(p *player) { p.blink(30, 250, 250, 250, 750) }, ""},
		{"reset", func(p *player) { p.blink(1, 750, 750, 625, 625, 500, 500, 375, 375, 250, 250); p.blink(99, 125, 125) }, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := &player{at: start}
			tt.play(p)
			p.show(0, false, 0)
			p.events[len(p.events)-1].Strobe = len(p.events) > 1 && p.events[len(p.events)-2].Strobe // what stands
			got, err := DecodeMorse(p.events)
			if got != tt.want || (tt.want == "") != errors.Is(err, ErrNoCode) {
				t.Errorf("%q, %v, want %q", got, err, tt.want)
			}
			got, err = DecodeMorse(p.samples(func() time.Duration { return 10 * time.Millisecond }))
			if got != tt.want || (tt.want == "") != errors.Is(err, ErrNoCode) {
				t.Errorf("sampled: %q, %v, want %q", got, err, tt.want)
			}
		})
	}
}

// TestDecodeMorseSampled reads random codes off samples that are taken when the
// machine gets round to it, two to five in a dot.
func TestDecodeMorseSampled(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for n := range 100 {
		var code []byte
		for range 4 + r.IntN(9) {
			code = append(code, hw.LEDAlphabet[r.IntN(32)])
		}
		p := &player{at: start}
		for range 3 {
			p.key(string(code), dot)
		}
		p.show(0, false, 5*dot)
		samples := p.samples(func() time.Duration { return time.Duration(20_000+r.IntN(25_000)) * time.Microsecond })
		if got, err := DecodeMorse(samples); err != nil || got != string(code) {
			t.Errorf("%d: %q, %v, want %q", n, got, err, code)
		}
	}
}

// TestDecodeMorsePlayed reads what hw.LEDs plays, by changes and by samples that come at
// odd times.
func TestDecodeMorsePlayed(t *testing.T) {
	for _, code := range []string{"7K3QMZ", "EEEEEE", "0E5T", "ABCDEFGHJKMN"} {
		synctest.Test(t, func(t *testing.T) {
			pins := NewLEDPins(nil)
			l := hw.NewLEDs(hw.LEDConfig{Single: pins.Strobe(), Dot: dot})
			l.Show(hw.View{Mode: hw.ModeCode, Code: code})
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- l.Run(ctx) }()
			r := rand.New(rand.NewPCG(5, 6))
			var samples []LEDEvent
			for begin := time.Now(); time.Since(begin) < time.Minute; {
				<-time.After(time.Duration(15+r.IntN(25)) * time.Millisecond)
				seen := pins.Events()
				samples = append(samples, seen[len(seen)-1])
			}
			cancel()
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			for name, events := range map[string][]LEDEvent{"changes": pins.Events(), "samples": samples} {
				if got, err := DecodeMorse(events); got != code {
					t.Errorf("%s of %s: %q, %v", name, code, got, err)
				}
			}
		})
	}
}

// TestDecodeMorseRefuses: a round that is none is shown as it was read.
func TestDecodeMorseRefuses(t *testing.T) {
	p := &player{at: start}
	p.key("AOI", dot)
	p.show(0, false, 14*dot)
	p.show(0, true, 0)
	if code, err := DecodeMorse(p.events); !errors.Is(err, ErrNoCode) || !strings.Contains(err.Error(), `".- --- .."`) {
		t.Errorf("%q, %v", code, err)
	}
	if code, err := DecodeMorse([]LEDEvent{{At: start}, {At: start.Add(-1)}}); err == nil || errors.Is(err, ErrNoCode) {
		t.Errorf("events in the wrong order: %q, %v", code, err)
	}
}

// FuzzDecodeMorse: any events give a code of the alphabet or an error, and a code
// reads the same when it is played again.
func FuzzDecodeMorse(f *testing.F) {
	f.Add([]byte{140, 10, 10, 30, 30, 10, 140, 10})
	f.Add([]byte{140, 30, 30, 30, 30, 10, 10, 10, 141})
	f.Add([]byte{0, 0, 255, 1, 2, 255})
	f.Fuzz(func(t *testing.T, b []byte) {
		p := &player{at: start}
		for i, d := range b {
			p.show(0, i%2 == 1, time.Duration(d)*10*time.Millisecond)
		}
		code, err := DecodeMorse(p.events)
		if err != nil {
			if code != "" {
				t.Fatalf("%q and %v", code, err)
			}
			return
		}
		if len(code) < 2 || strings.Trim(code, hw.LEDAlphabet) != "" {
			t.Fatalf("%q is no code", code)
		}
		again := &player{at: start}
		again.key(code, dot)
		again.key(code, dot)
		if got, err := DecodeMorse(again.events); err != nil || got != code {
			t.Fatalf("%q reads as %q, %v when it is played again", code, got, err)
		}
	})
}
