package attest_test

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"
	"github.com/google/go-tpm/tpm2/transport/linuxudstpm"

	"github.com/mecha-org/mecha-agent/gateway"
	"github.com/mecha-org/mecha-agent/gateway/attest"
)

// The EKs that swtpm_setup makes, and where the TCG EK Credential Profile, 2.2.1.4
// and 2.2.1.5, wants them and their certificates.
var swtpmEKs = map[string]struct {
	handle      tpm2.TPMHandle
	certificate tpm2.TPMHandle
}{
	"RSA 2048": {0x81010001, 0x01c00002},
	"P-384":    {0x81010016, 0x01c00016},
}

// TestSwtpm is the whole exchange with a TPM that is not ours: swtpm with the EK
// certificates of its own CA.
func TestSwtpm(t *testing.T) {
	folder := prepareSwtpm(t)
	roots, skipped, err := attest.LoadRoots(os.DirFS(filepath.Join(folder, "ca")))
	if err != nil {
		t.Fatal(err)
	}
	if roots.Len() != 1 {
		t.Fatalf("%d roots in the CA of swtpm, skipped %q", roots.Len(), skipped)
	}
	for name, ek := range swtpmEKs {
		t.Run(name, func(t *testing.T) {
			d := &device{TPM: openSwtpm(t, filepath.Join(folder, "state")), t: t, ek: ek.handle}
			public, ekName := d.read(ek.handle)
			d.ekName = ekName
			ak := d.primary(tpm2.TPMRHEndorsement, restrictedSigning)
			key := d.primary(tpm2.TPMRHOwner, plainSigning)

			id := gateway.TPMIdentity{EKPublic: public, AKPublic: tpm2.Marshal(*ak.public), EKCertificates: [][]byte{d.certificate(ek.certificate)}}
			found, err := attest.CheckIdentity(id, roots, time.Now())
			if err != nil || found.Unproven != nil {
				t.Fatalf("refused %v, unproven %v", err, found.Unproven)
			}
			c, secret, err := attest.NewChallenge(id.EKPublic, id.AKPublic)
			if err != nil {
				t.Fatal(err)
			}
			csr := newCSR(t, key)
			e := gateway.Evidence{KeyPublic: tpm2.Marshal(*key.public), Activated: d.activate(ak, c)}
			e.Attest, e.Signature = d.certify(key, ak, gateway.Qualifying(c.Nonce, csr.Raw))
			want := attest.Request{AKPublic: id.AKPublic, Nonce: c.Nonce, Secret: sha256.Sum256(secret), CSR: csr}
			if err := attest.CheckEvidence(e, want); err != nil {
				t.Error(err)
			}
			root, between := caOf(t, filepath.Join(folder, "ca"))
			keep(t, "swtpm "+name, record{At: time.Now().UTC().Truncate(time.Second), Root: root, Between: between,
				Identity: id, Nonce: c.Nonce, Secret: want.Secret, CSR: csr.Raw, Evidence: e})
			want.Nonce = bytes.Repeat([]byte{1}, attest.NonceSize)
			refused(t, attest.CheckEvidence(e, want), attest.Nonce)
		})
	}
}

