package attest

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"testing"
)

// Older EK certificates say RSAES-OAEP where others say RSA.
func TestSubjectKeyOAEP(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der := x509.MarshalPKCS1PublicKey(&key.PublicKey)
	info := struct {
		Algorithm pkix.AlgorithmIdentifier
		Key       asn1.BitString
	}{pkix.AlgorithmIdentifier{Algorithm: oidOAEP}, asn1.BitString{Bytes: der, BitLength: 8 * len(der)}}
	for name, tt := range map[string]struct {
		oid  asn1.ObjectIdentifier
		want bool
	}{
		"RSAES-OAEP": {oidOAEP, true},
		"other":      {asn1.ObjectIdentifier{1, 2, 3}, false},
	} {
		info.Algorithm.Algorithm = tt.oid
		spki, err := asn1.Marshal(info)
		if err != nil {
			t.Fatal(err)
		}
		got := subjectKey(&x509.Certificate{RawSubjectPublicKeyInfo: spki})
		if key.PublicKey.Equal(got) != tt.want {
			t.Errorf("%s: key %v", name, got)
		}
	}
	if got := subjectKey(&x509.Certificate{RawSubjectPublicKeyInfo: []byte{0x30, 0}}); got != nil {
		t.Errorf("nothing: key %v", got)
	}
}

func TestNameOf(t *testing.T) {
	for want, n := range map[string]pkix.Name{
		"":               {},
		"Maker AG, CA 1": {Organization: []string{"Maker AG"}, CommonName: "CA 1"},
		"CA[31m":         {CommonName: "CA\x1b[31m\xff"},
	} {
		if got := nameOf(n); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	long := make([]byte, 200)
	for i := range long {
		long[i] = 'x'
	}
	if got := nameOf(pkix.Name{CommonName: string(long)}); len(got) != 80 {
		t.Errorf("a long name is cut to %d", len(got))
	}
}
