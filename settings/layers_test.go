package settings

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestLayers(t *testing.T) {
	src := Source{
		Home: home,
		Environ: []string{
			"PATH=/bin", "MECHA_AGENTS=1", "MECHA_GATEWAY_NONSENSE=1",
			"MECHA_AGENT_SERVER__PORT=1", "MECHA_AGENT_SERVER__PORT=4002", // the last one counts, as for exec
			"MECHA_AGENT_PROVISIONING__TIMEOUT=40s",
			"MECHA_AGENT_PROVISIONING__PATHS__MACHINE__PRIVATE_KEY=~/key=1.pem",
			"MECHA_AGENT_SERVER__SOCKET=",
			"MECHA_AGENT_LOGGING__ENABLED=false",
			"MECHA_AGENT_HARDWARE__OPTIONS__PIN=18",
			"MECHA_AGENT_SETTINGS_PATH=/elsewhere",
		},
		Overrides: map[string]string{
			"provisioning.timeout": "50s", "hardware.options.led": "PWR", "logging.path": "~/log",
		},
	}
	a, report, err := from(agentProgram("/nowhere"), `
provisioning: {timeout: 20s, code: {life: 1m}}
server: {port: 4001}
hardware: {options: {pin: 17, bus: 1}}
`, src)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		key         string
		got, want   any
		origin      string
		description string
	}{
		{"provisioning.timeout", a.Provisioning.Timeout, 50 * time.Second, "flag", "flags win"},
		{"server.port", a.Server.Port, 4002, "env:MECHA_AGENT_SERVER__PORT", "environment over file"},
		{"provisioning.code.life", a.Provisioning.Code.Life, time.Minute, "file:2", "file over defaults"},
		{"provisioning.code.length", a.Provisioning.Code.Length, 6, "default", "default"},
		{"server.socket", a.Server.Socket, "", "env:MECHA_AGENT_SERVER__SOCKET", "empty is a value"},
		{"logging.enabled", a.Logging.Enabled, false, "env:MECHA_AGENT_LOGGING__ENABLED", "boolean"},
		{"logging.path", a.Logging.Path, home + "/log", "flag", "~ in a flag"},
		{"provisioning.paths.machine.private_key", a.Provisioning.Paths.Machine.PrivateKey, home + "/key=1.pem",
			"env:MECHA_AGENT_PROVISIONING__PATHS__MACHINE__PRIVATE_KEY", "~ and = in the environment"},
		{"hardware.options.pin", a.Hardware.Options["pin"], "18", "env:MECHA_AGENT_HARDWARE__OPTIONS__PIN", "one option"},
		{"hardware.options.bus", a.Hardware.Options["bus"], "1", "file:4", "the other options stay"},
		{"hardware.options.led", a.Hardware.Options["led"], "PWR", "flag", "an option by flag"},
	} {
		if !reflect.DeepEqual(c.got, c.want) || report.Origins[c.key] != c.origin {
			t.Errorf("%s: got %v from %q, want %v from %q", c.description, c.got, report.Origins[c.key], c.want, c.origin)
		}
	}
}

func TestEnvironmentRefusals(t *testing.T) {
	refused{
		{"unknown", "MECHA_AGENT_PROVISIONING__SEVER_URL=secret",
			"environment: MECHA_AGENT_PROVISIONING__SEVER_URL: unknown variable; did you mean MECHA_AGENT_PROVISIONING__SERVER_URL?", ""},
		{"one underscore", "MECHA_AGENT_SERVER_PORT=1",
			"environment: MECHA_AGENT_SERVER_PORT: unknown variable; did you mean MECHA_AGENT_SERVER__PORT?", ""},
		{"settings path", "MECHA_AGENT_SETTING_PATH=1",
			"environment: MECHA_AGENT_SETTING_PATH: unknown variable; did you mean MECHA_AGENT_SETTINGS_PATH?", ""},
		{"unlike any", "MECHA_AGENT_FROBNICATE=1", "environment: MECHA_AGENT_FROBNICATE: unknown variable", "with __ between levels"},
		{"duration", "MECHA_AGENT_PROVISIONING__TIMEOUT=30",
			`environment: MECHA_AGENT_PROVISIONING__TIMEOUT: wants a duration such as 30s, 5m or 2h, got "30"`, ""},
		{"number", "MECHA_AGENT_SERVER__PORT= 1", `environment: MECHA_AGENT_SERVER__PORT: wants a whole number, got " 1"`, ""},
		{"empty number", "MECHA_AGENT_SERVER__PORT=", `environment: MECHA_AGENT_SERVER__PORT: wants a whole number, got ""`, ""},
		{"boolean", "MECHA_AGENT_SERVER__TLS=1", `environment: MECHA_AGENT_SERVER__TLS: wants true or false, got "1"`, ""},
		{"range", "MECHA_AGENT_PROVISIONING__CODE__LENGTH=99",
			"environment: MECHA_AGENT_PROVISIONING__CODE__LENGTH: wants 4 to 12, got 99", ""},
		{"bytes", "MECHA_AGENT_LOGGING__PATH=/\xff",
			`environment: MECHA_AGENT_LOGGING__PATH: holds a character that cannot be shown ('\ufffd'), got "/\xff"`, ""},
		{"all options", "MECHA_AGENT_HARDWARE__OPTIONS=a",
			"environment: MECHA_AGENT_HARDWARE__OPTIONS: wants the name of one option behind it", ""},
		{"no password shown", "MECHA_AGENT_PROVISIONING__SERVER_URL=https://me:hunter2@host:port",
			"environment: MECHA_AGENT_PROVISIONING__SERVER_URL: is not a URL", "https://host:port"},
	}.run(t, func(variable string) error { _, _, err := agentFrom("", variable); return err })
}

