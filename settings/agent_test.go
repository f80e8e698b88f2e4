package settings

import (
	"os"
	"reflect"
	"strings"
	"testing"
	"time"
)

// The seed's file loads as it stands, and says what the defaults say.
func TestSeedsFile(t *testing.T) {
	text, err := os.ReadFile("testdata/settings.example.yml")
	if err != nil {
		t.Fatal(err)
	}
	got, report, err := agentFrom(string(text))
	if err != nil {
		t.Fatal(err)
	}
	without, _, err := agentFrom("")
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, without) {
		t.Errorf("the seed's file and the defaults differ:\n%+v\n%+v", got, without)
	}
	for key, want := range map[string]string{
		"provisioning.server_url":                "file:3",
		"provisioning.cert_sign_url":             "file:4",
		"provisioning.paths.machine.private_key": "file:7",
		"provisioning.paths.root.cert":           "file:15",
		"provisioning.timeout":                   "default",
		"hardware.options":                       "default",
	} {
		if report.Origins[key] != want {
			t.Errorf("origin of %s is %q, want %q", key, report.Origins[key], want)
		}
	}
	if report.File != "s.yml" || report.Ignored != nil {
		t.Errorf("got %+v", report)
	}
}

func TestAgentDefaults(t *testing.T) {
	a, _, err := agentFrom("")
	if err != nil {
		t.Fatal(err)
	}
	p := a.Provisioning
	for _, c := range []struct{ got, want any }{
		{p.ServerURL, "http://localhost:3000"},
		{p.CertSignURL, "/v1/provisioning/cert/sign"},
		{p.Paths.Machine.PrivateKey, "/home/u/.mecha/openssl/ecdsa/key.pem"},
		{p.Paths.Machine.CSR, "/home/u/.mecha/openssl/ecdsa/csr.pem"},
		{p.Paths.Machine.Cert, "/home/u/.mecha/agent/certs/machine.pem"},
		{p.Paths.Server.Cert, "/home/u/.mecha/agent/certs/server.pem"},
		{p.Paths.CABundle.Cert, "/home/u/.mecha/agent/certs/ca_bundle.pem"},
		{p.Paths.Root.Cert, "/home/u/.mecha/agent/certs/root.pem"},
		{p.Paths.State, "/home/u/.mecha/agent/state"},
		{p.Timeout, 30 * time.Second},
		{p.Code, Code{Length: 6, Life: 5 * time.Minute, Window: time.Hour}},
		{a.Keystore, Keystore{Backend: "auto", Curve: "P-256", Trouble: "degraded"}},
		{a.Hardware, Hardware{Board: "auto", Console: "auto",
			Display: Display{Controller: "auto", Sleep: 10 * time.Minute},
			LEDs:    LEDs{Onboard: "auto", Active: "high", Pace: time.Second, Dot: 200 * time.Millisecond},
			Button:  Button{Active: "low", Hold: 5 * time.Second}}},
		{a.Server, Server{URL: "127.0.0.1", Port: 3001, Socket: "/home/u/.mecha/agent/agent.sock"}},
		{a.Logging, Logging{Enabled: true, Level: "info"}},
	} {
		if !reflect.DeepEqual(c.got, c.want) {
			t.Errorf("got %v, want %v", c.got, c.want)
		}
	}
}

