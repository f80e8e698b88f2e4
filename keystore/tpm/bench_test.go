package tpm

import (
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"github.com/mecha-org/mecha-agent/keystore"
	"github.com/mecha-org/mecha-agent/keystore/tpm/tpmtest"
)

// The figures of docs/tpm.md:
//
//	go test -run '^$' -bench . -count 5 ./keystore/tpm

// counting is a connection whose commands are counted.
func counting(b *testing.B, socket string) (transport.TPM, *recorder) {
	r := &recorder{}
	to, err := r.dial(socket)
	without(b, err)
	c := newConn(b.Context(), socket, to)
	b.Cleanup(func() { c.Close() })
	return c, r
}

func report(b *testing.B, r *recorder) {
	b.ReportMetric(float64(r.took.Microseconds())/1000/float64(b.N), "TPM-ms/op")
	b.ReportMetric(float64(len(r.take()))/float64(b.N), "commands/op")
}

// bareKey is the shortest way to a loaded key: no session, no check, no file.
func bareKey(b *testing.B, t transport.TPM) (srk, key tpm2.TPMHandle, name tpm2.TPM2BName) {
	parent, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHOwner, InPublic: tpm2.New2B(srkTemplate())}.Execute(t)
	without(b, err)
	auth := &tpm2.NamedHandle{Handle: parent.ObjectHandle, Name: parent.Name}
	made, err := tpm2.Create{ParentHandle: auth, InPublic: tpm2.New2B(keyTemplate(keystore.P256))}.Execute(t)
	without(b, err)
	loaded, err := tpm2.Load{ParentHandle: auth, InPublic: made.OutPublic, InPrivate: made.OutPrivate}.Execute(t)
	without(b, err)
	return parent.ObjectHandle, loaded.ObjectHandle, loaded.Name
}

func bareSign(b *testing.B, t transport.TPM, key tpm2.TPMHandle, name tpm2.TPM2BName, digest []byte) {
	_, err := tpm2.Sign{KeyHandle: &tpm2.NamedHandle{Handle: key, Name: name}, Digest: tpm2.TPM2BDigest{Buffer: digest},
		InScheme: tpm2.TPMTSigScheme{Scheme: tpm2.TPMAlgECDSA,
			Details: tpm2.NewTPMUSigScheme(tpm2.TPMAlgECDSA, &tpm2.TPMSSchemeHash{HashAlg: tpm2.TPMAlgSHA256})},
		Validation: tpm2.TPMTTKHashCheck{Tag: tpm2.TPMSTHashCheck}}.Execute(t)
	without(b, err)
}

// BenchmarkProvision makes a key and signs a request with it.
func BenchmarkProvision(b *testing.B) {
	digest := sha256.Sum256([]byte("a request"))
	b.Run("bare", func(b *testing.B) {
		t, r := counting(b, tpmtest.Start(b))
		for b.Loop() {
			srk, key, name := bareKey(b, t)
			bareSign(b, t, key, name, digest[:])
			flush(t, key)
			flush(t, srk)
		}
		report(b, r)
	})
	for name, start := range map[string]func() string{
		"store": func() string { return tpmtest.Start(b) },
		"store, EK persistent": func() string {
			chip, _ := tpmtest.Prepared(b)
			return chip.Socket
		},
		"store, EK and SRK persistent": func() string {
			chip, _ := tpmtest.Prepared(b)
			persist(b, chip.Socket, srkTemplate())
			return chip.Socket
		},
	} {
		b.Run(name, func(b *testing.B) {
			socket, dir, r, n := start(), b.TempDir(), &recorder{}, 0
			for b.Loop() {
				s, err := newStore(Config{Path: socket, Curve: keystore.P256}, r.dial)
				without(b, err)
				n++
				k, err := s.Create(b.Context(), filepath.Join(dir, strconv.Itoa(n)))
				without(b, err)
				_, err = x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "machine-1"}}, k)
				without(b, err)
				without(b, k.Close())
				without(b, s.Close())
			}
			report(b, r)
		})
	}
}

// BenchmarkOpen reads a key file and loads the key, as at the start of the agent.
func BenchmarkOpen(b *testing.B) {
	socket, r := tpmtest.Start(b), &recorder{}
	path := newKeyPath(b)
	without(b, create(b, newTestStore(b, Config{Path: socket}), path).Close())
	for b.Loop() {
		s, err := newStore(Config{Path: socket, Curve: keystore.P256}, r.dial)
		without(b, err)
		k, err := s.Open(b.Context(), path)
		without(b, err)
		without(b, k.Close())
		without(b, s.Close())
	}
	report(b, r)
}

// BenchmarkSign is what a TLS handshake wants of the TPM.
func BenchmarkSign(b *testing.B) {
	digest := sha256.Sum256([]byte("a handshake"))
	b.Run("bare", func(b *testing.B) {
		t, r := counting(b, tpmtest.Start(b))
		_, key, name := bareKey(b, t)
		r.take()
		r.took = 0
		for b.Loop() {
			bareSign(b, t, key, name, digest[:])
		}
		report(b, r)
	})
	b.Run("store", func(b *testing.B) {
		s, r := newRecorded(b, Config{Path: tpmtest.Start(b)})
		k := create(b, s, newKeyPath(b))
		r.take()
		r.took = 0
		for b.Loop() {
			_, err := k.Sign(nil, digest[:], crypto.SHA256)
			without(b, err)
		}
		report(b, r)
	})
}
