package choose

import (
	"errors"
	"strings"
	"testing"

	"github.com/mecha-org/mecha-agent/gateway"
	"github.com/mecha-org/mecha-agent/keystore/internal/keyfile"
)

func TestChoose(t *testing.T) {
	broken := keyfile.WithHint(errors.New("no TPM"), "plug it in")
	for _, c := range []struct {
		policy, recorded string
		tpm              error
		want             string
		why              string // in why, or in the error
		err              error
		hint             string
	}{
		// The first start.
		{Auto, "", nil, TPM, "a TPM works", nil, ""},
		{Auto, "", broken, Disk, "no TPM", nil, ""},
		{TPM, "", nil, TPM, "settings", nil, ""},
		{TPM, "", broken, "", "no TPM", broken, "plug it in"},
		{Disk, "", nil, Disk, "settings", nil, ""},
		{Disk, "", broken, Disk, "settings", nil, ""},
		// A key in the TPM: it or nothing.
		{Auto, TPM, nil, TPM, "holds", nil, ""},
		{Auto, TPM, broken, "", "no TPM", ErrGone, "plug it in"},
		{TPM, TPM, nil, TPM, "holds", nil, ""},
		{TPM, TPM, broken, "", "no TPM", ErrGone, "plug it in"},
		{Disk, TPM, nil, "", `"tpm"`, ErrChanged, "deprovision"},
		{Disk, TPM, broken, "", `"tpm"`, ErrChanged, "set keystore.backend to tpm"},
		// A key on the disk: a TPM that turns up changes nothing.
		{Auto, Disk, nil, Disk, "holds", nil, ""},
		{Auto, Disk, broken, Disk, "holds", nil, ""},
		{Disk, Disk, nil, Disk, "holds", nil, ""},
		{Disk, Disk, broken, Disk, "holds", nil, ""},
		{TPM, Disk, nil, "", `"disk"`, ErrChanged, "deprovision"},
		{TPM, Disk, broken, "", `"disk"`, ErrChanged, "set keystore.backend to disk"},
	} {
		got, why, err := Choose(c.policy, c.recorded, c.tpm)
		if got != c.want || !errors.Is(err, c.err) || (err == nil) != (c.err == nil) {
			t.Errorf("%s, recorded %q, TPM %v: got %q, %v, want %q, %v", c.policy, c.recorded, c.tpm, got, err, c.want, c.err)
			continue
		}
		if err != nil {
			why = err.Error()
		}
		if !strings.Contains(why, c.why) || !strings.Contains(gateway.HintOf(err), c.hint) {
			t.Errorf("%s, recorded %q, TPM %v: said %q, hint %q, want %q and %q", c.policy, c.recorded, c.tpm, why, gateway.HintOf(err), c.why, c.hint)
		}
	}
	for _, c := range [][2]string{{"", ""}, {"TPM", ""}, {Auto, Auto}, {Auto, "tmp"}} {
		if got, _, err := Choose(c[0], c[1], nil); err == nil || got != "" {
			t.Errorf("policy %q, recorded %q: got %q, %v", c[0], c[1], got, err)
		}
	}
}
