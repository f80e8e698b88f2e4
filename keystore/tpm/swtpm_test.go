package tpm_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"github.com/mecha-org/mecha-agent/keystore/tpm"
	"github.com/mecha-org/mecha-agent/keystore/tpm/tpmtest"
)

// bounded is the test's context with more time than any of this needs.
func bounded(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func TestInspect(t *testing.T) {
	socket := tpmtest.Start(t)
	got, err := tpm.Inspect(bounded(t), socket)
	if err != nil {
		t.Fatal(err)
	}
	if got.Manufacturer != "IBM" || got.Maker != "IBM" || got.Vendor == "" || got.Revision < "1.38" || got.Firmware == "0.0.0.0" {
		t.Errorf("got %+v", got)
	}
	if got.LockoutCounter != 0 || got.InLockout || got.OwnerAuth || !got.Cleanable || got.MaxTries == 0 || got.Recovery == 0 {
		t.Errorf("a new TPM: got %+v", got)
	}
	if want := "IBM " + got.Vendor + ", firmware " + got.Firmware; got.String() != want {
		t.Errorf("got %q, want %q", got.String(), want)
	}
}

// Wrong passwords are counted, and after MaxTries the TPM is locked out.
func TestInspectLockout(t *testing.T) {
	socket := tpmtest.Start(t)
	ctx := bounded(t)
	conn, err := tpm.Open(ctx, socket)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	guess := guarded(t, conn)
	before, err := tpm.Inspect(ctx, socket)
	if err != nil {
		t.Fatal(err)
	}
	for tries := range before.MaxTries {
		if err := guess("wrong"); !errors.Is(err, tpm2.TPMRCAuthFail) {
			t.Fatalf("wrong password: got %v", err)
		}
		got, err := tpm.Inspect(ctx, socket)
		if err != nil {
			t.Fatal(err)
		}
		if got.LockoutCounter != tries+1 || got.InLockout != (tries+1 == before.MaxTries) {
			t.Errorf("after %d wrong passwords of %d: got %+v", tries+1, before.MaxTries, got)
		}
	}
	if err := guess("right"); !errors.Is(err, tpm2.TPMRCLockout) {
		t.Errorf("right password when locked out: got %v", err)
	}
}

// guarded makes a key that is protected against guessing, and returns how to
// sign with it.
func guarded(t *testing.T, conn transport.TPM) func(password string) error {
	t.Helper()
	key, err := tpm2.CreatePrimary{
		PrimaryHandle: tpm2.TPMRHOwner,
		InSensitive: tpm2.TPM2BSensitiveCreate{Sensitive: &tpm2.TPMSSensitiveCreate{
			UserAuth: tpm2.TPM2BAuth{Buffer: []byte("right")}}},
		InPublic: tpm2.New2B(tpm2.TPMTPublic{
			Type:             tpm2.TPMAlgECC,
			NameAlg:          tpm2.TPMAlgSHA256,
			ObjectAttributes: tpm2.TPMAObject{SignEncrypt: true, FixedTPM: true, FixedParent: true, SensitiveDataOrigin: true, UserWithAuth: true},
			Parameters: tpm2.NewTPMUPublicParms(tpm2.TPMAlgECC, &tpm2.TPMSECCParms{
				Scheme: tpm2.TPMTECCScheme{Scheme: tpm2.TPMAlgECDSA,
					Details: tpm2.NewTPMUAsymScheme(tpm2.TPMAlgECDSA, &tpm2.TPMSSigSchemeECDSA{HashAlg: tpm2.TPMAlgSHA256})},
				CurveID: tpm2.TPMECCNistP256,
			}),
		}),
	}.Execute(conn)
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256([]byte("text"))
	return func(password string) error {
		_, err := tpm2.Sign{
			KeyHandle:  tpm2.AuthHandle{Handle: key.ObjectHandle, Name: key.Name, Auth: tpm2.PasswordAuth([]byte(password))},
			Digest:     tpm2.TPM2BDigest{Buffer: digest[:]},
			Validation: tpm2.TPMTTKHashCheck{Tag: tpm2.TPMSTHashCheck},
		}.Execute(conn)
		return err
	}
}

// Several at once get their own answers, on one connection and on many.
func TestConcurrent(t *testing.T) {
	socket := tpmtest.Start(t)
	ctx := bounded(t)
	shared, err := tpm.Open(ctx, socket)
	if err != nil {
		t.Fatal(err)
	}
	defer shared.Close()
	var all sync.WaitGroup
	for n := range uint16(8) {
		all.Go(func() {
			// The length of the answer says whose it is.
			r, err := tpm2.GetRandom{BytesRequested: n + 1}.Execute(shared)
			if err != nil || len(r.RandomBytes.Buffer) != int(n+1) {
				t.Errorf("%d bytes: got %+v, %v", n+1, r, err)
			}
		})
		all.Go(func() {
			if _, err := tpm.Inspect(ctx, socket); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}
