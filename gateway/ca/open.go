package ca

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"net/url"
	"sync/atomic"
	"time"
)

// DefaultValidity is how long a machine certificate is valid when Options say
// nothing. Machines renew at two thirds of it, so that one that was switched
// off for four months still comes back by itself.
const DefaultValidity = 365 * 24 * time.Hour

// Options of a CA. The zero value is a usable one.
type Options struct {
	Name     string           // organisation in every subject, 1 to 46 printable characters, default "Mecha"
	Validity time.Duration    // of machine certificates, at least a minute, default DefaultValidity
	Now      func() time.Time // when root and intermediate are made, default time.Now
	// CRLURL is where machines' certificates say that the revocation list is, and
	// RootCRLURL where the intermediate's says that the root's is. Absolute http
	// URLs: with https, whoever fetches the list could need it in order to fetch it
	// (RFC 5280, section 8). Empty: the certificates say nothing. RootCRLURL counts
	// when the intermediate is made.
	CRLURL, RootCRLURL string
}

func (o Options) check() (Options, error) {
	if o.Name == "" {
		o.Name = "Mecha"
	}
	if o.Validity == 0 {
		o.Validity = DefaultValidity
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if err := checkOrganisation(o.Name); err != nil {
		return o, err
	}
	if o.Validity < time.Minute {
		return o, fmt.Errorf("a validity of %v is below a minute", o.Validity)
	}
	for _, text := range []string{o.CRLURL, o.RootCRLURL} {
		if text == "" {
			continue
		}
		if u, err := url.Parse(text); err != nil || u.Host == "" || u.Scheme != "http" {
			return o, fmt.Errorf("the URL of a revocation list, %q, is no http URL", text)
		}
	}
	return o, nil
}

// Local is an Authority whose keys are files. It is safe for concurrent use.
type Local struct {
	options      Options
	root         *x509.Certificate
	rootCRL      []byte // DER, nil when there is none
	intermediate *x509.Certificate
	key          *ecdsa.PrivateKey // of the intermediate
	crlNumber    atomic.Int64      // of the newest revocation list
}

var _ Authority = (*Local)(nil)

// Open opens the CA in the folder dir, and makes it there on the first start:
// root.key, root.pem, root.crl, intermediate.key, intermediate.pem, in this
// order, each whole and on stable storage before the next. A start that was cut
// short at any point is taken up where it stopped, and what is there is never
// replaced.
//
// root.key signs the intermediate and the root's revocation list (see RootCRL),
// and nothing else. Once intermediate.pem is there, root.key may be moved to a
// place without network, and Open does without.
//
// The error wraps ErrExposed, ErrMissing, ErrDamaged, ErrMismatch or ErrBusy
// where one of them says it, and carries a hint.
func Open(path string, o Options) (*Local, error) {
	l, err := open(dir{path: path}, o)
	if err != nil {
		return nil, fmt.Errorf("opening CA in %s: %w", path, err)
	}
	return l, nil
}

func open(d dir, o Options) (*Local, error) {
	o, err := o.check()
	if err != nil {
		return nil, err
	}
	if d.path == "" {
		return nil, errors.New("no folder given")
	}
	if err := d.prepare(); err != nil {
		return nil, err
	}
	unlock, err := d.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := d.sweep(); err != nil {
		return nil, err
	}
	l := &Local{options: o}
	var rootKey *ecdsa.PrivateKey
	if l.root, rootKey, err = d.openRoot(o); err != nil {
		return nil, err
	}
	if l.rootCRL, err = d.openRootCRL(l.root, rootKey, o.Now()); err != nil {
		return nil, err
	}
	if l.intermediate, l.key, err = d.openIntermediate(o, l.root, rootKey); err != nil {
		return nil, err
	}
	return l, nil
}

// openRoot returns the root, made if need be, and its key, nil when it is kept
// elsewhere.
func (d dir) openRoot(o Options) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	key, err := d.key(rootKeyFile)
	if err != nil {
		return nil, nil, err
	}
	root, err := d.certificate(rootFile)
	if err != nil {
		return nil, nil, err
	}
	if root != nil {
		if err := root.CheckSignatureFrom(root); err != nil {
			return nil, nil, hinted(fmt.Errorf("%w: %s has not signed itself: %w", ErrDamaged, rootFile, err), restore)
		}
		return root, key, matches(rootFile, root, rootKeyFile, key)
	}

	// No crash leaves what follows the root without the root.
	for name, kind := range map[string]string{rootCRLFile: pemCRL, intermediateFile: pemCert, intermediateKeyFile: pemKey} {
		if there, err := d.read(name, kind); err != nil {
			return nil, nil, err
		} else if there != nil {
			return nil, nil, hinted(fmt.Errorf("%w: %s is there and %s is not", ErrMissing, name, rootFile), restore)
		}
	}
	if err := checkClock(o.Now()); err != nil {
		return nil, nil, err
	}
	if key == nil { // else a crash came between the key and the certificate
		if key, err = d.newKey(rootKeyFile, elliptic.P384()); err != nil {
			return nil, nil, err
		}
	}
	template, err := rootTemplate(o.Name, &key.PublicKey, o.Now())
	if err != nil {
		return nil, nil, err
	}
	root, err = d.newCertificate(rootFile, template, template, key, key)
	return root, key, err
}