// prepareSwtpm makes the state of a TPM with EK certificates, and the CA that
// signed them in the folder ca. Without swtpm the test is skipped; in CI it fails.
func prepareSwtpm(t *testing.T) string {
	t.Helper()
	for _, program := range []string{"swtpm", "swtpm_setup", "swtpm_localca"} {
		if _, err := exec.LookPath(program); err != nil && os.Getenv("CI") != "" {
			t.Fatalf("%v: scripts/deps.sh installs it", err)
		} else if err != nil {
			t.Skipf("%v: scripts/deps.sh installs it", err)
		}
	}
	folder, err := os.MkdirTemp("", "tpm") // t.TempDir is too long for a Unix socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(folder) })
	for name, text := range map[string]string{
		"setup.conf":   "create_certs_tool = swtpm_localca\ncreate_certs_tool_config = %[1]s/ca.conf\ncreate_certs_tool_options = %[1]s/ca.options\n",
		"ca.conf":      "statedir = %[1]s/ca\nsigningkey = %[1]s/ca/signkey.pem\nissuercert = %[1]s/ca/issuercert.pem\ncertserial = %[1]s/ca/certserial\n",
		"ca.options":   "--platform-manufacturer Test\n--platform-version 1\n--platform-model Test\n",
		"state/.empty": "", "ca/.empty": "",
	} {
		path := filepath.Join(folder, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if text != "" {
			text = fmt.Sprintf(text, folder)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "swtpm_setup", "--tpm2", "--tpmstate", filepath.Join(folder, "state"),
		"--create-ek-cert", "--config", filepath.Join(folder, "setup.conf"), "--overwrite")
	cmd.Env = append(os.Environ(), "XDG_CONFIG_HOME="+folder)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("swtpm_setup: %v\n%s", err, out)
	}
	return folder
}

// caOf returns the root and the issuer of EK certificates of swtpm's CA, in DER.
func caOf(t *testing.T, folder string) (root, issuer []byte) {
	t.Helper()
	for name, to := range map[string]*[]byte{"swtpm-localca-rootca-cert.pem": &root, "issuercert.pem": &issuer} {
		block, _ := pem.Decode(must(os.ReadFile(filepath.Join(folder, name)))(t))
		if block == nil {
			t.Fatalf("%s is no PEM", name)
		}
		*to = block.Bytes
	}
	return root, issuer
}

// openSwtpm starts swtpm on a state, and ends it with the test.
func openSwtpm(t *testing.T, state string) transport.TPM {
	t.Helper()
	socket := filepath.Join(state, "tpm.sock")
	l, err := net.Listen("unix", socket) // so that nobody has to wait for it
	if err != nil {
		t.Fatal(err)
	}
	inherited, err := l.(*net.UnixListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer inherited.Close()
	var log bytes.Buffer
	cmd := exec.Command("swtpm", "socket", "--tpm2", "--tpmstate", "dir="+state, "--server", "type=unixio,fd=3", "--flags", "not-need-init,startup-clear")
	cmd.ExtraFiles = []*os.File{inherited}
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = &log, &log, 5*time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		l.Close()
		if t.Failed() {
			t.Logf("swtpm: %s", &log)
		}
	})
	tpm, err := linuxudstpm.Open(socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tpm.Close() })
	return tpm
}

// device is the device's side, in the TPM's own commands.
type device struct {
	transport.TPM
	t      *testing.T
	ek     tpm2.TPMHandle
	ekName tpm2.TPM2BName
}

// object is a key in the TPM.
type object struct {
	d      *device
	handle tpm2.TPMHandle
	name   tpm2.TPM2BName
	public *tpm2.TPMTPublic
}

var (
	plainSigning = tpm2.TPMAObject{FixedTPM: true, FixedParent: true, SensitiveDataOrigin: true,
		UserWithAuth: true, NoDA: true, SignEncrypt: true}
	restrictedSigning = tpm2.TPMAObject{FixedTPM: true, FixedParent: true, SensitiveDataOrigin: true,
		UserWithAuth: true, NoDA: true, SignEncrypt: true, Restricted: true}
)

func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func (d *device) read(h tpm2.TPMHandle) ([]byte, tpm2.TPM2BName) {
	d.t.Helper()
	r := must(tpm2.ReadPublic{ObjectHandle: h}.Execute(d))(d.t)
	return r.OutPublic.Bytes(), r.Name
}

// certificate reads an NV index, in pieces that every TPM can give.
func (d *device) certificate(index tpm2.TPMHandle) []byte {
	d.t.Helper()
	p := must(tpm2.NVReadPublic{NVIndex: index}.Execute(d))(d.t)
	public := must(p.NVPublic.Contents())(d.t)
	var all []byte
	for size := int(public.DataSize); len(all) < size; {
		r := must(tpm2.NVRead{
			AuthHandle: tpm2.AuthHandle{Handle: index, Name: p.NVName, Auth: tpm2.PasswordAuth(nil)},
			NVIndex:    tpm2.NamedHandle{Handle: index, Name: p.NVName},
			Size:       uint16(min(512, size-len(all))), Offset: uint16(len(all)),
		}.Execute(d))(d.t)
		all = append(all, r.Data.Buffer...)
	}
	return all
}

