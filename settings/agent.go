package settings

import (
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
	Backend string `yaml:"backend"` // "disk"
	Curve   string `yaml:"curve"`   // "P-256" or "P-384"
}

// Hardware is the board and its panel.
type Hardware struct {
	Board   string            `yaml:"board"`    // "auto" or a board's name
	Console string            `yaml:"console"`  // "auto" (when there is no display), "on", "off"
	LEDPace time.Duration     `yaml:"led_pace"` // how long one character of the code stands on the LEDs, 100ms to 10s, default 1s
	Options map[string]string `yaml:"options"`  // what only some boards know, checked by the board
}

// Server is the agent's own gRPC service. A URL beyond loopback needs TLS, Cert,
// Key and ClientCA.
type Server struct {
	URL      string `yaml:"url"`  // IP address or host name to listen on; empty: no TCP
	Port     int    `yaml:"port"` // 1 to 65535, or 0 for any free one
	TLS      bool   `yaml:"tls"`
	Cert     string `yaml:"cert" is:"path"`      // with tls: PEM chain
	Key      string `yaml:"key" is:"path"`       // with tls: PEM
	ClientCA string `yaml:"client_ca" is:"path"` // with tls: who may call; needed beyond loopback
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
		Keystore: Keystore{Backend: "disk", Curve: "P-256"},
		Hardware: Hardware{Board: "auto", Console: "auto", LEDPace: time.Second},
		Server:   Server{URL: "127.0.0.1", Port: 3001, Socket: "~/.mecha/agent/agent.sock"},
		Logging:  Logging{Enabled: true, Level: "info"},
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
