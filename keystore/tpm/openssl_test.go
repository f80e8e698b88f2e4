package tpm

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	keyfiles "github.com/foxboron/go-tpm-keyfiles"
	"github.com/google/go-tpm/tpm2"

	"github.com/mecha-org/mecha-agent/internal/rerun"
	"github.com/mecha-org/mecha-agent/keystore"
	"github.com/mecha-org/mecha-agent/keystore/tpm/tpmtest"
)

// proxyVar makes this test program a pipe to the socket that it names: openssl's
// provider speaks to a TPM through any program ("tcti-cmd" of tpm2-tss), and not
// through a Unix socket.
const proxyVar = "MECHA_TEST_TPM_PROXY"

func TestMain(m *testing.M) {
	if socket := os.Getenv(proxyVar); socket != "" {
		if err := proxy(socket); err != nil {
			os.Stderr.WriteString(err.Error() + "\n")
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// proxy passes commands on one by one, each on a connection of its own: others use
// the TPM in between.
func proxy(socket string) error {
	to, err := dial(socket)
	if err != nil {
		return err
	}
	for {
		command, err := readResponse(os.Stdin) // a command has the header of a response
		if err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		response, err := to.exchange(context.Background(), command)
		if err != nil {
			return err
		}
		if _, err := os.Stdout.Write(response); err != nil {
			return err
		}
	}
}

// openssl runs openssl with its tpm2 provider, of the Debian package tpm2-openssl,
// on the TPM at socket.
func openssl(t *testing.T, socket string, args ...string) *exec.Cmd {
	t.Helper()
	found, err := filepath.Glob("/usr/lib/*/ossl-modules/tpm2.so")
	without(t, err)
	if len(found) == 0 && os.Getenv("CI") != "" {
		t.Fatal("openssl has no tpm2 provider: scripts/deps.sh installs it")
	} else if len(found) == 0 {
		t.Skip("openssl has no tpm2 provider: scripts/deps.sh installs it")
	}
	self, err := os.Executable()
	without(t, err)
	args = append(args, "-provider", "default", "-provider", "tpm2", "-propquery", "?provider=tpm2,tpm2.digest!=yes")
	cmd := exec.CommandContext(t.Context(), "openssl", args...)
	cmd.Env = append(os.Environ(), proxyVar+"="+socket,
		"TPM2OPENSSL_TCTI=cmd:"+strings.TrimSpace(os.Getenv(rerun.Emulator)+" "+self), "TSS2_LOG=all+none")
	cmd.WaitDelay = 10 * time.Second
	return cmd
}

func output(t *testing.T, cmd *exec.Cmd) []byte {
	t.Helper()
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", cmd, err, &stderr)
	}
	return out
}

// Our key file is openssl's, whichever parent the key has.
func TestOpenSSLReadsOurs(t *testing.T) {
	for name, curve := range map[string]keystore.Curve{"P-256": keystore.P256, "P-384": keystore.P384, "persistent parent": keystore.P256} {
		t.Run(name, func(t *testing.T) {
			socket := tpmtest.Start(t)
			if name == "persistent parent" {
				persist(t, socket, srkTemplate())
			}
			s := newTestStore(t, Config{Path: socket, Curve: curve})
			path := newKeyPath(t)
			k := create(t, s, path)
			without(t, k.Close())
			without(t, s.Close()) // three places are all there are
			text := output(t, openssl(t, socket, "req", "-new", "-key", path, "-subj", "/CN=machine-1"))
			block, _ := pem.Decode(text)
			if block == nil {
				t.Fatalf("no request: %s", text)
			}
			csr, err := x509.ParseCertificateRequest(block.Bytes)
			without(t, err)
			without(t, csr.CheckSignature())
			if !csr.PublicKey.(*ecdsa.PublicKey).Equal(k.Public()) {
				t.Error("the request is for another key")
			}
		})
	}
}

// A key that openssl made is opened, signs, and is deleted.
func TestWeReadOpenSSLs(t *testing.T) {
	for _, curve := range []string{"P-256", "P-384"} {
		t.Run(curve, func(t *testing.T) {
			socket := tpmtest.Start(t)
			path := newKeyPath(t)
			output(t, openssl(t, socket, "genpkey", "-algorithm", "EC", "-pkeyopt", "group:"+curve, "-out", path))
			without(t, os.Chmod(path, 0o600))
			s := newTestStore(t, Config{Path: socket})
			k, err := s.Open(t.Context(), path)
			without(t, err)
			if k.Info().Curve != keystore.Curve(curve) {
				t.Errorf("got %+v", k.Info())
			}
			sign(t, k)
			without(t, k.Close())
			without(t, s.Delete(t.Context(), path))
		})
	}
}

// selfSigned makes a certificate for key, and writes it for openssl.
func selfSigned(t *testing.T, key crypto.Signer) (cert tls.Certificate, pool *x509.CertPool, path string) {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "machine.test"}, DNSNames: []string{"machine.test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	without(t, err)
	leaf, err := x509.ParseCertificate(der)
	without(t, err)
	pool = x509.NewCertPool()
	pool.AddCert(leaf)
	path = filepath.Join(t.TempDir(), "cert.pem")
	without(t, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool, path
}

// s_client shows the machine's certificate to a server that wants it, with the
// very file that the agent uses, and s_server serves with it.
func TestOpenSSLTLS(t *testing.T) {
	socket := tpmtest.Start(t)
	s := newTestStore(t, Config{Path: socket})
	path := newKeyPath(t)
	k := create(t, s, path)
	_, ours, cert := selfSigned(t, k)
	without(t, k.Close())
	without(t, s.Close())
	// openssl's provider also checks others' ECDSA and RSA signatures in the TPM, for
	// which three places without a resource manager are too few: Ed25519 it leaves
	// to openssl.
	_, peer, err := ed25519.GenerateKey(rand.Reader)
	without(t, err)
	peerCert, _, peerFile := selfSigned(t, peer)

	for name, version := range map[string]uint16{"1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13} {
		t.Run("s_client, TLS "+name, func(t *testing.T) {
			l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{peerCert}, MaxVersion: version,
				ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: ours})
			without(t, err)
			defer l.Close()
			done := make(chan error, 1)
			go func() {
				c, err := l.Accept()
				if err == nil {
					c.SetDeadline(time.Now().Add(time.Minute))
					_, err = io.WriteString(c, "hello")
					c.Close()
				}
				done <- err
			}()
			cmd := openssl(t, socket, "s_client", "-connect", l.Addr().String(), "-CAfile", peerFile,
				"-cert", cert, "-key", path, "-quiet", "-verify_return_error")
			if got := output(t, cmd); string(got) != "hello" {
				t.Errorf("got %q", got)
			}
			without(t, <-done)
		})
	}

	t.Run("s_server", func(t *testing.T) {
		// openssl picks no free port and says nothing when it listens: it is given a
		// port that was free, and asked until it answers.
		l, err := net.Listen("tcp", "127.0.0.1:0")
		without(t, err)
		address := l.Addr().String()
		l.Close()
		cmd := openssl(t, socket, "s_server", "-accept", address, "-cert", cert, "-key", path, "-naccept", "1", "-quiet")
		var log bytes.Buffer
		cmd.Stdout, cmd.Stderr = &log, &log
		stdin, err := cmd.StdinPipe() // its end would end the connection
		without(t, err)
		defer stdin.Close()
		without(t, cmd.Start())
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			c, err := net.DialTimeout("tcp", address, time.Second)
			if err == nil {
				defer c.Close()
				c.SetDeadline(time.Now().Add(time.Minute))
				without(t, tls.Client(c, &tls.Config{RootCAs: ours, ServerName: "machine.test"}).HandshakeContext(t.Context()))
				c.Close()
				break
			}
			select {
			case err := <-ended:
				t.Fatalf("s_server ended: %v\n%s", err, &log)
			case <-tick.C:
			}
		}
		stdin.Close()
		<-ended
	})
}

