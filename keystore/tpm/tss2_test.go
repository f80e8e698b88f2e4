package tpm

import (
	"bytes"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-tpm/tpm2"

	"github.com/mecha-org/mecha-agent/keystore"
)

// opensslKey is a P-256 key of tpm2-openssl 1.1.1: its TRUE is 0x01.
const opensslKey = `-----BEGIN TSS2 PRIVATE KEY-----
MIHwBgZngQUKAQOgAwEBAQIEQAAAAQRYAFYAIwALAAYAcgAAABAAEAADABAAINd2
wbcF6rN97QYX6CVMdgFaY8ArC0Xwbg2juq/cX0S4ACD30OPsWNzbU82T1e3RnKxg
qmZzPLpNT5EIMoLFkQZY5ASBgAB+ACCpFHHkd/Dvavl0qlwJ33pOI3NbqY5Bpd8s
Ruu2YTQ9FgAQNkhgNGyolp+n3RPb/ha2qgq0rUSA9G9CzREuaLvh60POIZ0V5p8D
5oEk/F/Ad35muJgbgD/lNFqUyTD40WddKQlrzdf2lXrMU+4yFN48rI+Z+rbAVwKC
elVD
-----END TSS2 PRIVATE KEY-----
`

// field is an EXPLICIT optional field.
func field(tag int, content ...byte) []byte {
	return append([]byte{0xa0 | byte(tag), byte(len(content))}, content...)
}

