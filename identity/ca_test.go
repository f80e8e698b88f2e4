package identity

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/mecha-org/mecha-agent/gateway"
	"github.com/mecha-org/mecha-agent/keystore"
	"github.com/mecha-org/mecha-agent/keystore/disk"
)

// noon is the present of these tests.
var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// authority is a certificate with its key.
type authority struct {
	cert *x509.Certificate
	key  crypto.Signer
}

func newECKey(t testing.TB, c elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(c, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// sign makes a certificate for pub. A nil parent: self-signed by key.
func sign(t testing.TB, template *x509.Certificate, parent *authority, pub crypto.PublicKey, key crypto.Signer) *x509.Certificate {
	t.Helper()
	if template.SerialNumber == nil {
		serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
		if err != nil {
			t.Fatal(err)
		}
		template.SerialNumber = serial
	}
	issuer := template
	if parent != nil {
		issuer, key = parent.cert, parent.key
	}
	// Without a source of randomness the signature is that of RFC 6979: always the
	// same, as a fuzz target needs it.
	der, err := x509.CreateCertificate(nil, template, issuer, pub, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// newAuthority makes a CA below parent, or a root when that is nil.
func newAuthority(t testing.TB, name string, parent *authority, change ...func(*x509.Certificate)) *authority {
	t.Helper()
	return authorityOf(t, newECKey(t, elliptic.P256()), name, parent, change...)
}

func authorityOf(t testing.TB, key *ecdsa.PrivateKey, name string, parent *authority, change ...func(*x509.Certificate)) *authority {
	t.Helper()
	template := &x509.Certificate{
		Subject:   pkix.Name{CommonName: name},
		NotBefore: noon.Add(-24 * time.Hour), NotAfter: noon.Add(10 * 365 * 24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	for _, f := range change {
		f(template)
	}
	return &authority{sign(t, template, parent, &key.PublicKey, key), key}
}

// machine makes a machine's certificate.
func machine(t testing.TB, id string, parent *authority, pub crypto.PublicKey, change ...func(*x509.Certificate)) *x509.Certificate {
	t.Helper()
	template := &x509.Certificate{
		Subject:   pkix.Name{CommonName: id},
		NotBefore: noon.Add(-time.Minute), NotAfter: noon.Add(90 * 24 * time.Hour),
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	for _, f := range change {
		f(template)
	}
	return sign(t, template, parent, pub, nil)
}

// pki is a root and one intermediate below it.
type pki struct{ root, mid *authority }

func newPKI(t testing.TB) pki {
	t.Helper()
	root := newAuthority(t, "test root", nil)
	return pki{root, newAuthority(t, "test intermediate", root)}
}

// fixed returns a PKI, a machine's key and its certificate that are the same in
// every process.
func fixed(t testing.TB) (pki, *ecdsa.PrivateKey, *x509.Certificate) {
	t.Helper()
	var keys [3]*ecdsa.PrivateKey
	for i := range keys {
		scalar := make([]byte, 32)
		scalar[31] = byte(i + 1)
		var err error
		if keys[i], err = ecdsa.ParseRawPrivateKey(elliptic.P256(), scalar); err != nil {
			t.Fatal(err)
		}
	}
	serial := func(c *x509.Certificate) { c.SerialNumber = big.NewInt(1) }
	root := authorityOf(t, keys[0], "test root", nil, serial)
	p := pki{root, authorityOf(t, keys[1], "test intermediate", root, serial)}
	return p, keys[2], machine(t, "m", p.mid, keys[2].Public(), serial)
}

func (p pki) answer(cert *x509.Certificate) gateway.Issued {
	return gateway.Issued{Cert: encodeCerts(cert), RootCert: encodeCerts(p.root.cert), CABundle: []string{encodeCerts(p.mid.cert)}}
}

// issue is the gateway's part: a CSR by key and the answer to it.
func (p pki) issue(t testing.TB, id string, key crypto.Signer) (csr string, answer gateway.Issued) {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: id}}, key)
	if err != nil {
		t.Fatal(err)
	}
	csr = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))
	return csr, p.answer(machine(t, id, p.mid, key.Public()))
}

// bench is a device's file system with a store on it.
type bench struct {
	paths Paths
	keys  keystore.Store
	pki   pki
}

// newBench lays out empty paths, in memory where the machine has a folder there:
// thousands of synced writes are to be tried.
func newBench(t testing.TB, p pki) *bench {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "identity-test-")
	if err != nil {
		dir = t.TempDir()
	} else {
		t.Cleanup(func() { os.RemoveAll(dir) })
	}
	return benchIn(t, p, dir)
}

func benchIn(t testing.TB, p pki, dir string) *bench {
	t.Helper()
	keys, err := disk.New(keystore.P256)
	if err != nil {
		t.Fatal(err)
	}
	return &bench{keys: keys, pki: p, paths: Paths{
		Key:      filepath.Join(dir, "openssl", "ecdsa", "key.pem"),
		CSR:      filepath.Join(dir, "openssl", "ecdsa", "csr.pem"),
		Cert:     filepath.Join(dir, "certs", "machine.pem"),
		CABundle: filepath.Join(dir, "certs", "ca_bundle.pem"),
		Root:     filepath.Join(dir, "certs", "root.pem"),
		State:    filepath.Join(dir, "state"),
	}}
}

// open opens the store; hook may be nil.
func (b *bench) open(t testing.TB, hook func(step) error) *Store {
	t.Helper()
	s, err := open(t.Context(), b.paths, b.keys, fileSystem{before: hook}, nowAtNoon)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// provision runs a whole exchange and returns what the paths must show after it.
func (b *bench) provision(t testing.TB, s *Store, id string) view {
	t.Helper()
	key, err := s.Key(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	csr, answer := b.pki.issue(t, id, key)
	want := b.expect(t, csr, answer)
	if err := s.Commit(t.Context(), id, csr, answer); err != nil {
		t.Fatal(err)
	}
	if got := b.view(t); got != want {
		t.Fatalf("the paths show %s, want %s", got, want)
	}
	return want
}

// view is what a reader finds at the five configured paths, "" for nothing.
type view [5]string

func (v view) String() string {
	s := ""
	for i, text := range v {
		s += [...]string{"key", " csr", " cert", " bundle", " root"}[i] + ":"
		if text == "" {
			s += "-"
		} else {
			s += text[max(0, len(text)-45):max(0, len(text)-35)]
		}
	}
	return s
}

func (b *bench) view(t testing.TB) view {
	t.Helper()
	var v view
	for i, sl := range b.paths.slots() {
		data, err := os.ReadFile(sl.path)
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		v[i] = string(data)
	}
	return v
}

// expect is what the paths will show after a Commit of answer.
func (b *bench) expect(t testing.TB, csr string, answer gateway.Issued) view {
	t.Helper()
	key, err := os.ReadFile(filepath.Join(b.paths.State, pendingName, keyName))
	if err != nil {
		t.Fatal(err)
	}
	return view{string(key), csr, answer.Cert, answer.CABundle[0], answer.RootCert}
}

func nowAtNoon() time.Time { return noon }

func session() gateway.Session {
	return gateway.Session{
		Code: "ABC123", DeviceCode: "the device's secret", Expires: noon.Add(5 * time.Minute), Interval: 5 * time.Second,
		VerificationURI: "https://gateway.test/claim", VerificationURIComplete: "https://gateway.test/claim?code=ABC123",
	}
}
