// Package settings is the only reader of settings files and environment. One
// struct each for agent and gateway; built-in defaults < file < environment <
// flags; a key that does not exist, a wrong type or a bad value is refused with
// file, line, key and the nearest key that does exist.
package settings

import "reflect"

// Source is where settings come from besides the built-in defaults.
type Source struct {
	File      string            // of -s/--settings; empty: look in the usual places
	Environ   []string          // as os.Environ gives it
	Home      string            // for ~ and the usual places
	Overrides map[string]string // flags: dotted key to value, "provisioning.server_url"
}

// Report tells where the effective settings came from.
type Report struct {
	File    string            // the file read, or empty
	Origins map[string]string // dotted key to "default", "file:LINE", "env:NAME", "flag"
	Ignored []string          // top-level keys of the original's other services, left unread
}

// program is what differs between the two programs that have settings.
type program[T any] struct {
	prefix   string                     // of environment variables
	usual    func(home string) []string // files looked for when none is named, first found wins
	ignored  []string                   // top-level keys left unread
	defaults func() T
	check    func(*checker, *T) // refuses bad values and fills in what follows from others
}

// load lays the four layers over each other and checks the outcome. All
// problems are found in one go, so that a person mends a file once.
func load[T any](p program[T], src Source) (T, Report, error) {
	l := newLoader(p.prefix, src.Home, p.ignored)
	name, data := l.find(src, p.usual(src.Home))
	if err := l.problems(); err != nil {
		var none T
		return none, Report{File: name}, err
	}
	return run(p, l, src, name, data)
}

// run is load after the file has been found and read.
func run[T any](p program[T], l *loader, src Source, name string, data []byte) (T, Report, error) {
	v := p.defaults()
	l.begin(reflect.ValueOf(&v).Elem())
	if l.file(name, data) { // else values would be judged that nobody chose
		l.environ(src.Environ)
		l.flags(src.Overrides)
		l.expand()
		p.check(&checker{l}, &v)
	}

	for _, f := range l.leaves {
		if f.value.Kind() == reflect.Map && f.value.Len() > 0 {
			delete(l.origins, f.key) // its entries have origins of their own
		}
	}
	report := Report{File: name, Origins: l.origins, Ignored: l.left}
	if err := l.problems(); err != nil {
		var none T
		return none, report, err
	}
	return v, report, nil
}
