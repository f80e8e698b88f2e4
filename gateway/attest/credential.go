package attest

import (
	"crypto/rand"
	"encoding/binary"

	"github.com/google/go-tpm/tpm2"

	"github.com/mecha-org/mecha-agent/gateway"
)

// NewChallenge makes a challenge for the TPM with the given EK and AK, both
// TPMT_PUBLIC as they were announced, and returns the secret that its credential
// holds (TPM 2.0 Library, part 1, 24, "Credential Protection"). A TPM gives the
// secret out only if it has both keys. Nonce and secret are 32 random bytes each.
func NewChallenge(ekPublic, akPublic []byte) (c gateway.Challenge, secret []byte, err error) {
	ek, err := parseEK(ekPublic)
	if err != nil {
		return gateway.Challenge{}, nil, err
	}
	ak, err := parseAK(akPublic)
	if err != nil {
		return gateway.Challenge{}, nil, err
	}
	encryption, err := tpm2.ImportEncapsulationKey(&ek.TPMTPublic)
	if err != nil {
		return gateway.Challenge{}, nil, refuse(EndorsementKey, "%w", err)
	}
	random := make([]byte, 2*NonceSize)
	rand.Read(random) // never fails, see crypto/rand
	c.Nonce, secret = random[:NonceSize:NonceSize], random[NonceSize:]
	id, encrypted, err := tpm2.CreateCredential(rand.Reader, encryption, ak.name, secret)
	if err != nil {
		return gateway.Challenge{}, nil, refuse(EndorsementKey, "encrypting to it: %w", err)
	}
	c.Credential, c.Secret = sized(id), sized(encrypted)
	return c, secret, nil
}

// sized puts the 16 bits of length in front that make a TPM2B of b.
func sized(b []byte) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...)
}
