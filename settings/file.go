package settings

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

const (
	// settingsPath is the one variable behind a prefix that is no setting.
	settingsPath = "SETTINGS_PATH"
	// largest is how big a settings file may be, in bytes.
	largest = 1 << 20
)

// find reads the settings file: the one that is named, or else the first of
// the usual ones that is there. Without one it returns nothing.
func (l *loader) find(src Source, usual []string) (name string, data []byte) {
	named, origin, advice := src.File, fromFlags, "check the path given with -s"
	if named == "" {
		for _, pair := range src.Environ {
			if value, ok := strings.CutPrefix(pair, l.prefix+settingsPath+"="); ok {
				named, origin, advice = value, fromEnvironment, "check "+l.prefix+settingsPath
			}
		}
	}
	if named != "" {
		path, problem := expandHome(named, l.home)
		if path == "" {
			if problem == "" {
				problem = "~ cannot be expanded, the home folder is not known"
			}
			l.found = append(l.found, &Error{File: origin, Problem: "settings file: " + problem, Advice: "write the whole path"})
			return "", nil
		}
		data, err := read(path)
		if err != nil {
			l.unreadable(path, err, advice)
			return path, nil
		}
		return path, data
	}
	for _, path := range usual {
		data, err := read(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			// Going on to the next would start the program with settings nobody chose.
			l.unreadable(path, err, "make it readable for this account, or name another file with -s")
			return path, nil
		}
		return path, data
	}
	return "", nil
}

func (l *loader) unreadable(path string, err error, advice string) {
	why := err
	if pe := (*fs.PathError)(nil); errors.As(err, &pe) {
		why = pe.Err // the path stands in front already
	}
	l.found = append(l.found, &Error{File: path, Problem: "reading settings: " + why.Error(), Advice: advice, cause: err})
}

// read reads a whole file of bounded size.
func read(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, largest+1))
	if err != nil {
		return nil, err
	}
	if len(data) > largest {
		return nil, fmt.Errorf("larger than %d bytes", largest)
	}
	return data, nil
}

// file lays a file over the defaults. It returns false when the file cannot be
// read as YAML at all.
func (l *loader) file(name string, data []byte) bool {
	l.path = name
	doc, e := parse(data)
	if e != nil {
		e.File = name
		l.found = append(l.found, e)
		return false
	}
	if doc != nil && !null(doc) {
		l.section(doc, doc.Line, l.root, "")
	}
	return true
}

// parse returns the root of the only document in data, or nil for none. The
// tree is walked along the struct and aliases are followed only there, so no
// nest of them can make it larger than the struct.
func parse(data []byte) (root *yaml.Node, problem *Error) {
	defer func() {
		// The parser panics on inputs it did not think of ("please report").
		if r := recover(); r != nil {
			root, problem = nil, &Error{Problem: "is not YAML that can be read"}
		}
	}()
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc, second yaml.Node
	if err := dec.Decode(&doc); errors.Is(err, io.EOF) {
		return nil, nil
	} else if err != nil {
		return nil, syntax(err)
	}
	switch err := dec.Decode(&second); {
	case errors.Is(err, io.EOF):
	case err != nil:
		return nil, syntax(err)
	default:
		return nil, &Error{Line: second.Line, Problem: "a second document begins", Advice: "keep everything in one, without --- between"}
	}
	if len(doc.Content) == 0 {
		return nil, nil
	}
	return doc.Content[0], nil
}

// syntax takes the line out of "yaml: line 3: why".
func syntax(err error) *Error {
	why, line := strings.TrimPrefix(err.Error(), "yaml: "), 0
	if rest, ok := strings.CutPrefix(why, "line "); ok {
		if number, behind, ok := strings.Cut(rest, ": "); ok {
			line, _ = strconv.Atoi(number)
			why = behind
		}
	}
	// yaml.v3 counts from 0 in what its parser says, and from 1 in what its
	// scanner says (the parser.fail of its decode.go).
	for _, start := range []string{
		"did not find expected ',' or", "did not find expected '-'", "did not find expected <",
		"did not find expected key", "did not find expected node content",
		"found duplicate %", "found incompatible YAML document", "found undefined tag handle",
	} {
		if strings.HasPrefix(why, start) {
			line++
			break
		}
	}
	return &Error{Line: line, Problem: "not YAML: " + why}
}

