package hw

import (
	"fmt"
	"strings"
	"time"
)

// plain returns s in printable ASCII, a byte a character: blanks of any kind
// become one blank, and what the font lacks a question mark. Nothing in it can
// steer a terminal: an error may carry text of the other side.
func plain(s string) string {
	var b strings.Builder
	for i, word := range strings.Fields(s) {
		if i > 0 {
			b.WriteByte(' ')
		}
		for _, r := range word {
			switch {
			case r >= '!' && r <= '~':
				b.WriteRune(r)
			case r == '…':
				b.WriteString("...")
			case r == '‘' || r == '’':
				b.WriteByte('\'')
			case r == '“' || r == '”':
				b.WriteByte('"')
			case r == '–' || r == '—':
				b.WriteByte('-')
			default:
				b.WriteByte('?')
			}
		}
	}
	return b.String()
}

// wrap breaks plain text into lines of at most width characters, between words
// where it can.
func wrap(s string, width int) (lines []string) {
	if width <= 0 {
		return nil
	}
	line := ""
	for _, word := range strings.Fields(s) {
		if line != "" && len(line)+1+len(word) <= width {
			line += " " + word
			continue
		}
		if line != "" {
			lines = append(lines, line)
		}
		for len(word) > width {
			lines = append(lines, word[:width])
			word = word[width:]
		}
		line = word
	}
	if line != "" {
		lines = append(lines, line)
	}
	return lines
}

// fit returns s on at most n lines of width characters, the end cut off where
// it must be.
func fit(s string, width, n int) []string {
	lines := wrap(s, width)
	if len(lines) <= n {
		return lines
	}
	if n <= 0 {
		return nil
	}
	lines = lines[:n]
	last := strings.TrimRight(lines[n-1][:min(len(lines[n-1]), max(0, width-2))], " ")
	lines[n-1] = (last + "..")[:min(width, len(last)+2)]
	return lines
}

// fitError is fit for lead and the text of an error, which reads "step: what:
// why". It cuts where that hurts least: the middle first, then the step, and of
// the why only the end.
func fitError(lead, s string, width, n int) []string {
	parts := strings.Split(s, ": ")
	candidates := []string{s}
	for i := 2; i < len(parts); i++ {
		candidates = append(candidates, parts[0]+": .. "+strings.Join(parts[i:], ": "))
	}
	for i := 1; i < len(parts); i++ {
		candidates = append(candidates, strings.Join(parts[i:], ": "))
	}
	for _, c := range candidates {
		if len(wrap(lead+c, width)) <= n {
			return wrap(lead+c, width)
		}
	}
	return fit(lead+candidates[len(candidates)-1], width, n)
}

// groupSizes says how many characters of a code stand together: three or four
// are what a person keeps in mind between panel and keyboard.
var groupSizes = [...]int{6: 3, 7: 4, 8: 4, 9: 3, 10: 5, 11: 4, 12: 3}

// groups splits a code for reading: ABC123 becomes ABC and 123.
func groups(code string) (g []string) {
	n := len(code)
	if n < len(groupSizes) && groupSizes[n] != 0 {
		n = groupSizes[n]
	}
	for len(code) > n {
		g = append(g, code[:n])
		code = code[n:]
	}
	return append(g, code)
}

// left returns the time that is left at now in words, rounded up to seconds, and
// the part of the code's life that it is, 0 to 1. Both are zero for a view
// without an end.
func (v View) left(now time.Time) (words string, part float64) {
	if v.Expires.IsZero() {
		return "", 0
	}
	d := v.Expires.Sub(now)
	if d <= 0 {
		return "expired", 0
	}
	if life := v.Expires.Sub(v.Made); !v.Made.IsZero() && life > 0 {
		part = min(1, float64(d)/float64(life))
	}
	return countdown(d) + " left", part
}

// hold returns what to do with the button that is held for a reset, and the part
// of the hold that is over, 0 to 1.
func (v View) hold(now time.Time) (words string, part float64) {
	s := seconds(v.Expires.Sub(now))
	if v.Expires.IsZero() || s <= 0 {
		return "Let go to remove the identity", 1
	}
	if whole := v.Expires.Sub(v.Made); !v.Made.IsZero() && whole > 0 {
		part = min(max(float64(now.Sub(v.Made))/float64(whole), 0), 0.99) // 1 is over
	}
	return fmt.Sprintf("Hold %d s more to reset", s), part
}

// holdShort is hold in sixteen characters, for while it is not over.
func (v View) holdShort(now time.Time) string {
	return fmt.Sprintf("Hold %d s: reset", seconds(v.Expires.Sub(now)))
}

// seconds returns d in seconds, rounded up.
func seconds(d time.Duration) int64 { return int64((d + time.Second - 1) / time.Second) }

// countdown returns d as m:ss, or h:mm:ss from an hour on, rounded up.
func countdown(d time.Duration) string {
	s := seconds(d)
	if s < 3600 {
		return fmt.Sprintf("%d:%02d", s/60, s%60)
	}
	return fmt.Sprintf("%d:%02d:%02d", s/3600, s/60%60, s%60)
}

// words are what a panel says in each mode when the view has no Step.
var words = [...]struct {
	title string // one word, drawn large
	step  string
}{
	ModeIdle:    {"Ready", "Press the button for a code"},
	ModeWaiting: {"Wait", "Getting a code from the gateway"},
	ModeCode:    {"Code", "Enter this code:"},
	ModeWorking: {"Working", "Fetching the certificate"},
	ModeDone:    {"Done", "This machine has its identity"},
	ModeFailed:  {"Failed", "It did not work"},
	ModeReset:   {"Reset", "Let go to remove the identity"},
}

// title returns the mode in a word.
func (m Mode) title() string {
	if int(m) < len(words) {
		return words[m].title
	}
	return "Mode " + fmt.Sprint(uint8(m))
}

// step returns the step in words, its own or the mode's.
func (v View) step() string {
	if v.Step != "" {
		return plain(v.Step)
	}
	if int(v.Mode) < len(words) {
		return words[v.Mode].step
	}
	return ""
}

// statement returns the step on at most n lines, behind lead, and at rest where the
// key is if that leaves a line.
func (v View) statement(lead string, columns, n int) []string {
	lines := fit(lead+v.step(), columns, n)
	if v.rests() && len(lines) < n {
		lines = append(lines, fit(plain(v.Keystore), columns, 1)...)
	}
	return lines
}

// rests reports whether there is nothing to tell but what is.
func (v View) rests() bool { return v.Keystore != "" && (v.Mode == ModeIdle || v.Mode == ModeDone) }

// shortID returns the first eight characters of a machine id: enough to find the
// machine in a list, and to read aloud.
func shortID(id string) string {
	id = plain(id)
	return id[:min(8, len(id))]
}