func TestAgentFile(t *testing.T) {
	a, report, err := agentFrom(`---
version: 1.0
sentry: {enabled: true, dsn: }
provisioning:
  server_url: "grpcs://gateway.example.org:3000"
  root_fingerprint: AA:bb:cc:dd:ee:ff:00:11:22:33:44:55:66:77:88:99:aa:bb:cc:dd:ee:ff:00:11:22:33:44:55:66:77:88:99
  timeout: 1m30s
  code: {length: 8, life: ~, window: null}
hardware:
  console: on
  display: {address: 0x3c, bus: /dev/i2c-1}
  leds: {pace: 250ms, code: [GPIO5, "pin 31", "pinctrl-bcm2711:13", P9.12, 29-1]}
  options: {pin: 17, led: ACT, invert: true, none: ~}
server: {url: 0.0.0.0, port: 0, tls: true, cert: ~/c.pem, key: ~/k.pem, client_ca: "~", socket: ""}
logging: {enabled: false, level: debug, path: ~/log}
messaging:
  anything: [at, {all: 1}]
  anything: twice
telemetry:
networking: {}
status: []
settings: 5
`)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ got, want any }{
		{a.Provisioning.ServerURL, "grpcs://gateway.example.org:3000"},
		{a.Provisioning.RootFingerprint, strings.Repeat("aabbccddeeff00112233445566778899", 2)},
		{a.Provisioning.Timeout, 90 * time.Second},
		{a.Provisioning.Code, Code{8, 5 * time.Minute, time.Hour}},
		{a.Hardware.Console, "on"},
		{a.Hardware.LEDs.Pace, 250 * time.Millisecond},
		{a.Hardware.Display, Display{Controller: "auto", Address: 0x3c, Bus: "/dev/i2c-1", Sleep: 10 * time.Minute}},
		{a.Hardware.Options, map[string]string{"pin": "17", "led": "ACT", "invert": "true"}},
		{a.Server, Server{URL: "0.0.0.0", TLS: true, Cert: home + "/c.pem", Key: home + "/k.pem", ClientCA: home}},
		{a.Logging, Logging{Level: "debug", Path: home + "/log"}},
		{report.Ignored, []string{"version", "sentry", "messaging", "telemetry", "networking", "status", "settings"}},
		{report.Origins["hardware.options.pin"], "file:13"},
		{report.Origins["hardware.options"], ""},
		{report.Origins["provisioning.code.length"], "file:8"},
		{report.Origins["provisioning.code.life"], "default"}, // null is no value
	} {
		if !reflect.DeepEqual(c.got, c.want) {
			t.Errorf("got %#v, want %#v", c.got, c.want)
		}
	}
}

