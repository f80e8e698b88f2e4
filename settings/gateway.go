package settings

import "time"

// Gateway is everything that can be set of the gateway. An environment variable
// is MECHA_GATEWAY_ and the keys in upper case with __ between levels; the file
// is -s/--settings, else MECHA_GATEWAY_SETTINGS_PATH, else
// /etc/mecha/gateway.yml when it is there.
type Gateway struct {
	Listen  string        `yaml:"listen"` // host:port, default 127.0.0.1:3000
	Data    string        `yaml:"data"`   // folder of database and CA, 0700
	URL     string        `yaml:"url"`    // as devices and operators reach it; default from Listen
	TLS     GatewayTLS    `yaml:"tls"`
	CA      GatewayCA     `yaml:"ca"`
	Codes   GatewayCodes  `yaml:"codes"`
	Limits  GatewayLimits `yaml:"limits"`
	Logging Logging       `yaml:"logging"`
}

// GatewayTLS is how the gateway shows itself.
type GatewayTLS struct {
	Mode  string   `yaml:"mode"`  // "off" (loopback only), "own" (from its own CA), "files"
	Cert  string   `yaml:"cert"`  // with files: PEM chain
	Key   string   `yaml:"key"`   // with files: PEM
	Names []string `yaml:"names"` // with own: DNS names and IP addresses, at least one
}

// GatewayCA is what the CA issues.
type GatewayCA struct {
	Name     string        `yaml:"name"`     // organisation in the CA's own certificates
	Validity time.Duration `yaml:"validity"` // of machine certificates, 1h to 825 days
}

// GatewayCodes is how codes are treated.
type GatewayCodes struct {
	Life        time.Duration `yaml:"life"`        // until a code must be claimed, 30s to 1h
	Exchange    time.Duration `yaml:"exchange"`    // from claim to certificate, 1m to 24h
	Interval    time.Duration `yaml:"interval"`    // least time between two polls, 1s to 1m
	Unannounced bool          `yaml:"unannounced"` // serve agents of the original, which announce nothing
}

// GatewayLimits bounds what one address and all together may ask.
type GatewayLimits struct {
	PerAddress  float64       `yaml:"per_address"`  // requests a second, sustained
	Burst       int           `yaml:"burst"`        // requests at once from one address
	WrongCodes  int           `yaml:"wrong_codes"`  // wrong codes from one address in 10 minutes
	Overall     float64       `yaml:"overall"`      // requests a second, all addresses together
	Body        int64         `yaml:"body"`         // bytes of a request
	ReadTimeout time.Duration `yaml:"read_timeout"` // for one whole request
}
