package hwtest

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/mecha-org/mecha-agent/hw"
)

// DecodeMorse reads a code off a single LED (LEDEvent.Strobe) as a person would who
// knows Morse (ITU-R M.1677-1) and not the speed: the dot length, between 20 ms and
// 2 s, is the one that fits best what was seen. It trusts only rounds that it saw
// from one long gap, clearly longer than one between words, to the first flash after
// the next: what was cut off ends in darkness, too. The last of them is the code.
//
// Events may be changes or samples; samples are to be taken twice in a dot or more
// often, at any times. A code has two characters or more: one alone cannot be told
// from a light that blinks.
func DecodeMorse(events []LEDEvent) (code string, err error) {
	all, err := runs(events)
	if err != nil {
		return "", err
	}
	var best, unread *message
	for dot := 20 * time.Millisecond; dot <= 2*time.Second; dot += dot / 50 {
		for _, m := range listen(all, dot) {
			if _, ok := m.code(); ok {
				best = better(best, m)
			} else {
				unread = better(unread, m)
			}
		}
	}
	switch {
	case best != nil:
		code, _ = best.code()
		return code, nil
	case unread != nil:
		return "", fmt.Errorf("%w: a round reads as %q, which is none; %s", ErrNoCode, strings.Join(unread.signs, " "), describe(all))
	}
	return "", fmt.Errorf("%w: %s", ErrNoCode, describe(all))
}

// message is what was sent between two long gaps.
type message struct {
	signs  []string // ".-", "-..."
	end    int      // number of the run after it
	misfit float64  // by how many dots the runs are off, in the mean
}

// better returns the message that ends later, or else the one that fits better.
func better(a, b *message) *message {
	if a == nil || b.end > a.end || b.end == a.end && b.misfit < a.misfit {
		return b
	}
	return a
}

// What lengths mean, in dots: each is nearer to its own than to the next. The
// gap before a round is 14 dots, the one between words 7.
const (
	shortestFlash = 0.5
	dashFrom      = 2
	longestFlash  = 3.8
	charGapFrom   = 2
	wordGapFrom   = 5
	roundGapFrom  = 12
	longestGap    = 17 // after a round that another follows
	// mostMisfit is where what was seen is something else. Two samples in a dot make
	// less than half of it.
	mostMisfit = 0.4
)

// listen returns the messages that are there if a dot is that long.
func listen(all []run, dot time.Duration) (messages []*message) {
	var m *message // nil: not since a long gap, or nothing that can be
	var off float64
	var count int
	for i, r := range all {
		dots := float64(r.long()) / float64(dot)
		switch {
		case !r.lit && dots >= roundGapFrom:
			if m != nil && count > 0 && r.whole && dots <= longestGap {
				m.end, m.misfit = i, off/float64(count)
				if m.misfit <= mostMisfit {
					messages = append(messages, m)
				}
			}
			m, off, count = &message{signs: []string{""}}, 0, 0
			continue
		case m == nil:
			continue
		case !r.whole, // it may be longer yet
			r.lit && (dots < shortestFlash || dots > longestFlash),
			!r.lit && dots >= wordGapFrom:
			m = nil
			continue
		}
		should, last := 1.0, len(m.signs)-1
		switch {
		case r.lit && dots >= dashFrom:
			should = 3
			m.signs[last] += "-"
		case r.lit:
			m.signs[last] += "."
		case dots >= charGapFrom:
			should = 3
			m.signs = append(m.signs, "")
		}
		off += math.Abs(dots - should)
		count++
	}
	return messages
}

// signs is the Morse code as a tree: the root is at 1, a dot goes from n to 2n, a
// dash to 2n+1. It is not the table of package hw, which it checks.
const signs = "  " + "ET" + "IANM" + "SURWDKGO" + "HVF L PJBXCYZQ  " + "54 3   2       16       7   8 90"

// code returns the characters of the message, if all are such of a code.
func (m *message) code() (code string, ok bool) {
	if len(m.signs) < 2 {
		return "", false
	}
	for _, sign := range m.signs {
		n := 1
		for i := 0; i < len(sign) && n < len(signs); i++ {
			n *= 2
			if sign[i] == '-' {
				n++
			}
		}
		if n >= len(signs) || strings.IndexByte(hw.LEDAlphabet, signs[n]) < 0 {
			return "", false
		}
		code += signs[n : n+1]
	}
	return code, true
}
