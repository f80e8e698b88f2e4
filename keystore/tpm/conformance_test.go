package tpm

import (
	"testing"

	"github.com/mecha-org/mecha-agent/keystore"
	"github.com/mecha-org/mecha-agent/keystore/keystoretest"
	"github.com/mecha-org/mecha-agent/keystore/tpm/tpmtest"
)

func TestConformance(t *testing.T) {
	for _, c := range []keystore.Curve{keystore.P256, keystore.P384} {
		t.Run(string(c), func(t *testing.T) {
			chip, _ := tpmtest.Prepared(t)
			keystoretest.Run(t, func(t *testing.T) keystore.Store { return newTestStore(t, Config{Path: chip.Socket, Curve: c}) })
		})
	}
}
