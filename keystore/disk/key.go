package disk

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/mecha-org/mecha-agent/gateway"
	"github.com/mecha-org/mecha-agent/keystore"
)

// key is a key at work. The pointer is nil after Close, so that Sign and Close
// may race without a lock.
type key struct {
	priv atomic.Pointer[ecdsa.PrivateKey]
	pub  *ecdsa.PublicKey
	info keystore.Info
}

func newKey(priv *ecdsa.PrivateKey, path string) (*key, error) {
	sum, err := gateway.Fingerprint(&priv.PublicKey)
	if err != nil {
		return nil, err
	}
	k := &key{pub: &priv.PublicKey, info: keystore.Info{
		Backend:     Backend,
		Curve:       keystore.Curve(priv.Curve.Params().Name),
		Fingerprint: sum,
		Path:        path,
	}}
	k.priv.Store(priv)
	return k, nil
}

// Public returns the *ecdsa.PublicKey, also after Close.
func (k *key) Public() crypto.PublicKey { return k.pub }

// Info returns what is known about the key.
func (k *key) Info() keystore.Info { return k.info }

// Sign signs a digest (ASN.1 DER, SEC 1 section C.8). It takes a hash function
// and a digest of its length and nothing else: crypto/ecdsa alone would sign any
// bytes, silently cut to the size of the curve.
func (k *key) Sign(random io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	if opts == nil || opts.HashFunc() == 0 {
		return nil, errors.New("signing: no hash function named; ECDSA signs digests only")
	}
	if want := opts.HashFunc().Size(); len(digest) != want {
		return nil, fmt.Errorf("signing: the digest has %d bytes, %s has %d", len(digest), opts.HashFunc(), want)
	}
	priv := k.priv.Load()
	if priv == nil {
		return nil, errors.New("signing: the key is closed")
	}
	if random == nil {
		random = rand.Reader
	}
	return priv.Sign(random, digest, opts)
}

// Close forgets the private part. A signature under way is finished.
func (k *key) Close() error {
	k.priv.Store(nil)
	return nil
}

var _ keystore.Key = (*key)(nil)
