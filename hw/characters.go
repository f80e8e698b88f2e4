package hw

import (
	"fmt"
	"strings"
	"time"
)

// BarSteps is how many steps a character of a bar has. In the lines of Characters
// a byte from 1 to BarSteps is such a character, filled so far from the left.
const BarSteps = 5

// Characters returns v at now for a display of characters: rows lines of columns
// bytes, which are printable ASCII or parts of a bar. It is made for 16x2 and
// 20x4, and draws on any size what fits.
func Characters(v View, columns, rows int, now time.Time) []string {
	if columns <= 0 || rows <= 0 {
		return nil
	}
	var lines []string
	switch {
	case v.Mode == ModeCode && plain(v.Code) != "":
		lines = codeLines(v, columns, rows, now)
	case v.Mode == ModeReset:
		lines = resetLines(v, columns, rows, now)
	default:
		lines = wordLines(v, columns, rows)
	}
	for len(lines) < rows {
		lines = append(lines, "")
	}
	lines = lines[:rows]
	for i, s := range lines {
		lines[i] = pad(s, columns)
	}
	return lines
}

// codeLines shows a code with its time left, and on four rows its step.
func codeLines(v View, columns, rows int, now time.Time) []string {
	code := strings.Join(groups(plain(v.Code)), " ")
	if len(code) > columns {
		code = plain(v.Code)
	}
	left, part := v.left(now)
	left = strings.TrimSuffix(left, " left")
	if rows >= 4 {
		indent := strings.Repeat(" ", max(0, columns-len(code))/2)
		return append([]string{apart(v.Mode.title(), left, columns), indent + code, bar(part, columns)},
			fit(v.step(), columns, rows-3)...)
	}
	if title := v.Mode.title() + " " + code; len(title) <= columns {
		code = title
	}
	if left == "" {
		return append([]string{code}, fit(v.step(), columns, rows-1)...)
	}
	return []string{code, apart(bar(part, columns-len(left)-1), left, columns)}
}

// resetLines counts down to the moment from which letting go removes the identity.
func resetLines(v View, columns, rows int, now time.Time) []string {
	text, part := v.hold(now)
	if rows < 3 {
		if part < 1 {
			return []string{fit(v.holdShort(now), columns, 1)[0], bar(part, columns)}
		}
		return fit(text, columns, rows)
	}
	lines := append([]string{v.Mode.title()}, fit(text, columns, rows-2)...)
	for len(lines) < rows-1 {
		lines = append(lines, "")
	}
	return append(lines, bar(part, columns))
}

// wordLines shows everything else.
func wordLines(v View, columns, rows int) []string {
	title, n := v.Mode.title(), rows
	var lines []string
	lead := ""
	switch {
	case rows >= 3:
		lines, n = []string{title}, rows-1
	case columns >= 20:
		lead = title + ": "
	}
	switch {
	case v.Mode == ModeFailed:
		return append(lines, failure(v, lead, columns, n)...)
	case v.Mode == ModeDone && v.MachineID != "":
		machine := fit("machine "+shortID(v.MachineID), columns, 1)
		if rows < 3 {
			return append([]string{title}, machine...)
		}
		return append(append(lines, machine...), v.statement("", columns, n-1)...)
	}
	return append(lines, v.statement(lead, columns, n)...)
}

// Digits returns v at now for a display of n digits with a dot each, such as four
// of 14 segments: upper case, n bytes. A code takes turns by its groups, two
// seconds each; dot says that the last digit's is lit: with the last group.
func Digits(v View, n int, now time.Time) (text string, dot bool) {
	if n <= 0 {
		return "", false
	}
	switch code := plain(v.Code); {
	case v.Mode == ModeCode && code != "":
		text, dot = v.page(code, n, now)
	case v.Mode == ModeReset:
		text = "RLSE"
		if s := seconds(v.Expires.Sub(now)); s > 0 {
			text = fmt.Sprintf("HLD%d", s)
		}
	case int(v.Mode) < len(digitWords):
		text = digitWords[v.Mode]
	}
	return strings.ToUpper(pad(text, n)), dot
}

// digitWords are the modes in four digits.
var digitWords = [...]string{
	ModeIdle: "PUSH", ModeWaiting: "WAIT", ModeCode: "CODE", ModeWorking: "BUSY", ModeDone: "DONE", ModeFailed: "FAIL",
}

// page returns the group of a code whose turn it is, the first one when it is made.
// Turns change with the time that is left, for a panel's ticks are aligned to that.
func (v View) page(code string, n int, now time.Time) (group string, last bool) {
	all := groups(code)
	if len(all[0]) > n {
		all = nil
		for len(code) > n {
			all = append(all, code[:n])
			code = code[n:]
		}
		all = append(all, code)
	}
	const turn = 2 // seconds
	var over int64 // of the code's life
	if !v.Made.IsZero() && !v.Expires.IsZero() {
		over = max(0, seconds(v.Expires.Sub(v.Made))-seconds(v.Expires.Sub(now)))
	}
	i := int(over/turn) % len(all)
	return all[i], len(all) > 1 && i == len(all)-1
}

// bar returns a bar of width characters, the part of it filled from the left.
func bar(part float64, width int) string {
	if width <= 0 {
		return ""
	}
	full := int(part*float64(width*BarSteps) + 0.5)
	b := []byte(strings.Repeat(" ", width))
	for i := range b {
		if n := min(BarSteps, full-i*BarSteps); n > 0 {
			b[i] = byte(n)
		}
	}
	return string(b)
}

// apart returns two texts at the ends of a line; the second gives way.
func apart(left, right string, columns int) string {
	if len(left)+1+len(right) > columns {
		return left
	}
	return pad(left, columns-len(right)) + right
}

// pad returns s with exactly n bytes.
func pad(s string, n int) string {
	if len(s) >= n {
		return s[:n]
	}
	return s + strings.Repeat(" ", n-len(s))
}
