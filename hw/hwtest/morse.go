package hwtest

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// morseSigns stands here a second time, turned around, so that a wrong row of the
// panel's own table shows: ITU-R M.1677-1, part I, sections 1.1.1 and 1.1.2.
var morseSigns = map[string]byte{
	".-": 'A', "-...": 'B', "-.-.": 'C', "-..": 'D', ".": 'E', "..-.": 'F', "--.": 'G', "....": 'H', "..": 'I',
	".---": 'J', "-.-": 'K', ".-..": 'L', "--": 'M', "-.": 'N', "---": 'O', ".--.": 'P', "--.-": 'Q', ".-.": 'R',
	"...": 'S', "-": 'T', "..-": 'U', "...-": 'V', ".--": 'W', "-..-": 'X', "-.--": 'Y', "--..": 'Z',
	".----": '1', "..---": '2', "...--": '3', "....-": '4', ".....": '5',
	"-....": '6', "--...": '7', "---..": '8', "----.": '9', "-----": '0',
}

// Where one length ends and the next begins, in dots: a dot is one and a dash
// three, gaps are one, three, and between rounds more than the seven of words.
const (
	dashFrom  = 2
	roundFrom = 9
	steady    = 6 // lit for that long is no Morse
)

// run is a time without a change.
type run struct {
	lit   bool
	d     time.Duration
	whole bool // both its ends were seen
}

// DecodeMorse reads a code off one light, Strobe of the events, as a person would:
// it takes the shortest times for dots, and trusts only rounds that it saw from one
// long gap to the next. The last of them is the code. Events may be changes, or
// samples at least three times as often as dots.
func DecodeMorse(events []LEDEvent) (code string, err error) {
	runs, err := runsOf(events)
	if err != nil {
		return "", err
	}
	dot := dotOf(runs)
	if dot == 0 {
		return "", fmt.Errorf("%w: %d changes of the light", ErrNoCode, max(0, len(runs)-1))
	}
	var round, last, signs strings.Builder
	inside := false // after a gap between rounds
	end := func() error {
		if signs.Len() == 0 {
			return nil
		}
		c, ok := morseSigns[signs.String()]
		if !ok {
			return fmt.Errorf("the light said %s, which is no character", signs.String())
		}
		round.WriteByte(c)
		signs.Reset()
		return nil
	}
	for _, r := range runs {
		dots := float64(r.d) / float64(dot)
		switch {
		case r.lit && inside && r.whole && dots >= steady:
			return "", fmt.Errorf("%w: the light was lit for %s, a dot is %s", ErrNoCode, r.d, dot)
		case r.lit && inside && dots >= dashFrom:
			signs.WriteByte('-')
		case r.lit && inside:
			signs.WriteByte('.')
		case !r.lit && dots >= roundFrom:
			if err := end(); err != nil {
				return "", err
			}
			if inside && round.Len() > 0 {
				last.Reset()
				last.WriteString(round.String())
			}
			round.Reset()
			inside = true
		case !r.lit && inside && dots >= dashFrom && r.whole:
			if err := end(); err != nil {
				return "", err
			}
		}
	}
	if last.Len() == 0 {
		return "", fmt.Errorf("%w: no whole round in %d changes", ErrNoCode, max(0, len(runs)-1))
	}
	return last.String(), nil
}

// runsOf joins equal events in a row.
func runsOf(events []LEDEvent) (runs []run, err error) {
	var since time.Time
	for i, e := range events {
		switch {
		case i == 0:
			since = e.At
			continue
		case e.At.Before(events[i-1].At):
			return nil, fmt.Errorf("event %d is older than the one before it", i)
		case e.Strobe == events[i-1].Strobe:
			continue
		}
		runs = append(runs, run{lit: events[i-1].Strobe, d: e.At.Sub(since), whole: len(runs) > 0})
		since = e.At
	}
	if n := len(events); n > 0 {
		runs = append(runs, run{lit: events[n-1].Strobe, d: events[n-1].At.Sub(since)})
	}
	return runs, nil
}

// dotOf estimates the length of a dot: the median of the runs that are nearer to the
// shortest than to three times that. Samples make runs longer and shorter, so the
// estimate is made again from its outcome. 0 is that there is nothing to tell from.
func dotOf(runs []run) time.Duration {
	var all []time.Duration
	for _, r := range runs {
		if r.whole {
			all = append(all, r.d)
		}
	}
	if len(all) < 3 {
		return 0
	}
	slices.Sort(all)
	dot := all[0]
	for range 3 {
		n, _ := slices.BinarySearch(all, dashFrom*dot)
		if n == 0 {
			break
		}
		dot = all[n/2]
	}
	return dot
}
