package attest_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"maps"
	"slices"
	"testing"

	"github.com/mecha-org/mecha-agent/gateway"
	"github.com/mecha-org/mecha-agent/gateway/attest"
	"github.com/mecha-org/mecha-agent/gateway/attest/attesttest"
)

// kinds are the TPMs whose words are the seeds, beside those of swtpm.
var kinds = map[string]attesttest.Options{"P-256": {}, "RSA EK": {RSA: 2048}, "RSA AK": {RSAAK: true}}

// FuzzIdentity: what a stranger announces is refused with a reason or taken, and
// what is taken can be challenged.
func FuzzIdentity(f *testing.F) {
	var good []record
	for _, r := range readRecords(f, recordedJSON) {
		other := r.Between
		if len(r.Identity.EKCertificates) > 1 {
			other = r.Identity.EKCertificates[1]
		}
		f.Add(r.Identity.EKPublic, r.Identity.AKPublic, r.Identity.EKCertificates[0], other)
		good = append(good, r)
	}
	if len(good) == 0 {
		f.Fatal("no seeds")
	}
	roots := good[0].roots(f)
	f.Fuzz(func(t *testing.T, ek, ak, cert, other []byte) {
		got, err := attest.CheckIdentity(gateway.TPMIdentity{EKPublic: ek, AKPublic: ak, EKCertificates: [][]byte{cert, other}}, roots, noon)
		var e *attest.Error
		switch {
		case err == nil && (got.Unproven == nil) != (got.TPM.Maker != ""):
			t.Errorf("maker %q, unproven %v", got.TPM.Maker, got.Unproven)
		case err == nil:
			if _, _, err := attest.NewChallenge(ek, ak); err != nil {
				t.Errorf("taken, and cannot be challenged: %v", err)
			}
		case !errors.As(err, &e):
			t.Errorf("%v has no check", err)
		}
	})
}

// FuzzEvidence: nothing but the evidence itself is taken. ECDSA signatures are
// malleable: of a signature, the key's order less s is another good one, so the
// signature may differ.
func FuzzEvidence(f *testing.F) {
	all := readRecords(f, recordedJSON)
	names := slices.Sorted(maps.Keys(all))
	if len(names) == 0 {
		f.Fatal("no seeds")
	}
	for i, name := range names {
		e := all[name].Evidence
		f.Add(uint(i), e.KeyPublic, e.Attest, e.Signature, e.Activated)
	}
	f.Fuzz(func(t *testing.T, i uint, key, statement, signature, activated []byte) {
		x := all[names[i%uint(len(names))]]
		err := attest.CheckEvidence(gateway.Evidence{KeyPublic: key, Attest: statement, Signature: signature, Activated: activated}, x.want(t))
		var e *attest.Error
		switch {
		case err == nil && !(bytes.Equal(key, x.Evidence.KeyPublic) && bytes.Equal(statement, x.Evidence.Attest) && bytes.Equal(activated, x.Evidence.Activated)):
			t.Error("forged evidence was taken")
		case err != nil && !errors.As(err, &e):
			t.Errorf("%v has no check", err)
		}
	})
}

// FuzzRoots: the operator's files may hold anything.
func FuzzRoots(f *testing.F) {
	var root []byte
	for _, r := range readRecords(f, recordedJSON) {
		root = r.Root
		f.Add(root)
	}
	if root == nil {
		f.Fatal("no seeds")
	}
	f.Add([]byte("-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"))
	want := sha256.Sum256(root)
	f.Fuzz(func(t *testing.T, data []byte) {
		roots, _, err := attest.LoadRoots(oneFile(data))
		if sha256.Sum256(data) == want && (err != nil || roots.Len() != 1) {
			t.Errorf("the root itself: %v", err)
		}
		if err == nil && roots.Len() < 1 {
			t.Error("no error and no root")
		}
	})
}
