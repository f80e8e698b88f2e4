package hw

import "time"

// Times of Morse in dots: https://www.itu.int/rec/R-REC-M.1677-1-200910-I, part I,
// section 2. A code has no gaps between words. The gap before each round is twice
// one, so that nobody takes it for that.
const (
	morseDot      = 1
	morseDash     = 3
	morseGap      = 1 // between the elements of a character
	morseCharGap  = 3
	morseRoundGap = 14
)

// morse are the letters and figures of part I, sections 1.1.1 and 1.1.2.
var morse = [...]string{
	'A': ".-", 'B': "-...", 'C': "-.-.", 'D': "-..", 'E': ".", 'F': "..-.", 'G': "--.",
	'H': "....", 'I': "..", 'J': ".---", 'K': "-.-", 'L': ".-..", 'M': "--", 'N': "-.",
	'O': "---", 'P': ".--.", 'Q': "--.-", 'R': ".-.", 'S': "...", 'T': "-", 'U': "..-",
	'V': "...-", 'W': ".--", 'X': "-..-", 'Y': "-.--", 'Z': "--..",
	'1': ".----", '2': "..---", '3': "...--", '4': "....-", '5': ".....",
	'6': "-....", '7': "--...", '8': "---..", '9': "----.", '0': "-----",
}

// morseSteps returns one round of a code, nil when it has characters that are not
// in the table or none at all.
func morseSteps(code string, dot time.Duration) []step {
	if code == "" {
		return nil
	}
	var steps []step
	gap := morseRoundGap
	for i := range len(code) {
		if int(code[i]) >= len(morse) || morse[code[i]] == "" {
			return nil
		}
		for _, element := range morse[code[i]] {
			dots := morseDot
			if element == '-' {
				dots = morseDash
			}
			steps = append(steps, step{off, time.Duration(gap) * dot}, step{on, time.Duration(dots) * dot})
			gap = morseGap
		}
		gap = morseCharGap
	}
	return steps
}