// contents are files that a key path may hold, with what decode must say.
func contents(t testing.TB) map[string]struct {
	text []byte
	want error
} {
	type c = struct {
		text []byte
		want error
	}
	theirs, err := decode([]byte(opensslKey))
	without(t, err)
	good, err := theirs.encode()
	without(t, err)
	block, _ := pem.Decode(good)
	wrap := func(der []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: pemType, Bytes: der}) }
	join := func(parts ...any) []byte {
		var inner []byte
		for _, p := range parts {
			der, ok := p.([]byte)
			if !ok {
				if der, err = asn1.Marshal(p); err != nil {
					t.Fatal(err)
				}
			}
			inner = append(inner, der...)
		}
		der, err := asn1.Marshal(asn1.RawValue{Tag: asn1.TagSequence, IsCompound: true, Bytes: inner})
		without(t, err)
		return wrap(der)
	}
	octets := func(b []byte) []byte {
		der, err := asn1.Marshal(b)
		without(t, err)
		return der
	}
	kind, empty, parent := oidLoadable, field(tagEmptyAuth, 1, 1, 0xff), int64(tpm2.TPMRHOwner)
	public, private := octets(tpm2.Marshal(theirs.public)), octets(tpm2.Marshal(theirs.private))
	altered := func(f func(*tpm2.TPMTPublic)) []byte {
		area, err := theirs.public.Contents()
		without(t, err)
		other := *area
		f(&other)
		return octets(tpm2.Marshal(tpm2.New2B(other)))
	}
	whole := func(public []byte) []byte { return join(kind, empty, parent, public, private) }
	return map[string]c{
		"ours":                {good, nil},
		"openssl":             {[]byte(opensslKey), nil},
		"CRLF":                {bytes.ReplaceAll(good, []byte("\n"), []byte("\r\n")), nil},
		"description":         {join(kind, empty, field(tagDescription, 0x0c, 1, 'x'), parent, public, private), nil},
		"no RSA parent":       {join(kind, empty, field(tagRSAParent, 1, 1, 0), parent, public, private), keystore.ErrWrongKind},
		"persistent":          {join(kind, empty, int64(srkHandle), public, private), nil},
		"empty":               {nil, keystore.ErrDamaged},
		"blank":               {[]byte(" \n"), keystore.ErrDamaged},
		"zeros":               {make([]byte, 300), keystore.ErrDamaged},
		"truncated":           {good[:len(good)/2], keystore.ErrDamaged},
		"text before":         {append([]byte("hello\n"), good...), keystore.ErrDamaged},
		"text after":          {append(bytes.Clone(good), "hello"...), keystore.ErrDamaged},
		"two keys":            {append(bytes.Clone(good), good...), keystore.ErrDamaged},
		"certificate":         {bytes.ReplaceAll(good, []byte(pemType), []byte("CERTIFICATE")), keystore.ErrDamaged},
		"on the disk":         {bytes.ReplaceAll(good, []byte(pemType), []byte("PRIVATE KEY")), keystore.ErrWrongKind},
		"SEC 1":               {bytes.ReplaceAll(good, []byte(pemType), []byte("EC PRIVATE KEY")), keystore.ErrWrongKind},
		"not ASN.1":           {wrap([]byte("hello")), keystore.ErrDamaged},
		"nothing inside":      {join(), keystore.ErrDamaged},
		"DER and more":        {wrap(append(bytes.Clone(block.Bytes), 0)), keystore.ErrDamaged},
		"DER cut":             {wrap(block.Bytes[:len(block.Bytes)-1]), keystore.ErrDamaged},
		"importable":          {join(asn1.ObjectIdentifier{2, 23, 133, 10, 1, 4}, empty, parent, public, private), keystore.ErrWrongKind},
		"password":            {join(kind, parent, public, private), keystore.ErrWrongKind},
		"password, said":      {join(kind, field(tagEmptyAuth, 1, 1, 0), parent, public, private), keystore.ErrWrongKind},
		"BOOLEAN too long":    {join(kind, field(tagEmptyAuth, 1, 2, 1, 1), parent, public, private), keystore.ErrDamaged},
		"no BOOLEAN":          {join(kind, field(tagEmptyAuth, 2, 1, 1), parent, public, private), keystore.ErrDamaged},
		"policy":              {join(kind, empty, field(tagPolicy, 0x30, 0), parent, public, private), keystore.ErrWrongKind},
		"authorised policies": {join(kind, empty, field(tagAuthPolicy, 0x30, 0), parent, public, private), keystore.ErrWrongKind},
		"secret":              {join(kind, empty, field(tagSecret, 4, 1, 1), parent, public, private), keystore.ErrWrongKind},
		"unknown field":       {join(kind, empty, field(6, 4, 1, 1), parent, public, private), keystore.ErrDamaged},
		"field twice":         {join(kind, empty, empty, parent, public, private), keystore.ErrDamaged},
		"fields out of order": {join(kind, field(tagDescription, 0x0c, 1, 'x'), empty, parent, public, private), keystore.ErrDamaged},
		"no private part":     {join(kind, empty, parent, public), keystore.ErrDamaged},
		"one part too many":   {join(kind, empty, parent, public, private, private), keystore.ErrDamaged},
		"private part empty":  {join(kind, empty, parent, public, octets([]byte{0, 0})), keystore.ErrDamaged},
		"private part longer": {join(kind, empty, parent, public, octets(append(tpm2.Marshal(theirs.private), 0))), keystore.ErrDamaged},
		"public part cut":     {whole(octets(tpm2.Marshal(theirs.public)[:20])), keystore.ErrDamaged},
		"endorsement":         {join(kind, empty, int64(tpm2.TPMRHEndorsement), public, private), keystore.ErrWrongKind},
		"transient parent":    {join(kind, empty, int64(transientFirst), public, private), keystore.ErrWrongKind},
		"parent of 2^40":      {join(kind, empty, int64(1)<<40, public, private), keystore.ErrWrongKind},
		"restricted":          {whole(altered(func(p *tpm2.TPMTPublic) { p.ObjectAttributes.Restricted = true })), keystore.ErrWrongKind},
		"does not sign":       {whole(altered(func(p *tpm2.TPMTPublic) { p.ObjectAttributes.SignEncrypt = false })), keystore.ErrWrongKind},
		"policy only":         {whole(altered(func(p *tpm2.TPMTPublic) { p.ObjectAttributes.UserWithAuth = false })), keystore.ErrWrongKind},
		"not on the curve": {whole(altered(func(p *tpm2.TPMTPublic) {
			p.Unique = tpm2.NewTPMUPublicID(tpm2.TPMAlgECC, &tpm2.TPMSECCPoint{X: tpm2.TPM2BECCParameter{Buffer: []byte{1}}, Y: tpm2.TPM2BECCParameter{Buffer: []byte{1}}})
		})), keystore.ErrDamaged},
		"point too long": {whole(altered(func(p *tpm2.TPMTPublic) {
			p.Unique = tpm2.NewTPMUPublicID(tpm2.TPMAlgECC, &tpm2.TPMSECCPoint{X: tpm2.TPM2BECCParameter{Buffer: make([]byte, 33)}})
		})), keystore.ErrDamaged},
		"P-521": {whole(altered(func(p *tpm2.TPMTPublic) {
			p.Parameters = tpm2.NewTPMUPublicParms(tpm2.TPMAlgECC, &tpm2.TPMSECCParms{CurveID: tpm2.TPMECCNistP521})
		})), keystore.ErrWrongKind},
		"RSA": {whole(octets(tpm2.Marshal(tpm2.New2B(tpm2.RSASRKTemplate)))), keystore.ErrWrongKind},
	}
}

func TestDecode(t *testing.T) {
	for name, c := range contents(t) {
		b, err := decode(c.text)
		if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
		if err == nil && (b.parent == 0 || len(b.private.Buffer) == 0) {
			t.Errorf("%s: got %+v", name, b)
		}
	}
}

// What is not a key of a TPM is refused before the TPM is asked, and named.
func FuzzDecode(f *testing.F) {
	for _, c := range contents(f) {
		f.Add(c.text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		b, err := decode(text)
		if err != nil {
			if !errors.Is(err, keystore.ErrDamaged) && !errors.Is(err, keystore.ErrWrongKind) {
				t.Fatalf("an error of neither kind: %v", err)
			}
			if strings.ContainsFunc(err.Error(), func(r rune) bool { return r < ' ' }) {
				t.Fatalf("%q", err)
			}
			return
		}
		printed, err := b.encode()
		without(t, err)
		again, err := decode(printed)
		if err != nil {
			t.Fatalf("what parsed does not print back: %v", err)
		}
		twice, err := again.encode()
		if err != nil || !bytes.Equal(twice, printed) {
			t.Fatalf("what parsed does not print back the same: %v", err)
		}
	})
}
