package settings

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestGatewayDefaults(t *testing.T) {
	g, report, err := gatewayFrom("")
	if err != nil {
		t.Fatal(err)
	}
	want := Gateway{
		Listen:      "127.0.0.1:3000",
		Data:        "/home/u/.mecha/gateway",
		URL:         "http://127.0.0.1:3000",
		TLS:         GatewayTLS{Mode: "off"},
		CA:          GatewayCA{Name: "Mecha", Validity: 8760 * time.Hour},
		Codes:       GatewayCodes{Life: 5 * time.Minute, Exchange: 15 * time.Minute, Interval: 5 * time.Second},
		Attestation: GatewayAttestation{Policy: "recorded"},
		Limits:      GatewayLimits{PerAddress: 20, Burst: 60, WrongCodes: 10, Overall: 500, Body: 65536, ReadTimeout: 10 * time.Second},
		Logging:     Logging{Enabled: true, Level: "info"},
	}
	if !reflect.DeepEqual(g, want) {
		t.Errorf("got  %+v\nwant %+v", g, want)
	}
	if report.Origins["limits.per_address"] != "default" {
		t.Errorf("got %v", report.Origins)
	}
}

func TestGatewayFile(t *testing.T) {
	g, report, err := gatewayFrom(`
listen: 0.0.0.0:8443
data: ~/gw
tls: {mode: own, names: [gw.example.org, 10.0.0.1, "::1"], cert: ~/c, key: ~/k}
ca: {name: "Föhn & Co", validity: 1h}
codes: {unannounced: true}
attestation: {policy: off, roots: ~/makers}
limits: {per_address: 0.5, burst: 1, body: 4096, overall: 3}
`, "MECHA_GATEWAY_LIMITS__PER_ADDRESS=1.25", "MECHA_GATEWAY_TLS__NAMES= a.example.org , 10.0.0.2", "MECHA_AGENT_X=1")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ got, want any }{
		{g.Data, "/home/u/gw"},
		{g.TLS.Names, []string{"a.example.org", "10.0.0.2"}},
		{[]string{g.TLS.Cert, g.TLS.Key}, []string{"/home/u/c", "/home/u/k"}},
		{g.URL, "https://a.example.org:8443"},
		{g.CA, GatewayCA{Name: "Föhn & Co", Validity: time.Hour}},
		{g.Codes.Unannounced, true},
		{g.Attestation, GatewayAttestation{Policy: "off", Roots: "/home/u/makers"}},
		{g.Limits.PerAddress, 1.25},
		{g.Limits.Overall, 3.0},
		{g.Limits.Body, int64(4096)},
		{report.Origins["limits.per_address"], "env:MECHA_GATEWAY_LIMITS__PER_ADDRESS"},
		{report.Origins["tls.names"], "env:MECHA_GATEWAY_TLS__NAMES"},
	} {
		if !reflect.DeepEqual(c.got, c.want) {
			t.Errorf("got %#v, want %#v", c.got, c.want)
		}
	}
}

// The URL that devices are told follows from where the gateway listens.
func TestGatewayURL(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"listen: localhost:80", "http://localhost:80"},
		{"listen: '[::1]:3000'", "http://[::1]:3000"},
		{"listen: 127.0.0.1:0", ""},
		{"{listen: '10.0.0.1:3000', tls: {mode: files, cert: /c, key: /k}}", "https://10.0.0.1:3000"},
		{"{listen: '10.0.0.1:3000', tls: {mode: own, names: [gw.lan, 10.0.0.1]}}", "https://10.0.0.1:3000"},
		{"{listen: '10.0.0.1:3000', tls: {mode: own, names: [gw.lan]}}", "https://gw.lan:3000"},
		{"{listen: ':3000', tls: {mode: own, names: ['2001:db8::1']}}", "https://[2001:db8::1]:3000"},
		{"{listen: ':3000', url: 'https://gw.lan', tls: {mode: files, cert: /c, key: /k}}", "https://gw.lan"},
		{"url: http://gw.lan/behind/a/proxy", "http://gw.lan/behind/a/proxy"},
	} {
		g, _, err := gatewayFrom(c.text)
		if err != nil || g.URL != c.want {
			t.Errorf("%s: got %q, %v, want %q", c.text, g.URL, err, c.want)
		}
	}
}

