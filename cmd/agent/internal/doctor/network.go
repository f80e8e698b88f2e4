package doctor

import (
	"context"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

// epoch is before every release, for a program that does not know when it was built.
var epoch = time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)

// checkClock: certificates are not valid before they are made, so a board whose
// clock starts in the past trusts nobody.
func checkClock(_ context.Context, p *patient) Finding {
	const mend = "sudo timedatectl set-ntp true, and let UDP port 123 through; without a network: sudo date -s 'YYYY-MM-DD hh:mm'"
	now := p.Now().UTC()
	built := p.Built
	if built.Before(epoch) {
		built = epoch
	}
	text := now.Format(time.RFC3339)
	if now.Before(built) {
		return fail(fmt.Sprintf("%s, which is before this program was made", text), mend)
	}
	synced, err := p.Synced()
	switch {
	case err != nil:
		return warn(fmt.Sprintf("%s; %v", text, err), "")
	case !synced:
		return warn(text+", not synchronised with a time server", mend)
	}
	return ok("%s, synchronised", text)
}

// gatewayURL is the gateway's address; the settings have been checked.
func (p *patient) gatewayURL() *url.URL {
	u, err := url.Parse(p.Settings.Provisioning.ServerURL)
	if err != nil {
		return &url.URL{}
	}
	return u
}

func checkDNS(ctx context.Context, p *patient) Finding {
	host := p.gatewayURL().Hostname()
	if _, err := netip.ParseAddr(host); err == nil {
		return skip(host + " is an address")
	}
	found, err := p.Resolve(ctx, host)
	if err != nil {
		return broken(err, "check provisioning.server_url and the name servers: resolvectl status, or cat /etc/resolv.conf")
	}
	return ok("%s is %s", host, strings.Join(found, ", "))
}

// checkGateway asks for a sign of life, with TLS and trust as the exchange has them.
func checkGateway(ctx context.Context, p *patient) Finding {
	if err := p.Ping(ctx); err != nil {
		return broken(err, "check provisioning.server_url and the network")
	}
	u := p.gatewayURL()
	if !strings.HasSuffix(u.Scheme, "s") {
		return ok("%s://%s answers, without TLS", u.Scheme, u.Host)
	}
	return ok("%s://%s answers and is trusted", u.Scheme, u.Host)
}

// checkAgent asks the running agent. That none runs is no fault: its start may be
// what the checks are for.
func checkAgent(ctx context.Context, p *patient) Finding {
	a, err := p.agent(ctx)
	if err != nil {
		return broken(err, "").as(Warn)
	}
	found := append([]string{a.State}, a.Trouble...)
	switch {
	case a.Error != "":
		return fail(lines(append(found, a.Error)), a.Hint)
	case len(a.Trouble) > 0:
		return warn(lines(found), "")
	}
	return ok("%s", a.State)
}
