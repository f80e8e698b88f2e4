package gatewaytest_test

import (
	"testing"
	"time"

	"github.com/mecha-org/mecha-agent/gateway"
	"github.com/mecha-org/mecha-agent/gateway/attest"
	"github.com/mecha-org/mecha-agent/gateway/attest/attesttest"
	"github.com/mecha-org/mecha-agent/gateway/client"
	"github.com/mecha-org/mecha-agent/gateway/gatewaytest"
)

func TestAttestation(t *testing.T) {
	m, err := attesttest.NewMaker("Maker", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	roots := attest.NewRoots(m.Root)
	for name, tt := range map[string]struct {
		opts     []gatewaytest.Option
		evidence func(*gateway.Evidence) *gateway.Evidence
		want     gateway.Attestation // empty: refused
	}{
		"proven":              {[]gatewaytest.Option{gatewaytest.Makers(roots), gatewaytest.RequireTPM()}, nil, gateway.TPMProven},
		"unproven":            {nil, nil, gateway.TPMUnproven},
		"silent":              {nil, func(*gateway.Evidence) *gateway.Evidence { return nil }, gateway.SoftwareKey},
		"silent, required":    {[]gatewaytest.Option{gatewaytest.Makers(roots), gatewaytest.RequireTPM()}, func(*gateway.Evidence) *gateway.Evidence { return nil }, ""},
		"forged":              {nil, func(e *gateway.Evidence) *gateway.Evidence { e.Activated[0]++; return e }, ""},
		"unknown, but wanted": {[]gatewaytest.Option{gatewaytest.RequireTPM()}, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, g := t.Context(), gatewaytest.New(t, tt.opts...)
			c, err := client.New(client.Config{ServerURL: g.URL})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			tpm, err := m.NewTPM(attesttest.Options{})
			if err != nil {
				t.Fatal(err)
			}
			id, err := tpm.Identity(ctx)
			if err != nil {
				t.Fatal(err)
			}
			s, err := c.Announce(ctx, gateway.Announcement{Code: "ABC123", CSR: csr(t, tpm.Key(), "x"), TPM: &id})
			if name == "unknown, but wanted" {
				if gateway.KindOf(err) != gateway.Precondition {
					t.Errorf("error %v", err)
				}
				return
			} else if err != nil {
				t.Fatal(err)
			}
			machine := g.Claim("ABC123")
			manifest, err := c.FindManifest(ctx, "ABC123", s.DeviceCode)
			if err != nil {
				t.Fatal(err)
			}
			r := gateway.SignRequest{CSR: csr(t, tpm.Key(), machine), MachineID: machine, Type: gateway.Provision, Token: manifest.Token}
			parsed, err := gateway.ParseCSR(r.CSR)
			if err != nil {
				t.Fatal(err)
			}
			e, err := tpm.Prove(ctx, *manifest.Challenge, parsed.Raw)
			if err != nil {
				t.Fatal(err)
			}
			r.Evidence = &e
			if tt.evidence != nil {
				r.Evidence = tt.evidence(&e)
			}
			if _, err = c.Sign(ctx, r); (err == nil) != (tt.want != "") || g.Attested(machine) != tt.want {
				t.Errorf("error %v, attested %q, want %q", err, g.Attested(machine), tt.want)
			}
		})
	}
}
