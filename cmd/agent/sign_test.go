package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mecha-org/mecha-agent/cmd/internal/cli"
	"github.com/mecha-org/mecha-agent/keystore/choose"
	"github.com/mecha-org/mecha-agent/keystore/tpm"
	"github.com/mecha-org/mecha-agent/keystore/tpm/tpmtest"
)

// clientHello is what a client of these versions sends first, without the header of
// the record.
func clientHello(t *testing.T, lowest, highest uint16) []byte {
	t.Helper()
	client, server := net.Pipe()
	defer server.Close()
	go func() {
		defer client.Close()
		_ = tls.Client(client, &tls.Config{ServerName: "gateway", MinVersion: lowest, MaxVersion: highest}).Handshake()
	}()
	record := make([]byte, 5+headSize)
	if _, err := io.ReadFull(server, record); err != nil {
		t.Fatal(err)
	}
	return record[5:]
}

func TestRefuseToSign(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	inside := func(name pkix.Name) []byte {
		der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: name}, key)
		if err != nil {
			t.Fatal(err)
		}
		csr, err := x509.ParseCertificateRequest(der)
		if err != nil {
			t.Fatal(err)
		}
		return csr.RawTBSCertificateRequest
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	request := inside(pkix.Name{CommonName: "machine-1"})
	spaces := strings.Repeat(" ", 64)
	for name, c := range map[string]struct {
		content []byte
		refused string // "" for not
	}{
		"TLS 1.3, client":      {[]byte(spaces + "TLS 1.3, client CertificateVerify\x00"), "TLS 1.3"},
		"TLS 1.3, server":      {[]byte(spaces + "TLS 1.3, server CertificateVerify\x00"), "TLS 1.3"},
		"63 spaces":            {[]byte(spaces[1:] + "TLS 1.3, client"), ""},
		"spaces":               {[]byte(spaces + "TLS 1.3"), ""},
		"TLS 1.2":              {clientHello(t, tls.VersionTLS12, tls.VersionTLS12), "TLS handshake"},
		"TLS 1.0":              {clientHello(t, tls.VersionTLS10, tls.VersionTLS11), "TLS handshake"},
		"request":              {request, "signing request"},
		"request without name": {inside(pkix.Name{}), "signing request"},
		"long request":         {inside(pkix.Name{CommonName: "m", Organization: []string{strings.Repeat("x", 500)}}), "signing request"},
		"private key":          {pkcs8, ""},
		"nothing":              {nil, ""},
		"text":                 {[]byte("Dear fleet"), ""},
		"gzip":                 {[]byte("\x1f\x8b\x08\x00\x00\x00\x00\x00"), ""},
	} {
		err := refuseToSign(c.content[:min(len(c.content), headSize)])
		if (err == nil) != (c.refused == "") || err != nil && !strings.Contains(err.Error(), c.refused) {
			t.Errorf("%s: got %v, want %q", name, err, c.refused)
		}
	}
	for n := range request { // cut anywhere
		_ = refuseToSign(request[:n])
	}
}

// endless is as many zeros as are left.
type endless struct{ left int64 }

func (e *endless) Read(b []byte) (int, error) {
	if e.left == 0 {
		return 0, io.EOF
	}
	n := min(int64(len(b)), e.left)
	e.left -= n
	return int(n), nil
}

// A long content is read once and not kept.
func TestSignStreams(t *testing.T) {
	k := newKeyed(t, choose.Disk, "")
	a := &app{Program: cli.Program{System: cli.System{Stdin: &endless{64 << 20}, Stdout: io.Discard, Stderr: io.Discard}}}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if err := a.sign(t.Context(), k.cfg, signOptions{hash: "sha256"}, "-"); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if used := after.TotalAlloc - before.TotalAlloc; used > 8<<20 {
		t.Errorf("%d bytes of memory for 64 MiB of content", used)
	}
}

// Ctrl-C ends a command that waits for content which does not come.
func TestSignInterrupted(t *testing.T) {
	k := newKeyed(t, choose.Disk, "")
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	ctx, cancel := context.WithCancel(t.Context())
	var out bytes.Buffer
	a := &app{Program: cli.Program{System: cli.System{Stdin: r, Stdout: &out, Stderr: io.Discard}}}
	time.AfterFunc(50*time.Millisecond, cancel)
	if err := a.sign(ctx, k.cfg, signOptions{hash: "sha256"}, "-"); err == nil || err.Error() != "interrupted" || out.Len() > 0 {
		t.Errorf("got %v, wrote %q", err, out.String())
	}
}

// openssl verifies what the TPM signed.
func TestSignWithATPM(t *testing.T) {
	chip := tpmtest.New(t)
	k := newKeyed(t, choose.Auto, chip.Socket)
	code, public, _ := k.run("key", "--public")
	if err := os.WriteFile(k.file("public.pem"), []byte(public), 0o600); err != nil || code != cli.ExitOK {
		t.Fatal(code, err)
	}
	content := k.file("settings.yml")
	for hash := range signHashes {
		if code, stdout, stderr := k.run("sign", "--hash", hash, "-o", k.file("sig"), content); code != cli.ExitOK || stdout != "" || stderr != "" {
			t.Fatalf("%s: exit code %d, stdout %q, stderr %q", hash, code, stdout, stderr)
		}
		out, err := exec.Command("openssl", "dgst", "-"+hash, "-verify", k.file("public.pem"), "-signature", k.file("sig"), content).CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v\n%s", hash, err, out)
		}
	}
	if n := loaded(t, chip); n > 0 {
		t.Errorf("%d objects were left in the TPM", n)
	}

	clear(t, chip)
	code, stdout, stderr := k.run("sign", "-o", k.file("none"), content)
	if code != cli.ExitFailure || stdout != "" || !strings.Contains(stderr, tpm.ErrCleared.Error()) || !strings.Contains(stderr, "hint: the key is gone for good") {
		t.Errorf("cleared: exit code %d, stdout %q, stderr %q", code, stdout, stderr)
	}
	if _, err := os.Stat(k.file("none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it left something for a signature: %v", err)
	}
}

func TestMeter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		m := newMeter(&out, true, 300<<20)
		see := func(want string) {
			t.Helper()
			synctest.Wait()
			if got := screen(&out); got != want {
				t.Errorf("the screen shows %q, want %q", got, want)
			}
		}
		see("") // what takes less than a second shows nothing
		m.read.Add(100 << 20)
		<-time.After(time.Second + time.Millisecond)
		see("read 100 MiB [##########....................]")
		m.read.Add(400 << 20) // it grows while it is read
		<-time.After(time.Second)
		see("read 500 MiB [##############################]")
		m.end()
		see("")

		out.Reset()
		m = newMeter(&out, true, 0)
		m.read.Add(5 << 20)
		<-time.After(time.Second + time.Millisecond)
		see("read 5 MiB")
		m.end()

		out.Reset()
		m = newMeter(&out, false, 300<<20)
		<-time.After(2 * time.Second)
		m.end()
		if out.Len() > 0 {
			t.Errorf("nobody sits there, and it wrote %q", out.String())
		}
	})
}
