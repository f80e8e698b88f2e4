package boardtest

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
)

// Parse makes a Tree of text, one entry a line:
//
//	# a comment
//	proc/device-tree/model "Raspberry Pi 3 Model B\x00"
//	sys/class/leds/ACT -> ../../devices/platform/leds/leds/ACT
//	sys/class/tpm/
//
// The first is a file with what Go's string literal holds, the second a symbolic link,
// the last a folder. Names have no blanks.
func Parse(text string) (*Tree, error) {
	t := new(Tree)
	n := 0
	for line := range strings.Lines(text) {
		n++
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		if err := t.line(line); err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
	}
	return t, nil
}

func (t *Tree) line(line string) error {
	name, rest, found := strings.Cut(line, " ")
	if !found {
		if folder, ok := strings.CutSuffix(name, "/"); ok {
			return t.Folder(folder)
		}
		return fmt.Errorf("%q: no content", line)
	}
	if target, ok := strings.CutPrefix(rest, "-> "); ok {
		return t.Link(name, target)
	}
	content, err := strconv.Unquote(rest)
	if err != nil {
		return fmt.Errorf("content of %s: %w", name, err)
	}
	return t.Add(name, []byte(content))
}

// Format is the reverse of Parse: the entries of root that keep returns true for, in
// order of their names. Links are written as links, and not followed.
func Format(root fs.FS, keep func(name string) bool) (string, error) {
	var out strings.Builder
	err := fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || name == "." || !keep(name) {
			return err
		}
		if strings.ContainsAny(name, " \n\"") {
			return errors.New("a name with blanks: " + strconv.Quote(name))
		}
		switch {
		case d.Type()&fs.ModeSymlink != 0:
			target, err := fs.ReadLink(root, name)
			if err != nil {
				return err
			}
			fmt.Fprintf(&out, "%s -> %s\n", name, target)
		case d.IsDir():
			fmt.Fprintf(&out, "%s/\n", name)
		default:
			data, err := fs.ReadFile(root, name)
			if err != nil {
				return err
			}
			fmt.Fprintf(&out, "%s %s\n", name, strconv.QuoteToASCII(string(data)))
		}
		return nil
	})
	return out.String(), err
}