// opensslConf is what docs/tpm.md says to write for programs that know nothing of
// providers.
const opensslConf = `openssl_conf = openssl_init
[openssl_init]
providers = providers
random = random
alg_section = algorithms
[providers]
default = default_provider
tpm2 = tpm2_provider
[default_provider]
activate = 1
[tpm2_provider]
activate = 1
[random]
properties = provider=default
[algorithms]
default_properties = ?provider=tpm2,tpm2.digest!=yes,tpm2.rand!=yes
`

// curl shows the machine's certificate with the very file that the agent uses.
func TestCurl(t *testing.T) {
	socket := tpmtest.Start(t)
	s := newTestStore(t, Config{Path: socket})
	path := newKeyPath(t)
	k := create(t, s, path)
	_, ours, cert := selfSigned(t, k)
	without(t, k.Close())
	without(t, s.Close())
	_, peer, err := ed25519.GenerateKey(rand.Reader) // as in TestOpenSSLTLS
	without(t, err)
	peerCert, _, peerFile := selfSigned(t, peer)
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{peerCert},
		ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: ours})
	without(t, err)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "hello "+r.TLS.PeerCertificates[0].Subject.CommonName)
	})}
	done := make(chan struct{})
	go func() { defer close(done); server.Serve(l) }()
	defer func() { server.Close(); <-done }()

	conf := filepath.Join(t.TempDir(), "openssl.cnf")
	without(t, os.WriteFile(conf, []byte(opensslConf), 0o600))
	_, port, err := net.SplitHostPort(l.Addr().String())
	without(t, err)
	cmd := openssl(t, socket) // for its environment
	cmd.Args = []string{"curl", "--silent", "--show-error", "--max-time", "60", "--cacert", peerFile, "--cert", cert, "--key", path,
		"--connect-to", "machine.test:443:127.0.0.1:" + port, "https://machine.test/"}
	cmd.Path, err = exec.LookPath("curl")
	without(t, err)
	cmd.Env = append(cmd.Env, "OPENSSL_CONF="+conf, "no_proxy=*")
	if got := output(t, cmd); string(got) != "hello machine.test" {
		t.Errorf("got %q", got)
	}
}

