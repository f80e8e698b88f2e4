package main

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	zx509 "github.com/zmap/zcrypto/x509"
	"github.com/zmap/zlint/v3"
	"github.com/zmap/zlint/v3/lint"

	"github.com/mecha-org/mecha-agent/gateway"
	"github.com/mecha-org/mecha-agent/settings"
)

func TestRevocationLists(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/crl",
		Setup: func(env *testscript.Env) error {
			env.Setenv("HOME", env.WorkDir)
			env.Values[gatewayKey{}] = &process{}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"gateway": gatewayCmd, "identity": identityCmd, "lint": lintCmd, "lists": listsCmd,
		},
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
	})
}

// identityCmd: "identity CODE" is a board that gets its identity: machine.pem,
// bundle.pem, root.pem, and $MACHINE.
func identityCmd(ts *testscript.TestScript, _ bool, args []string) {
	b := announce(ts, false, args[:1])
	ts.Check(ts.Exec("mecha-gateway", "claim", "--yes", "--data", ts.MkAbs("data"), "--server", ts.Getenv("URL"),
		"--ca-file", ts.MkAbs("data/root.pem"), args[0]))
	m, err := b.client.FindManifest(context.Background(), args[0], b.session.DeviceCode)
	ts.Check(err)
	got, err := b.client.Sign(context.Background(), gateway.SignRequest{
		CSR: b.csr(ts, m.MachineID), MachineID: m.MachineID, Type: gateway.Provision, Token: m.Token,
	})
	ts.Check(err)
	ts.Setenv("MACHINE", m.MachineID)
	for name, text := range map[string]string{
		"machine.pem": got.Cert, "bundle.pem": strings.Join(got.CABundle, ""), "root.pem": got.RootCert,
	} {
		ts.Check(os.WriteFile(ts.MkAbs(name), []byte(text), 0o600))
	}
}

// blocks returns the DER of a file's PEM blocks, of which there is one at least.
func blocks(ts *testscript.TestScript, name string) (all [][]byte) {
	rest := []byte(ts.ReadFile(name))
	for {
		block, more := pem.Decode(rest)
		if block == nil {
			break
		}
		all, rest = append(all, block.Bytes), more
	}
	if len(all) == 0 {
		ts.Fatalf("%s: no PEM in it", name)
	}
	return all
}

// lintCmd: "lint FILE..." wants zlint, with all its sources, to find no error in
// any certificate.
func lintCmd(ts *testscript.TestScript, _ bool, args []string) {
	for _, name := range args {
		for _, der := range blocks(ts, name) {
			cert, err := zx509.ParseCertificate(der)
			ts.Check(err)
			passed := 0
			for rule, r := range zlint.LintCertificate(cert).Results {
				switch r.Status {
				case lint.Error, lint.Fatal:
					ts.Fatalf("%s: %s %s", name, rule, r.Details)
				case lint.Pass:
					passed++
				}
			}
			if passed == 0 {
				ts.Fatalf("%s: no lint looked at it", name)
			}
		}
	}
}

// listsCmd: "lists OUT FILE..." fetches the revocation lists that certificates
// name, as a relying party without any trust would.
func listsCmd(ts *testscript.TestScript, _ bool, args []string) {
	client := &http.Client{
		Timeout:       10 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	defer client.CloseIdleConnections()
	var out bytes.Buffer
	for _, name := range args[1:] {
		for _, der := range blocks(ts, name) {
			cert, err := x509.ParseCertificate(der)
			ts.Check(err)
			if len(cert.CRLDistributionPoints) != 1 || !strings.HasPrefix(cert.CRLDistributionPoints[0], "http://"+ts.Getenv("ADDR")+"/") {
				ts.Fatalf("%s: its lists are at %q, want one of http://%s", name, cert.CRLDistributionPoints, ts.Getenv("ADDR"))
			}
			resp, err := client.Get(cert.CRLDistributionPoints[0])
			ts.Check(err)
			list, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			ts.Check(err)
			if resp.StatusCode != http.StatusOK {
				ts.Fatalf("%s: %s", cert.CRLDistributionPoints[0], resp.Status)
			}
			ts.Check(pem.Encode(&out, &pem.Block{Type: "X509 CRL", Bytes: list}))
		}
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), out.Bytes(), 0o600))
}

func TestListBase(t *testing.T) {
	for _, c := range [][]string{ // URL, mode, want
		{"http://127.0.0.1:3000", "off", "http://127.0.0.1:3000"},
		{"https://[::1]:3000", "own", "http://[::1]:3000"},
		{"https://gw.lan", "files", "http://gw.lan:443"}, // its only port
		{"https://gw.lan", "off", "http://gw.lan"},       // a proxy's
		{"https://gw.lan/behind/a/proxy/", "off", "http://gw.lan/behind/a/proxy"},
		{"https://user:hush@gw.lan:8443", "own", "http://gw.lan:8443"},
	} {
		got, err := listBase(c[0], settings.GatewayTLS{Mode: c[1]})
		if err != nil || got != c[2] {
			t.Errorf("%s: got %q, %v", c[:2], got, err)
		}
	}
	if got, err := listBase("https://[", settings.GatewayTLS{}); err == nil {
		t.Errorf("no URL: got %q", got)
	}
}
