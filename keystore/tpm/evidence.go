package tpm

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"github.com/mecha-org/mecha-agent/keystore"
)

// akTemplate is the attestation key: it signs what the TPM itself says and nothing
// else. It is a primary key of the endorsement hierarchy, so that nothing has to
// be stored: the same template makes the same key. The unique field keeps it apart
// from other programs' keys.
func akTemplate() tpm2.TPMTPublic {
	unique := sha256.Sum256([]byte("mecha-agent attestation key"))
	return tpm2.TPMTPublic{
		Type:    tpm2.TPMAlgECC,
		NameAlg: tpm2.TPMAlgSHA256,
		ObjectAttributes: tpm2.TPMAObject{FixedTPM: true, FixedParent: true, SensitiveDataOrigin: true,
			UserWithAuth: true, NoDA: true, Restricted: true, SignEncrypt: true},
		Parameters: tpm2.NewTPMUPublicParms(tpm2.TPMAlgECC, &tpm2.TPMSECCParms{
			Scheme: tpm2.TPMTECCScheme{Scheme: tpm2.TPMAlgECDSA,
				Details: tpm2.NewTPMUAsymScheme(tpm2.TPMAlgECDSA, &tpm2.TPMSSigSchemeECDSA{HashAlg: tpm2.TPMAlgSHA256})},
			CurveID: tpm2.TPMECCNistP256,
		}),
		Unique: tpm2.NewTPMUPublicID(tpm2.TPMAlgECC, &tpm2.TPMSECCPoint{X: tpm2.TPM2BECCParameter{Buffer: unique[:]}}),
	}
}

// attestationKey makes the AK, or returns it when it is still there: making it
// takes as long as making a key, and evidence needs it three times.
func (c *chip) attestationKey(t transport.TPM) (*object, error) {
	if c.ak != nil {
		return c.ak, nil
	}
	ak, err := c.primary(t, akTemplate())
	if err != nil {
		return nil, fmt.Errorf("making the attestation key: %w", err)
	}
	c.ak = ak
	return ak, nil
}

// spare gives back the parent's place, for the endorsement key (a persistent one
// takes a place too while it is used) and the attestation key beside a key that is
// loaded: a TPM has three places at the least (TCG PC Client Platform TPM Profile,
// TPM_PT_HR_TRANSIENT_MIN). The parent is made anew when another key is to be
// loaded.
func (c *chip) spare(t transport.TPM) {
	if c.session == nil || len(c.loaded) != 1 {
		return
	}
	for h, p := range c.parents {
		if p.transient {
			flush(t, p.handle)
			delete(c.parents, h)
		}
	}
}

// evidenceSignatures are those that may be made while evidence is under way:
// a request's, and one for a connection.
const evidenceSignatures = 2

// tire lets go of what evidence needs when more signatures are made than go with
// it: the gateway did not ask for any.
func (c *chip) tire(t transport.TPM) {
	if c.since++; c.since > evidenceSignatures {
		c.dropEK(t)
		c.dropAK(t)
	}
}

func (c *chip) dropAK(t transport.TPM) {
	if c.ak != nil {
		c.ak.free(t)
		c.ak = nil
	}
}

// AttestIdentity implements keystore.Attester. The EK is the one that the TPM's
// maker certifies, where there is one; ErrEndorsementAuth says that it cannot be
// had.
func (s *Store) AttestIdentity(ctx context.Context) (ekCerts [][]byte, ekPublic, akPublic []byte, err error) {
	err = s.do(ctx, func(t transport.TPM) error {
		s.chip.since = 0
		if err := s.chip.findEK(t); err != nil {
			return err
		}
		ekCerts, ekPublic = s.chip.ek.certificates, s.chip.ek.public.Bytes()
		return nil
	})
	// Files take their time, and so does the next key. A TPM may show its certificate
	// alone, so this is done after an error too.
	var files sync.WaitGroup
	files.Go(func() { s.remember(ctx) })
	if err == nil {
		err = s.do(ctx, func(t transport.TPM) error {
			ak, err := s.chip.attestationKey(t)
			if err != nil {
				return err
			}
			akPublic = ak.public.Bytes()
			return nil
		})
	}
	files.Wait()
	if err != nil {
		return nil, nil, nil, fmt.Errorf("identity of TPM %s: %w", s.chip.path, err)
	}
	return ekCerts, ekPublic, akPublic, nil
}

// Activate implements keystore.Attester. A credential for another TPM, or for
// another AK, gives a code of the TPM (integrity, 0x1df).
func (s *Store) Activate(ctx context.Context, credential, secret []byte) ([]byte, error) {
	content, err := s.activate(ctx, credential, secret)
	if err != nil {
		return nil, fmt.Errorf("activating a credential in TPM %s: %w", s.chip.path, err)
	}
	return content, nil
}

