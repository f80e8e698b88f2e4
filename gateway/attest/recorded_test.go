package attest_test

import (
	"crypto/x509"
	_ "embed"
	"encoding/json"
	"flag"
	"os"
	"testing"
	"time"

	"github.com/mecha-org/mecha-agent/gateway"
	"github.com/mecha-org/mecha-agent/gateway/attest"
)

// recorded.json holds one exchange for each kind of key, and one of swtpm: the
// seeds of the fuzz tests, which have to be the same in each of their processes,
// and what every later version has to take. "go test -run Recorded -update" makes
// it anew; the one of swtpm comes from TestSwtpm with -update.
//
//go:embed testdata/recorded.json
var recordedJSON []byte

const recordedFile = "testdata/recorded.json"

var update = flag.Bool("update", false, "make "+recordedFile+" anew")

// record is an exchange as it stands in the file.
type record struct {
	At       time.Time           `json:"at"`
	Root     []byte              `json:"root"` // DER
	Between  []byte              `json:"between"`
	Identity gateway.TPMIdentity `json:"identity"`
	Nonce    []byte              `json:"nonce"`
	Secret   [32]byte            `json:"secret"`
	CSR      []byte              `json:"csr"` // DER
	Evidence gateway.Evidence    `json:"evidence"`
}

func readRecords(t testing.TB, text []byte) map[string]record {
	t.Helper()
	all := map[string]record{}
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	return all
}

// keep puts a record into the file when -update is given.
func keep(t *testing.T, name string, r record) {
	t.Helper()
	if !*update {
		return
	}
	text, err := os.ReadFile(recordedFile)
	if err != nil {
		t.Fatal(err)
	}
	all := readRecords(t, text)
	all[name] = r
	if text, err = json.MarshalIndent(all, "", "\t"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(recordedFile, append(text, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
}

func (r record) roots(t testing.TB) *attest.Roots {
	t.Helper()
	var certs []*x509.Certificate
	for _, der := range [][]byte{r.Root, r.Between} {
		if len(der) == 0 {
			continue
		}
		c, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		certs = append(certs, c)
	}
	return attest.NewRoots(certs...)
}

func (r record) want(t testing.TB) attest.Request {
	t.Helper()
	csr, err := x509.ParseCertificateRequest(r.CSR)
	if err != nil {
		t.Fatal(err)
	}
	return attest.Request{AKPublic: r.Identity.AKPublic, Nonce: r.Nonce, Secret: r.Secret, CSR: csr}
}

func TestRecorded(t *testing.T) {
	m := newMaker(t)
	for name, o := range kinds {
		tpm := newTPM(t, m, o)
		x := prove(t, tpm)
		keep(t, name, record{At: noon, Root: m.Root.Raw, Identity: identityOf(t, tpm), Nonce: x.want.Nonce,
			Secret: x.want.Secret, CSR: x.want.CSR.Raw, Evidence: x.evidence})
	}
	all := readRecords(t, recordedJSON)
	if len(all) != len(kinds)+len(swtpmEKs) {
		t.Errorf("%d records, want one of each kind and of each EK of swtpm", len(all))
	}
	for name, r := range all {
		id, err := attest.CheckIdentity(r.Identity, r.roots(t), r.At)
		if err != nil || id.Unproven != nil {
			t.Errorf("%s: refused %v, unproven %v", name, err, id.Unproven)
		}
		if err := attest.CheckEvidence(r.Evidence, r.want(t)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
