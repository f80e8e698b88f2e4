package hw

import (
	"strings"
	"testing"
	"time"
)

// TestPatterns: every mode has its pattern for every group, none lights the strobe,
// and what a person waits for nothing in comes to rest.
func TestPatterns(t *testing.T) {
	if len(patterns) != int(ModeReset)+1 {
		t.Fatalf("%d patterns", len(patterns))
	}
	widths := map[groupKind]int{bitsGroup: ledBits, singleGroup: 1, rgbGroup: 3}
	for m := range Mode(len(patterns)) {
		for kind, p := range patterns[m] {
			all := append([]step{{p.rest, 0}}, p.steps...)
			for _, part := range p.lead {
				all = append(all, step{part.lit, time.Duration(part.weight)})
			}
			for _, s := range all {
				if s.lit>>widths[groupKind(kind)] != 0 {
					t.Errorf("%v, group %d lights %b, which it has no line for", m, kind, s.lit)
				}
			}
			if len(p.steps) == 0 {
				t.Errorf("%v, group %d: no pattern", m, kind)
			}
			steady := len(p.steps) == 1 && p.steps[0].d == 0
			for _, s := range p.steps {
				if s.d == 0 && !steady {
					t.Errorf("%v, group %d never gets past a step", m, kind)
				}
			}
			if atRest(m) && !steady && p.limit == 0 {
				t.Errorf("%v, group %d never comes to rest", m, kind)
			}
			if (len(p.lead) > 0) != (m == ModeReset) {
				t.Errorf("%v, group %d: countdown %v", m, kind, p.lead)
			}
		}
	}
}

// TestLeadIn: a countdown fills its time whenever one comes to it.
func TestLeadIn(t *testing.T) {
	made := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	v := View{Made: made, Expires: made.Add(5 * time.Second)}
	for _, tt := range []struct {
		lead  leadIn
		after time.Duration
		steps int
		first time.Duration
	}{
		{emptying, 0, 5, time.Second},
		{emptying, time.Second, 4, time.Second},
		{emptying, 1300 * ms, 4, 700 * ms},
		{emptying, 4999 * ms, 1, ms},
		{emptying, 5 * time.Second, 0, 0},
		{emptying, time.Hour, 0, 0},
		{quickening(on), 0, 10, 750 * ms},
		{quickening(on), 4700 * ms, 2, 50 * ms},
		{nil, 0, 0, 0},
	} {
		steps := tt.lead.steps(v, made.Add(tt.after))
		if len(steps) != tt.steps {
			t.Errorf("after %v: %v, want %d steps", tt.after, steps, tt.steps)
			continue
		}
		var sum time.Duration
		for _, s := range steps {
			sum += s.d
		}
		if tt.steps > 0 && (steps[0].d != tt.first || sum != v.Expires.Sub(made)-tt.after) {
			t.Errorf("after %v: %v, want the first for %v, all until the end", tt.after, steps, tt.first)
		}
	}
	for _, v := range []View{{}, {Made: made}, {Made: made, Expires: made}} {
		if steps := emptying.steps(v, made); len(steps) != 0 {
			t.Errorf("%v to %v: %v, want no countdown", v.Made, v.Expires, steps)
		}
	}
}

// TestMorseTable: all of a code's characters have a sign, and no two the same.
func TestMorseTable(t *testing.T) {
	seen := map[string]byte{}
	for c, sign := range morse {
		if sign == "" {
			continue
		}
		if strings.Trim(sign, ".-") != "" || len(sign) > 5 {
			t.Errorf("%q is %q", rune(c), sign)
		}
		if other, ok := seen[sign]; ok {
			t.Errorf("%q and %q are both %q", rune(c), other, sign)
		}
		seen[sign] = byte(c)
	}
	if len(seen) != 36 {
		t.Errorf("%d signs, want 26 letters and 10 figures", len(seen))
	}
	for _, c := range LEDAlphabet {
		if morse[c] == "" {
			t.Errorf("no sign for %q", c)
		}
	}
}