func TestGatewayRefusals(t *testing.T) {
	refused{
		{"unknown key", "limits: {per_adress: 1}\n", `s.yml:1: limits.per_adress: unknown key; did you mean "limits.per_address"?`, ""},
		{"the agent's file", "messaging: {}\n", "s.yml:1: messaging: unknown key", "the keys here are listen, data"},
		{"no port", "listen: 127.0.0.1\n", `s.yml:1: listen: wants host:port, got "127.0.0.1"`, "127.0.0.1:3000"},
		{"named port", "listen: 127.0.0.1:http\n", `s.yml:1: listen: wants host:port, got "127.0.0.1:http"`, "127.0.0.1:3000"},
		{"port too high", "listen: 127.0.0.1:65536\n", `s.yml:1: listen: wants host:port, got "127.0.0.1:65536"`, "127.0.0.1:3000"},
		{"beyond loopback", "listen: 0.0.0.0:3000\n", `s.yml:1: listen: "0.0.0.0:3000" reaches beyond this machine and tls.mode is off`, "set tls.mode"},
		{"every address", "listen: :3000\n", `s.yml:1: listen: ":3000" reaches beyond this machine and tls.mode is off`, "set tls.mode"},
		{"no URL to tell", "listen: :3000\ntls: {mode: files, cert: /c, key: /k}\n",
			`s.yml:1: listen: ":3000" is every address and none that a device could call`, "set url"},
		{"URL", "url: gw.lan\n", "s.yml:1: url: wants a URL with a scheme (https, http)", "https://host:port"},
		{"URL's scheme", "url: grpc://gw.lan\n", `s.yml:1: url: wants one of the schemes https, http, got "grpc"`, "https://host:port"},
		{"no data", "data: ''\n", "s.yml:1: data: wants a path", ""},
		{"mode", "tls: {mode: on}\n", `s.yml:1: tls.mode: wants one of off, own, files, got "on"`, "did you mean"},
		{"files", "tls: {mode: files, cert: /c}\n", "s.yml:1: tls.mode: files needs tls.cert and tls.key", ""},
		{"own", "tls: {mode: own}\n", "s.yml:1: tls.mode: own needs tls.names", "by which devices reach"},
		{"name", "tls: {mode: own, names: [gw.lan, 'https://gw']}\n", `s.yml:1: tls.names: wants host names and IP addresses, got "https://gw"`, ""},
		{"names is text", "tls: {names: gw.lan}\n", `s.yml:1: tls.names: wants a list, got the text "gw.lan"`, "[one, two]"},
		{"number in names", "tls:\n  names:\n  - a\n  - 5\n", `s.yml:4: tls.names: wants text in its list, got 5`, "quotes"},
		{"nothing in names", "tls: {names: [a, ~]}\n", `s.yml:1: tls.names: wants text in its list, got nothing`, "quotes"},
		{"no CA name", "ca: {name: ''}\n", "s.yml:1: ca.name: wants 1 to 46 characters, got 0", ""},
		{"long CA name", "ca: {name: " + strings.Repeat("ä", 47) + "}\n", "s.yml:1: ca.name: wants 1 to 46 characters, got 47", ""},
		{"blank CA name", "ca: {name: ' '}\n", `s.yml:1: ca.name: wants characters that print and none blank at the ends, got " "`, ""},
		{"CA name with a hard space", `ca: {name: "a\_b"}` + "\n", `s.yml:1: ca.name: wants characters that print and none blank at the ends, got "a\u00a0b"`, ""},
		{"validity", "ca: {validity: 19801h}\n", "s.yml:1: ca.validity: wants 1h to 19800h, got 19801h0m0s", ""},
		{"life", "codes: {life: 61m}\n", "s.yml:1: codes.life: wants 30s to 1h, got 1h1m0s", ""},
		{"exchange", "codes: {exchange: 59s}\n", "s.yml:1: codes.exchange: wants 1m to 24h, got 59s", ""},
		{"interval", "codes: {interval: 999ms}\n", "s.yml:1: codes.interval: wants 1s to 1m, got 999ms", ""},
		{"policy", "attestation: {policy: require}\n", `s.yml:1: attestation.policy: wants one of recorded, required, off, got "require"`, "did you mean"},
		{"required, nobody trusted", "attestation: {policy: required}\n", "attestation.roots: required needs the roots of TPM makers", "name a folder"},
		{"required of the unannounced", "attestation: {policy: required, roots: /r}\ncodes: {unannounced: true}\n",
			"s.yml:2: codes.unannounced: agents that announce nothing have no evidence, and attestation.policy is required", ""},
		{"no requests", "limits: {per_address: 0}\n", "s.yml:1: limits.per_address: wants more than 0 and at most 10000, got 0", ""},
		{"not a number", "limits: {per_address: .nan}\n", `s.yml:1: limits.per_address: wants a number, got ".nan"`, ""},
		{"all less than one", "limits: {overall: 4.5}\n", "s.yml:1: limits.overall: wants 20 to 1000000, got 4.5", ""},
		{"burst", "limits: {burst: 0}\n", "s.yml:1: limits.burst: wants 1 to 10000, got 0", ""},
		{"wrong codes", "limits: {wrong_codes: 0}\n", "s.yml:1: limits.wrong_codes: wants 1 to 10000, got 0", ""},
		{"body", "limits: {body: 4095}\n", "s.yml:1: limits.body: wants 4096 to 16777216, got 4095", ""},
		{"read time-out", "limits: {read_timeout: 0s}\n", "s.yml:1: limits.read_timeout: wants 1s to 5m, got 0s", ""},
		{"level", "logging: {level: ''}\n", `s.yml:1: logging.level: wants one of debug, info, warn, error, got ""`, ""},
	}.run(t, func(text string) error { _, _, err := gatewayFrom(text); return err })
}