// go-tpm-keyfiles, which others build on, reads what we write and the reverse.
func TestKeyfiles(t *testing.T) {
	socket := tpmtest.Start(t)
	s := newTestStore(t, Config{Path: socket})
	path := newKeyPath(t)
	k := create(t, s, path)
	without(t, k.Close())
	without(t, s.Close())
	text, err := os.ReadFile(path)
	without(t, err)
	theirs, err := keyfiles.Decode(text)
	without(t, err)
	if pub, err := theirs.PublicKey(); err != nil || !pub.(*ecdsa.PublicKey).Equal(k.Public()) {
		t.Errorf("they read another key: %v", err)
	}
	if theirs.Parent != tpm2.TPMRHOwner || !theirs.EmptyAuth || theirs.Description != "" {
		t.Errorf("they read %+v", theirs)
	}
	if again := theirs.Bytes(); !bytes.Equal(again, text) {
		t.Errorf("they write\n%s, we wrote\n%s", again, text)
	}
	connection := raw(t, socket)
	signer, err := theirs.Signer(connection, nil, nil)
	without(t, err)
	digest := sha256.Sum256([]byte("text"))
	signature, err := signer.Sign(nil, digest[:], crypto.SHA256)
	without(t, err)
	if !ecdsa.VerifyASN1(k.Public().(*ecdsa.PublicKey), digest[:], signature) {
		t.Error("their signature with our key does not verify")
	}

	made, err := keyfiles.NewLoadableKey(connection, tpm2.TPMAlgECC, 256, nil, keyfiles.WithDescription("a person's words"))
	without(t, err)
	other := newKeyPath(t)
	without(t, os.WriteFile(other, made.Bytes(), 0o600))
	ours, err := newTestStore(t, Config{Path: socket}).Open(t.Context(), other)
	without(t, err)
	sign(t, ours)
	without(t, ours.Close())
}
