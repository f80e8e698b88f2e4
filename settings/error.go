package settings

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// Error is one setting that was refused. Several come joined, one per line, in
// the order of the file; find the first with errors.As.
type Error struct {
	File    string // file, "environment", "command line", or empty for a built-in default
	Line    int    // in File, from 1; 0: the file as a whole, or no file
	Key     string // dotted key; in the environment the variable's name; empty: the file as a whole
	Problem string // what is wrong with it
	Advice  string // what a person can do, or empty

	cause error // of a file that cannot be read
}

// The places in Error.File that are no file.
const (
	fromEnvironment = "environment"
	fromFlags       = "command line"
)

// Error returns "file:line: key: problem", without the parts that are not known.
func (e *Error) Error() string {
	var parts []string
	switch {
	case e.File != "" && e.Line > 0:
		parts = append(parts, fmt.Sprintf("%s:%d", e.File, e.Line))
	case e.File != "":
		parts = append(parts, e.File)
	}
	if e.Key != "" {
		parts = append(parts, plain(e.Key))
	}
	return strings.Join(append(parts, e.Problem), ": ")
}

// Hint returns what a person can do about it, or "".
func (e *Error) Hint() string { return e.Advice }

// Unwrap returns why a file could not be read, or nil.
func (e *Error) Unwrap() error { return e.cause }

// mostProblems is how many problems are told. Whoever has more gave us a file
// of another program.
const mostProblems = 50

// join puts the problems of a file first, by line, then those of environment,
// flags and defaults, and returns nil when there are none.
func join(problems []*Error) error {
	rank := func(e *Error) int {
		switch e.File {
		case fromEnvironment:
			return 1
		case fromFlags:
			return 2
		case "":
			return 3
		}
		return 0
	}
	slices.SortStableFunc(problems, func(a, b *Error) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a.Line, b.Line))
	})
	var errs []error
	for i, e := range problems {
		if i == mostProblems {
			errs = append(errs, fmt.Errorf("and %d more problems", len(problems)-i))
			break
		}
		errs = append(errs, e)
	}
	return errors.Join(errs...)
}

// longest is how much of a key or a value a message shows, in characters.
const longest = 80

// plain returns s for a message: quoted when it could be mistaken or would
// steer a terminal, and cut when it is long.
func plain(s string) string {
	odd := s == "" || strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsGraphic(r) })
	if r := []rune(s); len(r) > longest {
		s = string(r[:longest]) + "..."
	}
	if odd {
		return strconv.Quote(s)
	}
	return s
}

// quoted returns s in quotes for a message, and cut when it is long.
func quoted(s string) string {
	if r := []rune(s); len(r) > longest {
		s = string(r[:longest]) + "..."
	}
	return strconv.Quote(s)
}

// nearest returns the word of words that was most likely meant by word, or "".
// A third of the letters, and three at most, may differ.
func nearest(word string, words []string) string {
	word = strings.ToLower(word)
	best, limit := "", min(max(len(word)/3, 1), 3)
	for _, w := range words {
		low := strings.ToLower(w)
		if diff := len(low) - len(word); diff > limit || -diff > limit {
			continue // cheap, and keeps a key of a megabyte from costing anything
		}
		if d := distance(word, low); d < limit || d == limit && best == "" {
			best, limit = w, d
		}
	}
	return best
}

// distance counts the letters to insert, delete, replace or swap with their
// neighbour on the way from a to b (optimal string alignment).
func distance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			wrong := 1
			if a[i-1] == b[j-1] {
				wrong = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+wrong)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
