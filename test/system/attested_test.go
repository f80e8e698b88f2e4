//go:build system

package system_test

import (
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	keyfiles "github.com/foxboron/go-tpm-keyfiles"
	"google.golang.org/grpc/credentials"

	words "github.com/mecha-org/mecha-agent/gateway"
	provisioningpb "github.com/mecha-org/mecha-agent/proto/provisioning"
	"github.com/mecha-org/mecha-agent/test/system/guest"
)

// TestTPM takes boards with a TPM from the button to a certificate, at a gateway that
// takes no others, cuts their power, and calls what comes back; then it resets them. The
// TPM is swtpm, on the host.
func TestTPM(t *testing.T) {
	for _, b := range tpmBoards(t) {
		t.Run(b.name, func(t *testing.T) {
			with := need(t)
			l := newLab(t, b, with, startGateway(t, with, ""))
			maker := l.insertTPM(t)
			l.insertDisk(t)
			caller := l.gateway.enrol(t) // has no TPM: the gateway still takes that
			l.gateway.restart(t, requires(t, maker...))
			stranger := startGateway(t, with, requires(t, newMaker(t)))
			l.powerOn(t)
			l.waitState(t, answerLimit, provisioningpb.State_STATE_IDLE)

			var code *provisioningpb.StatusResponse
			var id string
			var key *ecdsa.PublicKey
			// Each step needs what the one before it left.
			for _, step := range []struct {
				name string
				do   func(t *testing.T)
			}{
				{"refused", func(t *testing.T) { l.isRefused(t, stranger) }},
				{"code", func(t *testing.T) { code, _ = l.getsCode(t) }},
				{"tpm", l.hasTPM},
				{"claim", func(t *testing.T) { id = l.claimed(t, code) }},
				{"proof", func(t *testing.T) { key = l.isProven(t, id, maker) }},
				{"power cut", func(t *testing.T) { l.comesBack(t, id, key, caller) }},
				{"mTLS", func(t *testing.T) { l.answersTheFleet(t, key, caller) }},
				{"reboot", func(t *testing.T) { l.reboot(t); l.isBack(t, id, key) }},
			} {
				if !t.Run(step.name, step.do) {
					return
				}
			}
		})
	}
}

// hasTPM checks that the guest has the kernel's TPM, with its resource manager, and
// that the agent knows it: the maker is what swtpm says of itself.
func (l *lab) hasTPM(t *testing.T) {
	var is struct {
		Checks []struct{ Name, Result, Found string }
	}
	if err := json.Unmarshal([]byte(l.run(t, 0, "doctor", "--json")), &is); err != nil {
		t.Fatal(err)
	}
	for _, c := range is.Checks {
		if c.Name != "tpm" {
			continue
		}
		t.Logf("%s: %s", l.board.name, c.Found)
		if c.Result != "ok" || !strings.HasPrefix(c.Found, "tpmrm0, IBM") {
			t.Errorf("doctor says of the TPM: %s, %q", c.Result, c.Found)
		}
		return
	}
	t.Error("doctor says nothing of a TPM")
}

// isRefused has the board ask a gateway that does not know the maker of its TPM: it is
// told why, and the panel says so. Then it is the board of its own gateway again.
func (l *lab) isRefused(t *testing.T, stranger *gateway) {
	own := l.gateway
	l.gateway = stranger
	l.rewire(t, l.board.hardware)
	l.waitState(t, answerLimit, provisioningpb.State_STATE_IDLE)
	l.askForCode(t)
	failed := l.waitState(t, answerLimit, provisioningpb.State_STATE_FAILED)
	t.Logf("%s: %s", failed.Error, failed.Hint)
	if !strings.Contains(failed.Error, "TPM maker: unknown maker") || failed.Provisioned || failed.Code != "" {
		t.Errorf("a board whose TPM nobody vouches for says %v", failed)
	}
	l.panelSays(t, failed)
	if fleet := stranger.fleet(t); len(fleet) != 0 {
		t.Errorf("the gateway that refused it has the machines %+v", fleet)
	}
	l.gateway = own
	l.rewire(t, l.board.hardware)
}

// What stands for "made in a TPM whose maker is trusted" in a certificate
// (docs/security.md). It stands here a second time so that a wrong one shows.
const provenPolicy = "1.3.6.1.4.1.32473.1.1"

