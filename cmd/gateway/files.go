package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/google/renameio/v2"

	"github.com/mecha-org/mecha-agent/cmd/internal/cli"
	"github.com/mecha-org/mecha-agent/gateway"
)

// The files in the data folder, beside database and CA.
const (
	adminKeyFile = "admin.key" // the API key of the first start, 0600
	rootFile     = "root.pem"  // the CA's root, for devices and operators
	lockFile     = "lock"      // held while a gateway runs on the folder
	databaseFile = "gateway.db"
	caFolder     = "ca"
)

// The environment's way to give an API key.
const (
	envKeyID     = "MECHA_GATEWAY_API_KEY_ID"
	envKeySecret = "MECHA_GATEWAY_API_KEY_SECRET" //nolint:gosec // the name, not the secret
)

// apiKey is the file of an API key.
type apiKey struct {
	ID     string `json:"id"`
	Secret string `json:"secret"`
}

// writeFile replaces a file so that a power cut leaves the old or the new one.
func writeFile(name string, data []byte, mode fs.FileMode) error {
	if err := renameio.WriteFile(name, data, mode, renameio.IgnoreUmask()); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(name)) // renameio syncs the file, not the folder
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}

// reserveFile makes an empty file for a secret that is still to come, and refuses
// a name that is taken.
func reserveFile(name string) error {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return cli.Usage(fmt.Errorf("writing the API key: %w", err), "name a file that does not exist yet")
	}
	if err != nil {
		return cli.Usage(fmt.Errorf("writing the API key: %w", err), "name a file in a folder that you can write to")
	}
	return f.Close()
}

func writeKeyFile(name, id string, secret gateway.Secret) error {
	data, err := json.Marshal(apiKey{id, secret.Reveal()})
	if err != nil {
		return err
	}
	return writeFile(name, append(data, '\n'), 0o600)
}

// readKeyFile refuses a file that others can read, as ssh does with its keys.
func readKeyFile(name string) (string, gateway.Secret, error) {
	refuse := func(hint string, err error) (string, gateway.Secret, error) {
		return "", "", cli.Usage(fmt.Errorf("reading the API key: %w", err), hint)
	}
	info, err := os.Stat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return refuse("give --key-file, or "+envKeyID+" and "+envKeySecret+"; the gateway's first start writes "+adminKeyFile+" in its data folder", err)
	case err != nil:
		return refuse("", err)
	case info.Mode().Perm()&0o077 != 0:
		return refuse("chmod 600 "+name, fmt.Errorf("%s: others can read it (mode %#o)", name, info.Mode().Perm()))
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return refuse("", err)
	}
	var k apiKey
	if json.Unmarshal(data, &k) != nil || k.ID == "" || k.Secret == "" { // its error could quote the secret
		return refuse(`it should hold {"id": "...", "secret": "..."}`, fmt.Errorf("%s: no API key in it", name))
	}
	return k.ID, gateway.Secret(k.Secret), nil
}

// lockData makes sure that one gateway at a time works on the folder. The lock
// goes with the process, however it ends.
func lockData(dir string) (release func(), err error) {
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("locking the data folder: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, cli.Fail(cli.ExitFailure, fmt.Errorf("locking the data folder %s: another gateway runs on it", dir),
				"stop the other gateway, or give this one its own --data")
		}
		return nil, fmt.Errorf("locking the data folder: %w", err)
	}
	return func() { f.Close() }, nil
}
