package hwtest

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/mecha-org/mecha-agent/hw"
)

// LEDEvent is what the LEDs show from a moment on. A single LED is the Strobe.
type LEDEvent struct {
	At     time.Time
	Bits   uint8 // five lines, bit 4 is the first of them
	Strobe bool
}

// ErrNoCode is what DecodeLEDs and DecodeMorse wrap when no whole code was shown.
var ErrNoCode = errors.New("no whole code on the LEDs")

// DecodeLEDs reads a code off LEDs as a person would: it looks at the lines
// while the strobe is lit, takes a gap that is clearly longer than characters stand
// for the start of a new round, and trusts only rounds that it saw from such a gap
// to the next. The last of them is the code.
//
// Events may be changes (LEDPins gives them) or samples, three or more for each
// character. Lines are not read at one moment: a sample may catch them half way, and
// tell nothing of the character if there is another for it. Lines that hold
// still twice while the strobe is lit are an error.
func DecodeLEDs(events []LEDEvent) (code string, err error) {
	all, err := runs(events)
	if err != nil {
		return "", err
	}
	limit := standing(all) * 5 / 4
	var round, last string
	var whole bool // the round began after a long gap, and all of it can be read
	var doubt error
	for _, r := range all {
		switch {
		case !r.lit && r.long() > limit:
			if whole && round != "" {
				last = round
			}
			round, whole = "", true
		case r.lit:
			value, sure, err := r.value()
			if err != nil {
				return "", err
			}
			if !sure && doubt == nil {
				doubt = fmt.Errorf("the lines changed while the strobe was lit: %05b", r.bits)
			}
			whole = whole && sure
			round += hw.LEDAlphabet[value : value+1]
		}
	}
	switch {
	case last != "":
		return last, nil
	case doubt != nil:
		return "", doubt
	}
	return "", fmt.Errorf("%w: %s", ErrNoCode, describe(all))
}

// run is a time in which the strobe, or the single LED, did not change.
type run struct {
	lit      bool
	from, to time.Time
	whole    bool    // its beginning and its end were seen
	bits     []uint8 // of its events
}

func (r run) long() time.Duration { return r.to.Sub(r.from) }

// runs puts events together. A run ends when the next one is first seen.
func runs(events []LEDEvent) (all []run, err error) {
	for i, e := range events {
		if i > 0 && e.At.Before(events[i-1].At) {
			return nil, fmt.Errorf("event %d is older than the one before it", i)
		}
		n := len(all)
		if n > 0 {
			all[n-1].to = e.At
		}
		if n == 0 || all[n-1].lit != e.Strobe {
			if n > 0 {
				all[n-1].whole = n > 1
			}
			all = append(all, run{lit: e.Strobe, from: e.At, to: e.At})
			n++
		}
		all[n-1].bits = append(all[n-1].bits, e.Bits)
	}
	return all, nil
}

// value returns what the lines showed. It is not sure when they were never seen
// to hold still; an error means that they did so more than once.
func (r run) value() (value uint8, sure bool, err error) {
	var still []uint8
	for i, b := range r.bits {
		if int(b) >= len(hw.LEDAlphabet) {
			return 0, false, fmt.Errorf("the lines show %d, which is no character", b)
		}
		if i > 0 && b == r.bits[i-1] && !slices.Contains(still, b) {
			still = append(still, b)
		}
	}
	switch {
	case len(still) > 1:
		return 0, false, fmt.Errorf("the lines changed from %05b to %05b while the strobe was lit", still[0], still[1])
	case len(still) == 1:
		return still[0], true, nil
	}
	return r.bits[0], len(r.bits) == 1, nil
}

// standing returns how long a character stands: the median, because samples make
// some longer and some shorter.
func standing(all []run) time.Duration {
	var stood []time.Duration
	for _, r := range all {
		if r.lit && r.whole {
			stood = append(stood, r.long())
		}
	}
	if len(stood) == 0 {
		return 0
	}
	slices.Sort(stood)
	return stood[len(stood)/2]
}

// describe says what was seen, for who has to find out why there was no code.
func describe(all []run) string {
	if len(all) == 0 {
		return "nothing was seen"
	}
	seen := all[len(all)-1].to.Sub(all[0].from).Round(time.Millisecond)
	count, least, most := map[bool]int{}, map[bool]time.Duration{}, map[bool]time.Duration{}
	for _, r := range all {
		if !r.whole {
			continue
		}
		if count[r.lit] == 0 {
			least[r.lit] = r.long()
		}
		count[r.lit]++
		least[r.lit], most[r.lit] = min(least[r.lit], r.long()), max(most[r.lit], r.long())
	}
	if count[true] == 0 {
		return fmt.Sprintf("%d changes in %v", len(all)-1, seen)
	}
	return fmt.Sprintf("in %v, %d flashes of %v to %v, and %d gaps of %v to %v", seen,
		count[true], least[true].Round(time.Millisecond), most[true].Round(time.Millisecond),
		count[false], least[false].Round(time.Millisecond), most[false].Round(time.Millisecond))
}
