package board

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxText is the most characters a field of a Board has. What a machine says of
// itself goes to logs, panels and the gateway.
const maxText = 128

// clean makes text from firmware fit to print: characters that are no UTF-8 or
// do not print are dropped, runs of blanks become one, ends are trimmed.
func clean(s string) string {
	var b strings.Builder
	blank, n := false, 0
	for _, r := range strings.ToValidUTF8(s, "") {
		switch {
		case unicode.IsSpace(r):
			blank = n > 0
			continue
		case !unicode.IsPrint(r) || r == unicode.ReplacementChar:
			continue
		}
		if blank {
			if n+2 > maxText {
				break
			}
			b.WriteByte(' ')
			n++
			blank = false
		}
		if n == maxText {
			break
		}
		b.WriteRune(r)
		n++
	}
	return b.String()
}

// cleanSerial is clean for serial numbers and revisions: one of a single
// repeated character (all zeros on most ARM boards without one) is none.
func cleanSerial(s string) string {
	s = clean(s)
	first, _ := utf8.DecodeRuneInString(s)
	if strings.Trim(s, string(first)) == "" {
		return ""
	}
	return s
}
