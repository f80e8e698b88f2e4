package hw_test

import (
	"strings"
	"testing"
	"time"

	"github.com/mecha-org/mecha-agent/hw"
)

// TestCharacters: what the pictures in docs do not show. A bar of n full
// characters is written as n times a 5.
func TestCharacters(t *testing.T) {
	noEnd := hw.View{Mode: hw.ModeCode, Code: "7K2M9X", Step: "Claim it"}
	for _, tt := range []struct {
		name          string
		view          hw.View
		columns, rows int
		after         time.Duration
		want          string // lines, the blanks at their ends cut off
	}{
		{"eight", withCode(codeView, "0D8B5S2Z"), 16, 2, 0, "Code 0D8B 5S2Z\n\x05\x05\x05\x05\x05\x05\x05\x05\x01   3:44"},
		{"twelve", withCode(codeView, "0D8B5S2ZQGWM"), 16, 2, 0, "0D8 B5S 2ZQ GWM\n\x05\x05\x05\x05\x05\x05\x05\x05\x01   3:44"},
		{"twelve in few", withCode(codeView, "0D8B5S2ZQGWM"), 12, 2, 0, "0D8B5S2ZQGWM\n\x05\x05\x05\x05\x05\x01  3:44"},
		{"expired", codeView, 16, 2, time.Hour, "Code 7K2 M9X\n         expired"},
		{"without an end", noEnd, 16, 2, 0, "Code 7K2 M9X\nClaim it"},
		{"one row", codeView, 16, 1, 0, "Code 7K2 M9X"},
		{"two wide rows", hw.View{}, 24, 2, 0, "Ready: Press the button\nfor a code"},
		{"failed, both fit", hw.View{Mode: hw.ModeFailed, Error: "dialling: no route", Hint: "cable?"}, 16, 2, 0, "! no route\n> cable?"},
		{"failed, cause too long", failedView, 16, 2, 0, "! connection\nrefused"},
		{"failed without words", hw.View{Mode: hw.ModeFailed}, 16, 2, 0, "! It did not\nwork"},
		{"reset over", resetView, 16, 2, 3 * time.Second, "Let go to remove\nthe identity"},
		{"reset, almost", resetView, 16, 2, 2900 * time.Millisecond, "Hold 1 s: reset\n\x05\x05\x05\x05\x05\x05\x05\x05\x05\x05\x05\x05\x05\x05\x05\x03"},
		{"no size", codeView, 0, 2, 0, ""},
	} {
		lines := hw.Characters(tt.view, tt.columns, tt.rows, noon.Add(tt.after))
		for i, s := range lines {
			if len(s) != tt.columns {
				t.Errorf("%s: line %d is %d wide, want %d", tt.name, i, len(s), tt.columns)
			}
			lines[i] = strings.TrimRight(s, " ")
		}
		if got := strings.Join(lines, "\n"); got != tt.want {
			t.Errorf("%s:\n%q, want\n%q", tt.name, got, tt.want)
		}
	}
}

// TestDigits follows a code through its turns.
func TestDigits(t *testing.T) {
	code := withCode(codeView, "0D8B5S2Z")
	code.Made = noon
	long := withCode(code, "7K2M9X0D8B") // groups of five are too long for four digits
	for _, tt := range []struct {
		view  hw.View
		n     int
		after time.Duration
		want  string
		dot   bool
	}{
		{code, 4, 0, "0D8B", false},
		{code, 4, 1999 * time.Millisecond, "0D8B", false},
		{code, 4, 2 * time.Second, "5S2Z", true},
		{code, 4, 4 * time.Second, "0D8B", false},
		{code, 8, 0, "0D8B    ", false},
		{long, 4, 0, "7K2M", false},
		{long, 4, 2 * time.Second, "9X0D", false},
		{long, 4, 4 * time.Second, "8B  ", true},
		{withCode(code, "7K2M"), 4, 2 * time.Second, "7K2M", false},
		{hw.View{Mode: hw.ModeCode}, 4, 0, "CODE", false},
		{hw.View{Mode: hw.ModeCode, Code: "7k2m9x"}, 4, 0, "7K2 ", false},
		{resetView, 4, 0, "HLD3", false},
		{resetView, 4, 3 * time.Second, "RLSE", false},
		{hw.View{Mode: 99}, 4, 0, "    ", false},
		{hw.View{}, 2, 0, "PU", false},
		{hw.View{}, 0, 0, "", false},
	} {
		if got, dot := hw.Digits(tt.view, tt.n, noon.Add(tt.after)); got != tt.want || dot != tt.dot {
			t.Errorf("%+v after %v: %q, dot %v, want %q, %v", tt.view, tt.after, got, dot, tt.want, tt.dot)
		}
	}
}
