package settings

import (
	"path/filepath"
	"time"
)

// Gateway is everything that can be set of the gateway. An environment variable
// is MECHA_GATEWAY_ and the keys in upper case with __ between levels; the file
// is -s/--settings, else MECHA_GATEWAY_SETTINGS_PATH, else
// /etc/mecha/gateway.yml when it is there.
type Gateway struct {
	Listen      string             `yaml:"listen"`         // host:port, default 127.0.0.1:3000
	Data        string             `yaml:"data" is:"path"` // folder of database and CA, 0700
	URL         string             `yaml:"url" is:"url"`   // http or https, as devices and operators reach it; default from Listen, empty when that has port 0
	TLS         GatewayTLS         `yaml:"tls"`
	CA          GatewayCA          `yaml:"ca"`
	Codes       GatewayCodes       `yaml:"codes"`
	Attestation GatewayAttestation `yaml:"attestation"`
	Limits      GatewayLimits      `yaml:"limits"`
	Logging     Logging            `yaml:"logging"`
}

// GatewayTLS is how the gateway shows itself.
type GatewayTLS struct {
	Mode  string   `yaml:"mode"`           // "off" (loopback only), "own" (from its own CA), "files"
	Cert  string   `yaml:"cert" is:"path"` // with files: PEM chain
	Key   string   `yaml:"key" is:"path"`  // with files: PEM
	Names []string `yaml:"names"`          // with own: DNS names and IP addresses, at least one
}

// GatewayCA is what the CA issues.
type GatewayCA struct {
	Name string `yaml:"name"` // organisation in the CA's own certificates, 1 to 46 characters
	// Validity of machine certificates, 1h to 825 days. The default is a year,
	// since a machine does not renew its certificate by itself yet: what ends
	// must be provisioned anew, and what is lost before can be revoked.
	Validity time.Duration `yaml:"validity"`
}

// GatewayCodes is how codes are treated.
type GatewayCodes struct {
	Life        time.Duration `yaml:"life"`        // until a code must be claimed, 30s to 1h
	Exchange    time.Duration `yaml:"exchange"`    // from claim to certificate, 1m to 24h
	Interval    time.Duration `yaml:"interval"`    // least time between two polls, 1s to 1m
	Unannounced bool          `yaml:"unannounced"` // serve agents of the original, which announce nothing
}

// GatewayAttestation is what is asked of machines with a TPM.
type GatewayAttestation struct {
	// Policy is "recorded" (every machine is taken, and what its TPM proves is
	// certified and listed), "required" (only machines whose TPM a trusted maker
	// vouches for are taken) or "off".
	Policy string `yaml:"policy"`
	// Roots is a folder of PEM or DER files: the CA certificates of the TPM makers
	// that are trusted. It is read at the start.
	Roots string `yaml:"roots" is:"path"`
}

// GatewayLimits bounds what one address and all together may ask. The defaults
// let a hundred boards behind one NAT poll at the default interval.
type GatewayLimits struct {
	PerAddress  float64       `yaml:"per_address"`  // requests a second, sustained, above 0 to 10000
	Burst       int           `yaml:"burst"`        // requests at once from one address, 1 to 10000
	WrongCodes  int           `yaml:"wrong_codes"`  // wrong codes, tokens and keys from one address, or wrong codes of one API key, in 10 minutes, 1 to 10000
	Overall     float64       `yaml:"overall"`      // requests a second, all addresses together, PerAddress to 1000000
	Body        int64         `yaml:"body"`         // bytes of a request, 4 KiB to 16 MiB
	ReadTimeout time.Duration `yaml:"read_timeout"` // for one whole request, 1s to 5m
}

// DefaultGateway returns the gateway's built-in defaults; ~ stands for the home
// folder until LoadGateway expands it, and URL is empty until then.
func DefaultGateway() Gateway {
	return Gateway{
		Listen:      "127.0.0.1:3000",
		Data:        "~/.mecha/gateway",
		TLS:         GatewayTLS{Mode: "off"},
		CA:          GatewayCA{Name: "Mecha", Validity: 365 * 24 * time.Hour},
		Codes:       GatewayCodes{Life: 5 * time.Minute, Exchange: 15 * time.Minute, Interval: 5 * time.Second},
		Attestation: GatewayAttestation{Policy: "recorded"},
		Limits: GatewayLimits{
			PerAddress: 20, Burst: 60, WrongCodes: 10, Overall: 500,
			Body: 64 << 10, ReadTimeout: 10 * time.Second,
		},
		Logging: Logging{Enabled: true, Level: "info"},
	}
}

// LoadGateway lays the settings file, the environment (MECHA_GATEWAY_...) and
// src.Overrides over the defaults, expands ~ in paths, derives URL and checks
// the outcome. The file is src.File, else MECHA_GATEWAY_SETTINGS_PATH, else
// /etc/mecha/gateway.yml; one that is named must exist. The error joins an
// *Error for every setting that was refused; the Gateway is then empty.
func LoadGateway(src Source) (Gateway, Report, error) {
	return load(gatewayProgram("/etc/mecha"), src)
}

// gatewayProgram looks for the system's settings file in the folder etc.
func gatewayProgram(etc string) program[Gateway] {
	return program[Gateway]{
		prefix:   "MECHA_GATEWAY_",
		usual:    func(string) []string { return []string{filepath.Join(etc, "gateway.yml")} },
		defaults: DefaultGateway,
		check:    checkGateway,
	}
}