func TestAgentRefusals(t *testing.T) {
	const plaintext = "use https://, or on a network you trust set provisioning.allow_plaintext: true"
	refused{
		{"unknown key", "provisioning:\n  sever_url: x\n",
			`s.yml:2: provisioning.sever_url: unknown key; did you mean "provisioning.server_url"?`, ""},
		{"unknown section", "provisionning: {}\n",
			`s.yml:1: provisionning: unknown key; did you mean "provisioning"?`, ""},
		{"right key, wrong section", "\ncert_sign_url: /x\n",
			`s.yml:2: cert_sign_url: unknown key; did you mean "provisioning.cert_sign_url"?`, ""},
		{"unlike any", "keystore: {frobnicate: 1}\n", `s.yml:1: keystore.frobnicate: unknown key`, "the keys here are backend, tpm, curve, trouble"},
		{"camel case", "provisioning: {serverUrl: x}\n",
			`s.yml:1: provisioning.serverUrl: unknown key; did you mean "provisioning.server_url"?`, ""},
		{"duplicate key", "logging:\n  level: info\n  level: warn\n",
			"s.yml:3: logging.level: stands here a second time, first in line 2", "remove one"},
		{"duplicate section", "logging: {}\nlogging: {}\n", "s.yml:2: logging: stands here a second time, first in line 1", "remove"},
		{"text for a number", "server: {port: many}\n", `s.yml:1: server.port: wants a whole number, got the text "many"`, ""},
		{"quoted number", "server: {port: '1'}\n", `s.yml:1: server.port: wants a whole number, got the quoted text "1"`, "take the quotes away"},
		{"octal or not", "server: {port: 0300}\n", `s.yml:1: server.port: wants a whole number, got "0300"`, ""},
		{"fraction", "server: {port: 1.5}\n", `s.yml:1: server.port: wants a whole number, got 1.5`, ""},
		{"huge", "server: {port: 99999999999999999999}\n", `s.yml:1: server.port: wants a whole number, got 99999999999999999999`, ""},
		{"list for a number", "server: {port: [1]}\n", `s.yml:1: server.port: wants a whole number, got a list`, ""},
		{"yes", "server: {tls: yes}\n", `s.yml:1: server.tls: wants true or false, got the text "yes"`, ""},
		{"number for text", "hardware: {board: 5}\n", `s.yml:1: hardware.board: wants text, got 5`, "put it in quotes"},
		{"no unit", "provisioning: {timeout: 30}\n",
			"s.yml:1: provisioning.timeout: wants a duration such as 30s, 5m or 2h, got 30", "write the unit"},
		{"strange unit", "provisioning: {timeout: 30d}\n",
			`s.yml:1: provisioning.timeout: wants a duration such as 30s, 5m or 2h, got "30d"`, ""},
		{"section is text", "server: here\n", `s.yml:1: server: wants keys and values below it, got the text "here"`, ""},
		{"file is a list", "- a\n", `s.yml:1: wants keys and values below it, got a list`, ""},
		{"options are a list", "hardware: {options: [a]}\n", `s.yml:1: hardware.options: wants keys and values below it, got a list`, ""},
		{"option is a list", "hardware: {options: {a: [b]}}\n", `s.yml:1: hardware.options.a: wants text, got a list`, ""},
		{"key is a list", "? [a]\n: b\n", `s.yml:1: has a key that is a list`, ""},
		{"control character", `logging: {path: "/a\nb"}`, `s.yml:1: logging.path: holds a character that cannot be shown ('\n'), got "/a\nb"`, ""},

		{"no scheme", "provisioning: {server_url: 'localhost:3000'}\n",
			"s.yml:1: provisioning.server_url: wants a URL with a scheme (https, http, grpcs, grpc)", "https://host:port"},
		{"another scheme", "provisioning: {server_url: 'ftp://localhost'}\n",
			`s.yml:1: provisioning.server_url: wants one of the schemes https, http, grpcs, grpc, got "ftp"`, "https://host:port"},
		{"no host", "provisioning: {server_url: 'https:///x'}\n",
			"s.yml:1: provisioning.server_url: wants the name or address of a host", "https://host:port"},
		{"empty URL", "provisioning: {server_url: ''}\n",
			"s.yml:1: provisioning.server_url: wants a URL with a scheme (https, http, grpcs, grpc)", "https://"},
		{"no URL, with a password", "provisioning: {server_url: 'http://me:pa/ss@localhost'}\n",
			"s.yml:1: provisioning.server_url: is not a URL", "https://"},
		{"port 0", "provisioning: {server_url: 'https://a:0'}\n", "s.yml:1: provisioning.server_url: wants a port from 1 to 65535", "https://"},
		{"port missing", "provisioning: {server_url: 'https://a:'}\n", "s.yml:1: provisioning.server_url: wants a port from 1 to 65535", "https://"},
		{"query", "provisioning: {server_url: 'https://a?b'}\n", "s.yml:1: provisioning.server_url: wants no query and no fragment", ""},
		{"plain beyond loopback", "provisioning:\n  server_url: http://gateway.lan:3000\n",
			"s.yml:2: provisioning.server_url: plain http to gateway.lan could be read and changed on its way", plaintext},
		{"a name that begins like loopback", "provisioning: {server_url: 'http://127.0.0.1.example.org'}\n",
			"s.yml:1: provisioning.server_url: plain http to 127.0.0.1.example.org could be read and changed on its way", plaintext},
		{"plain grpc", "provisioning: {server_url: 'grpc://10.0.0.1:3000'}\n",
			"s.yml:1: provisioning.server_url: plain grpc to 10.0.0.1 could be read and changed on its way", "use grpcs://"},
		{"grpc with a path", "provisioning: {server_url: 'grpcs://a:1/b'}\n",
			"s.yml:1: provisioning.server_url: wants no path behind host and port with grpcs", ""},
		{"sign URL elsewhere", "provisioning: {cert_sign_url: 'https://evil.example.org/sign'}\n",
			"s.yml:1: provisioning.cert_sign_url: wants a path, not a URL", "leave out scheme and host"},
		{"sign URL with a host", "provisioning: {cert_sign_url: //evil.example.org/sign}\n",
			"s.yml:1: provisioning.cert_sign_url: wants a path, not a URL", "leave out"},
		{"sign URL relative", "provisioning: {cert_sign_url: v1/sign}\n",
			`s.yml:1: provisioning.cert_sign_url: wants a path that begins with /, got "v1/sign"`, ""},
		{"sign URL empty", "provisioning: {cert_sign_url: ''}\n",
			`s.yml:1: provisioning.cert_sign_url: wants a path that begins with /, got ""`, ""},
		{"sign URL with a query", "provisioning: {cert_sign_url: '/a?b=c'}\n",
			`s.yml:1: provisioning.cert_sign_url: wants a path without query and fragment, got "/a?b=c"`, ""},
		{"short fingerprint", "provisioning: {root_fingerprint: 'aa:bb'}\n",
			"s.yml:1: provisioning.root_fingerprint: wants a SHA-256 in hex, 64 digits, colons allowed", "openssl x509"},
		{"time-out", "provisioning: {timeout: 6m}\n", "s.yml:1: provisioning.timeout: wants 1s to 5m, got 6m0s", ""},
		{"code too long", "provisioning: {code: {length: 13}}\n", "s.yml:1: provisioning.code.length: wants 4 to 12, got 13", ""},
		{"code too short", "provisioning: {code: {length: 3}}\n", "s.yml:1: provisioning.code.length: wants 4 to 12, got 3", ""},
		{"code's life", "provisioning: {code: {life: 29s}}\n", "s.yml:1: provisioning.code.life: wants 30s to 1h, got 29s", ""},
		{"window below life", "provisioning: {code: {life: 10m, window: 9m}}\n",
			"s.yml:1: provisioning.code.window: wants 10m to 24h, got 9m0s", ""},
		{"empty path", "provisioning: {paths: {machine: {csr: ''}}}\n", "s.yml:1: provisioning.paths.machine.csr: wants a path", ""},
		{"one path twice", "provisioning: {paths: {root: {cert: ~/.mecha/agent/certs/../certs/machine.pem}}}\n",
			"s.yml:1: provisioning.paths.root.cert: is the same path as provisioning.paths.machine.cert", ""},
		{"anchors are the key", "provisioning: {paths: {server: {cert: ~/.mecha/openssl/ecdsa/key.pem}}}\n",
			"s.yml:1: provisioning.paths.server.cert: is the same path as provisioning.paths.machine.private_key", ""},
		{"another's home", "provisioning: {paths: {state: ~root/x}}\n",
			`s.yml:1: provisioning.paths.state: the home folder of another account ("~root/x") is not looked up`, "write the whole path"},
		{"backend", "keystore: {backend: tmp}\n", `s.yml:1: keystore.backend: wants one of auto, tpm, disk, got "tmp"`, "did you mean tpm?"},
		{"trouble", "keystore: {trouble: quit}\n", `s.yml:1: keystore.trouble: wants one of degraded, exit, got "quit"`, ""},
		{"curve", "keystore: {curve: p256}\n", `s.yml:1: keystore.curve: wants one of P-256, P-384, got "p256"`, "did you mean P-256?"},
		{"no board", "hardware: {board: ''}\n", `s.yml:1: hardware.board: wants auto or the name of a board`, "write auto"},
		{"console", "hardware: {console: always}\n", `s.yml:1: hardware.console: wants one of auto, on, off, got "always"`, ""},
		{"pace", "hardware: {leds: {pace: 99ms}}\n", "s.yml:1: hardware.leds.pace: wants 100ms to 10s, got 99ms", ""},
		{"no address", "hardware: {display: {address: 3c}}\n", `s.yml:1: hardware.display.address: wants an I2C address such as 0x3c, got the text "3c"`, ""},
		{"reserved address", "hardware: {display: {address: 0x78}}\n", "s.yml:1: hardware.display.address: wants 0x08 to 0x77, got 0x78", ""},
		{"10-bit address", "hardware: {display: {address: 65600}}\n", "s.yml:1: hardware.display.address: wants an I2C address such as 0x3c, got \"65600\"", ""},
		{"no controller", "hardware: {display: {controller: ''}}\n", "s.yml:1: hardware.display.controller: wants the name of a controller", "write auto or none"},
		{"sleep", "hardware: {display: {sleep: 1s}}\n", "s.yml:1: hardware.display.sleep: wants 10s to 24h, got 1s", ""},
		{"four lights", "hardware: {leds: {code: [a, b, c, d]}}\n", "s.yml:1: hardware.leds.code: wants five lines, got 4", "hardware.leds.single"},
		{"strobe alone", "hardware: {leds: {strobe: a}}\n", "s.yml:1: hardware.leds.strobe: is of no use without the five lines of the code", "set hardware.leds.code too"},
		{"two colours", "hardware: {leds: {rgb: [a, b]}}\n", "s.yml:1: hardware.leds.rgb: wants three lines, red, green and blue, got 2", ""},
		{"active", "hardware: {leds: {active: low, dot: 1ms}}\n", "s.yml:1: hardware.leds.dot: wants 50ms to 2s, got 1ms", ""},
		{"two buttons", "hardware:\n  button:\n    line: GPIO1\n    key: Power\n",
			"s.yml:4: hardware.button.key: cannot stand beside hardware.button.line", "remove one of the two"},
		{"hold", "hardware: {button: {hold: 1m}}\n", "s.yml:1: hardware.button.hold: wants 2s to 20s, got 1m0s", ""},
		{"level", "logging: {level: warning}\n", `s.yml:1: logging.level: wants one of debug, info, warn, error, got "warning"`, ""},
		{"port", "server: {port: 65536}\n", "s.yml:1: server.port: wants 0 to 65535, got 65536", ""},
		{"listening on a URL", "server: {url: 'http://127.0.0.1'}\n",
			`s.yml:1: server.url: wants an IP address or a host name, got "http://127.0.0.1"`, "write the address alone"},
		{"TLS without a key", "server: {tls: true, cert: /c}\n", "s.yml:1: server.tls: needs server.cert and server.key together", "neither of them"},
		{"TLS without a certificate", "server: {tls: true, key: /k, client_ca: /a}\n", "s.yml:1: server.tls: needs server.cert and server.key together", "set both"},
		{"beyond loopback", "server: {url: 0.0.0.0}\n",
			`s.yml:1: server.url: listening on "0.0.0.0" beyond this machine needs server.tls`,
			"listen on 127.0.0.1"},
		{"beyond loopback, anyone may call", "server:\n  url: '::'\n  tls: true\n  cert: /c\n  key: /k\n",
			`s.yml:2: server.url: listening on "::" beyond this machine needs server.client_ca`, "set what is missing"},
		{"beyond loopback, half of a pair", "server: {url: 0.0.0.0, tls: true, key: /k}\n",
			`s.yml:1: server.url: listening on "0.0.0.0" beyond this machine needs server.cert, server.client_ca`, "set what is missing"},
		{"beyond loopback, a pair without TLS", "server: {url: 0.0.0.0, cert: /c, key: /k, client_ca: /a}\n",
			`s.yml:1: server.url: listening on "0.0.0.0" beyond this machine needs server.tls`, "set what is missing"},
		{"socket too long", "server: {socket: /" + strings.Repeat("s", 107) + "}\n",
			"s.yml:1: server.socket: is 108 bytes long, a Unix socket takes 107", "shorter"},
	}.run(t, func(text string) error { _, _, err := agentFrom(text); return err })
}

