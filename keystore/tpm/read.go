package tpm

import (
	"crypto"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/mecha-org/mecha-agent/gateway"
	"github.com/mecha-org/mecha-agent/keystore"
	"github.com/mecha-org/mecha-agent/keystore/internal/keyfile"
)

// ReadInfo reads what the files of the key at path say of it: its public key, an
// *ecdsa.PublicKey, and its Info. It needs no TPM, so that it works while that is
// busy or gone, and does not say whether the TPM would load the key. Files are
// checked as Store.Open checks them, with its errors: keystore.ErrNotExist,
// keystore.ErrExposed, keystore.ErrDamaged, keystore.ErrWrongKind or ErrSwapped.
func ReadInfo(path string) (crypto.PublicKey, keystore.Info, error) {
	r, err := read(path, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, keystore.Info{}, fmt.Errorf("reading key: %w", err)
	}
	pub, info, err := r.describe(path)
	if err != nil {
		return nil, keystore.Info{}, fmt.Errorf("reading key: %w", err)
	}
	return pub, info, nil
}

// read reads the files of the key at path. What does not keep the key from working
// goes to log.
func read(path string, log *slog.Logger) (*resident, error) {
	text, err := keyfile.Read(path, maxKeyFile)
	if err != nil {
		return nil, err
	}
	r := &resident{}
	if r.blob, err = decode(text); err != nil {
		return nil, unfit(err, path)
	}
	if r.name, err = nameOf(r.blob.public); err != nil {
		return nil, unfit(fmt.Errorf("%w: %w", keystore.ErrDamaged, err), path)
	}
	switch r.origin, err = readOrigin(path); {
	case errors.Is(err, keystore.ErrNotExist):
	case err != nil: // it says nothing that can be trusted, and the key may work
		log.Warn("it is not known which TPM made the key", "key", path, "reason", err)
	case !slices.Equal(r.origin.Key, r.name.Buffer):
		return nil, keyfile.WithHint(fmt.Errorf("%s: %w", path, ErrSwapped),
			"restore the file from a backup; when it was replaced on purpose, remove "+keyfile.Quote(path+OriginSuffix))
	}
	if area, err := r.blob.public.Contents(); err == nil && !area.ObjectAttributes.NoDA {
		log.Warn("the key is protected against guessing: after some power cuts in use the TPM will lock it out", "key", path)
	}
	return r, nil
}

// unfit puts path and hint to an error of decode.
func unfit(err error, path string) error {
	if !errors.Is(err, keystore.ErrWrongKind) {
		return keyfile.Damaged(err, path)
	}
	hint := "make a new key: remove " + keyfile.Quote(path) + " and provision the machine anew"
	if other := (*blockError)(nil); errors.As(err, &other) && strings.HasSuffix(other.block, "PRIVATE KEY") {
		hint = "this key lies on the disk: set keystore.backend to disk, or make a new one in the TPM by provisioning the machine anew"
	}
	return keyfile.WithHint(fmt.Errorf("%s: %w", path, err), hint)
}

// describe says what is known of the key whose file is at path.
func (r *resident) describe(path string) (*ecdsa.PublicKey, keystore.Info, error) {
	area, err := r.blob.public.Contents()
	if err != nil {
		return nil, keystore.Info{}, err
	}
	pub, err := signer(area)
	if err != nil {
		return nil, keystore.Info{}, err
	}
	sum, err := gateway.Fingerprint(pub)
	if err != nil {
		return nil, keystore.Info{}, err
	}
	return pub, keystore.Info{
		Backend:     Backend,
		Curve:       keystore.Curve(pub.Curve.Params().Name),
		Fingerprint: sum,
		Path:        path,
	}, nil
}
