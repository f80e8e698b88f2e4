package settings

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const home = "/home/u"

// agentFrom reads text as the agent's file "s.yml", with nothing of this machine.
func agentFrom(text string, environ ...string) (Agent, Report, error) {
	return from(agentProgram("/nowhere"), text, Source{Environ: environ, Home: home})
}

func gatewayFrom(text string, environ ...string) (Gateway, Report, error) {
	return from(gatewayProgram("/nowhere"), text, Source{Environ: environ, Home: home})
}

func from[T any](p program[T], text string, src Source) (T, Report, error) {
	return run(p, newLoader(p.prefix, src.Home, p.ignored), src, "s.yml", []byte(text))
}

// refusals returns every *Error in err, in order.
func refusals(t *testing.T, err error) []*Error {
	t.Helper()
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		t.Fatalf("got %v, want joined errors", err)
	}
	var all []*Error
	for _, e := range joined.Unwrap() {
		var one *Error
		if errors.As(e, &one) {
			all = append(all, one)
		}
	}
	return all
}

// refused is a table of texts with the message that each must give, in whole
// lines, and a part of the first hint.
type refused []struct{ name, text, want, hint string }

func (table refused) run(t *testing.T, load func(text string) error) {
	for _, c := range table {
		t.Run(c.name, func(t *testing.T) {
			err := load(c.text)
			if err == nil {
				t.Fatalf("accepted:\n%s", c.text)
			}
			if err.Error() != c.want {
				t.Errorf("got  %s\nwant %s", err, c.want)
			}
			hint := refusals(t, err)[0].Hint()
			if !strings.Contains(hint, c.hint) || c.hint == "" && hint != "" {
				t.Errorf("hint %q, want %q in it", hint, c.hint)
			}
		})
	}
}

// put writes a file below a folder and returns its path.
func put(t *testing.T, folder, name, text string) string {
	t.Helper()
	path := filepath.Join(folder, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
