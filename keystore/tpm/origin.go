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
	EK     name   `json:"ek,omitempty"`
	EKFrom string `json:"ek_from,omitempty"` // see chip.endorsement
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

// put writes the origin of the key at path, in place of one that a key which is
// gone left behind. The key's own file syncs the folder.
func (o *origin) put(path string) error {
	text, err := json.Marshal(o)
	if err != nil {
		return err
	}
	dir, err := keyfile.Open(path + OriginSuffix)
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := dir.Remove(); err != nil && !errors.Is(err, keystore.ErrNotExist) {
		return err
	}
	return dir.Put(append(text, '\n'))
}

// readOrigin returns keystore.ErrNotExist when nothing is known.
func readOrigin(path string) (*origin, error) {
	dir, err := keyfile.Open(path + OriginSuffix)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	text, err := dir.Read(maxOrigin)
	if err != nil {
		return nil, err
	}
	var o origin
	if err := json.Unmarshal(text, &o); err != nil || len(o.Key) == 0 || len(o.SRK) == 0 {
		return nil, fmt.Errorf("%w: %s", keystore.ErrDamaged, path+OriginSuffix)
	}
	return &o, nil
}

// removeOrigin removes what install wrote; none is as good.
func removeOrigin(path string) error {
	dir, err := keyfile.Open(path + OriginSuffix)
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := dir.Remove(); err != nil && !errors.Is(err, keystore.ErrNotExist) {
		return err
	}
	return nil
}
