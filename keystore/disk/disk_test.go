package disk

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/mecha-org/mecha-agent/gateway"
	"github.com/mecha-org/mecha-agent/keystore"
	"github.com/mecha-org/mecha-agent/keystore/keystoretest"
)

func newStore(t *testing.T, c keystore.Curve) *Store {
	t.Helper()
	s, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestConformance(t *testing.T) {
	for _, c := range []keystore.Curve{keystore.P256, keystore.P384} {
		t.Run(string(c), func(t *testing.T) {
			keystoretest.Run(t, func(t *testing.T) keystore.Store { return newStore(t, c) })
		})
	}
}

func TestNewRefusesOtherCurves(t *testing.T) {
	for _, c := range []keystore.Curve{"", "P-224", "P-521", "p-256"} {
		if _, err := New(c); err == nil {
			t.Errorf("New(%q) gave no error", c)
		}
	}
}

// made returns the path of a fresh key in a folder of its own.
func made(t *testing.T) (*Store, string) {
	t.Helper()
	s := newStore(t, keystore.P256)
	path := filepath.Join(t.TempDir(), "keys", "key.pem")
	k, err := s.Create(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	k.Close()
	return s, path
}

func TestCreatePermissions(t *testing.T) {
	// A umask that takes too little and one that takes too much.
	for _, mask := range []int{0, 0o777} {
		t.Run(fmt.Sprintf("umask %03o", mask), func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "keys")
			if mask != 0 { // a folder that nobody may enter is of no use
				if err := os.Mkdir(dir, 0o700); err != nil {
					t.Fatal(err)
				}
			}
			s := newStore(t, keystore.P256)
			old := unix.Umask(mask)
			k, err := s.Create(t.Context(), filepath.Join(dir, "key.pem"))
			unix.Umask(old)
			if err != nil {
				t.Fatal(err)
			}
			k.Close()
			for path, want := range map[string]os.FileMode{dir: os.ModeDir | 0o700, filepath.Join(dir, "key.pem"): 0o600} {
				st, err := os.Stat(path)
				if err != nil || st.Mode() != want {
					t.Errorf("%s: mode %v, want %v (%v)", path, st.Mode(), want, err)
				}
			}
			if left, _ := os.ReadDir(dir); len(left) != 1 {
				t.Errorf("Create left %v", left)
			}
		})
	}
}

func TestExposed(t *testing.T) {
	for _, c := range []struct {
		name         string
		file, folder os.FileMode
		ok           bool
	}{
		{"as made", 0o600, 0o700, true},
		{"read only", 0o400, 0o500, true},
		{"folder to be read", 0o600, 0o755, true},
		{"group reads", 0o640, 0o700, false},
		{"all read", 0o644, 0o700, false},
		{"others write", 0o602, 0o700, false},
		{"group writes folder", 0o600, 0o770, false},
		{"all write folder", 0o600, 0o707, false},
		{"all write sticky folder", 0o600, os.ModeSticky | 0o777, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, path := made(t)
			if err := errors.Join(os.Chmod(path, c.file), os.Chmod(filepath.Dir(path), c.folder)); err != nil {
				t.Fatal(err)
			}
			k, err := s.Open(t.Context(), path)
			if c.ok {
				if err != nil {
					t.Fatal(err)
				}
				k.Close()
				return
			}
			if !errors.Is(err, keystore.ErrExposed) {
				t.Fatalf("Open: %v, want ErrExposed", err)
			}
			culprit, mode := path, c.file
			if c.file == 0o600 {
				culprit, mode = filepath.Dir(path), c.folder
			}
			if want := fmt.Sprintf("%s has mode %04o", culprit, mode.Perm()); !strings.Contains(err.Error(), want) {
				t.Errorf("%q does not say %q", err, want)
			}
			if h := gateway.HintOf(err); !strings.Contains(h, "chmod") || !strings.Contains(h, culprit) {
				t.Errorf("hint %q names no chmod of %s", h, culprit)
			}
			if err := s.Delete(t.Context(), path); err != nil {
				t.Errorf("an exposed key cannot be deleted: %v", err)
			}
		})
	}
}

func TestCreateRefusesExposedFolder(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := newStore(t, keystore.P256).Create(t.Context(), filepath.Join(dir, "key.pem")); !errors.Is(err, keystore.ErrExposed) {
		t.Errorf("%v, want ErrExposed", err)
	}
}