func TestAgentAccepts(t *testing.T) {
	for _, text := range []string{
		"", "\n# nothing\n", "---\n", "~\n", "{}\n", "provisioning:\n", "hardware: {options: {}}\n",
		"provisioning: {server_url: 'http://127.8.8.8:1'}\n",
		"provisioning: {server_url: 'grpc://[::1]:3000'}\n",
		"provisioning: {server_url: 'http://LOCALHOST'}\n",
		"provisioning: {server_url: 'http://gateway.lan', allow_plaintext: true}\n",
		"provisioning: {server_url: 'https://gateway.lan/api/'}\n",
		"provisioning: {root_fingerprint: '" + strings.Repeat("0F", 32) + "'}\n",
		"provisioning: {paths: {server: {cert: ''}}}\n",
		"provisioning: {code: {life: 1h, window: 1h}}\n",
		"server: {url: '::ffff:127.0.0.1'}\n", "server: {url: ''}\n", "server: {tls: true}\n", "server: {url: 0.0.0.0, tls: true}\n",
		"server: {url: 0.0.0.0, tls: true, client_ca: /a}\n", "server: {url: '::1'}\n", "server: {url: localhost}\n",
		"server: {socket: /" + strings.Repeat("s", 106) + "}\n",
		"hardware: {console: /dev/tty1, display: {sleep: 0s, address: 60}, leds: {onboard: none, active: low}}\n",
		"keystore: {curve: P-384}\n", "logging: {enabled: FALSE}\n",
	} {
		if _, _, err := agentFrom(text); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// All that is wrong is said in one go, in the order of the file, and what
// follows from a broken value only is left out.
func TestAllProblemsAtOnce(t *testing.T) {
	_, report, err := agentFrom(`server:
  url: 0.0.0.0
  tls: yes
logging: {level: loud, colour: red}
provisioning:
  timeout: 9h
`, "MECHA_AGENT_SERVER__PORT=x")
	want := `s.yml:3: server.tls: wants true or false, got the text "yes"
s.yml:4: logging.colour: unknown key
s.yml:4: logging.level: wants one of debug, info, warn, error, got "loud"
s.yml:6: provisioning.timeout: wants 1s to 5m, got 9h0m0s
environment: MECHA_AGENT_SERVER__PORT: wants a whole number, got "x"`
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	if report.File != "s.yml" {
		t.Errorf("got file %q", report.File)
	}
	first := refusals(t, err)[0]
	if first.File != "s.yml" || first.Line != 3 || first.Key != "server.tls" {
		t.Errorf("got %+v", first)
	}
}

func TestProblemsAreBounded(t *testing.T) {
	var text strings.Builder
	for i := range 20000 {
		text.WriteString("k" + strings.Repeat("x", i%40) + ": 1\n")
	}
	_, _, err := agentFrom(text.String())
	lines := strings.Split(err.Error(), "\n")
	if len(lines) != mostProblems+1 || lines[mostProblems] != "and 19950 more problems" {
		t.Errorf("got %d lines, the last %q", len(lines), lines[len(lines)-1])
	}
}
