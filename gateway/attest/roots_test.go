package attest_test

import (
	"encoding/pem"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/mecha-org/mecha-agent/gateway/attest"
	"github.com/mecha-org/mecha-agent/gateway/attest/attesttest"
)

func TestLoadRoots(t *testing.T) {
	a, b := newMaker(t), newMaker(t)
	block := func(der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	}
	roots, skipped, err := attest.LoadRoots(fstest.MapFS{
		"a/root.der":         {Data: a.Root.Raw},
		"a/intermediate.crt": {Data: a.Intermediate.Raw},
		"b.pem":              {Data: []byte("Test Maker\n" + block(b.Root.Raw) + block(b.Intermediate.Raw))},
		"README":             {Data: []byte("where these are from")},
		".git/root.der":      {Data: []byte("no certificate")},
		"damaged.der":        {Data: a.Root.Raw[:200]},
	})
	if err != nil {
		t.Fatal(err)
	}
	if roots.Len() != 2 || len(skipped) != 2 || !strings.HasPrefix(skipped[0], "README: ") || !strings.HasPrefix(skipped[1], "damaged.der: ") {
		t.Errorf("%d roots, skipped %q", roots.Len(), skipped)
	}
	for _, m := range []*attesttest.Maker{a, b} {
		id := identityOf(t, newTPM(t, m, attesttest.Options{}))
		id.EKCertificates = id.EKCertificates[:1] // the intermediates are in the folder
		if got, err := attest.CheckIdentity(id, roots, noon); err != nil || got.Unproven != nil {
			t.Errorf("refused %v, unproven %v", err, got.Unproven)
		}
	}
}

func TestLoadRootsFails(t *testing.T) {
	m := newMaker(t)
	for name, fsys := range map[string]fs.FS{
		"empty":                 fstest.MapFS{},
		"intermediates only":    fstest.MapFS{"a.der": {Data: m.Intermediate.Raw}},
		"longer than any":       fstest.MapFS{"a.der": {Data: make([]byte, 8<<20+1)}},
		"PEM of something else": fstest.MapFS{"a.pem": {Data: pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: []byte("x")})}},
	} {
		_, _, err := attest.LoadRoots(fsys)
		refused(t, err, attest.Maker)
		if err != nil && !strings.Contains(err.Error(), "holds no root") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
