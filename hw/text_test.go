package hw

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mecha-org/mecha-agent/gateway"
)

// TestAlphabet: what the gateway makes, the LEDs can show.
func TestAlphabet(t *testing.T) {
	if LEDAlphabet != gateway.Alphabet {
		t.Errorf("LEDAlphabet is %q, gateway.Alphabet is %q", LEDAlphabet, gateway.Alphabet)
	}
}

// TestFont: every printable character has a glyph of its own.
func TestFont(t *testing.T) {
	if len(font) != '~'-' '+1 {
		t.Fatalf("%d glyphs, want %d", len(font), '~'-' '+1)
	}
	seen := map[[glyphWidth]byte]rune{}
	for i, g := range font {
		c := rune(i + fontFirst)
		if other, ok := seen[g]; ok {
			t.Errorf("%q looks like %q", c, other)
		}
		seen[g] = c
		for _, column := range g {
			if column > 0x7F {
				t.Errorf("%q is higher than %d dots", c, glyphHeight)
			}
		}
	}
	if Glyph(0) != Glyph('?') || Glyph(0xFF) != Glyph('?') || Glyph('A') == Glyph('?') {
		t.Error("characters without a glyph are not question marks")
	}
}

// TestCodesTellApart: letters of a code that people mix up differ in three dots
// at least.
func TestCodesTellApart(t *testing.T) {
	for i := range LEDAlphabet {
		for j := range i {
			a, b, dots := LEDAlphabet[i], LEDAlphabet[j], 0
			for x := range glyphWidth {
				for y := range glyphHeight {
					if lit(a, x, y) != lit(b, x, y) {
						dots++
					}
				}
			}
			if dots < 3 {
				t.Errorf("%c and %c differ in %d dots", a, b, dots)
			}
		}
	}
}

func TestGroups(t *testing.T) {
	for code, want := range map[string]string{
		"": "", "ABCD": "ABCD", "ABCDE": "ABCDE", "ABC123": "ABC 123", "ABCD123": "ABCD 123", "ABCD1234": "ABCD 1234",
		"ABC123DEF": "ABC 123 DEF", "ABCDE12345": "ABCDE 12345", "ABCD1234EFG": "ABCD 1234 EFG",
		"ABC123DEF456": "ABC 123 DEF 456", "ABC123DEF4567": "ABC123DEF4567",
	} {
		if got := strings.Join(groups(code), " "); got != want {
			t.Errorf("groups(%q) = %q, want %q", code, got, want)
		}
	}
}

func TestPlain(t *testing.T) {
	for in, want := range map[string]string{
		"":                       "",
		" a\t b\r\nc ":           "a b c",
		"\x1b[31mred":            "?[31mred",
		"“it’s” 5 – 6…":          "\"it's\" 5 - 6...",
		"naïve \x00 \xff \u202e": "na?ve ? ? ?",
	} {
		if got := plain(in); got != want {
			t.Errorf("plain(%q) = %q, want %q", in, got, want)
		}
	}
}

func FuzzPlain(f *testing.F) {
	f.Add("dial tcp 10.0.0.1:3000: \x1b]0;title\a connection refused")
	f.Add("…’”—\u0085\u00a0x")
	f.Fuzz(func(t *testing.T, s string) {
		p := plain(s)
		for i := range len(p) {
			if p[i] < ' ' || p[i] > '~' {
				t.Fatalf("plain(%q) has %#x in it", s, p[i])
			}
		}
		if plain(p) != p {
			t.Fatalf("plain(%q) = %q, again %q", s, p, plain(p))
		}
		for width := range 12 {
			for n := range 4 {
				for _, lines := range [][]string{fit(p, width, n), fitError("! ", p, width, n)} {
					if len(lines) > n {
						t.Fatalf("%d lines of %q, want %d at most", len(lines), p, n)
					}
					for _, l := range lines {
						if len(l) > width {
							t.Fatalf("line %q of %q is longer than %d", l, p, width)
						}
					}
				}
			}
		}
	})
}

func TestFit(t *testing.T) {
	const refused = "announcing the code: dial tcp 10.0.0.1:3000: connect: connection refused"
	for _, tt := range []struct {
		lead, text string
		width, n   int
		want       []string
	}{
		{"", "one two three", 7, 3, []string{"one two", "three"}},
		{"", "one two three", 7, 1, []string{"one t.."}},
		{"", "provisioning", 5, 3, []string{"provi", "sioni", "ng"}},
		{"", "provisioning", 5, 2, []string{"provi", "sio.."}},
		{"", "anything", 1, 1, []string{"."}},
		{"", "anything", 0, 3, nil},
		{"", "anything", 9, 0, nil},
		{"", refused, 40, 2, []string{"announcing the code: dial tcp", "10.0.0.1:3000: connect: connection.."}},
		{"! ", refused, 40, 2, []string{"! announcing the code: .. connect:", "connection refused"}},
		{"! ", refused, 21, 2, []string{"! connect: connection", "refused"}},
		{"! ", refused, 14, 1, []string{"! connection.."}},
		{"", "no colon at all here", 10, 1, []string{"no colon.."}},
	} {
		got := fit(tt.lead+tt.text, tt.width, tt.n)
		if tt.lead != "" || tt.text != refused {
			got = fitError(tt.lead, tt.text, tt.width, tt.n)
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%q on %d lines of %d: %q, want %q", tt.lead+tt.text, tt.n, tt.width, got, tt.want)
		}
	}
}

func TestLeft(t *testing.T) {
	made := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	five := View{Made: made, Expires: made.Add(5 * time.Minute)}
	for _, tt := range []struct {
		view  View
		after time.Duration
		words string
		part  float64
	}{
		{View{}, 0, "", 0},
		{five, -time.Hour, "1:05:00 left", 1}, // the clock was set back
		{five, 0, "5:00 left", 1},
		{five, time.Nanosecond, "5:00 left", 1},
		{five, time.Minute, "4:00 left", 0.8},
		{five, 5*time.Minute - time.Nanosecond, "0:01 left", 0},
		{five, 5 * time.Minute, "expired", 0},
		{five, time.Hour, "expired", 0},
		{View{Expires: made.Add(time.Minute)}, 0, "1:00 left", 0},
	} {
		words, part := tt.view.left(made.Add(tt.after))
		if words != tt.words || part < tt.part-0.001 || part > tt.part+0.001 {
			t.Errorf("after %v: %q, %.3f, want %q, %.3f", tt.after, words, part, tt.words, tt.part)
		}
	}
}

// TestTables: every mode has its words, and an unknown one harms nobody.
func TestTables(t *testing.T) {
	if len(words) != int(ModeReset)+1 {
		t.Fatalf("%d words", len(words))
	}
	for m := range Mode(len(words)) {
		if m.title() == "" || (View{Mode: m}).step() == "" {
			t.Errorf("mode %d has a row missing", m)
		}
	}
	if got := (View{Mode: 99}); got.Mode.title() != "Mode 99" || got.step() != "" {
		t.Errorf("mode 99: %q %q", got.Mode.title(), got.step())
	}
	if shortID("abc") != "abc" || shortID("0123456789") != "01234567" {
		t.Error("shortID")
	}
}
