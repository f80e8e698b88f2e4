package main

import (
	"net"
	"testing"

	"github.com/mecha-org/mecha-agent/settings"
)

func TestURLOf(t *testing.T) {
	addr := &net.TCPAddr{IP: net.IPv6loopback, Port: 3000}
	for want, tls := range map[string]settings.GatewayTLS{
		"http://[::1]:3000":       {Mode: "off"},
		"https://[::1]:3000":      {Mode: "files"},
		"https://gw.example:3000": {Mode: "own", Names: []string{"gw.example", "10.0.0.1"}},
	} {
		if got := urlOf(addr, tls); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
