// Package storetest is the suite that every store.Store passes. It asks for
// each promise in the interface's comments, the exactly-once ones from many
// goroutines at the same time.
package storetest

import (
	"crypto/sha256"
	"errors"
	"testing"
	"time"

	"github.com/mecha-org/mecha-agent/gateway"
	"github.com/mecha-org/mecha-agent/gateway/store"
)

// Run runs the suite. open returns an empty store; Run closes it.
func Run(t *testing.T, open func(t *testing.T) store.Store) {
	t.Helper()
	for _, c := range []struct {
		name string
		test func(h harness)
	}{
		{"AddRequest", addRequest},
		{"TakenCode", takenCode},
		{"CodeLivesUntilItsEnd", codeEnd},
		{"CodeReserved", codeReserved},
		{"CodeUsedAgain", codeUsedAgain},
		{"Claim", claim},
		{"ClaimOfKey", claimOfKey},
		{"ClaimRefused", claimRefused},
		{"ClaimKnownKey", claimKnownKey},
		{"ClaimWithoutKey", claimWithoutKey},
		{"ClaimForRevokedKey", claimRevokedKey},
		{"ClaimOnce", claimOnce},
		{"ClaimManyCodesOneKey", claimOneKey},
		{"AnnounceOnce", announceOnce},
		{"Token", token},
		{"TokenRefused", tokenRefused},
		{"TokenReplaced", tokenReplaced},
		{"TokenAfterRevocation", tokenRevoked},
		{"TokenOnce", tokenOnce},
		{"Certificate", certificate},
		{"CertificateRenewed", certificateRenewed},
		{"CertificateRefused", certificateRefused},
		{"Revoke", revoke},
		{"RevokedList", revokedList},
		{"RevokeOnce", revokeOnce},
		{"MachinesByPage", machinesByPage},
		{"Sweep", sweep},
		{"APIKeys", apiKeys},
		{"Times", times},
		{"OddCharacters", oddCharacters},
		{"CancelledContext", cancelled},
		{"AfterClose", afterClose},
		{"EverythingAtOnce", everythingAtOnce},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := open(t)
			t.Cleanup(func() {
				if err := s.Close(); err != nil {
					t.Errorf("closing the store: %v", err)
				}
			})
			c.test(harness{t, s})
		})
	}
}

// now is when every test begins.
var now = time.Date(2026, 3, 14, 15, 9, 26, 0, time.UTC)

// life is how long a test's codes, exchanges and tokens last.
const life = 5 * time.Minute

// many is how many goroutines race for one thing.
const many = 64

// harness has a test and its store, and ends the test when a step that is not
// under test fails.
type harness struct {
	*testing.T
	store.Store
}

// secret returns the hash of a secret named s.
func secret(s string) store.Hash { return sha256.Sum256([]byte(s)) }

// newToken returns the token named s, good for a life from now on.
func newToken(s string) store.Token {
	return store.Token{Hash: secret(s), Expires: now.Add(life),
		Challenge: store.Challenge{Nonce: secret("nonce with " + s), Secret: secret("secret with " + s)}}
}

// tpm is that of a machine with the key, in words that no column may change.
func tpm(key string) gateway.TPM {
	return gateway.TPM{EKFingerprint: "ek of " + key, EKSerial: "0e", Maker: "Mäker", Reason: "none"}
}

// request returns what a device with that code and key announces.
func request(code, key string) store.Request {
	return store.Request{
		Code:           code,
		DeviceCode:     secret("device code of " + code),
		KeyFingerprint: key,
		Board:          gateway.Board{Vendor: "Acme", Model: "Board 1", Serial: "S-" + code, SoC: "soc", Revision: "1.2", Architecture: "arm64"},
		Created:        now,
		Expires:        now.Add(life),
		TPM:            tpm(key),
		EKPublic:       "\x00\x01 ek of " + key + "\xff",
		AKPublic:       "\x00\x23 ak of " + key + "\xff",
	}
}

func (h harness) add(r store.Request) int64 {
	h.Helper()
	id, err := h.AddRequest(h.Context(), r)
	if err != nil {
		h.Fatalf("AddRequest: %v", err)
	}
	return id
}

// claimed announces a code and claims it, for the machine named id when the key
// is new.
func (h harness) claimed(code, key, id string) store.Request {
	h.Helper()
	h.add(request(code, key))
	r, err := h.Claim(h.Context(), code, "", id, "operator", now, now.Add(life))
	if err != nil {
		h.Fatalf("Claim: %v", err)
	}
	return r
}

func (h harness) setToken(id int64, name string) store.Hash {
	h.Helper()
	if err := h.SetToken(h.Context(), id, newToken(name), now); err != nil {
		h.Fatalf("SetToken: %v", err)
	}
	return secret(name)
}

// certificateOf returns a certificate for the machine, valid for a day.
func certificateOf(machine, key, serial string) store.Certificate {
	return store.Certificate{
		Serial:         serial,
		MachineID:      machine,
		KeyFingerprint: key,
		NotBefore:      now.Add(-time.Minute),
		NotAfter:       now.Add(24 * time.Hour),
		Attestation:    gateway.TPMProven,
		TPM:            tpm(key),
		PEM:            "-----BEGIN CERTIFICATE-----\n" + serial + "\n-----END CERTIFICATE-----\n",
	}
}

func (h harness) addCertificate(request int64, c store.Certificate) {
	h.Helper()
	if err := h.AddCertificate(h.Context(), request, c); err != nil {
		h.Fatalf("AddCertificate: %v", err)
	}
}

func (h harness) revoke(machine string, at time.Time) time.Time {
	h.Helper()
	since, err := h.Revoke(h.Context(), machine, at)
	if err != nil {
		h.Fatalf("Revoke: %v", err)
	}
	return since
}

func (h harness) byID(id int64) store.Request {
	h.Helper()
	r, err := h.RequestByID(h.Context(), id)
	if err != nil {
		h.Fatalf("RequestByID: %v", err)
	}
	return r
}

func (h harness) allMachines() []gateway.Machine {
	h.Helper()
	ms, err := h.Machines(h.Context(), "", 1000)
	if err != nil {
		h.Fatalf("Machines: %v", err)
	}
	return ms
}

// want checks that err is the promised one.
func (h harness) want(what string, err, want error) {
	h.Helper()
	if !errors.Is(err, want) {
		h.Errorf("%s: error %v, want %v", what, err, want)
	}
}

// same checks that got is want.
func same[T comparable](h harness, what string, got, want T) {
	h.Helper()
	if got != want {
		h.Errorf("%s:\n got %+v\nwant %+v", what, got, want)
	}
}
