package hw

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// TestFinger goes through the table of gestures with what may happen in each place of
// it, on the very moments where something begins to mean something else.
func TestFinger(t *testing.T) {
	type seen struct {
		what happening
		at   time.Duration
	}
	const (
		s    = time.Second
		tick = time.Nanosecond
		hold = 5 * s
	)
	first := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		name string
		seen []seen
		want []string
		end  contact
		next time.Duration // when it is to be looked at again; 0: not before an edge
	}{
		{"up", nil, nil, up, 0},
		{"up twice", []seen{{goesUp, 0}}, nil, up, 0},
		{"lost while up", []seen{{isLost, 0}}, nil, stuck, 0},
		{"lost, then down", []seen{{isLost, 0}, {goesDown, s}, {staysDown, 90 * s}}, nil, stuck, 0},
		{"lost, then up", []seen{{isLost, 0}, {goesUp, s}}, nil, up, 0},

		{"down", []seen{{goesDown, 0}}, nil, pressed, s},
		{"down twice", []seen{{goesDown, 0}, {goesDown, s / 2}}, nil, pressed, s},
		{"down, not yet a hold", []seen{{goesDown, 0}, {staysDown, s - tick}}, nil, pressed, s},
		{"pressed", []seen{{goesDown, 0}, {goesUp, s - tick}}, []string{"press 0s"}, up, 0},
		{"pressed, seen at the last moment", []seen{{goesDown, 0}, {goesUp, s}}, []string{"press 0s"}, up, 0},
		{"pressed twice", []seen{{goesDown, 0}, {goesUp, s / 2}, {goesDown, s}, {goesUp, s * 3 / 2}}, []string{"press 0s", "press 1s"}, up, 0},
		{"lost while pressed", []seen{{goesDown, 0}, {isLost, s / 2}}, nil, stuck, 0},

		{"held", []seen{{goesDown, 0}, {staysDown, s}}, []string{"hold 0s"}, held, hold},
		{"held, seen twice", []seen{{goesDown, 0}, {staysDown, s}, {staysDown, s}}, []string{"hold 0s"}, held, hold},
		{"held, not yet armed", []seen{{goesDown, 0}, {staysDown, s}, {staysDown, hold - tick}}, []string{"hold 0s"}, held, hold},
		{"let go", []seen{{goesDown, 0}, {staysDown, s}, {goesUp, hold - tick}}, []string{"hold 0s", "cancel 0s"}, up, 0},
		{"let go at the last moment", []seen{{goesDown, 0}, {staysDown, s}, {goesUp, hold}}, []string{"hold 0s", "cancel 0s"}, up, 0},
		{"let go, seen late", []seen{{goesDown, 0}, {staysDown, s}, {goesUp, 90 * s}}, []string{"hold 0s", "cancel 0s"}, up, 0},
		{"lost while held", []seen{{goesDown, 0}, {staysDown, s}, {isLost, 2 * s}}, []string{"hold 0s", "cancel 0s"}, stuck, 0},

		{"armed", []seen{{goesDown, 0}, {staysDown, s}, {staysDown, hold}}, []string{"hold 0s", "armed 0s"}, armed, hold + stuckAfter},
		{"armed, seen late", []seen{{goesDown, s}, {staysDown, s + hold}}, []string{"hold 1s", "armed 1s"}, armed, s + hold + stuckAfter},
		{"reset", []seen{{goesDown, 0}, {staysDown, s}, {staysDown, hold}, {goesUp, hold}}, []string{"hold 0s", "armed 0s", "reset 0s"}, up, 0},
		{"reset at the last moment", []seen{{goesDown, 0}, {staysDown, hold}, {goesUp, hold + stuckAfter}}, []string{"hold 0s", "armed 0s", "reset 0s"}, up, 0},
		{"lost while armed", []seen{{goesDown, 0}, {staysDown, hold}, {isLost, 6 * s}}, []string{"hold 0s", "armed 0s", "cancel 0s"}, stuck, 0},

		{"not yet stuck", []seen{{goesDown, 0}, {staysDown, hold}, {staysDown, hold + stuckAfter - tick}}, []string{"hold 0s", "armed 0s"}, armed, hold + stuckAfter},
		{"stuck", []seen{{goesDown, 0}, {staysDown, hold}, {staysDown, hold + stuckAfter}}, []string{"hold 0s", "armed 0s", "cancel 0s"}, stuck, 0},
		{"stuck and released", []seen{{goesDown, 0}, {staysDown, hold + stuckAfter}, {goesUp, 90 * s}}, []string{"hold 0s", "armed 0s", "cancel 0s"}, up, 0},
	} {
		var told []string
		f := finger{hold: hold, do: func(e Event) {
			told = append(told, fmt.Sprint(e.Gesture, " ", e.Down.Sub(first)))
			if e.Armed.Sub(e.Down) != hold {
				t.Errorf("%s: armed %v after it went down", tt.name, e.Armed.Sub(e.Down))
			}
		}}
		f.saw(goesUp, first) // it begins as stuck
		for _, h := range tt.seen {
			f.saw(h.what, first.Add(h.at))
		}
		if !slices.Equal(told, tt.want) || f.state != tt.end {
			t.Errorf("%s: told %q, now %d, want %q and %d", tt.name, told, f.state, tt.want, tt.end)
		}
		if at, ok := f.next(); ok != (tt.next > 0) || ok && at.Sub(first) != tt.next {
			t.Errorf("%s: next %v %v, want %v", tt.name, at, ok, tt.next)
		}
	}
}

func TestGestureNames(t *testing.T) {
	want := []string{"none", "press", "hold", "armed", "reset", "cancel", "unknown"}
	for g := range Gesture(len(want)) {
		if g.String() != want[g] {
			t.Errorf("gesture %d is %q, want %q", g, g, want[g])
		}
	}
	for m, want := range []string{"idle", "waiting", "code", "working", "done", "failed", "reset", "unknown"} {
		if got := Mode(m).String(); got != want {
			t.Errorf("mode %d is %q, want %q", m, got, want)
		}
	}
}
