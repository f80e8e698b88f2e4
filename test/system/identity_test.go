//go:build system

package system_test

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"path"
	"strings"
	"testing"
	"time"

	"github.com/mecha-org/mecha-agent/test/system/guest"
)

// home is where the agent of the board keeps its files: the defaults of the settings,
// below root's home.
const home = "/root/.mecha"

// Files of the identity.
var (
	keyFile     = path.Join(home, "openssl/ecdsa/key.pem")
	machineFile = path.Join(home, "agent/certs/machine.pem")
	bundleFile  = path.Join(home, "agent/certs/ca_bundle.pem")
	rootFile    = path.Join(home, "agent/certs/root.pem")
)

// blocks reads the PEM blocks of a file in the guest.
func (l *lab) blocks(t *testing.T, file, kind string) (all [][]byte) {
	t.Helper()
	rest := l.ask(t, guest.Request{Read: file}).Data
	for {
		var b *pem.Block
		if b, rest = pem.Decode(rest); b == nil {
			break
		}
		if b.Type != kind {
			t.Errorf("%s has a block of type %q, want %q", file, b.Type, kind)
		}
		all = append(all, b.Bytes)
	}
	if len(all) == 0 {
		t.Fatalf("%s has no PEM block", file)
	}
	return all
}

// certificates reads the certificates of a file in the guest.
func (l *lab) certificates(t *testing.T, file string) (all []*x509.Certificate) {
	t.Helper()
	for _, der := range l.blocks(t, file, "CERTIFICATE") {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		all = append(all, c)
	}
	return all
}

// hasIdentity checks what lies on the guest's disk: the key, which only its owner
// can read, and a certificate for it that the gateway's root vouches for.
func (l *lab) hasIdentity(t *testing.T, id string) {
	leaf := l.hasCertificate(t, id)
	key, err := x509.ParsePKCS8PrivateKey(l.blocks(t, keyFile, "PRIVATE KEY")[0])
	if err != nil {
		t.Fatal(err)
	}
	if k, ok := key.(*ecdsa.PrivateKey); !ok || !k.PublicKey.Equal(leaf.PublicKey) {
		t.Error("the certificate is for another key than that on disk")
	}
	l.hasOneKey(t)
}

// hasCertificate checks that the gateway's root vouches for the machine's
// certificate, and returns that.
func (l *lab) hasCertificate(t *testing.T, id string) *x509.Certificate {
	t.Helper()
	anchors, between := x509.NewCertPool(), x509.NewCertPool()
	roots := l.certificates(t, rootFile)
	sum := sha256.Sum256(roots[0].Raw)
	if got := hex.EncodeToString(sum[:]); len(roots) != 1 || got != strings.ToLower(strings.ReplaceAll(l.gateway.fingerprint, ":", "")) {
		t.Errorf("the root on disk is %s of %d, the gateway's is %s", got, len(roots), l.gateway.fingerprint)
	}
	anchors.AddCert(roots[0])
	for _, c := range l.certificates(t, bundleFile) {
		between.AddCert(c)
	}
	chain := l.certificates(t, machineFile)
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	if _, err := chain[0].Verify(x509.VerifyOptions{Roots: anchors, Intermediates: between,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, CurrentTime: time.Now().Add(clockSlack)}); err != nil {
		t.Error(err)
	}
	if got := chain[0].Subject.CommonName; got != id {
		t.Errorf("the certificate is for %q, want %q", got, id)
	}
	return chain[0]
}

// hasOneKey checks that the guest's disk holds one key, for its owner alone.
func (l *lab) hasOneKey(t *testing.T) {
	t.Helper()
	keys := 0
	for _, f := range l.ask(t, guest.Request{Find: home}).Files {
		if path.Base(f.Path) != path.Base(keyFile) || f.Mode[0] == 'L' {
			continue
		}
		keys++
		if f.Mode != "-rw-------" || f.Size == 0 {
			t.Errorf("%s has the mode %s and %d bytes", f.Path, f.Mode, f.Size)
		}
	}
	if keys != 1 {
		t.Errorf("%d files hold a key, want 1", keys)
	}
}

// hasNoIdentity checks that no key and no certificate is left on the guest's disk.
func (l *lab) hasNoIdentity(t *testing.T) {
	t.Helper()
	for _, f := range l.ask(t, guest.Request{Find: home}).Files {
		if strings.HasSuffix(f.Path, ".pem") {
			t.Errorf("%s is left, %s, %d bytes", f.Path, f.Mode, f.Size)
		}
	}
}