func TestFlagRefusals(t *testing.T) {
	refused{
		{"unknown", "provisioning.servr_url=x",
			`command line: provisioning.servr_url: unknown key; did you mean "provisioning.server_url"?`, ""},
		{"no section", "server_url=x", `command line: server_url: unknown key; did you mean "provisioning.server_url"?`, ""},
		{"section", "server=x", "command line: server: unknown key", "the keys here are provisioning.server_url, "},
		{"range", "server.port=-1", "command line: server.port: wants 0 to 65535, got -1", ""},
	}.run(t, func(pair string) error {
		key, value, _ := strings.Cut(pair, "=")
		_, _, err := from(agentProgram("/nowhere"), "", Source{Home: home, Overrides: map[string]string{key: value}})
		return err
	})
}

// The file: what is named, else the home folder's, else the system's.
func TestWhichFile(t *testing.T) {
	homeDir, etc := t.TempDir(), t.TempDir()
	inEtc := put(t, etc, "settings.yml", "server: {port: 1}")
	load := func(src Source) (int, string) {
		t.Helper()
		src.Home = homeDir
		a, r, err := load(agentProgram(etc), src)
		if err != nil {
			t.Fatal(err)
		}
		return a.Server.Port, r.File
	}
	expect := func(src Source, port int, file string) {
		t.Helper()
		if p, f := load(src); p != port || f != file {
			t.Errorf("got port %d from %q, want %d from %q", p, f, port, file)
		}
	}
	expect(Source{}, 1, inEtc)
	inHome := put(t, homeDir, ".mecha/agent/settings.yml", "server: {port: 2}")
	expect(Source{}, 2, inHome)
	byVariable := put(t, homeDir, "v.yml", "server: {port: 3}")
	environ := []string{"MECHA_AGENT_SETTINGS_PATH=~/v.yml"}
	expect(Source{Environ: environ}, 3, byVariable)
	byFlag := put(t, homeDir, "f.yml", "server: {port: 4}")
	expect(Source{Environ: environ, File: byFlag}, 4, byFlag)
	expect(Source{Environ: environ, File: "~/f.yml"}, 4, byFlag)
	expect(Source{Environ: []string{"MECHA_AGENT_SETTINGS_PATH="}}, 2, inHome)

	for _, path := range []string{inEtc, inHome} {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	expect(Source{}, 3001, "")
}

func TestFileThatCannotBeRead(t *testing.T) {
	homeDir := t.TempDir()
	gone := filepath.Join(homeDir, "gone.yml")
	big := put(t, homeDir, "big.yml", strings.Repeat("#", largest)+"\n")
	full := put(t, homeDir, "full.yml", strings.Repeat("#", largest-1)+"\n")
	usual := filepath.Join(homeDir, ".mecha/agent/settings.yml")
	for _, c := range []struct {
		name string
		src  Source
		want string
		hint string
	}{
		{"named by flag", Source{File: gone}, gone + ": reading settings: no such file or directory", "check the path given with -s"},
		{"named by variable", Source{Environ: []string{"MECHA_AGENT_SETTINGS_PATH=" + gone}},
			gone + ": reading settings: no such file or directory", "check MECHA_AGENT_SETTINGS_PATH"},
		{"too big", Source{File: big}, big + ": reading settings: larger than 1048576 bytes", "check"},
		{"a folder", Source{File: homeDir}, homeDir + ": reading settings: is a directory", "check"},
	} {
		c.src.Home = homeDir
		// Nothing else is judged: this port would be wrong as well.
		c.src.Overrides = map[string]string{"server.port": "-1"}
		_, _, err := load(agentProgram("/nowhere"), c.src)
		if err == nil || err.Error() != c.want {
			t.Errorf("%s: got %v, want %s", c.name, err, c.want)
			continue
		}
		if hint := refusals(t, err)[0].Hint(); !strings.Contains(hint, c.hint) {
			t.Errorf("%s: hint %q", c.name, hint)
		}
	}
	if _, _, err := LoadAgent(Source{File: gone, Home: homeDir}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want fs.ErrNotExist in its chain", err)
	}
	if _, _, err := LoadAgent(Source{File: full, Home: homeDir}); err != nil {
		t.Errorf("a file of just the largest size: %v", err)
	}
	// A usual file that is there and cannot be read is not passed over.
	if err := os.MkdirAll(usual, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, _, err := LoadAgent(Source{Home: homeDir}); err == nil || err.Error() != usual+": reading settings: is a directory" {
		t.Errorf("got %v", err)
	}
}

func TestWithoutHome(t *testing.T) {
	_, _, err := from(agentProgram("/nowhere"), "", Source{})
	if err == nil || err.Error() != "provisioning.paths.machine.private_key: ~ cannot be expanded, the home folder is not known" {
		t.Errorf("got %v", err)
	}
	if hint := refusals(t, err)[0].Hint(); !strings.Contains(hint, "set HOME") || !strings.Contains(hint, "server.socket") {
		t.Errorf("hint %q", hint)
	}
	_, _, err = from(gatewayProgram("/nowhere"), "data: /var/lib/mecha", Source{})
	if err != nil {
		t.Errorf("no path needs a home: %v", err)
	}
	_, _, err = load(agentProgram("/nowhere"), Source{File: "~/x"})
	if err == nil || err.Error() != "command line: settings file: ~ cannot be expanded, the home folder is not known" {
		t.Errorf("got %v", err)
	}
}