func TestNotRegular(t *testing.T) {
	for name, put := range map[string]func(path string) error{
		"symbolic link": func(path string) error { return os.Symlink(path+".real", path) },
		"folder":        func(path string) error { return os.Mkdir(path, 0o700) },
		"FIFO":          func(path string) error { return unix.Mkfifo(path, 0o600) },
		"socket":        func(path string) error { return unix.Mknod(path, unix.S_IFSOCK|0o600, 0) },
	} {
		t.Run(name, func(t *testing.T) {
			s, path := made(t)
			if err := errors.Join(os.Rename(path, path+".real"), put(path)); err != nil {
				t.Fatal(err)
			}
			_, err := s.Open(t.Context(), path)
			if !errors.Is(err, keystore.ErrDamaged) || gateway.HintOf(err) == "" {
				t.Errorf("Open: %v, want ErrDamaged with a hint", err)
			}
			if err := s.Delete(t.Context(), path); !errors.Is(err, keystore.ErrDamaged) {
				t.Errorf("Delete: %v, want ErrDamaged", err)
			}
			if _, err := s.Create(t.Context(), path); !errors.Is(err, keystore.ErrExists) {
				t.Errorf("Create: %v, want ErrExists", err)
			}
			if k, err := s.Open(t.Context(), path+".real"); err != nil {
				t.Errorf("the key beside it is gone: %v", err)
			} else {
				k.Close()
			}
		})
	}
}

func pkcs8(t testing.TB, key any) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: pemType, Bytes: der})
}

