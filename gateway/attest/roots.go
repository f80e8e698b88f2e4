package attest

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"io/fs"
	"path"
)

// Bounds of the folder that an operator fills. Microsoft's collection of every
// maker's CAs has some 900 files.
const (
	maxRootFile  = 8 << 20
	maxRootFiles = 5000
)

// Roots are the TPM makers that an operator trusts. A nil *Roots trusts none.
type Roots struct {
	roots, between *x509.CertPool
	count          int
}

// NewRoots takes certificates of CAs: those whose issuer is their own subject are
// trusted, the others lead there.
func NewRoots(certs ...*x509.Certificate) *Roots {
	r := &Roots{roots: x509.NewCertPool(), between: x509.NewCertPool()}
	for _, c := range certs {
		r.add(c)
	}
	return r
}

func (r *Roots) add(c *x509.Certificate) {
	if !bytes.Equal(c.RawSubject, c.RawIssuer) {
		r.between.AddCert(c)
		return
	}
	r.roots.AddCert(c)
	r.count++
}

// Len is how many roots are trusted.
func (r *Roots) Len() int {
	if r == nil {
		return 0
	}
	return r.count
}

// LoadRoots reads every file of a folder and of the folders in it, PEM with any
// number of certificates or DER with one. Files whose names begin with a dot, and
// those that hold no certificate, such as a README, are passed over: skipped
// names them and says why. Without one root it is an error.
func LoadRoots(fsys fs.FS) (r *Roots, skipped []string, err error) {
	r = NewRoots()
	files := 0
	err = fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case name != "." && path.Base(name)[0] == '.':
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		case d.IsDir():
			return nil
		}
		if files++; files > maxRootFiles {
			return fmt.Errorf("more than %d files", maxRootFiles)
		}
		certs, err := readCertificates(fsys, name)
		if err != nil {
			skipped = append(skipped, fmt.Sprintf("%s: %v", name, err))
		}
		for _, c := range certs {
			r.add(c)
		}
		return nil
	})
	switch {
	case err != nil:
		return nil, nil, fmt.Errorf("reading TPM makers' roots: %w", err)
	case r.count == 0:
		return nil, skipped, refuse(Maker, "the folder holds no root certificate").
			hint("put the roots of the TPM makers you trust there, docs/security.md says where they are")
	}
	return r, skipped, nil
}

func readCertificates(fsys fs.FS, name string) ([]*x509.Certificate, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxRootFile+1))
	switch {
	case err != nil:
		return nil, err
	case len(data) > maxRootFile:
		return nil, fmt.Errorf("longer than %d bytes", maxRootFile)
	}
	return parseCertificates(data)
}

// parseCertificates returns those that can be read, also beside an error.
func parseCertificates(data []byte) (certs []*x509.Certificate, err error) {
	take := func(der []byte) {
		c, e := x509.ParseCertificate(der)
		if e != nil {
			err = e
			return
		}
		certs = append(certs, c)
	}
	block, rest := pem.Decode(data)
	if block == nil {
		take(data)
		return certs, err
	}
	for ; block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "CERTIFICATE" {
			take(block.Bytes)
		}
	}
	if len(certs) == 0 && err == nil {
		err = fmt.Errorf("no certificate in it")
	}
	return certs, err
}
