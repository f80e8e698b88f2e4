package choose

import (
	"errors"
	"fmt"
	"strings"

	"github.com/mecha-org/mecha-agent/keystore"
	"github.com/mecha-org/mecha-agent/keystore/internal/keyfile"
)

// maxRecord bounds the record, in bytes.
const maxRecord = 1 << 10

// Recorded reads which keystore holds the machine's key, TPM or Disk, and why it was
// chosen, in words, from the file at path (Config.Record). Both are "" when none was
// chosen yet. Errors are keystore.ErrExposed, keystore.ErrDamaged and those of the
// file system.
func Recorded(path string) (backend, why string, err error) {
	dir, err := keyfile.Open(path)
	if errors.Is(err, keystore.ErrNotExist) {
		return "", "", nil
	}
	if err != nil {
		return "", "", err
	}
	defer dir.Close()
	text, err := dir.Read(maxRecord)
	backend, why, _ = strings.Cut(strings.TrimSpace(string(text)), "\n")
	switch {
	case errors.Is(err, keystore.ErrNotExist):
		return "", "", nil
	case err != nil:
		return "", "", fmt.Errorf("reading which keystore was chosen: %w", err)
	case backend == TPM || backend == Disk:
		return backend, why, nil
	}
	return "", "", keyfile.WithHint(
		fmt.Errorf("%w: %s does not say which keystore was chosen", keystore.ErrDamaged, path),
		"write "+TPM+" into it if the machine's key is in a TPM, else "+Disk)
}

// record puts down the choice, on stable storage: a line for the keystore, one for
// the reason.
func (s *Store) record(c Choice) error {
	dir, err := keyfile.Open(s.c.Record)
	if err != nil {
		return err
	}
	defer dir.Close()
	why := strings.ToValidUTF8(strings.Join(strings.Fields(c.Why), " "), "")
	return dir.Install([]byte(c.Backend + "\n" + why[:min(len(why), maxRecord/2)] + "\n"))
}

// forget takes the record away again.
func (s *Store) forget() error {
	dir, err := keyfile.Open(s.c.Record)
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Remove()
}
