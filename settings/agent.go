package settings

import (
	"fmt"
	"path/filepath"
	"time"
)

// Agent is everything that can be set of the agent. The yaml tags are the keys
// of settings.yml; an environment variable is MECHA_AGENT_ and the keys in upper
// case with __ between levels.
type Agent struct {
	Provisioning Provisioning `yaml:"provisioning"`
	Keystore     Keystore     `yaml:"keystore"`
	Hardware     Hardware     `yaml:"hardware"`
	Server       Server       `yaml:"server"`
	Logging      Logging      `yaml:"logging"`
}

// Provisioning is the exchange with the gateway.
type Provisioning struct {
	// ServerURL is the gateway: http, https, grpc or grpcs, host and port.
	// Plain http and grpc reach loopback only, unless AllowPlaintext is set.
	ServerURL   string `yaml:"server_url" is:"url"`
	CertSignURL string `yaml:"cert_sign_url"` // path below ServerURL, begins with one /
	// RootFingerprint pins the gateway's root: SHA-256 of its DER in hex, colons allowed.
	// Loaded, it is empty or 64 lower-case digits without colons.
	RootFingerprint string        `yaml:"root_fingerprint"`
	AllowPlaintext  bool          `yaml:"allow_plaintext"`
	Timeout         time.Duration `yaml:"timeout"` // of one call, 1s to 5m
	Code            Code          `yaml:"code"`
	Paths           Paths         `yaml:"paths"`
}

// Code is the provisioning code on the panel.
type Code struct {
	Length int           `yaml:"length"` // characters, 4 to 12; the original cloud takes at most 6
	Life   time.Duration `yaml:"life"`   // 30s to 1h
	Window time.Duration `yaml:"window"` // how long codes are refreshed after a press, Life to 24h
}

// Paths is where the identity lies. Only Server may be empty; Machine, CABundle
// and Root are five different files.
type Paths struct {
	Machine struct {
		PrivateKey string `yaml:"private_key" is:"path"`
		CSR        string `yaml:"csr" is:"path"`
		Cert       string `yaml:"cert" is:"path"`
	} `yaml:"machine"`
	Server   CertPath `yaml:"server"` // trust anchors for the gateway, PEM; used when the file exists
	CABundle CertPath `yaml:"ca_bundle"`
	Root     CertPath `yaml:"root"`
	State    string   `yaml:"state" is:"path"` // folder of the generations behind the paths above
}

// CertPath is a PEM file.
type CertPath struct {
	Cert string `yaml:"cert" is:"path"`
}

// Keystore is where the private key is made and kept.
type Keystore struct {
	Backend string `yaml:"backend"`       // "auto" (a TPM that works when the first key is made, else the disk), "tpm", "disk"
	TPM     string `yaml:"tpm" is:"path"` // device node or Unix socket; empty: /dev/tpmrm0, then /dev/tpm0
	Curve   string `yaml:"curve"`         // "P-256" or "P-384"
	Trouble string `yaml:"trouble"`       // when the machine's key cannot be used at the start: "degraded" (run, and say so) or "exit"
}

// Hardware is the board and what is connected to it. A line is named by its pin on
// the header ("pin 11"), by its name ("GPIO17"), or by its controller's label and
// its offset ("pinctrl-bcm2711:17"); `mecha-agent board --pinout` shows them.
type Hardware struct {
	Board   string            `yaml:"board"`   // "auto" or a board's name
	Console string            `yaml:"console"` // "auto" (standard output, when there is no display), "on", "off", or the path of a terminal
	Display Display           `yaml:"display"`
	LEDs    LEDs              `yaml:"leds"`
	Button  Button            `yaml:"button"`
	Options map[string]string `yaml:"options"` // what only some boards know, checked by the board
}

// Display is an I2C display.
type Display struct {
	Controller string        `yaml:"controller"` // "auto" (whichever answers), "none", or a name of `mecha-agent board --displays`
	Bus        string        `yaml:"bus"`        // "/dev/i2c-1", or its alias in the device tree; empty: the header's
	Address    Address       `yaml:"address"`    // 0: ask the controller's usual ones
	Sleep      time.Duration `yaml:"sleep"`      // dark after that when nothing runs; 0: never; 10s to 24h
}

// Address is a 7-bit I2C address. In a file it is a number, "0x3c" or "60".
type Address uint16

// String returns the address as data sheets write it: "0x3c".
func (a Address) String() string { return fmt.Sprintf("0x%02x", uint16(a)) }

// LEDs are lights on GPIO lines, or one that the kernel drives.
type LEDs struct {
	Code    []string      `yaml:"code"`    // five lines that show the code in binary, the most significant first
	Strobe  string        `yaml:"strobe"`  // with code: the line that is lit while a character holds still
	Single  string        `yaml:"single"`  // one line that shows the code in Morse
	RGB     []string      `yaml:"rgb"`     // three lines for the state: red, green, blue
	Onboard string        `yaml:"onboard"` // light of /sys/class/leds for Morse; "auto": when nothing else shows a code; "none"
	Active  string        `yaml:"active"`  // level that lights a line: "high" or "low"
	Pace    time.Duration `yaml:"pace"`    // how long a character stands in binary, 100ms to 10s
	Dot     time.Duration `yaml:"dot"`     // length of a dot in Morse, 50ms to 2s
}