func ecKey(t testing.TB, c elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(c, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// contents are files that a key path may hold, with what parse must say.
func contents(t testing.TB) map[string]struct {
	text []byte
	want error
} {
	type c = struct {
		text []byte
		want error
	}
	good := pkcs8(t, ecKey(t, elliptic.P256()))
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	sec1, err := x509.MarshalECPrivateKey(ecKey(t, elliptic.P256()))
	if err != nil {
		t.Fatal(err)
	}
	sec1P521, err := x509.MarshalECPrivateKey(ecKey(t, elliptic.P521()))
	if err != nil {
		t.Fatal(err)
	}
	named, err := asn1.Marshal(oidP256)
	if err != nil {
		t.Fatal(err)
	}
	parameters := pem.EncodeToMemory(&pem.Block{Type: parametersType, Bytes: named})
	block, _ := pem.Decode(good)
	flipped := append([]byte(nil), block.Bytes...)
	flipped[len(flipped)-1] ^= 1                                        // the public part
	curve, err := asn1.Marshal(asn1.ObjectIdentifier{1, 3, 132, 0, 10}) // secp256k1, unknown to crypto/x509
	if err != nil {
		t.Fatal(err)
	}
	other, err := asn1.Marshal(struct {
		Version    int
		Algorithm  pkix.AlgorithmIdentifier
		PrivateKey []byte
	}{0, pkix.AlgorithmIdentifier{Algorithm: oidECPublicKey, Parameters: asn1.RawValue{FullBytes: curve}}, sec1})
	if err != nil {
		t.Fatal(err)
	}
	return map[string]c{
		"P-256":            {good, nil},
		"P-384":            {pkcs8(t, ecKey(t, elliptic.P384())), nil},
		"CRLF":             {[]byte(strings.ReplaceAll(string(good), "\n", "\r\n")), nil},
		"empty":            {nil, keystore.ErrDamaged},
		"blank":            {[]byte("\n \n"), keystore.ErrDamaged},
		"zeros":            {make([]byte, 240), keystore.ErrDamaged},
		"truncated":        {good[:len(good)/2], keystore.ErrDamaged},
		"last line lost":   {good[:len(good)-10], keystore.ErrDamaged},
		"garbage":          {[]byte("hello"), keystore.ErrDamaged},
		"text before":      {append([]byte("hello\n"), good...), keystore.ErrDamaged},
		"text after":       {append(bytes.Clone(good), "hello"...), keystore.ErrDamaged},
		"half a key first": {append([]byte("-----BEGIN PRIVATE KEY-----\n!\n"), good...), keystore.ErrDamaged},
		"headers":          {pem.EncodeToMemory(&pem.Block{Type: pemType, Headers: map[string]string{"a": "b"}, Bytes: block.Bytes}), keystore.ErrDamaged},
		"two keys":         {append(bytes.Clone(good), good...), keystore.ErrDamaged},
		"bits in the DER":  {pem.EncodeToMemory(&pem.Block{Type: pemType, Bytes: block.Bytes[:50]}), keystore.ErrDamaged},
		"DER and more":     {pem.EncodeToMemory(&pem.Block{Type: pemType, Bytes: append(bytes.Clone(block.Bytes), 0)}), keystore.ErrDamaged},
		"certificate":      {pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: block.Bytes}), keystore.ErrDamaged},
		"RSA":              {pkcs8(t, rsaKey), keystore.ErrWrongKind},
		"RSA PKCS#1":       {pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(rsaKey)}), keystore.ErrWrongKind},
		"Ed25519":          {pkcs8(t, edKey), keystore.ErrWrongKind},
		"P-224":            {pkcs8(t, ecKey(t, elliptic.P224())), keystore.ErrWrongKind},
		"P-521":            {pkcs8(t, ecKey(t, elliptic.P521())), keystore.ErrWrongKind},
		"secp256k1":        {pem.EncodeToMemory(&pem.Block{Type: pemType, Bytes: other}), keystore.ErrWrongKind},
		"SEC 1":            {pem.EncodeToMemory(&pem.Block{Type: sec1Type, Bytes: sec1}), nil},
		"openssl ecparam":  {append(parameters, pem.EncodeToMemory(&pem.Block{Type: sec1Type, Bytes: sec1})...), nil},
		"parameters alone": {parameters, keystore.ErrDamaged},
		"SEC 1 P-521":      {pem.EncodeToMemory(&pem.Block{Type: sec1Type, Bytes: sec1P521}), keystore.ErrWrongKind},
		"SEC 1 cut":        {pem.EncodeToMemory(&pem.Block{Type: sec1Type, Bytes: sec1[:40]}), keystore.ErrDamaged},
		"SEC 1 and more":   {pem.EncodeToMemory(&pem.Block{Type: sec1Type, Bytes: append(bytes.Clone(sec1), 0)}), keystore.ErrDamaged},
		"SEC 1 encrypted": {pem.EncodeToMemory(&pem.Block{Type: sec1Type, Bytes: sec1,
			Headers: map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": "AES-256-CBC,00"}}), keystore.ErrWrongKind},
		"TPM":      {pem.EncodeToMemory(&pem.Block{Type: "TSS2 PRIVATE KEY", Bytes: sec1}), keystore.ErrWrongKind},
		"too long": {append(make([]byte, maxFile), good...), keystore.ErrDamaged},
	}
}

func TestOpenContents(t *testing.T) {
	for name, c := range contents(t) {
		t.Run(name, func(t *testing.T) {
			s, path := made(t)
			if err := os.WriteFile(path, c.text, 0o600); err != nil {
				t.Fatal(err)
			}
			k, err := s.Open(t.Context(), path)
			if !errors.Is(err, c.want) {
				t.Fatalf("Open: %v, want %v", err, c.want)
			}
			if c.want == nil {
				k.Close()
				return
			}
			if gateway.HintOf(err) == "" || !strings.Contains(err.Error(), path) {
				t.Errorf("%q (hint %q) names no path or has no hint", err, gateway.HintOf(err))
			}
			if err := s.Delete(t.Context(), path); err != nil {
				t.Errorf("Delete: %v", err)
			}
		})
	}
}

// A key of the TPM keystore is named with the setting that reads it.
func TestOpenNamesTheSetting(t *testing.T) {
	s, path := made(t)
	if err := os.WriteFile(path, contents(t)["TPM"].text, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := s.Open(t.Context(), path)
	if hint := gateway.HintOf(err); !errors.Is(err, keystore.ErrWrongKind) || !strings.Contains(hint, "keystore.backend to tpm") {
		t.Errorf("%v, hint %q", err, hint)
	}
}

// TestDeleteOverwrites looks at the blocks through a second name of the file.
func TestDeleteOverwrites(t *testing.T) {
	s, path := made(t)
	st, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Link(path, path+".other"); err != nil {
		t.Fatal(err)
	}
	if err := s.Delete(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path + ".other")
	if err != nil || int64(len(b)) != st.Size() || strings.Trim(string(b), "\x00") != "" {
		t.Errorf("the blocks hold %q (%v), want %d zeros", b, err, st.Size())
	}
}

func FuzzParse(f *testing.F) {
	for _, c := range contents(f) {
		f.Add(c.text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		priv, err := parse(text)
		if err != nil {
			if !errors.Is(err, keystore.ErrDamaged) && !errors.Is(err, keystore.ErrWrongKind) {
				t.Fatalf("an error of neither kind: %v", err)
			}
			return
		}
		printed, err := encode(priv)
		if err != nil {
			t.Fatal(err)
		}
		again, err := parse(printed)
		if err != nil || !again.Equal(priv) || !again.PublicKey.Equal(&priv.PublicKey) {
			t.Fatalf("what parsed does not print back the same: %v", err)
		}
	})
}
