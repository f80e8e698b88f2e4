package main

import (
	"cmp"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/mecha-org/mecha-agent/board"
	"github.com/mecha-org/mecha-agent/board/hosttest"
	"github.com/mecha-org/mecha-agent/gateway"
	"github.com/mecha-org/mecha-agent/gateway/gatewaytest"
	"github.com/mecha-org/mecha-agent/identity"
	"github.com/mecha-org/mecha-agent/keystore"
	"github.com/mecha-org/mecha-agent/keystore/disk"
	"github.com/mecha-org/mecha-agent/provision"
	"github.com/mecha-org/mecha-agent/settings"
)

// TestVaultTellsWhatTimeMends: a certificate that is not valid yet is told from
// one that never will be, and is taken once its time has come.
func TestVaultTellsWhatTimeMends(t *testing.T) {
	keys, err := disk.New(keystore.Curve("P-256"))
	if err != nil {
		t.Fatal(err)
	}
	at := func(name string) string { return filepath.Join(t.TempDir(), name) }
	store, err := identity.Open(t.Context(), identity.Paths{Key: at("key"), CSR: at("csr"), Cert: at("cert"),
		CABundle: at("bundle"), Root: at("root"), State: at("state")}, keys)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	key, err := store.Key(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "machine-1"}}, key)
	if err != nil {
		t.Fatal(err)
	}
	csr := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))
	now := time.Now()
	ca, err := gatewaytest.NewCA("Test", now)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		made  time.Time
		clock bool
		want  error
	}{
		{now.Add(time.Hour), true, provision.ErrClock},
		{now.AddDate(-1, 0, 0), false, identity.ErrUnverified},
		{now, false, nil},
	} {
		answer, err := ca.Machine(key.Public(), "machine-1", c.made)
		if err != nil {
			t.Fatal(err)
		}
		err = vault{Store: store}.Commit(t.Context(), "machine-1", csr, answer)
		if !errors.Is(err, c.want) || errors.Is(err, provision.ErrClock) != c.clock || c.clock && gateway.HintOf(err) == "" {
			t.Errorf("made at %v: error %v", c.made, err)
		}
	}
}

// notWired are settings of the hardware that are not about what is connected where:
// the panel, the button and the choice of the board take them.
var notWired = []string{"Board", "Console", "Options", "Display.Sleep", "LEDs.Pace", "LEDs.Dot", "Button.Hold"}

// TestWiringTakesAllSettings fails for a setting that was added and goes nowhere,
// and for a part of the wiring that no setting reaches.
func TestWiringTakesAllSettings(t *testing.T) {
	plain := settings.DefaultAgent().Hardware
	all := plain
	each(reflect.ValueOf(&plain).Elem(), "", func(name string, _ reflect.Value) {
		changed := plain
		set(t, name, field(&changed, name))
		set(t, name, field(&all, name))
		wired := !reflect.DeepEqual(wiring(changed, ""), wiring(plain, ""))
		if wired == slices.Contains(notWired, name) {
			t.Errorf("hardware.%s changes the wiring: %t", name, wired)
		}
	})
	w := wiring(all, "/state")
	each(reflect.ValueOf(&w).Elem(), "", func(name string, v reflect.Value) {
		if v.IsZero() {
			t.Errorf("no setting reaches Wiring.%s", name)
		}
	})
}

// each calls do for every field that is no struct, by its dotted name.
func each(v reflect.Value, prefix string, do func(name string, v reflect.Value)) {
	for i := range v.NumField() {
		name := prefix + v.Type().Field(i).Name
		if v.Field(i).Kind() == reflect.Struct {
			each(v.Field(i), name+".", do)
			continue
		}
		do(name, v.Field(i))
	}
}

// field finds a field by its dotted name.
func field(h *settings.Hardware, name string) reflect.Value {
	v := reflect.ValueOf(h).Elem()
	for part := range strings.SplitSeq(name, ".") {
		v = v.FieldByName(part)
	}
	return v
}

// set gives a field a value that is not its default.
func set(t *testing.T, name string, v reflect.Value) {
	t.Helper()
	switch old := v.Interface().(type) {
	case string:
		other := map[string]string{"LEDs.Active": "low", "Button.Active": "high"}[name]
		v.SetString(cmp.Or(other, "other"))
	case []string:
		v.Set(reflect.ValueOf([]string{"other"}))
	case map[string]string:
		v.Set(reflect.ValueOf(map[string]string{"other": "other"}))
	case settings.Address:
		v.SetUint(uint64(old) + 1)
	case time.Duration:
		v.SetInt(int64(old) + 1)
	case bool:
		v.SetBool(!old)
	default:
		t.Fatalf("hardware.%s: this test knows no value of type %T", name, old)
	}
}

// TestOpenMachineRefuses: what the board is comes back beside the refusal, which is
// about the settings and has a picture of a board that a table has.
func TestOpenMachineRefuses(t *testing.T) {
	root := fstest.MapFS{
		"sys/firmware/devicetree/base/compatible": {Data: []byte("raspberrypi,4-model-b\x00brcm,bcm2711\x00")},
		"sys/firmware/devicetree/base/model":      {Data: []byte("Raspberry Pi 4 Model B Rev 1.4\x00")},
	}
	c := settings.DefaultAgent()
	c.Hardware.Button.Line = "pin 6"
	h := &hosttest.Host{}
	b, err := openMachine(t.Context(), root, c, h)
	var refused *board.WiringError
	if !errors.As(err, &refused) || !strings.Contains(refused.Picture(), "button?") || gateway.HintOf(err) == "" {
		t.Errorf("error %v", err)
	}
	if b.Model != "Raspberry Pi 4 Model B Rev 1.4" || len(h.Opened()) > 0 {
		t.Errorf("board %s, opened %v", b, h.Opened())
	}
	c.Hardware.Button.Line = ""
	if _, err := openMachine(t.Context(), root, c, nil); err != nil {
		t.Errorf("without a host: %v", err)
	}
}
