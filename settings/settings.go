// Package settings is the only reader of settings files and environment. One
// struct each for agent and gateway; built-in defaults < file < environment <
// flags; a key that does not exist, a wrong type or a bad value is refused with
// file, line, key and the nearest key that does exist.
package settings

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
