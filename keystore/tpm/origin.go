package tpm

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/mecha-org/mecha-agent/keystore"
	"github.com/mecha-org/mecha-agent/keystore/internal/keyfile"
)

// OriginSuffix is put to the path of a key for the file that says which TPM made
// it. The file holds no secret. Without it (openssl makes none) the key works, and
// a TPM that was cleared is not told from one that was replaced.
const OriginSuffix = ".tpm"

// maxOrigin bounds what is read of such a file, in bytes.
const maxOrigin = 4 << 10

// origin is where a key comes from: Names (TCG TPM 2.0 Library, part 1, section
// 16) of the keys that stand for the TPM and its owner.
type origin struct {
	Key    name   `json:"key"`
	SRK    name   `json:"srk"`
	EK     name   `json:"ek,omitempty"`      // or the hash of its certificate; none: not known yet
	EKFrom string `json:"ek_from,omitempty"` // see chip.identify
}

// name is a Name, in hexadecimal in files.
type name []byte

// MarshalText implements encoding.TextMarshaler.
func (n name) MarshalText() ([]byte, error) { return []byte(hex.EncodeToString(n)), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (n *name) UnmarshalText(text []byte) (err error) {
	*n, err = hex.DecodeString(string(text))
	return err
}

func (o *origin) encode() ([]byte, error) {
	text, err := json.Marshal(o)
	if err != nil {
		return nil, fmt.Errorf("marshalling: %w", err)
	}
	return append(text, '\n'), nil
}

// readOrigin returns keystore.ErrNotExist when nothing is known.
func readOrigin(path string) (*origin, error) {
	text, err := keyfile.Read(path+OriginSuffix, maxOrigin)
	if err != nil {
		return nil, err
	}
	var o origin
	if err := json.Unmarshal(text, &o); err != nil || len(o.Key) == 0 || len(o.SRK) == 0 {
		return nil, fmt.Errorf("%w: %s", keystore.ErrDamaged, path+OriginSuffix)
	}
	return &o, nil
}

// removeOrigin removes what says where the key at path comes from; none is as good.
func removeOrigin(path string) error {
	if err := keyfile.Remove(path + OriginSuffix); err != nil && !errors.Is(err, keystore.ErrNotExist) {
		return err
	}
	return nil
}
