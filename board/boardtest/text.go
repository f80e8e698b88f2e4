package boardtest

import (
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"
)

// Parse makes a Tree of text, one entry a line:
//
//	# a comment
//	sys/class/tpm/
//	sys/class/leds/ACT -> ../../devices/platform/leds/leds/ACT
//	proc/device-tree/
//		model "Raspberry Pi 3 Model B\x00"
//
// A name that ends with a slash is a folder, and what is indented below it is in it.
// The others are a symbolic link, and a file with what Go's string literal holds. A
// name with blanks is a string literal too.
func Parse(text string) (*Tree, error) {
	t := new(Tree)
	n, folder := 0, ""
	for line := range strings.Lines(text) {
		n++
		entry := strings.TrimSpace(line)
		if entry == "" || entry[0] == '#' {
			continue
		}
		name, rest, err := cutName(entry)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		if line[0] == ' ' || line[0] == '\t' {
			name = folder + name
		} else if folder = ""; rest == "" && strings.HasSuffix(name, "/") {
			folder = name
		}
		if err := t.entry(name, rest); err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
	}
	return t, nil
}

// cutName cuts a line behind the name of the entry.
func cutName(line string) (name, rest string, err error) {
	if line[0] != '"' {
		name, rest, _ = strings.Cut(line, " ")
		return name, rest, nil
	}
	literal, err := strconv.QuotedPrefix(line)
	if err != nil {
		return "", "", err
	}
	if name, err = strconv.Unquote(literal); err != nil {
		return "", "", err
	}
	return name, strings.TrimPrefix(line[len(literal):], " "), nil
}

// entry adds what a line tells.
func (t *Tree) entry(name, rest string) error {
	if target, ok := strings.CutPrefix(rest, "-> "); ok {
		return t.Link(name, target)
	}
	if folder, ok := strings.CutSuffix(name, "/"); ok && rest == "" {
		return t.Folder(folder)
	}
	content, err := strconv.Unquote(rest)
	if err != nil {
		return fmt.Errorf("content of %s, %q: %w", name, rest, err)
	}
	return t.Add(name, []byte(content))
}

// Format is the reverse of Parse. Links are written as links, and not followed. A
// folder stands there when it is empty or has files.
func Format(root fs.FS) (string, error) {
	var out strings.Builder
	if err := format(&out, root, "."); err != nil {
		return "", err
	}
	return out.String(), nil
}

// format writes the files of a folder, and then its folders.
func format(out *strings.Builder, root fs.FS, dir string) error {
	entries, err := fs.ReadDir(root, dir)
	if err != nil {
		return err
	}
	var files, folders []string
	for _, e := range entries {
		if e.IsDir() {
			folders = append(folders, path.Join(dir, e.Name()))
			continue
		}
		line, err := formatEntry(root, path.Join(dir, e.Name()), e)
		if err != nil {
			return err
		}
		files = append(files, line)
	}
	indent := "\t"
	switch {
	case dir == ".":
		indent = ""
	case len(files) > 0 || len(folders) == 0:
		out.WriteString(literal(dir+"/") + "\n")
	}
	for _, line := range files {
		out.WriteString(indent + line + "\n")
	}
	for _, folder := range folders {
		if err := format(out, root, folder); err != nil {
			return err
		}
	}
	return nil
}

// formatEntry writes a file or a link.
func formatEntry(root fs.FS, name string, e fs.DirEntry) (string, error) {
	if e.Type()&fs.ModeSymlink == 0 {
		data, err := fs.ReadFile(root, name)
		return literal(e.Name()) + " " + strconv.QuoteToASCII(string(data)), err
	}
	target, err := fs.ReadLink(root, name)
	if err != nil {
		return "", err
	}
	if strings.TrimSpace(target) != target || strings.Contains(target, "\n") {
		return "", fmt.Errorf("the link %s leads to %q, which no line can have", name, target)
	}
	return literal(e.Name()) + " -> " + target, nil
}

// literal quotes a name that Parse would take for something else.
func literal(name string) string {
	if quoted := strconv.Quote(name); quoted != `"`+name+`"` || strings.Contains(name, " ") || name[0] == '#' {
		return quoted
	}
	return name
}
