package tpm

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
	"math/big"
	"sync/atomic"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"github.com/mecha-org/mecha-agent/keystore"
)

// key is a key of a Store at work.
type key struct {
	store  *Store
	r      *resident
	pub    *ecdsa.PublicKey
	info   keystore.Info
	closed atomic.Bool
	signed atomic.Uint64 // how often
}

func (s *Store) key(r *resident, path string) (*key, error) {
	pub, info, err := r.describe(path)
	if err != nil {
		return nil, err
	}
	return &key{store: s, r: r, pub: pub, info: info}, nil
}

// Public returns the *ecdsa.PublicKey, also after Close.
func (k *key) Public() crypto.PublicKey { return k.pub }

// Info returns what is known about the key.
func (k *key) Info() keystore.Info { return k.info }

var errKeyClosed = errors.New("the key is closed")

// Sign signs a SHA-256, SHA-384 or SHA-512 digest (ASN.1 DER, SEC 1 section C.8),
// whichever of them the TPM has. The TPM brings its own randomness. On a key that
// is loaded it is one command, TPM2_Sign; with the second signature of a new key it
// is found out which TPM made it, if that is not known. It returns within
// CommandTimeout.
func (k *key) Sign(_ io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	signature, err := k.sign(digest, opts)
	if err != nil {
		return nil, fmt.Errorf("signing with TPM %s: %w", k.store.chip.path, err)
	}
	return signature, nil
}

func (k *key) sign(digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	if opts == nil || opts.HashFunc() == 0 {
		return nil, errors.New("no hash function named; ECDSA signs digests only")
	}
	alg, ok := hashes[opts.HashFunc()]
	if !ok {
		return nil, fmt.Errorf("%s is not for a TPM's signatures", opts.HashFunc())
	}
	if want := opts.HashFunc().Size(); len(digest) != want {
		return nil, fmt.Errorf("the digest has %d bytes, %s has %d", len(digest), opts.HashFunc(), want)
	}
	ctx, cancel := context.WithTimeout(context.Background(), CommandTimeout)
	defer cancel()
	var r *tpm2.SignResponse
	err := k.store.do(ctx, func(t transport.TPM) error {
		if k.closed.Load() {
			return errKeyClosed
		}
		k.store.chip.tire(t)
		session, err := k.store.chip.load(t, k.r)
		if err != nil {
			return err
		}
		r, err = tpm2.Sign{
			KeyHandle: tpm2.AuthHandle{Handle: k.r.handle, Name: k.r.name, Auth: session},
			Digest:    tpm2.TPM2BDigest{Buffer: digest},
			InScheme: tpm2.TPMTSigScheme{Scheme: tpm2.TPMAlgECDSA,
				Details: tpm2.NewTPMUSigScheme(tpm2.TPMAlgECDSA, &tpm2.TPMSSchemeHash{HashAlg: alg})},
			Validation: tpm2.TPMTTKHashCheck{Tag: tpm2.TPMSTHashCheck},
		}.Execute(t)
		return err
	})
	if err != nil {
		return nil, err
	}
	if k.signed.Add(1) == 2 {
		k.store.remember(ctx)
	}
	pair, err := r.Signature.Signature.ECDSA()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrGarbage, err)
	}
	return asn1.Marshal(struct{ R, S *big.Int }{
		new(big.Int).SetBytes(pair.SignatureR.Buffer), new(big.Int).SetBytes(pair.SignatureS.Buffer)})
}

// Close takes the key out of the TPM. A signature under way is finished. It waits
// for a TPM that hangs no longer than two seconds.
func (k *key) Close() error {
	if k.closed.Swap(true) {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	s := k.store
	select {
	case <-s.turn:
		defer func() { s.turn <- struct{}{} }()
	case <-s.ctx.Done():
		return nil
	case <-ctx.Done():
		return nil // its Store takes it away
	}
	if s.chip.conn != nil && !s.chip.doubtful {
		s.chip.unload(bounded{ctx, s.chip.conn}, k.r)
	}
	return nil
}

var _ keystore.Key = (*key)(nil)
