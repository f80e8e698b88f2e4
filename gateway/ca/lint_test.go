package ca

import (
	"crypto/elliptic"
	"crypto/x509"
	"maps"
	"slices"
	"testing"

	zx509 "github.com/zmap/zcrypto/x509"
	"github.com/zmap/zlint/v3"
	"github.com/zmap/zlint/v3/lint"

	"github.com/mecha-org/mecha-agent/gateway"
)

// The errors that remain with every source of zlint at work. They are rules for
// a CA that browsers trust; the chain of a machine breaks none.
const (
	// A CA's policy identifier is a promise to the CA/B forum, which a CA of
	// one fleet does not make.
	noPolicy  = "e_sub_cert_certificate_policies_missing"
	noPolicy2 = "e_sub_cert_cert_policy_empty"
	// The server shows its whole chain: there is nothing to fetch, and no OCSP.
	noAIA = "e_sub_cert_aia_missing"
	// A gateway inside a house has names that the world does not know.
	privateName = "e_dnsname_not_valid_tld"
	privateIP   = "e_ext_san_contains_reserved_ip"
	// The root's list stands until the root's end, not for ten days: its key goes
	// to a place without network.
	longList = "e_crl_next_update_invalid"
)

// lintErrors returns the names of the lints that found an error.
func lintErrors(t *testing.T, rs *zlint.ResultSet) []string {
	t.Helper()
	passed := 0
	var failed []string
	for name, r := range rs.Results {
		switch r.Status {
		case lint.Error, lint.Fatal:
			failed = append(failed, name)
		case lint.Pass:
			passed++
		}
	}
	if passed == 0 {
		t.Error("no lint looked at it")
	}
	slices.Sort(failed)
	return failed
}

func TestLintCertificates(t *testing.T) {
	l := newCA(t)
	certs := map[string][]byte{
		"root":          l.root.Raw,
		"intermediate":  l.intermediate.Raw,
		"machine P-256": sign(t, l, newCSR(t, elliptic.P256()), "m_1:2.3-x", now).Raw,
		"machine P-384": sign(t, l, newCSR(t, elliptic.P384()), "0193a2b4-aaaa-7bbb-8ccc-0123456789ab", now).Raw,
	}
	for _, a := range []gateway.Attestation{gateway.TPMProven, gateway.TPMUnproven, gateway.SoftwareKey} {
		attested, err := l.Sign(t.Context(), newCSR(t, elliptic.P256()), Machine{"m", a}, now)
		if err != nil {
			t.Fatal(err)
		}
		certs["machine, "+string(a)] = attested.Raw
	}
	for name, names := range map[string][]string{
		"server, public": {"gateway.example.com", "*.example.org"}, "server, private": {"localhost", "127.0.0.1"},
	} {
		s, err := l.ServerCertificate(names, now)
		if err != nil {
			t.Fatal(err)
		}
		certs[name] = s.Certificate[0]
	}
	allowed := map[string][]string{
		"server, public":  {noAIA, noPolicy2, noPolicy},
		"server, private": {privateName, privateIP, noAIA, noPolicy2, noPolicy},
	}
	for _, name := range slices.Sorted(maps.Keys(certs)) {
		c, err := zx509.ParseCertificate(certs[name])
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got := lintErrors(t, zlint.LintCertificate(c)); !slices.Equal(got, allowed[name]) {
			t.Errorf("%s: zlint finds %q, want %q", name, got, allowed[name])
		}
	}
}

func TestLintCRL(t *testing.T) {
	l := newCA(t)
	root, err := zx509.ParseRevocationList(l.RootCRL())
	if err != nil {
		t.Fatal(err)
	}
	if got := lintErrors(t, zlint.LintRevocationList(root)); !slices.Equal(got, []string{longList}) {
		t.Errorf("root: zlint finds %q, want %q", got, longList)
	}
	for name, revoked := range map[string][]x509.RevocationListEntry{
		"empty": nil,
		"one":   {{SerialNumber: newSerial(), RevocationTime: seconds(now)}},
	} {
		der, err := l.CRL(t.Context(), revoked, now)
		if err != nil {
			t.Fatal(err)
		}
		crl, err := zx509.ParseRevocationList(der)
		if err != nil {
			t.Fatal(err)
		}
		if got := lintErrors(t, zlint.LintRevocationList(crl)); len(got) != 0 {
			t.Errorf("%s: zlint finds %q", name, got)
		}
	}
}
