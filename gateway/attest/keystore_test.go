package attest_test

import (
	"crypto/sha256"
	"path/filepath"
	"testing"
	"time"

	"github.com/mecha-org/mecha-agent/gateway"
	"github.com/mecha-org/mecha-agent/gateway/attest"
	"github.com/mecha-org/mecha-agent/keystore"
	"github.com/mecha-org/mecha-agent/keystore/tpm"
	"github.com/mecha-org/mecha-agent/keystore/tpm/tpmtest"
)

// TestKeystore: what the agent's own keystore says of a key is what is believed
// here.
func TestKeystore(t *testing.T) {
	device, ca := tpmtest.Prepared(t)
	for _, curve := range []keystore.Curve{keystore.P256, keystore.P384} {
		t.Run(string(curve), func(t *testing.T) {
			ctx := t.Context()
			s, err := tpm.New(tpm.Config{Path: device.Socket, Curve: curve})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			folder := tpmtest.Folder(t)
			key, err := s.Create(ctx, filepath.Join(folder, "key.pem"))
			if err != nil {
				t.Fatal(err)
			}
			var id gateway.TPMIdentity
			if id.EKCertificates, id.EKPublic, id.AKPublic, err = s.AttestIdentity(ctx); err != nil {
				t.Fatal(err)
			}
			found, err := attest.CheckIdentity(id, attest.NewRoots(ca...), time.Now())
			if err != nil || found.Unproven != nil {
				t.Fatalf("refused %v, unproven %v", err, found.Unproven)
			}
			c, secret, err := attest.NewChallenge(id.EKPublic, id.AKPublic)
			if err != nil {
				t.Fatal(err)
			}
			csr := newCSR(t, key)
			var e gateway.Evidence
			if e.Activated, err = s.Activate(ctx, c.Credential, c.Secret); err != nil {
				t.Fatal(err)
			}
			qualifying := gateway.Qualifying(c.Nonce, csr.Raw)
			if e.KeyPublic, e.Attest, e.Signature, err = s.Certify(ctx, key, qualifying[:]); err != nil {
				t.Fatal(err)
			}
			want := attest.Request{AKPublic: id.AKPublic, Nonce: c.Nonce, Secret: sha256.Sum256(secret), CSR: csr}
			if err := attest.CheckEvidence(e, want); err != nil {
				t.Error(err)
			}
			want.CSR = newCSR(t, key)
			refused(t, attest.CheckEvidence(e, want), attest.Nonce)
		})
	}
}
