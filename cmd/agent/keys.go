package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/mecha-org/mecha-agent/gateway"
	"github.com/mecha-org/mecha-agent/identity"
	"github.com/mecha-org/mecha-agent/keystore"
	"github.com/mecha-org/mecha-agent/keystore/choose"
	"github.com/mecha-org/mecha-agent/settings"
)

// keystores is the keystore of the settings' choice, in the words of the agent's
// other rooms.
type keystores struct{ *choose.Store }

// openKeystores decides where the machine's key lives, and says so in the log. A
// TPM that does not work is no error: the agent runs, and says what is wrong.
func openKeystores(c settings.Agent, log *slog.Logger) (keystores, error) {
	s, err := choose.New(choose.Config{Policy: c.Keystore.Backend, Device: c.Keystore.TPM, Curve: keystore.Curve(c.Keystore.Curve),
		Record: recordOf(c), Log: log})
	return keystores{s}, err
}

// ownKey is the key of the identity in use, for a command beside the agent.
type ownKey struct {
	keystore.Key
	keys keystores
}

// Close frees the key and its keystore.
func (k ownKey) Close() error { return errors.Join(k.Key.Close(), k.keys.Close()) }

// openOwnKey opens the key of the identity in use. It needs no lock: it reads.
func openOwnKey(ctx context.Context, c settings.Agent) (ownKey, error) {
	files, err := identity.Find(identityPaths(c.Provisioning.Paths))
	if err == nil && files.Key == "" {
		err = noKey
	}
	if err != nil {
		return ownKey{}, err
	}
	keys, err := openKeystores(c, slog.New(slog.DiscardHandler))
	if err != nil {
		return ownKey{}, fmt.Errorf("opening the keystore: %w", err)
	}
	k, err := keys.Open(ctx, files.Key)
	if err != nil {
		return ownKey{}, errors.Join(fmt.Errorf("opening this machine's key: %w", err), keys.Close())
	}
	return ownKey{k, keys}, nil
}

// usable returns why the machine's key cannot be used, when the settings say that
// the agent is to end then.
func (k keystores) usable(ctx context.Context, c settings.Keystore, id *identity.Store) error {
	if c.Trouble != "exit" {
		return nil
	}
	select {
	case <-k.Decided():
	case <-ctx.Done():
		return ctx.Err()
	}
	_, err := id.Load(ctx)
	if err == nil || errors.Is(err, identity.ErrNone) {
		err = k.Choice().Err
	}
	if err != nil {
		return fmt.Errorf("keystore.trouble is exit: %w", err)
	}
	return nil
}

// where returns the keystore and why it is that one, for status.
func (k keystores) where() (backend, reason string) {
	c := k.Choice()
	if c.Err != nil {
		return c.Backend, "it cannot be used" // trouble says why
	}
	return c.Backend, c.Why
}

// words is where for a small display.
func (k keystores) words() string {
	switch c := k.Choice(); {
	case c.Err != nil:
		return "Key cannot be used"
	case c.Backend == "":
		return "Waiting for the TPM"
	case c.Backend == choose.TPM:
		return "Key in the TPM"
	case c.Spare():
		return "Key on disk, no TPM"
	}
	return "Key on disk"
}

// trouble is what does not work of the keystore, a line each.
func (k keystores) trouble() []string {
	err := k.Choice().Err
	if err == nil {
		return nil
	}
	text := "keystore: " + err.Error()
	if hint := gateway.HintOf(err); hint != "" {
		text += " (" + hint + ")"
	}
	return []string{text}
}

// attester has the TPM speak for the key of the identity in the making.
type attester struct {
	keys keystores
	id   *identity.Store
}

// Identity implements provision.Attester.
func (a attester) Identity(ctx context.Context) (*gateway.TPMIdentity, error) {
	certs, ek, ak, err := a.keys.AttestIdentity(ctx)
	if errors.Is(err, choose.ErrNoTPM) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &gateway.TPMIdentity{EKCertificates: certs, EKPublic: ek, AKPublic: ak}, nil
}

// Prove implements provision.Attester. What is certified comes last: the TPM may
// forget the attestation key then.
func (a attester) Prove(ctx context.Context, c gateway.Challenge, csrDER []byte) (gateway.Evidence, error) {
	signer, err := a.id.Key(ctx)
	if err != nil {
		return gateway.Evidence{}, err
	}
	key, ok := signer.(keystore.Key)
	if !ok {
		return gateway.Evidence{}, fmt.Errorf("a key of type %T is in no TPM", signer)
	}
	activated, err := a.keys.Activate(ctx, c.Credential, c.Secret)
	if err != nil {
		return gateway.Evidence{}, err
	}
	qualifying := gateway.Qualifying(c.Nonce, csrDER)
	public, attest, signature, err := a.keys.Certify(ctx, key, qualifying[:])
	if err != nil {
		return gateway.Evidence{}, err
	}
	return gateway.Evidence{KeyPublic: public, Attest: attest, Signature: signature, Activated: activated}, nil
}
