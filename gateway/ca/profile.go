package ca

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"math/big"
	"net/url"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

const (
	rootYears         = 20
	intermediateYears = 10
	serverLife        = 90 * 24 * time.Hour

	// backdated is how far before its making a certificate begins: clocks of
	// boards and gateway differ. The CA's own begin an hour before, so that the
	// first machine's is not cut short.
	backdated   = 5 * time.Minute
	caBackdated = time.Hour

	// noCountry is the code that ISO 3166-1 leaves to users and the CA/B baseline
	// requirements, 7.1.2.10.2, to CAs without a country of their own.
	noCountry = "XX"

	maxCommonName = 64 // ub-common-name, RFC 5280 appendix A.1
	maxName       = 46 // so that "NAME Intermediate CA" fits it
)

// checkOrganisation takes what fits a subject.
func checkOrganisation(name string) error {
	if !utf8.ValidString(name) || utf8.RuneCountInString(name) > maxName || strings.TrimSpace(name) != name {
		return fmt.Errorf("the CA's name must have at most %d characters, none blank at the ends", maxName)
	}
	for _, r := range name {
		if !unicode.IsPrint(r) {
			return fmt.Errorf("the CA's name has a character that does not print")
		}
	}
	return nil
}

// checkMachineID takes 1 to 64 characters of A-Z, a-z, 0-9, ".", "_", ":" and
// "-": all of them may stand in a URN as they are (RFC 8141, section 2).
func checkMachineID(id string) error {
	if id == "" || len(id) > maxCommonName {
		return fmt.Errorf("%w: a machine id has 1 to %d characters", ErrPolicy, maxCommonName)
	}
	for _, c := range []byte(id) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', strings.IndexByte("._:-", c) >= 0:
		default:
			return fmt.Errorf("%w: a machine id has letters, digits and . _ : - only", ErrPolicy)
		}
	}
	return nil
}

// machineURI is the URI SAN of a machine. There is no DNS SAN: an id is no host
// name, and a name that no DNS knows helps nobody.
func machineURI(id string) *url.URL { return &url.URL{Scheme: "urn", Opaque: "mecha:machine:" + id} }

// newSerial returns 126 random bits below the bits 01: positive, 16 octets and
// 32 hex digits always (RFC 5280, 4.1.2.2 asks for at most 20 octets; the CA/B
// baseline requirements, 7.1, for 64 bits of entropy).
func newSerial() *big.Int {
	var b [16]byte
	rand.Read(b[:]) // never fails, see crypto/rand
	b[0] = b[0]&0x3f | 0x40
	return new(big.Int).SetBytes(b[:])
}

// keyID is the leftmost 160 bits of the SHA-256 of the public key's bits (RFC
// 7093, section 2, method 1).
func keyID(key *ecdsa.PublicKey) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return nil, err
	}
	var info struct {
		Algorithm pkix.AlgorithmIdentifier
		Key       asn1.BitString
	}
	if _, err := asn1.Unmarshal(der, &info); err != nil {
		return nil, err
	}
	sum := sha256.Sum256(info.Key.Bytes)
	return sum[:20], nil
}

func authorityTemplate(name, kind string, key *ecdsa.PublicKey, begin, end time.Time, pathLen int) (*x509.Certificate, error) {
	id, err := keyID(key)
	if err != nil {
		return nil, err
	}
	return &x509.Certificate{
		SerialNumber:          newSerial(),
		Subject:               pkix.Name{Country: []string{noCountry}, Organization: []string{name}, CommonName: name + " " + kind + " CA"},
		NotBefore:             begin,
		NotAfter:              end,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLen:            pathLen,
		MaxPathLenZero:        pathLen == 0,
		SubjectKeyId:          id,
		SignatureAlgorithm:    x509.ECDSAWithSHA384, // both are signed by the P-384 root
	}, nil
}

func rootTemplate(name string, key *ecdsa.PublicKey, now time.Time) (*x509.Certificate, error) {
	begin := seconds(now.Add(-caBackdated))
	return authorityTemplate(name, "Root", key, begin, begin.AddDate(rootYears, 0, 0), 1)
}

func intermediateTemplate(o Options, root *x509.Certificate, key *ecdsa.PublicKey) (*x509.Certificate, error) {
	now := o.Now()
	begin := later(seconds(now.Add(-caBackdated)), root.NotBefore)
	end := earlier(begin.AddDate(intermediateYears, 0, 0), root.NotAfter)
	if !end.After(now) {
		return nil, fmt.Errorf("the root certificate has ended on %v", root.NotAfter)
	}
	t, err := authorityTemplate(o.Name, "Intermediate", key, begin, end, 0)
	if err != nil {
		return nil, err
	}
	t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}
	anyPolicy, err := x509.OIDFromInts([]uint64{2, 5, 29, 32, 0}) // RFC 5280, 4.2.1.4
	if err != nil {
		return nil, err
	}
	t.Policies = []x509.OID{anyPolicy}
	t.CRLDistributionPoints = listAt(o.RootCRLURL)
	return t, nil
}

// listAt returns the distribution points of a list at url; none for an empty one.
func listAt(url string) []string {
	if url == "" {
		return nil
	}
	return []string{url}
}

// leafTemplate is what machines' and servers' certificates share.
func (l *Local) leafTemplate(key *ecdsa.PublicKey, now time.Time, life time.Duration) (*x509.Certificate, error) {
	if !now.Before(l.intermediate.NotAfter) {
		return nil, hinted(fmt.Errorf("%w on %v", ErrEnded, l.intermediate.NotAfter),
			"move intermediate.pem and intermediate.key away, bring root.key back and start again: a new intermediate is made then")
	}
	if now.Before(l.intermediate.NotBefore) {
		return nil, hinted(fmt.Errorf("the intermediate certificate begins on %v", l.intermediate.NotBefore), "set the clock of the gateway")
	}
	id, err := keyID(key)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrPolicy, err)
	}
	return &x509.Certificate{
		SerialNumber:          newSerial(),
		NotBefore:             later(seconds(now.Add(-backdated)), l.intermediate.NotBefore),
		NotAfter:              earlier(seconds(now.Add(life)), l.intermediate.NotAfter),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		BasicConstraintsValid: true,
		SubjectKeyId:          id,
		SignatureAlgorithm:    signatureFor(&l.key.PublicKey),
		CRLDistributionPoints: listAt(l.options.CRLURL),
	}, nil
}

// signatureFor pairs the hash with the size of the curve (RFC 5480, section 4).
func signatureFor(key *ecdsa.PublicKey) x509.SignatureAlgorithm {
	if key.Curve.Params().BitSize > 256 {
		return x509.ECDSAWithSHA384
	}
	return x509.ECDSAWithSHA256
}

// seconds is t as a certificate holds it.
func seconds(t time.Time) time.Time { return t.UTC().Truncate(time.Second) }

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
