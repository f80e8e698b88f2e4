package hw

import (
	"strings"
	"time"
)

// LEDAlphabet gives the characters that five LEDs can show: the value of a
// character is its place, 0 to 31. It is Crockford's base32
// (https://www.crockford.com/base32.html), the alphabet of provisioning codes.
const LEDAlphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

// ledBits is how many lines show a character, strobeBit the strobe beside them.
const (
	ledBits   = 5
	strobeBit = 1 << ledBits
)

// groupKind is a column of patterns.
type groupKind uint8

const (
	bitsGroup groupKind = iota
	singleGroup
	rgbGroup
)

// What the single line shows, and the colours of the three: red is the first.
const (
	off uint8 = 0
	on  uint8 = 1

	rgbBlue    uint8 = 0b001
	rgbGreen   uint8 = 0b010
	rgbCyan    uint8 = 0b011
	rgbRed     uint8 = 0b100
	rgbMagenta uint8 = 0b101
	rgbWhite   uint8 = 0b111
)

// step is a part of a pattern: what is lit, and for how long.
type step struct {
	lit uint8         // the group's first line is the highest bit
	d   time.Duration // 0: for good
}

// pattern is what a group does in a mode: a countdown, if it has one, and then
// steps, again and again. A step that lasts for good costs nothing, while one that
// ends wakes the processor: a pattern of a mode in which nothing else runs comes
// to rest.
type pattern struct {
	lead  leadIn
	steps []step
	limit time.Duration // after the first round that ends later, rest is shown; 0: never
	rest  uint8         // for good
}

const (
	// failedBlinks is how long a failure asks for attention.
	failedBlinks = 10 * time.Minute

	ms = time.Millisecond
)

// patterns are what the groups do in each mode. The strobe is dark in all of
// them: it is lit only while a character of a code holds still. Waiting, a code,
// work and a reset move for as long as they last; something else is awake then,
// too. Colours differ in their rhythm as well, for those who do not see the colour.
var patterns = [...][3]pattern{
	// Nothing runs: dark.
	ModeIdle: {
		bitsGroup:   {steps: []step{{off, 0}}},
		singleGroup: {steps: []step{{off, 0}}},
		rgbGroup:    {steps: []step{{off, 0}}},
	},
	// Asking the gateway: a light runs from the first line to the last, one flashes
	// once every two seconds, blue comes and goes.
	ModeWaiting: {
		bitsGroup:   {steps: []step{{0b10000, 500 * ms}, {0b01000, 500 * ms}, {0b00100, 500 * ms}, {0b00010, 500 * ms}, {0b00001, 500 * ms}}},
		singleGroup: {steps: []step{{on, 100 * ms}, {off, 1900 * ms}}},
		rgbGroup:    {steps: []step{{rgbBlue, 1000 * ms}, {off, 1000 * ms}}},
	},
	// The code is played on what can; this is for what cannot. A steady blue: go and
	// claim it.
	ModeCode: {
		bitsGroup:   {steps: []step{{0b11111, 1000 * ms}, {off, 1000 * ms}}},
		singleGroup: {steps: []step{{on, 1000 * ms}, {off, 1000 * ms}}},
		rgbGroup:    {steps: []step{{rgbBlue, 0}}},
	},
	// Claimed, the certificate is on its way: a bar fills, one blinks evenly, cyan too.
	ModeWorking: {
		bitsGroup:   {steps: []step{{off, 500 * ms}, {0b10000, 500 * ms}, {0b11000, 500 * ms}, {0b11100, 500 * ms}, {0b11110, 500 * ms}, {0b11111, 500 * ms}}},
		singleGroup: {steps: []step{{on, 500 * ms}, {off, 500 * ms}}},
		rgbGroup:    {steps: []step{{rgbCyan, 500 * ms}, {off, 500 * ms}}},
	},
	// The machine has its identity: all lit and steady, green.
	ModeDone: {
		bitsGroup:   {steps: []step{{0b11111, 0}}},
		singleGroup: {steps: []step{{on, 0}}},
		rgbGroup:    {steps: []step{{rgbGreen, 0}}},
	},
	// It failed: the outer and the middle lines blink in turn with the two between
	// them, one flashes twice, red does. After ten minutes nobody has come: the two
	// are lit and steady, and red is. One line alone is dark then, and never what
	// "done" is.
	ModeFailed: {
		bitsGroup:   {steps: []step{{0b10101, 500 * ms}, {0b01010, 500 * ms}}, limit: failedBlinks, rest: 0b01010},
		singleGroup: {steps: []step{{on, 250 * ms}, {off, 250 * ms}, {on, 250 * ms}, {off, 750 * ms}}, limit: failedBlinks, rest: off},
		rgbGroup:    {steps: []step{{rgbRed, 250 * ms}, {off, 250 * ms}, {rgbRed, 250 * ms}, {off, 750 * ms}}, limit: failedBlinks, rest: rgbRed},
	},
	// The button is held: a bar empties, one blinks faster and faster, magenta does.
	// Then letting go removes the identity: all flicker, red and white in turn.
	ModeReset: {
		bitsGroup:   {lead: emptying, steps: []step{{0b11111, 125 * ms}, {off, 125 * ms}}},
		singleGroup: {lead: quickening(on), steps: []step{{on, 125 * ms}, {off, 125 * ms}}},
		rgbGroup:    {lead: quickening(rgbMagenta), steps: []step{{rgbRed, 125 * ms}, {rgbWhite, 125 * ms}}},
	},
}

// leadIn is what goes before a reset is armed: parts of the time from
// View.Made to View.Expires.
type leadIn []part

type part struct {
	lit    uint8
	weight int // its share of the time is weight in the sum of all
}

var emptying = leadIn{{0b11111, 1}, {0b11110, 1}, {0b11100, 1}, {0b11000, 1}, {0b10000, 1}}

// quickening blinks faster and faster: in five seconds with 0.75 s a part at
// first, and 0.25 s at last.
func quickening(lit uint8) (c leadIn) {
	for weight := 6; weight >= 2; weight-- {
		c = append(c, part{lit, weight}, part{off, weight})
	}
	return c
}

// steps returns what is left of the countdown of v at now.
func (c leadIn) steps(v View, now time.Time) (steps []step) {
	sum, before := 0, 0
	for _, p := range c {
		sum += p.weight
	}
	whole := v.Expires.Sub(v.Made)
	for _, p := range c {
		before += p.weight
		end := v.Made.Add(time.Duration(float64(whole) * float64(before) / float64(sum)))
		if left := end.Sub(now); whole > 0 && left > 0 {
			steps = append(steps, step{p.lit, left})
			now = end
		}
	}
	return steps
}

// How a code is played on five lines, in halves of the pace: a character stands
// for one pace with the strobe lit, then all is dark for half of one, and for two
// before the first character of each round. A person (or hwtest.DecodeLEDs) tells
// the rounds apart by a gap that is longer than a character stands.
const (
	charHalves     = 2
	charGapHalves  = 1
	roundGapHalves = 4
)

// binarySteps returns one round of a code, nil when it has characters that are not
// in the alphabet or none at all.
func binarySteps(code string, pace time.Duration) []step {
	if code == "" {
		return nil
	}
	steps := []step{{off, roundGapHalves * pace / 2}}
	for i := range len(code) {
		value := strings.IndexByte(LEDAlphabet, code[i])
		if value < 0 {
			return nil
		}
		if i > 0 {
			steps = append(steps, step{off, charGapHalves * pace / 2})
		}
		steps = append(steps, step{strobeBit | uint8(value), charHalves * pace / 2})
	}
	return steps
}