func TestGatewayEnvironmentRefusals(t *testing.T) {
	refused{
		{"empty name", "MECHA_GATEWAY_TLS__NAMES=a,,b", `environment: MECHA_GATEWAY_TLS__NAMES: has an empty entry between its commas, got "a,,b"`, ""},
		{"infinite", "MECHA_GATEWAY_LIMITS__OVERALL=inf", `environment: MECHA_GATEWAY_LIMITS__OVERALL: wants a number, got "inf"`, ""},
		{"hexadecimal", "MECHA_GATEWAY_LIMITS__OVERALL=0x1p9", `environment: MECHA_GATEWAY_LIMITS__OVERALL: wants a number, got "0x1p9"`, ""},
		{"derived", "MECHA_GATEWAY_LISTEN=:80", `environment: MECHA_GATEWAY_LISTEN: ":80" reaches beyond this machine and tls.mode is off`, "set tls.mode"},
	}.run(t, func(variable string) error { _, _, err := gatewayFrom("", variable); return err })
}

func TestWhichGatewayFile(t *testing.T) {
	etc := t.TempDir()
	src := Source{Home: home}
	if _, r, err := load(gatewayProgram(etc), src); err != nil || r.File != "" {
		t.Errorf("without a file: %+v, %v", r, err)
	}
	usual := put(t, etc, "gateway.yml", "listen: 127.0.0.1:1")
	if g, r, err := load(gatewayProgram(etc), src); err != nil || r.File != usual || g.Listen != "127.0.0.1:1" {
		t.Errorf("in %s: %+v, %v", etc, r, err)
	}
	named := put(t, etc, "named.yml", "listen: 127.0.0.1:2")
	src.Environ = []string{"MECHA_GATEWAY_SETTINGS_PATH=" + named}
	if g, r, err := LoadGateway(src); err != nil || r.File != named || g.Listen != "127.0.0.1:2" {
		t.Errorf("named: %+v, %v", r, err)
	}
}
