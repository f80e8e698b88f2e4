package settings

import "time"

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
	ServerURL   string `yaml:"server_url"`
	CertSignURL string `yaml:"cert_sign_url"` // path below ServerURL
	// RootFingerprint pins the gateway's root: SHA-256 of its DER in hex, colons allowed.
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

// Paths is where the identity lies.
type Paths struct {
	Machine struct {
		PrivateKey string `yaml:"private_key"`
		CSR        string `yaml:"csr"`
		Cert       string `yaml:"cert"`
	} `yaml:"machine"`
	Server   CertPath `yaml:"server"` // trust anchors for the gateway, PEM; used when the file exists
	CABundle CertPath `yaml:"ca_bundle"`
	Root     CertPath `yaml:"root"`
	State    string   `yaml:"state"` // folder of the generations behind the paths above
}

// CertPath is a PEM file.
type CertPath struct {
	Cert string `yaml:"cert"`
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

// Server is the agent's own gRPC service.
type Server struct {
	URL      string `yaml:"url"`  // IP address or host name to listen on; empty: no TCP
	Port     int    `yaml:"port"` // 1 to 65535, or 0 for any free one
	TLS      bool   `yaml:"tls"`
	Cert     string `yaml:"cert"`      // with tls: PEM chain
	Key      string `yaml:"key"`       // with tls: PEM
	ClientCA string `yaml:"client_ca"` // with tls: who may call; needed beyond loopback
	Socket   string `yaml:"socket"`    // Unix socket, 0660; empty: none
}

// Logging is the log, on standard error unless Path is set.
type Logging struct {
	Enabled bool   `yaml:"enabled"`
	Level   string `yaml:"level"` // debug, info, warn, error
	Path    string `yaml:"path"`  // file, or empty
}