// primary makes an ECC key on P-256 in a hierarchy.
func (d *device) primary(hierarchy tpm2.TPMHandle, a tpm2.TPMAObject) *object {
	d.t.Helper()
	params := &tpm2.TPMSECCParms{CurveID: tpm2.TPMECCNistP256}
	if a.Restricted {
		params.Scheme = tpm2.TPMTECCScheme{Scheme: tpm2.TPMAlgECDSA,
			Details: tpm2.NewTPMUAsymScheme(tpm2.TPMAlgECDSA, &tpm2.TPMSSigSchemeECDSA{HashAlg: tpm2.TPMAlgSHA256})}
	}
	r := must(tpm2.CreatePrimary{PrimaryHandle: hierarchy, InPublic: tpm2.New2B(tpm2.TPMTPublic{
		Type: tpm2.TPMAlgECC, NameAlg: tpm2.TPMAlgSHA256, ObjectAttributes: a,
		Parameters: tpm2.NewTPMUPublicParms(tpm2.TPMAlgECC, params),
	})}.Execute(d))(d.t)
	d.t.Cleanup(func() { tpm2.FlushContext{FlushHandle: r.ObjectHandle}.Execute(d) })
	return &object{d, r.ObjectHandle, r.Name, must(r.OutPublic.Contents())(d.t)}
}

// activate opens a credential: the EK is used by its policy, which is that of
// the endorsement hierarchy for both EKs.
func (d *device) activate(ak *object, c gateway.Challenge) []byte {
	d.t.Helper()
	authorise := func(tpm transport.TPM, session tpm2.TPMISHPolicy, _ tpm2.TPM2BNonce) error {
		_, err := tpm2.PolicySecret{
			AuthHandle: tpm2.AuthHandle{Handle: tpm2.TPMRHEndorsement, Auth: tpm2.PasswordAuth(nil)}, PolicySession: session,
		}.Execute(tpm)
		return err
	}
	auth := tpm2.Policy(tpm2.TPMAlgSHA256, 16, authorise)
	if d.ek == 0x81010016 { // the high range lets the user use it, who has no password
		auth = tpm2.PasswordAuth(nil)
	}
	r := must(tpm2.ActivateCredential{
		ActivateHandle: tpm2.AuthHandle{Handle: ak.handle, Name: ak.name, Auth: tpm2.PasswordAuth(nil)},
		KeyHandle:      tpm2.AuthHandle{Handle: d.ek, Name: d.ekName, Auth: auth},
		CredentialBlob: tpm2.TPM2BIDObject{Buffer: c.Credential[2:]},
		Secret:         tpm2.TPM2BEncryptedSecret{Buffer: c.Secret[2:]},
	}.Execute(d))(d.t)
	return r.CertInfo.Buffer
}

func (d *device) certify(key, ak *object, qualifying [32]byte) (statement, signature []byte) {
	d.t.Helper()
	r := must(tpm2.Certify{
		ObjectHandle:   tpm2.AuthHandle{Handle: key.handle, Name: key.name, Auth: tpm2.PasswordAuth(nil)},
		SignHandle:     tpm2.AuthHandle{Handle: ak.handle, Name: ak.name, Auth: tpm2.PasswordAuth(nil)},
		QualifyingData: tpm2.TPM2BData{Buffer: qualifying[:]},
	}.Execute(d))(d.t)
	return r.CertifyInfo.Bytes(), tpm2.Marshal(r.Signature)
}

// Public and Sign make the key a crypto.Signer, for its request.
func (o *object) Public() crypto.PublicKey { return must(tpm2.Pub(*o.public))(o.d.t) }

// Sign implements crypto.Signer for SHA-256.
func (o *object) Sign(_ io.Reader, digest []byte, _ crypto.SignerOpts) ([]byte, error) {
	r, err := tpm2.Sign{
		KeyHandle: tpm2.AuthHandle{Handle: o.handle, Name: o.name, Auth: tpm2.PasswordAuth(nil)},
		Digest:    tpm2.TPM2BDigest{Buffer: digest},
		InScheme: tpm2.TPMTSigScheme{Scheme: tpm2.TPMAlgECDSA,
			Details: tpm2.NewTPMUSigScheme(tpm2.TPMAlgECDSA, &tpm2.TPMSSchemeHash{HashAlg: tpm2.TPMAlgSHA256})},
		Validation: tpm2.TPMTTKHashCheck{Tag: tpm2.TPMSTHashCheck},
	}.Execute(o.d)
	if err != nil {
		return nil, err
	}
	s, err := r.Signature.Signature.ECDSA()
	if err != nil {
		return nil, err
	}
	return asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(s.SignatureR.Buffer), new(big.Int).SetBytes(s.SignatureS.Buffer)})
}
