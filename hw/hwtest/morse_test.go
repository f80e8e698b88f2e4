package hwtest

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"periph.io/x/conn/v3/gpio"

	"github.com/mecha-org/mecha-agent/hw"
)

// TestDecodeMorse reads what hw.LEDs plays, by changes and by samples that come at
// odd times.
func TestDecodeMorse(t *testing.T) {
	const dot = 100 * time.Millisecond
	for _, code := range []string{"7K3QMZ", "000000", "EEEEEE", "555555", "0E5T", "ABCDEFGHJKMN"} {
		synctest.Test(t, func(t *testing.T) {
			pins := NewLEDPins(nil)
			l := hw.NewLEDs(hw.LEDConfig{Single: pins.Strobe(), Dot: dot})
			l.Show(hw.View{Mode: hw.ModeCode, Code: code})
			done := make(chan error, 1)
			ctx, cancel := context.WithCancel(t.Context())
			go func() { done <- l.Run(ctx) }()

			chance := rand.New(rand.NewPCG(1, 2))
			var samples []LEDEvent
			for range 3 * 12 * 25 * 5 {
				wait(ctx, 15*time.Millisecond+time.Duration(chance.Int64N(int64(20*time.Millisecond))))
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

// TestDecodeMorseDoubts: what was not seen from gap to gap is no code.
func TestDecodeMorseDoubts(t *testing.T) {
	play := func(pattern string) (events []LEDEvent) { // a letter a dot
		for i, c := range pattern {
			events = append(events, LEDEvent{At: start.Add(time.Duration(i) * time.Second), Strobe: c == '#'})
		}
		return events
	}
	gap := strings.Repeat("_", 14)
	for _, c := range []struct{ name, pattern, want string }{
		{"nothing", "", ""},
		{"dark", gap + gap, ""},
		{"lit", strings.Repeat("#", 50), ""},
		{"no gap before", "#_#_###" + gap + "_", ""},
		{"no gap after", gap + "#_#_###__", ""},
		{"a round", gap + "#_#_###" + gap + "_", "U"},
		{"the last of two", gap + "#_#_###" + gap + "###_#_#" + gap + "_", "D"},
		{"two characters", gap + "#_###___###_#" + gap + "_", "AN"},
		{"no character", gap + "#_#_#_#_#_#_#" + gap + "_", ""},
		{"a steady light", gap + "#_#_" + strings.Repeat("#", 20) + gap + "_", ""},
	} {
		if got, err := DecodeMorse(play(c.pattern)); got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%s: %q, %v", c.name, got, err)
		}
	}
	if _, err := DecodeMorse([]LEDEvent{{At: start.Add(1)}, {At: start}}); err == nil || errors.Is(err, ErrNoCode) {
		t.Errorf("events that go back: %v", err)
	}
}

func FuzzDecodeMorse(f *testing.F) {
	f.Add([]byte("\x00\x0e\x01\x03\x01\x01\x03\x0e\x01"))
	f.Add([]byte{255, 1, 255, 1, 255})
	f.Fuzz(func(t *testing.T, lengths []byte) {
		at, level := start, gpio.Low
		var events []LEDEvent
		for _, n := range lengths {
			events = append(events, LEDEvent{At: at, Strobe: bool(level)})
			at, level = at.Add(time.Duration(n)*time.Millisecond), !level
		}
		if code, err := DecodeMorse(events); err == nil && code == "" {
			t.Error("an empty code without an error")
		}
	})
}