func (s *Store) activate(ctx context.Context, credential, secret []byte) (content []byte, err error) {
	id, err := tpm2.Unmarshal[tpm2.TPM2BIDObject](credential)
	if err != nil {
		return nil, fmt.Errorf("no TPM2B_ID_OBJECT: %w", err)
	}
	seed, err := tpm2.Unmarshal[tpm2.TPM2BEncryptedSecret](secret)
	if err != nil {
		return nil, fmt.Errorf("no TPM2B_ENCRYPTED_SECRET: %w", err)
	}
	err = s.do(ctx, func(t transport.TPM) (err error) {
		c := s.chip
		c.since = 0
		if c.ek == nil {
			if err := c.findEK(t); err != nil {
				return err
			}
		}
		ak, err := c.attestationKey(t)
		if err != nil {
			return err
		}
		// The session is bound to Names: a handle that means another key by now is
		// found out.
		session := c.session
		if session == nil {
			p, _, err := c.newParent(t)
			if err != nil {
				return err
			}
			if session, err = c.auth(t, p); err != nil {
				return err
			}
		}
		k := c.ek.loaded
		if k == nil {
			if k, err = c.loadEK(t, c.ek); err != nil {
				return err
			}
			c.ek.loaded = k
		}
		if c.ak != ak {
			return tpm2.TPMRCObjectMemory // less than three places
		}
		var r *tpm2.ActivateCredentialResponse
		err = c.room(t, func() error {
			auth, err := ekAuth(k)
			if err != nil {
				return err
			}
			r, err = tpm2.ActivateCredential{
				ActivateHandle: tpm2.AuthHandle{Handle: ak.handle, Name: ak.name, Auth: session},
				KeyHandle:      tpm2.AuthHandle{Handle: k.handle, Name: k.name, Auth: auth},
				CredentialBlob: *id, Secret: *seed,
			}.Execute(t)
			return err
		})
		if err != nil {
			return err
		}
		content = r.CertInfo.Buffer
		c.dropEK(t)
		return nil
	})
	return content, err
}

// ekAuth returns what the endorsement key wants before it is used: its empty
// password, or by the policy of the L templates the one of its hierarchy.
func ekAuth(k *object) (tpm2.Session, error) {
	area, err := k.public.Contents()
	if err != nil {
		return nil, err
	}
	if area.ObjectAttributes.UserWithAuth {
		return tpm2.PasswordAuth(nil), nil
	}
	return tpm2.Policy(area.NameAlg, 16, tpm2.PolicyCallback(
		func(t transport.TPM, session tpm2.TPMISHPolicy, nonce tpm2.TPM2BNonce) error {
			_, err := tpm2.PolicySecret{AuthHandle: tpm2.TPMRHEndorsement, PolicySession: session, NonceTPM: nonce}.Execute(t)
			if errors.Is(err, tpm2.TPMRCBadAuth) {
				return fmt.Errorf("%w: %w", ErrEndorsementAuth, err)
			}
			return err
		})), nil
}

// Certify implements keystore.Attester for keys of this Store. The AK leaves the
// TPM with it: evidence needs it no more.
func (s *Store) Certify(ctx context.Context, k keystore.Key, qualifying []byte) (keyPublic, attest, signature []byte, err error) {
	keyPublic, attest, signature, err = s.certify(ctx, k, qualifying)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("certifying a key with TPM %s: %w", s.chip.path, err)
	}
	return keyPublic, attest, signature, nil
}

// maxQualifying is what the least of TPMs takes, in bytes.
const maxQualifying = 32

func (s *Store) certify(ctx context.Context, k keystore.Key, qualifying []byte) (keyPublic, attest, signature []byte, err error) {
	ours, ok := k.(*key)
	if !ok || ours.store != s {
		return nil, nil, nil, errors.New("the key is of another keystore")
	}
	if len(qualifying) > maxQualifying {
		return nil, nil, nil, fmt.Errorf("%d bytes of qualifying data, want at most %d", len(qualifying), maxQualifying)
	}
	var r *tpm2.CertifyResponse
	err = s.do(ctx, func(t transport.TPM) error {
		if ours.closed.Load() {
			return errKeyClosed
		}
		c := s.chip
		if _, err := c.load(t, ours.r); err != nil {
			return err
		}
		ak, err := c.attestationKey(t)
		if err != nil {
			return err
		}
		session, err := c.load(t, ours.r) // again, if the AK took its place
		if err != nil {
			return err
		}
		if c.ak != ak {
			return tpm2.TPMRCObjectMemory // less than three places
		}
		r, err = tpm2.Certify{
			ObjectHandle:   tpm2.AuthHandle{Handle: ours.r.handle, Name: ours.r.name, Auth: session},
			SignHandle:     tpm2.AuthHandle{Handle: ak.handle, Name: ak.name, Auth: tpm2.PasswordAuth(nil)},
			QualifyingData: tpm2.TPM2BData{Buffer: qualifying},
			InScheme:       tpm2.TPMTSigScheme{Scheme: tpm2.TPMAlgNull},
		}.Execute(t)
		if err != nil {
			return err
		}
		c.dropAK(t)
		return nil
	})
	if err != nil {
		return nil, nil, nil, err
	}
	return ours.r.blob.public.Bytes(), r.CertifyInfo.Bytes(), tpm2.Marshal(r.Signature), nil
}

var _ keystore.Attester = (*Store)(nil)