// Button is a push button: on a line, or one that the kernel knows as a key.
type Button struct {
	Line   string        `yaml:"line"`
	Key    string        `yaml:"key"`    // label, name or number of a gpio-keys button: "Power Button", "KEY_POWER", "116"
	Active string        `yaml:"active"` // level of the line while it is pressed: "low" or "high"
	Hold   time.Duration `yaml:"hold"`   // held that long and released, it removes the identity; 2s to 20s
}

// Server is the agent's own gRPC service. A URL beyond loopback needs TLS. With TLS
// it proves itself by Cert and Key, which then need ClientCA beyond loopback; with
// neither of them by the machine's own identity, as soon as there is one, and each
// caller needs a certificate of ClientCA, or of the fleet (the identity's root).
type Server struct {
	URL      string `yaml:"url"`  // IP address or host name to listen on; empty: no TCP
	Port     int    `yaml:"port"` // 1 to 65535, or 0 for any free one
	TLS      bool   `yaml:"tls"`
	Cert     string `yaml:"cert" is:"path"`      // with tls: PEM chain; empty, as Key: the machine's own
	Key      string `yaml:"key" is:"path"`       // with tls: PEM
	ClientCA string `yaml:"client_ca" is:"path"` // with tls: who may call, PEM; empty with the machine's own: the fleet
	Socket   string `yaml:"socket" is:"path"`    // Unix socket, 0660, at most 107 bytes; empty: none
}

// Logging is the log, on standard error unless Path is set.
type Logging struct {
	Enabled bool   `yaml:"enabled"`
	Level   string `yaml:"level"`          // debug, info, warn, error
	Path    string `yaml:"path" is:"path"` // file, or empty
}

// DefaultAgent returns the agent's built-in defaults; ~ stands for the home
// folder until LoadAgent expands it.
func DefaultAgent() Agent {
	a := Agent{
		Provisioning: Provisioning{
			ServerURL:   "http://localhost:3000",
			CertSignURL: "/v1/provisioning/cert/sign",
			Timeout:     30 * time.Second,
			Code:        Code{Length: 6, Life: 5 * time.Minute, Window: time.Hour},
			Paths: Paths{
				Server:   CertPath{"~/.mecha/agent/certs/server.pem"},
				CABundle: CertPath{"~/.mecha/agent/certs/ca_bundle.pem"},
				Root:     CertPath{"~/.mecha/agent/certs/root.pem"},
				State:    "~/.mecha/agent/state",
			},
		},
		Keystore: Keystore{Backend: "auto", Curve: "P-256", Trouble: "degraded"},
		Hardware: Hardware{Board: "auto", Console: "auto",
			Display: Display{Controller: "auto", Sleep: 10 * time.Minute},
			LEDs:    LEDs{Onboard: "auto", Active: "high", Pace: time.Second, Dot: 200 * time.Millisecond},
			Button:  Button{Active: "low", Hold: 5 * time.Second}},
		Server:  Server{URL: "127.0.0.1", Port: 3001, Socket: "~/.mecha/agent/agent.sock"},
		Logging: Logging{Enabled: true, Level: "info"},
	}
	a.Provisioning.Paths.Machine.PrivateKey = "~/.mecha/openssl/ecdsa/key.pem"
	a.Provisioning.Paths.Machine.CSR = "~/.mecha/openssl/ecdsa/csr.pem"
	a.Provisioning.Paths.Machine.Cert = "~/.mecha/agent/certs/machine.pem"
	return a
}

// LoadAgent lays the settings file, the environment (MECHA_AGENT_...) and
// src.Overrides over the defaults, expands ~ in paths and checks the outcome.
// The file is src.File, else MECHA_AGENT_SETTINGS_PATH, else
// ~/.mecha/agent/settings.yml, else /etc/mecha/settings.yml; one that is named
// must exist. The error joins an *Error for every setting that was refused; the
// Agent is then empty.
func LoadAgent(src Source) (Agent, Report, error) { return load(agentProgram("/etc/mecha"), src) }

// agentProgram looks for the system's settings file in the folder etc.
func agentProgram(etc string) program[Agent] {
	return program[Agent]{
		prefix: "MECHA_AGENT_",
		usual: func(home string) (files []string) {
			if home != "" {
				files = append(files, filepath.Join(home, ".mecha/agent/settings.yml"))
			}
			return append(files, filepath.Join(etc, "settings.yml"))
		},
		// What the original's file holds for its other services.
		ignored: []string{
			"version", "sentry", "status", "messaging", "networking", "telemetry",
			"settings", "device_settings", "heartbeat",
		},
		defaults: DefaultAgent,
		check:    checkAgent,
	}
}
