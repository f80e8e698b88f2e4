package tpm

import (
	"crypto"
	"crypto/sha256"
	"path/filepath"
	"strconv"
	"testing"

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

// BenchmarkProvision makes a key and signs a request with it; the other figures are
// held against the bare sequences (bare_test.go), each on the same TPM.
func BenchmarkProvision(b *testing.B) {
	digest := sha256.Sum256([]byte("a request"))
	b.Run("shortest", func(b *testing.B) {
		t, r := counting(b, tpmtest.Start(b))
		for b.Loop() {
			srk, key, name := bareKey(b, t)
			bareSign(b, t, key, name, digest[:])
			flush(t, key)
			flush(t, srk)
		}
		report(b, r)
	})
	for _, c := range chips {
		b.Run("bare, "+c.name, func(b *testing.B) {
			t, r := counting(b, c.start(b).Socket)
			dir, n := b.TempDir(), 0
			for b.Loop() {
				n++
				j := newBare(b, t, c.srk, filepath.Join(dir, strconv.Itoa(n)))
				request(b, j)
				j.close()
			}
			report(b, r)
		})
		b.Run("store, "+c.name, func(b *testing.B) {
			socket, dir, r, n := c.start(b).Socket, b.TempDir(), &recorder{}, 0
			for b.Loop() {
				n++
				s, err := newStore(Config{Path: socket, Curve: keystore.P256}, r.dial)
				without(b, err)
				k, err := s.Create(b.Context(), filepath.Join(dir, strconv.Itoa(n)))
				without(b, err)
				request(b, k)
				without(b, k.Close())
				without(b, s.Close())
			}
			report(b, r)
		})
	}
}

// BenchmarkEvidence is BenchmarkProvision with the proof that the key is in the TPM.
func BenchmarkEvidence(b *testing.B) {
	qualifying := sha256.Sum256([]byte("nonce and request"))
	for _, c := range chips {
		// Primary keys are the same each time, and so is what a gateway makes for them.
		challenge := func(socket string) (credential, secret []byte) {
			s := newTestStore(b, Config{Path: socket})
			_, ek, ak, err := s.AttestIdentity(b.Context())
			without(b, err)
			without(b, s.Close())
			return seal(b, ek, ak, qualifying[:])
		}
		b.Run("bare, "+c.name, func(b *testing.B) {
			socket := c.start(b).Socket
			credential, secret := challenge(socket)
			t, r := counting(b, socket)
			dir, n := b.TempDir(), 0
			for b.Loop() {
				n++
				j := newBare(b, t, c.srk, filepath.Join(dir, strconv.Itoa(n)))
				request(b, j)
				j.evidence(c.ek, credential, secret, qualifying[:])
				j.close()
			}
			report(b, r)
		})
		b.Run("store, "+c.name, func(b *testing.B) {
			socket := c.start(b).Socket
			credential, secret := challenge(socket)
			dir, r, n := b.TempDir(), &recorder{}, 0
			for b.Loop() {
				n++
				s, err := newStore(Config{Path: socket, Curve: keystore.P256}, r.dial)
				without(b, err)
				k, err := s.Create(b.Context(), filepath.Join(dir, strconv.Itoa(n)))
				without(b, err)
				request(b, k)
				_, _, _, err = s.AttestIdentity(b.Context())
				without(b, err)
				_, err = s.Activate(b.Context(), credential, secret)
				without(b, err)
				_, _, _, err = s.Certify(b.Context(), k, qualifying[:])
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
	used(b, newTestStore(b, Config{Path: socket}), path)
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
	measure := func(b *testing.B, r *recorder, sign func() error) {
		r.take()
		r.took = 0
		for b.Loop() {
			without(b, sign())
		}
		report(b, r)
	}
	b.Run("shortest", func(b *testing.B) {
		t, r := counting(b, tpmtest.Start(b))
		_, key, name := bareKey(b, t)
		measure(b, r, func() error { bareSign(b, t, key, name, digest[:]); return nil })
	})
	b.Run("bare", func(b *testing.B) {
		t, r := counting(b, tpmtest.Start(b))
		j := newBare(b, t, false, newKeyPath(b))
		measure(b, r, func() error { _, err := j.Sign(nil, digest[:], crypto.SHA256); return err })
	})
	b.Run("store", func(b *testing.B) {
		s, r := newRecorded(b, Config{Path: tpmtest.Start(b)})
		k := create(b, s, newKeyPath(b))
		sign(b, k)
		sign(b, k)
		measure(b, r, func() error { _, err := k.Sign(nil, digest[:], crypto.SHA256); return err })
	})
}