// isProven checks that the machine's key is in its TPM, and that certificate and
// registry say so. It returns the key.
func (l *lab) isProven(t *testing.T, id string, maker []*x509.Certificate) *ecdsa.PublicKey {
	leaf := l.hasCertificate(t, id)
	if got := words.AttestationOf(leaf); got != words.TPMProven || len(leaf.Policies) != 1 || leaf.Policies[0].String() != provenPolicy {
		t.Errorf("the certificate has the policies %v, %q", leaf.Policies, got)
	}
	if s := l.waitState(t, answerLimit, provisioningpb.State_STATE_PROVISIONED); s.Keystore != "tpm" {
		t.Errorf("the agent says that its key is in %q, %s", s.Keystore, s.KeystoreReason)
	}
	l.hasOneKey(t)
	l.blocks(t, keyFile, "TSS2 PRIVATE KEY")
	file, err := keyfiles.Decode(l.ask(t, guest.Request{Read: keyFile}).Data)
	if err != nil {
		t.Fatal(err)
	}
	pub, err := file.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	key, ok := pub.(*ecdsa.PublicKey)
	if !ok || !key.Equal(leaf.PublicKey) {
		t.Fatal("the certificate is for another key than the TPM's")
	}
	fingerprint, err := words.Fingerprint(key)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range l.gateway.fleet(t) {
		if m.ID != id {
			continue
		}
		t.Logf("the registry says %s, by the maker %s", m.Attestation, m.TPM.Maker)
		root := maker[len(maker)-1].Subject.CommonName
		if m.Attestation != "tpm-proven" || m.TPM.EKFingerprint == "" || m.TPM.Reason != "" || !strings.Contains(m.TPM.Maker, root) || m.Key != fingerprint {
			t.Errorf("the registry says %+v, want a proven TPM of %q and the key %s", m, root, fingerprint)
		}
		return key
	}
	t.Fatalf("the registry has no machine %s", id)
	return nil
}

// comesBack cuts the board's power and gives it back. The agent finds its identity on
// the disk and its key in the TPM, and serves the fleet with them: nobody presses
// anything.
func (l *lab) comesBack(t *testing.T, id string, key *ecdsa.PublicKey, caller tls.Certificate) {
	l.powerOff(t)
	l.settings = "server: {tls: true}\n"
	l.calls = credentials.NewTLS(l.expects(key, caller))
	l.powerOn(t)
	l.isBack(t, id, key)
	t.Logf("provisioned %.1f s after the power came back", time.Since(l.Started).Seconds())
}

// isBack checks that the machine is what it was before, over mTLS.
func (l *lab) isBack(t *testing.T, id string, key *ecdsa.PublicKey) {
	t.Helper()
	s := l.waitState(t, answerLimit, provisioningpb.State_STATE_PROVISIONED)
	if s.MachineId != id || !s.Provisioned || s.Keystore != "tpm" || len(s.Trouble) != 0 {
		t.Errorf("the machine %s came back and says %v", id, s)
	}
	l.panelSays(t, s)
	if leaf := l.hasCertificate(t, id); !key.Equal(leaf.PublicKey) {
		t.Error("the machine came back with another key")
	}
	l.hasOneKey(t)
}

// expects is what a caller with these certificates takes for the machine: one with that
// key, for which the root of the fleet vouches. Machines have no name in a network, so
// the name that was called says nothing.
func (l *lab) expects(key *ecdsa.PublicKey, certs ...tls.Certificate) *tls.Config {
	return &tls.Config{
		Certificates:       certs,
		InsecureSkipVerify: true, // of the name; VerifyConnection looks at the rest
		NextProtos:         []string{"h2"},
		VerifyConnection: func(s tls.ConnectionState) error {
			between := x509.NewCertPool()
			for _, c := range s.PeerCertificates[1:] {
				between.AddCert(c)
			}
			if !key.Equal(s.PeerCertificates[0].PublicKey) {
				return errors.New("the server has another key than the machine had before")
			}
			_, err := s.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: l.gateway.roots, Intermediates: between,
				KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}, CurrentTime: time.Now().Add(clockSlack)})
			return err
		},
	}
}

// answersTheFleet calls the machine with a certificate of the fleet, with none, and
// with one of another fleet.
func (l *lab) answersTheFleet(t *testing.T, key *ecdsa.PublicKey, caller tls.Certificate) {
	begin := time.Now()
	if err := l.call(t, l.expects(key, caller)); err != nil {
		t.Errorf("with a certificate of the fleet: %v", err)
	}
	t.Logf("%s: a handshake took %.0f ms", l.board.name, float64(time.Since(begin).Microseconds())/1000)
	none, nobody := l.expects(key), l.expects(key)
	certificate := newCaller(t)
	nobody.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		return &certificate, nil // also to a server that asks for those of others
	}
	for _, c := range []struct {
		name, alert string
		config      *tls.Config
	}{
		{"without a certificate", "certificate required", none},
		{"with a certificate of nobody's", "unknown certificate authority", nobody},
	} {
		if err := l.call(t, c.config); err == nil || !strings.Contains(err.Error(), "remote error: tls: "+c.alert) {
			t.Errorf("%s: %v, want the alert %q", c.name, err, c.alert)
		}
	}
}

// call shakes hands with the agent and waits for the first byte that it sends: in TLS
// 1.3 a client is done before the server has looked at its certificate. A server of
// HTTP/2 begins with its settings.
func (l *lab) call(t *testing.T, config *tls.Config) error {
	t.Helper()
	address, err := l.Forwarded(guest.AgentPort)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := tls.DialWithDialer(&net.Dialer{Timeout: answerLimit}, "tcp", address, config)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(answerLimit)); err != nil {
		return err
	}
	_, err = conn.Read(make([]byte, 1))
	return err
}
