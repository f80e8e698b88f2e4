package server

import (
	"strings"
	"testing"

	"github.com/mecha-org/mecha-agent/gateway"
	"github.com/mecha-org/mecha-agent/gateway/attest/attesttest"
	"github.com/mecha-org/mecha-agent/gateway/client"
	pb "github.com/mecha-org/mecha-agent/proto/provisioning"
)

// Both doors carry identity, challenge and evidence, as the device's client speaks
// to them, and the doors' operators see the same.
func TestAttestationDoors(t *testing.T) {
	m := maker(t)
	f := newFixture(t, asking(Required, m))
	for scheme, code := range map[string]string{"http": "HTTP01", "grpc": "GRPC01"} {
		t.Run(scheme, func(t *testing.T) {
			c, err := client.New(client.Config{ServerURL: scheme + "://" + f.addr})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			ctx := t.Context()
			tpm, err := m.NewTPM(attesttest.Options{RSA: 2048})
			if err != nil {
				t.Fatal(err)
			}
			id, err := tpm.Identity(ctx)
			if err != nil {
				t.Fatal(err)
			}
			a := gateway.Announcement{Code: code, CSR: newCSR(t, tpm.Key(), "x"), Board: testBoard}
			_, err = c.Announce(ctx, a)
			if gateway.KindOf(err) != gateway.Precondition || !strings.Contains(err.Error(), "takes machines with a TPM only") {
				t.Errorf("without a TPM: %v", err)
			}
			a.TPM = &id
			session, err := c.Announce(ctx, a)
			if err != nil {
				t.Fatal(err)
			}
			op, operator := operatorContext(ctx, f), pb.NewGatewayServiceClient(dial(t, f))
			pending, err := operator.FindRequest(op, &pb.FindRequestRequest{ProvisionCode: code})
			if err != nil || pending.GetAttestation() != "tpm-proven" || pending.GetTpm().GetMaker() != "Maker root" || pending.GetTpm().GetEkSerial() == "" {
				t.Errorf("the operator sees %v, %v", pending, err)
			}
			f.claim(code)
			manifest, err := c.FindManifest(ctx, code, session.DeviceCode)
			if err != nil {
				t.Fatal(err)
			}
			request := gateway.SignRequest{CSR: newCSR(t, tpm.Key(), manifest.MachineID), MachineID: manifest.MachineID,
				Type: gateway.Provision, Token: manifest.Token}
			csr, err := gateway.ParseCSR(request.CSR)
			if err != nil {
				t.Fatal(err)
			}
			e, err := tpm.Prove(ctx, *manifest.Challenge, csr.Raw)
			if err != nil {
				t.Fatal(err)
			}
			_, err = c.Sign(ctx, request)
			if gateway.KindOf(err) != gateway.Precondition || !strings.Contains(err.Error(), "no evidence came") {
				t.Errorf("without evidence: %v", err)
			}
			request.Evidence = &e
			issued, err := c.Sign(ctx, request)
			if err != nil {
				t.Fatal(err)
			}
			d := &device{f: f, key: tpm.Key(), man: gateway.ManifestPayload{MachineID: manifest.MachineID}}
			row := f.wantMachine(gateway.NewIssuedPayload(issued), d, gateway.TPMProven)
			if row.TPM.Maker != "Maker root" {
				t.Errorf("registry %+v", row.TPM)
			}
			list, err := operator.ListMachines(op, &pb.ListMachinesRequest{})
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range list.GetMachines() {
				if m.GetAttestation() != "tpm-proven" || m.GetTpm().GetEkFingerprint() == "" {
					t.Errorf("the list has %v", m)
				}
			}
		})
	}
}
