package settings

import (
	"cmp"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// leaf is one setting: a place in the struct that takes a value.
type leaf struct {
	key   string // dotted
	value reflect.Value
	tag   reflect.StructTag // besides yaml: is:"path", secret:"true"
}

// loader fills a struct from the layers and collects what is wrong.
type loader struct {
	prefix string
	home   string
	skip   []string // top-level keys that may stand in a file and are left unread

	root    reflect.Value
	leaves  []leaf
	path    string            // file being read, for messages
	origins map[string]string // see Report
	left    []string          // see Report.Ignored
	found   []*Error
	bad     map[string]bool // keys with a problem; what depends on them is not judged
}

func newLoader(prefix, home string, skip []string) *loader {
	return &loader{prefix: prefix, home: home, skip: skip, origins: map[string]string{}, bad: map[string]bool{}}
}

// begin notes the settings that exist; root must be settable and hold the defaults.
func (l *loader) begin(root reflect.Value) {
	l.root = root
	l.leaves = leavesOf(root)
	for _, f := range l.leaves {
		l.origins[f.key] = "default"
	}
}

// leavesOf returns the settings of a struct in its order.
func leavesOf(v reflect.Value) []leaf {
	var leaves []leaf
	var walk func(v reflect.Value, prefix string)
	walk = func(v reflect.Value, prefix string) {
		for i := range v.NumField() {
			field := v.Type().Field(i)
			name := keyOf(field)
			if name == "" {
				continue
			}
			if field.Type.Kind() == reflect.Struct {
				walk(v.Field(i), prefix+name+".")
				continue
			}
			leaves = append(leaves, leaf{prefix + name, v.Field(i), field.Tag})
		}
	}
	walk(v, "")
	return leaves
}

// keyOf returns a field's key, or "" for one that cannot be set.
func keyOf(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
	switch {
	case !f.IsExported() || name == "-":
		return ""
	case name == "":
		return strings.ToLower(f.Name)
	}
	return name
}

// refuse notes a problem of key at the place where its value came from.
func (l *loader) refuse(key, problem, advice string) {
	e := &Error{Key: key, Problem: problem, Advice: advice}
	switch kind, where, _ := strings.Cut(l.origins[key], ":"); kind {
	case "file":
		e.File = l.path
		e.Line, _ = strconv.Atoi(where)
	case "env":
		e.File, e.Key = fromEnvironment, where
	case "flag":
		e.File = fromFlags
	}
	l.bad[key] = true
	l.found = append(l.found, e)
}

func (l *loader) problems() error { return join(l.found) }

// didYouMean says what an unknown key was probably meant to be, and if that
// cannot be guessed, what there is. siblings are the keys of the same section.
func (l *loader) didYouMean(section, key string, siblings []string) (problem, advice string) {
	problem = "unknown key"
	inside := func() string { // misspelt
		if near := nearest(key, siblings); near != "" {
			return section + near
		}
		return ""
	}
	elsewhere := func() string { // right, in the wrong section
		for _, f := range l.leaves {
			if strings.EqualFold(f.key[strings.LastIndexByte(f.key, '.')+1:], key) {
				return f.key
			}
		}
		return ""
	}
	meant := cmp.Or(inside(), elsewhere())
	if section == "" { // here a key without its section is what people write
		meant = cmp.Or(elsewhere(), inside())
	}
	if meant != "" {
		return problem + "; did you mean " + quoted(meant) + "?", ""
	}
	return problem, "the keys here are " + strings.Join(siblings, ", ")
}

// environ lays the environment over the file.
func (l *loader) environ(environ []string) {
	values := map[string]string{}
	var names []string // in the order given, so that messages come in one order
	for _, pair := range environ {
		name, value, _ := strings.Cut(pair, "=")
		if !strings.HasPrefix(name, l.prefix) || name == l.prefix+settingsPath {
			continue
		}
		if _, again := values[name]; !again {
			names = append(names, name)
		}
		values[name] = value
	}
	known := make([]string, len(l.leaves))
	for i, f := range l.leaves {
		known[i] = l.variable(f.key)
	}
	for _, name := range names {
		l.variableOver(name, values[name], known)
	}
}

// variable returns the environment variable of a dotted key.
func (l *loader) variable(key string) string {
	return l.prefix + strings.ToUpper(strings.ReplaceAll(key, ".", "__"))
}

// variableOver sets what one variable says; known are the variables of l.leaves.
func (l *loader) variableOver(name, value string, known []string) {
	if i := slices.Index(known, name); i >= 0 {
		l.over(l.leaves[i], l.leaves[i].key, "env:"+name, value)
		return
	}
	for i, f := range l.leaves {
		if rest, ok := strings.CutPrefix(name, known[i]+"__"); ok && f.value.Kind() == reflect.Map {
			l.over(f, f.key+"."+strings.ToLower(rest), "env:"+name, value)
			return
		}
	}
	e := &Error{File: fromEnvironment, Key: name, Problem: "unknown variable"}
	all := append(slices.Clone(known), l.prefix+settingsPath)
	if near := nearest(name, all); near != "" {
		e.Problem += "; did you mean " + near + "?"
	} else {
		e.Advice = "variables that begin with " + l.prefix + " are settings: the keys in upper case with __ between levels"
	}
	l.found = append(l.found, e)
}

// flags lays command line flags over the environment.
func (l *loader) flags(overrides map[string]string) {
	keys := make([]string, 0, len(overrides))
	for key := range overrides {
		keys = append(keys, key)
	}
	slices.Sort(keys)
next:
	for _, key := range keys {
		for _, f := range l.leaves {
			inside := f.value.Kind() == reflect.Map && strings.HasPrefix(key, f.key+".")
			if key == f.key || inside {
				l.over(f, key, "flag", overrides[key])
				continue next
			}
		}
		all := make([]string, len(l.leaves))
		for i, f := range l.leaves {
			all[i] = f.key
		}
		e := &Error{File: fromFlags, Key: key}
		e.Problem, e.Advice = l.didYouMean("", key, all)
		l.found = append(l.found, e)
	}
}

// over sets f, or with a longer key one entry of the map f, from text.
func (l *loader) over(f leaf, key, origin, text string) {
	l.origins[key] = origin
	if f.value.Kind() != reflect.Map {
		if problem := setText(f.value, text); problem != "" {
			l.refuse(key, problem+got(f.tag, text), "")
		}
		return
	}
	name, ok := strings.CutPrefix(key, f.key+".")
	if problem := badText(name + text); !ok || name == "" {
		l.refuse(key, "wants the name of one option behind it", "")
	} else if problem != "" {
		l.refuse(key, problem, "")
	} else {
		setEntry(f.value, name, text)
	}
}

// expand turns a leading ~ of every path into the home folder.
func (l *loader) expand() {
	var homeless []string
	for _, f := range l.leaves {
		if f.tag.Get("is") != "path" {
			continue
		}
		path, err := expandHome(f.value.String(), l.home)
		switch {
		case err != "":
			l.refuse(f.key, err, "write the whole path")
		case path == "":
			if f.value.String() != "" {
				homeless = append(homeless, f.key)
			}
		default:
			f.value.SetString(path)
		}
	}
	if len(homeless) > 0 { // one problem, not one for each default
		l.refuse(homeless[0], "~ cannot be expanded, the home folder is not known",
			"set HOME, or write whole paths for "+strings.Join(homeless, ", "))
		for _, key := range homeless {
			l.bad[key] = true
		}
	}
}

// expandHome returns path with ~ expanded, or "" when home is needed and empty.
func expandHome(path, home string) (expanded, problem string) {
	rest, ok := strings.CutPrefix(path, "~")
	switch {
	case !ok:
		return path, ""
	case rest != "" && rest[0] != '/':
		return "", "the home folder of another account (" + quoted(path) + ") is not looked up"
	case home == "":
		return "", ""
	}
	return filepath.Join(home, rest), ""
}