// section reads a mapping into a struct. line is where the section's key stands.
func (l *loader) section(n *yaml.Node, line int, v reflect.Value, prefix string) {
	fields := map[string]reflect.StructField{}
	var names []string
	for i := range v.NumField() {
		if f := v.Type().Field(i); keyOf(f) != "" {
			fields[keyOf(f)] = f
			names = append(names, keyOf(f))
		}
	}
	for _, e := range l.entries(n, line, v.Type(), prefix) {
		full := prefix + e.name
		if prefix == "" && slices.Contains(l.skip, e.name) {
			l.left = append(l.left, e.name)
			continue
		}
		f, ok := fields[e.name]
		switch {
		case !ok:
			p := l.wrong(e.line, full, "", "")
			p.Problem, p.Advice = l.didYouMean(prefix, e.name, names)
		case null(e.value): // as if it were not there
		case f.Type.Kind() == reflect.Struct:
			l.section(e.value, e.line, v.FieldByIndex(f.Index), full+".")
		default:
			l.value(e, leaf{full, v.FieldByIndex(f.Index), f.Tag})
		}
	}
}

// wrong notes a problem of a line of the file.
func (l *loader) wrong(line int, key, problem, advice string) *Error {
	e := &Error{File: l.path, Line: line, Key: key, Problem: problem, Advice: advice}
	l.bad[key] = true
	l.found = append(l.found, e)
	return e
}

// value reads what stands behind a key.
func (l *loader) value(e entry, f leaf) {
	l.origins[f.key] = "file:" + strconv.Itoa(e.line)
	switch {
	case f.value.Kind() == reflect.Map:
		for _, o := range l.entries(e.value, e.line, f.value.Type(), f.key+".") {
			if null(o.value) {
				continue
			}
			key := f.key + "." + o.name
			l.origins[key] = "file:" + strconv.Itoa(o.line)
			// Numbers and booleans are taken as they are written: pin: 17.
			if o.value.Kind != yaml.ScalarNode || o.value.ShortTag() == "!!binary" {
				l.wrong(o.line, key, "wants text, got "+describe(o.value, ""), "")
			} else if problem := badText(o.name + o.value.Value); problem != "" {
				l.wrong(o.line, key, problem, "")
			} else {
				setEntry(f.value, o.name, o.value.Value)
			}
		}
	case f.value.Kind() == reflect.Slice:
		l.list(e, f)
	case !suits(e.value, f.value.Type()):
		l.wrong(e.line, f.key, wants(f.value.Type())+", got "+describe(e.value, f.tag), mend(e.value, f.value.Type()))
	default:
		if problem := setText(f.value, e.value.Value); problem != "" {
			l.wrong(e.line, f.key, problem+got(f.tag, e.value.Value), "")
		}
	}
}

// list reads a list of texts.
func (l *loader) list(e entry, f leaf) {
	if e.value.Kind != yaml.SequenceNode {
		l.wrong(e.line, f.key, wants(f.value.Type())+", got "+describe(e.value, f.tag), "write [one, two]")
		return
	}
	var list []string
	for _, n := range e.value.Content {
		n = follow(n)
		text := reflect.New(reflect.TypeFor[string]()).Elem()
		if !suits(n, text.Type()) {
			l.wrong(n.Line, f.key, wants(text.Type())+" in its list, got "+describe(n, f.tag), mend(n, text.Type()))
		} else if problem := setText(text, n.Value); problem != "" {
			l.wrong(n.Line, f.key, problem, "")
		} else {
			list = append(list, text.String())
		}
	}
	f.value.Set(reflect.ValueOf(list))
}
