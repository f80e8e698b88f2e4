package settings

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"
)

func printed(t *testing.T, r Report, v any, asJSON bool) string {
	t.Helper()
	var b bytes.Buffer
	if err := r.Print(&b, v, asJSON); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// sample has what neither Agent nor Gateway has yet.
type sample struct {
	URL     string            `yaml:"url"`
	Token   string            `yaml:"token" secret:"true"`
	Unset   string            `yaml:"unset" secret:"true"`
	PINs    map[string]string `yaml:"pins" secret:"true"`
	Deep    struct{ Life time.Duration }
	Names   []string          `yaml:"names"`
	Options map[string]string `yaml:"options"`
	None    map[string]string `yaml:"none"`
	Skipped string            `yaml:"-"`
	private string
}

func samples() (sample, Report) {
	s := sample{
		URL: "https://me:hunter2@host/a&b", Token: "hunter2", PINs: map[string]string{"a": "hunter2"},
		Names: []string{"b", "a"}, Options: map[string]string{"y": "1 ", "x": "http://u:hunter2@[::1"}, Skipped: "hunter2", private: "hunter2",
	}
	s.Deep.Life = 90 * time.Minute
	return s, Report{
		File:    "/s.yml",
		Origins: map[string]string{"url": "file:3", "deep.life": "env:X__DEEP__LIFE", "options.y": "flag"},
		Ignored: []string{"sentry"},
	}
}

func TestPrintText(t *testing.T) {
	s, r := samples()
	want := `url        https://me:xxxxx@host/a&b  file:3
token      [redacted]                 default
unset      ""                         default
pins.a     [redacted]                 default
deep.life  1h30m                      env:X__DEEP__LIFE
names      b,a                        default
options.x  [redacted]                 default
options.y  "1 "                       flag
none       {}                         default
`
	if got := printed(t, r, &s, false); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestPrintJSON(t *testing.T) {
	s, r := samples()
	want := `{"file":"/s.yml","settings":{` +
		`"url":{"value":"https://me:xxxxx@host/a&b","source":"file:3"},` +
		`"token":{"value":"[redacted]","source":"default"},` +
		`"unset":{"value":"","source":"default"},` +
		`"pins.a":{"value":"[redacted]","source":"default"},` +
		`"deep.life":{"value":"1h30m","source":"env:X__DEEP__LIFE"},` +
		`"names":{"value":["b","a"],"source":"default"},` +
		`"options.x":{"value":"[redacted]","source":"default"},` +
		`"options.y":{"value":"1 ","source":"flag"},` +
		`"none":{"value":{},"source":"default"}},` +
		`"ignored":["sentry"]}`
	got := printed(t, r, s, true)
	var flat bytes.Buffer
	if err := json.Compact(&flat, []byte(got)); err != nil {
		t.Fatal(err)
	}
	if flat.String() != want {
		t.Errorf("got\n%s\nwant\n%s", flat.String(), want)
	}
	if !strings.HasPrefix(got, "{\n  \"file\"") || !strings.HasSuffix(got, "}\n") {
		t.Errorf("not indented:\n%s", got)
	}
}

// Every setting of both programs stands on a line of its own, aligned and in
// the order of the struct.
func TestPrintAll(t *testing.T) {
	a, r, err := agentFrom("hardware: {options: {pin: 17}}\n", "MECHA_AGENT_SERVER__PORT=3002")
	if err != nil {
		t.Fatal(err)
	}
	out := printed(t, r, a, false)
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if len(lines) != len(r.Origins) {
		t.Errorf("%d lines for %d settings", len(lines), len(r.Origins))
	}
	if !strings.HasPrefix(lines[0], "provisioning.server_url ") || !strings.HasPrefix(lines[len(lines)-1], "logging.path ") {
		t.Errorf("order:\n%s", out)
	}
	column := strings.LastIndex(lines[0], "default")
	for _, line := range lines {
		if column >= len(line) || line[column-1] != ' ' || line[column] == ' ' {
			t.Errorf("the source does not stand in column %d: %q", column, line)
		}
	}
	for _, want := range []string{"3002 ", " env:MECHA_AGENT_SERVER__PORT\n", "hardware.options.pin ", " file:1\n", "/home/u/.mecha/agent/state"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}

	g, r, err := gatewayFrom("")
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		File     *string
		Settings map[string]struct{ Value, Source any }
		Ignored  []string
	}
	if err := json.Unmarshal([]byte(printed(t, r, g, true)), &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Settings) != len(r.Origins) || got.File == nil || got.Ignored == nil {
		t.Errorf("got %+v", got)
	}
	if got.Settings["limits.body"].Value != 65536.0 || got.Settings["codes.life"].Value != "5m" {
		t.Errorf("got %+v", got.Settings)
	}
}

func TestPrintErrors(t *testing.T) {
	if err := (Report{}).Print(&bytes.Buffer{}, 5, false); err == nil {
		t.Error("a number was printed as settings")
	}
	full := errors.New("disk full")
	if err := (Report{}).Print(broken{full}, sample{}, false); !errors.Is(err, full) {
		t.Errorf("got %v", err)
	}
}

type broken struct{ err error }

func (b broken) Write([]byte) (int, error) { return 0, b.err }
