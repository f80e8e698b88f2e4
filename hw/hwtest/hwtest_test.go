package hwtest

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"periph.io/x/conn/v3/gpio"

	"github.com/mecha-org/mecha-agent/hw"
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// TestTerminalCut: what has been written so far may end within a character.
func TestTerminalCut(t *testing.T) {
	for text, want := range map[string]string{
		"ab":          "|ab##|\n",
		"a█":          "|a█##|\n",
		"a█"[:3]:      "|a\ufffd\ufffd#|\n",
		"\xe2b":       "|\ufffdb##|\n",
		"\x1b%Ga\xe2": "|a\ufffd##|\n",
	} {
		term := NewTerminal(4, 1)
		if n, err := term.Write([]byte(text)); n != len(text) || err != nil || term.String() != want {
			t.Errorf("%q: %d, %v, %q, want %q", text, n, err, term.String(), want)
		}
	}
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
