package ca

import (
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/mecha-org/mecha-agent/gateway"
)

// The files of a CA, in the order in which they are made.
const (
	rootKeyFile         = "root.key"
	rootFile            = "root.pem"
	rootCRLFile         = "root.crl"
	intermediateKeyFile = "intermediate.key"
	intermediateFile    = "intermediate.pem"
)

const (
	temporary = ".new" // behind a file's name while it is written

	pemKey  = "PRIVATE KEY" // PKCS#8, RFC 5958
	pemCert = "CERTIFICATE"
	pemCRL  = "X509 CRL" // RFC 7468, section 6

	keyMode  fs.FileMode = 0o600
	certMode fs.FileMode = 0o644 // of the root's revocation list as well
	dirMode  fs.FileMode = 0o700
	others   fs.FileMode = 0o077 // what a key and the folder do not have

	maxFile = 64 << 10 // bytes; a certificate has about 1,000

	restore = "restore the folder from its backup; a new CA would lock every machine out"
)

// dir is the folder of a CA.
type dir struct {
	path string
	// before is called before each step that changes the folder, in tests that
	// crash there; nil otherwise.
	before func(step string)
}

func (d dir) file(name string) string { return filepath.Join(d.path, name) }

func (d dir) step(format string, args ...any) {
	if d.before != nil {
		d.before(fmt.Sprintf(format, args...))
	}
}

// prepare makes the folder, or takes it away from others.
func (d dir) prepare() error {
	info, err := os.Stat(d.path)
	if errors.Is(err, fs.ErrNotExist) {
		d.step("mkdir")
		if err := os.MkdirAll(d.path, dirMode); err != nil {
			return err
		}
		return syncDir(filepath.Dir(d.path))
	}
	if err != nil {
		return err
	}
	if info.Mode().Perm()&others == 0 {
		return nil
	}
	entries, err := os.ReadDir(d.path)
	if err != nil {
		return err
	}
	if info.Mode().Perm()&0o022 != 0 && len(entries) > 0 {
		return hinted(fmt.Errorf("%w: %s has mode %04o", ErrExposed, d.path, info.Mode().Perm()),
			"see that nobody put a file there, then chmod 700 "+d.path)
	}
	d.step("chmod folder")
	return os.Chmod(d.path, dirMode)
}

// sweep removes what a crash left half written. The caller holds the lock.
func (d dir) sweep() error {
	for _, name := range []string{rootKeyFile, rootFile, rootCRLFile, intermediateKeyFile, intermediateFile} {
		d.step("remove %s", name+temporary)
		if err := os.Remove(d.file(name + temporary)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// write puts a file in place so that it is there whole or not at all, also when
// the power fails, and on stable storage before the next one is begun.
func (d dir) write(name, kind string, der []byte, perm fs.FileMode) (err error) {
	part, whole := d.file(name+temporary), d.file(name)
	d.step("create %s", name)
	f, err := os.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm)
	if err != nil {
		return err
	}
	err = func() error {
		d.step("write %s", name)
		if err := pem.Encode(f, &pem.Block{Type: kind, Bytes: der}); err != nil {
			return err
		}
		d.step("chmod %s", name) // whatever the umask
		if err := f.Chmod(perm); err != nil {
			return err
		}
		d.step("sync %s", name)
		return f.Sync()
	}()
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(part))
	}
	d.step("rename %s", name)
	if err := os.Rename(part, whole); err != nil {
		return err
	}
	d.step("sync folder after %s", name)
	return syncDir(d.path)
}

// read returns the DER of a file's only PEM block, nil when there is no file.
func (d dir) read(name, kind string) ([]byte, error) {
	info, err := os.Stat(d.file(name))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	case kind == pemKey && info.Mode().Perm()&others != 0:
		return nil, hinted(fmt.Errorf("%w: %s has mode %04o", ErrExposed, name, info.Mode().Perm()),
			"if nobody else can have read it: chmod 600 "+d.file(name))
	case !info.Mode().IsRegular() || info.Size() > maxFile:
		return nil, hinted(fmt.Errorf("%w: %s is no file of a CA", ErrDamaged, name), restore)
	}
	text, err := os.ReadFile(d.file(name))
	if err != nil {
		return nil, err
	}
	block, rest := pem.Decode(text)
	if block == nil || block.Type != kind || len(rest) != 0 {
		return nil, hinted(fmt.Errorf("%w: %s is not one PEM block %q", ErrDamaged, name, kind), restore)
	}
	return block.Bytes, nil
}

// key returns nil when there is no file.
func (d dir) key(name string) (*ecdsa.PrivateKey, error) {
	der, err := d.read(name, pemKey)
	if der == nil || err != nil {
		return nil, err
	}
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, hinted(fmt.Errorf("%w: %s: %w", ErrDamaged, name, err), restore)
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok || gateway.CheckKey(&key.PublicKey) != nil {
		return nil, hinted(fmt.Errorf("%w: %s is not an ECDSA key on P-256 or P-384", ErrDamaged, name), restore)
	}
	return key, nil
}

// certificate returns nil when there is no file.
func (d dir) certificate(name string) (*x509.Certificate, error) {
	der, err := d.read(name, pemCert)
	if der == nil || err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, hinted(fmt.Errorf("%w: %s: %w", ErrDamaged, name, err), restore)
	}
	if !cert.BasicConstraintsValid || !cert.IsCA || cert.KeyUsage&x509.KeyUsageCertSign == 0 {
		return nil, hinted(fmt.Errorf("%w: %s is not a CA's certificate", ErrDamaged, name), restore)
	}
	return cert, nil
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
