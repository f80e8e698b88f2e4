package gateway

import (
	"errors"
	"strings"
	"testing"
)

func TestParseCode(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"ABC123", "ABC123"},
		{"abc-123", "ABC123"},
		{" a b\tc\r\n1 2 3 ", "ABC123"},
		{"iIlLoO", "111100"},
		{"ZZZZ", "ZZZZ"},
		{"0123456789AB", "0123456789AB"},
		{"ABC", ""},           // too short
		{"----", ""},          // nothing left
		{"", ""},              // nothing
		{"0123456789ABC", ""}, // too long
		{"ABCU12", ""},        // U is not in the alphabet
		{"ABC_12", ""},
		{"ÄBC123", ""},
		{"ABC\x00123", ""},
		{"ABC１２３", ""}, // full-width digits
	} {
		got, err := ParseCode(c.in)
		switch {
		case got != c.want, (err == nil) != (c.want != ""):
			t.Errorf("ParseCode(%q) = %q, %v; want %q", c.in, got, err, c.want)
		case err != nil && !errors.Is(err, ErrBadCode):
			t.Errorf("ParseCode(%q): %v does not wrap ErrBadCode", c.in, err)
		case err != nil && len(c.in) > 3 && strings.Contains(err.Error(), c.in):
			t.Errorf("ParseCode(%q): the error repeats the text: %v", c.in, err)
		}
	}
}

// NewCode must use the whole alphabet, each character as often as the next: 32
// cells, 31 degrees of freedom; the sum of squares exceeds 110 by chance once in
// about 10^10 runs.
func TestNewCodeIsUnbiased(t *testing.T) {
	const codes, length = 4000, MaxCodeLength
	count := map[byte]int{}
	for range codes {
		code := NewCode(length)
		if got, err := ParseCode(code); err != nil || got != code {
			t.Fatalf("ParseCode(NewCode()) = %q, %v, want %q", got, err, code)
		}
		for i := range length {
			count[code[i]]++
		}
	}
	expected := float64(codes*length) / float64(len(Alphabet))
	sum := 0.0
	for i := range len(Alphabet) {
		d := float64(count[Alphabet[i]]) - expected
		sum += d * d / expected
	}
	if sum > 110 || len(count) != len(Alphabet) {
		t.Errorf("chi squared is %.0f over %d characters: %v", sum, len(count), count)
	}
}

func FuzzParseCode(f *testing.F) {
	for _, s := range []string{"ABC123", "abc-123", "", "iilloo", "0123456789ABC", "ÿ\xff", "A B C D"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		code, err := ParseCode(s)
		if err != nil {
			if !errors.Is(err, ErrBadCode) || code != "" {
				t.Fatalf("ParseCode(%q) = %q, %v", s, code, err)
			}
			return
		}
		if len(code) < MinCodeLength || len(code) > MaxCodeLength || strings.Trim(code, Alphabet) != "" {
			t.Fatalf("ParseCode(%q) = %q", s, code)
		}
		for _, again := range []string{code, strings.ToLower(code), code[:2] + "-" + code[2:]} {
			if got, err := ParseCode(again); err != nil || got != code {
				t.Fatalf("ParseCode(%q) = %q, %v, want %q", again, got, err, code)
			}
		}
	})
}
