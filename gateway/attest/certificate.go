package attest

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"time"
	"unicode"
)

var (
	oidSAN = asn1.ObjectIdentifier{2, 5, 29, 17}
	// tcg-kp-EKCertificate, TCG EK Credential Profile, 3.2.16.
	oidEKUsage = asn1.ObjectIdentifier{2, 23, 133, 8, 1}
	// id-RSAES-OAEP (RFC 4055, section 4): older EK certificates name it as the
	// algorithm of their key, which crypto/x509 does not read.
	oidOAEP = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 7}
)

// parseEKCertificate reads a certificate out of what the TPM's memory gave:
// makers fill up the space behind it.
func parseEKCertificate(b []byte) (*x509.Certificate, error) {
	var first asn1.RawValue
	rest, err := asn1.Unmarshal(b, &first)
	if err != nil {
		return nil, errors.New("it is not DER")
	}
	if len(bytes.Trim(rest, "\x00")) != 0 && len(bytes.Trim(rest, "\xff")) != 0 {
		return nil, errors.New("something follows it")
	}
	c, err := x509.ParseCertificate(first.FullBytes)
	if err != nil {
		return nil, err
	}
	// The subject is empty, so the name that says which TPM it is stands in the
	// SAN, which is critical then (TCG EK Credential Profile, 3.2.9). crypto/x509
	// knows no directoryName and counts it as not handled; nothing here relies on
	// the name, so there is nothing left to handle.
	c.UnhandledCriticalExtensions = slices.DeleteFunc(c.UnhandledCriticalExtensions, oidSAN.Equal)
	return c, nil
}

// subjectKey is the certificate's key, also when it says RSAES-OAEP.
func subjectKey(c *x509.Certificate) crypto.PublicKey {
	if c.PublicKey != nil {
		return c.PublicKey
	}
	var info struct {
		Algorithm pkix.AlgorithmIdentifier
		Key       asn1.BitString
	}
	if rest, err := asn1.Unmarshal(c.RawSubjectPublicKeyInfo, &info); err != nil || len(rest) != 0 || !info.Algorithm.Algorithm.Equal(oidOAEP) {
		return nil
	}
	k, err := x509.ParsePKCS1PublicKey(info.Key.RightAlign())
	if err != nil {
		return nil
	}
	return k
}

// isFor refuses a certificate that is not one for this EK.
func isFor(c *x509.Certificate, ek crypto.PublicKey) error {
	if k, ok := subjectKey(c).(interface{ Equal(crypto.PublicKey) bool }); !ok || !k.Equal(ek) {
		return refuse(Certificate, "it is for another key than the EK")
	}
	usages := len(c.ExtKeyUsage) + len(c.UnknownExtKeyUsage)
	switch {
	case c.IsCA:
		return refuse(Certificate, "it is that of a CA")
	case usages > 0 && !slices.ContainsFunc(c.UnknownExtKeyUsage, oidEKUsage.Equal) && !slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageAny):
		return refuse(Certificate, "it is not for endorsement keys (extended key usage)")
	}
	return nil
}

// verify returns the name of the root that the chain of leaf leads to.
func (r *Roots) verify(leaf *x509.Certificate, others []*x509.Certificate, now time.Time) (string, error) {
	if r.Len() == 0 {
		return "", refuse(Maker, "the gateway has no root of any TPM maker").
			hint("set attestation.roots, docs/security.md says where makers have their roots")
	}
	between := r.between.Clone()
	for _, c := range others {
		between.AddCert(c)
	}
	chains, err := leaf.Verify(x509.VerifyOptions{
		Roots: r.roots, Intermediates: between, CurrentTime: now,
		// The usages of makers' CAs differ; isFor looks at the one that counts.
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	var unknown x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired && invalid.Cert.Equal(leaf):
		return "", refuse(Maker, "the EK certificate is valid from %s to %s",
			leaf.NotBefore.UTC().Format(time.DateOnly), leaf.NotAfter.UTC().Format(time.DateOnly))
	case expiredOnTheWay(err):
		return "", refuse(Maker, "a CA certificate on the way to the maker's root is not valid now")
	case errors.As(err, &unknown):
		return "", refuse(Maker, "unknown maker: no trusted root leads to the EK certificate of %q", nameOf(leaf.Issuer)).
			hint("put that maker's root, and the certificates between, into attestation.roots if you trust it")
	case err != nil:
		return "", refuse(Maker, "the EK certificate: %w", err)
	}
	chain := chains[0]
	return nameOf(chain[len(chain)-1].Subject), nil
}

// expiredOnTheWay tells an authority that has ended, or not begun, from one that
// is not there: crypto/x509 says so only in words.
func expiredOnTheWay(err error) bool {
	var invalid x509.CertificateInvalidError
	if errors.As(err, &invalid) {
		return invalid.Reason == x509.Expired
	}
	var unknown x509.UnknownAuthorityError
	return errors.As(err, &unknown) && strings.Contains(err.Error(), "expired or is not yet valid")
}

// nameOf is a name for people: the organisation and the common name, in printing
// characters and at most 80 of them.
func nameOf(n pkix.Name) string {
	words := n.Organization
	if n.CommonName != "" {
		words = append(words[:len(words):len(words)], n.CommonName)
	}
	text := strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(strings.Join(words, ", "), ""))
	if r := []rune(text); len(r) > 80 {
		text = string(r[:80])
	}
	return text
}

func serialOf(c *x509.Certificate) string { return hex.EncodeToString(c.SerialNumber.Bytes()) }