// written is when this was written. No clock that is right shows an earlier time.
var written = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// checkClock refuses to begin a CA on a machine that has not been told the time:
// what it makes would end ten and twenty years after 1970, for good.
func checkClock(now time.Time) error {
	if now.Before(written) {
		return hinted(fmt.Errorf("%w: it says %s", ErrClock, now.UTC().Format(time.RFC3339)),
			"set the time, or wait until it is synchronised, and start again")
	}
	return nil
}

// openIntermediate is openRoot for the intermediate, whose key must be there.
func (d dir) openIntermediate(o Options, root *x509.Certificate, rootKey *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	key, err := d.key(intermediateKeyFile)
	if err != nil {
		return nil, nil, err
	}
	cert, err := d.certificate(intermediateFile)
	if err != nil {
		return nil, nil, err
	}
	if cert != nil {
		if err := cert.CheckSignatureFrom(root); err != nil {
			return nil, nil, hinted(fmt.Errorf("%w: %s is not signed by %s: %w", ErrMismatch, intermediateFile, rootFile, err), restore)
		}
		if key == nil {
			return nil, nil, hinted(fmt.Errorf("%w: %s is there and %s is not", ErrMissing, intermediateFile, intermediateKeyFile),
				"restore "+intermediateKeyFile+", or move "+intermediateFile+" away and bring "+rootKeyFile+" back: a new intermediate is made then, under the same root")
		}
		return cert, key, matches(intermediateFile, cert, intermediateKeyFile, key)
	}

	if rootKey == nil {
		return nil, nil, hinted(fmt.Errorf("%w: %s, and %s that would make it", ErrMissing, intermediateFile, rootKeyFile),
			"bring "+rootKeyFile+" or "+intermediateFile+" back into "+d.path)
	}
	if err := checkClock(o.Now()); err != nil {
		return nil, nil, err
	}
	if key == nil {
		// P-256: its signatures are the gateway's main work, and cost a tenth.
		if key, err = d.newKey(intermediateKeyFile, elliptic.P256()); err != nil {
			return nil, nil, err
		}
	}
	template, err := intermediateTemplate(o, root, &key.PublicKey)
	if err != nil {
		return nil, nil, err
	}
	cert, err = d.newCertificate(intermediateFile, template, root, key, rootKey)
	return cert, key, err
}

// matches checks that a key, when there is one, is the certificate's.
func matches(certName string, cert *x509.Certificate, keyName string, key *ecdsa.PrivateKey) error {
	if key == nil || key.PublicKey.Equal(cert.PublicKey) {
		return nil
	}
	return hinted(fmt.Errorf("%w: %s is not the key of %s", ErrMismatch, keyName, certName), restore)
}

func (d dir) newKey(name string, curve elliptic.Curve) (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making %s: %w", name, err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("making %s: %w", name, err)
	}
	if err := d.write(name, pemKey, der, keyMode); err != nil {
		return nil, fmt.Errorf("making %s: %w", name, err)
	}
	return key, nil
}

func (d dir) newCertificate(name string, template, parent *x509.Certificate, key, signer *ecdsa.PrivateKey) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		return nil, fmt.Errorf("making %s: %w", name, err)
	}
	if err := d.write(name, pemCert, der, certMode); err != nil {
		return nil, fmt.Errorf("making %s: %w", name, err)
	}
	return x509.ParseCertificate(der)
}

// Chain implements Authority.
func (l *Local) Chain() ([]*x509.Certificate, *x509.Certificate) {
	return []*x509.Certificate{l.intermediate}, l.root
}

// Validity implements Authority.
func (l *Local) Validity() time.Duration { return l.options.Validity }

// RootFingerprint returns the SHA-256 of the root's DER in lower-case hex: what
// a device pins as provisioning.root_fingerprint.
func (l *Local) RootFingerprint() string {
	sum := sha256.Sum256(l.root.Raw)
	return hex.EncodeToString(sum[:])
}

// RootPEM returns the root as PEM.
func (l *Local) RootPEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: pemCert, Bytes: l.root.Raw})
}
