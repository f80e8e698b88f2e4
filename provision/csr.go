package provision

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"strings"
	"time"

	"github.com/mecha-org/mecha-agent/gateway"
)

// vaultTimeout bounds one call to Vault or Sessions: a slow memory card and a
// slow TPM stay far below it.
const vaultTimeout = time.Minute

// request returns a PKCS#10 request (RFC 2986) for name in PEM, signed by the
// key of the identity in the making, and the fingerprint of that key.
func (p *Provisioner) request(ctx context.Context, name string) (csr, fingerprint string, err error) {
	key, err := p.key(ctx)
	if err != nil {
		return "", "", err
	}
	if fingerprint, err = gateway.Fingerprint(key.Public()); err != nil {
		return "", "", failed(stepKey, err)
	}
	csr, err = signRequest(key, name)
	return csr, fingerprint, err
}

func (p *Provisioner) key(ctx context.Context) (crypto.Signer, error) {
	ctx, cancel := context.WithTimeout(ctx, vaultTimeout)
	defer cancel()
	key, err := p.c.Vault.Key(ctx)
	if err != nil {
		return nil, failed(stepKey, err)
	}
	return key, nil
}

func signRequest(key crypto.Signer, name string) (string, error) {
	der, err := x509.CreateCertificateRequest(rand.Reader,
		&x509.CertificateRequest{Subject: pkix.Name{CommonName: name}}, key)
	if err != nil {
		return "", failed("signing the request", err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})), nil
}

// boardName is the subject of an announcement. Nothing relies on it, but it
// goes into a certificate request, so it is kept to what one can hold
// (RFC 5280, ub-common-name: 64 characters).
func boardName(serial string) string {
	if serial == "" || len(serial) > 64 || strings.ContainsFunc(serial, func(r rune) bool { return r < ' ' || r > '~' }) {
		return "unprovisioned"
	}
	return serial
}

// checkManifest takes a manifest that can be acted upon: the machine id becomes
// a subject and a line on a display, the path is put behind server_url.
func checkManifest(m gateway.Manifest) error {
	if m.MachineID == "" || len(m.MachineID) > 128 || strings.ContainsFunc(m.MachineID, func(r rune) bool {
		return !(r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || strings.ContainsRune("._:-", r))
	}) {
		return refusal(gateway.Internal, stepAsk, "the gateway's machine id is not 1 to 128 of A-Z a-z 0-9 . _ : -",
			"the gateway is at fault; its log may say more")
	}
	if m.CertSignURL != "" && !strings.HasPrefix(m.CertSignURL, "/") {
		return refusal(gateway.Internal, stepAsk, "the gateway's cert_sign_url is not a path that starts with /",
			"the gateway is at fault; its log may say more")
	}
	if m.Challenge != nil {
		if err := m.Challenge.Check(); err != nil {
			return refusal(gateway.Internal, stepAsk, "the gateway's attestation has "+err.Error(),
				"the gateway is at fault; its log may say more")
		}
	}
	return nil
}
