package gateway

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"time"
)

var noon = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

// The names on the wire are what deployed agents and clouds know.
func TestFieldNames(t *testing.T) {
	board := Board{Vendor: "v", Model: "m", Serial: "s"}
	for _, c := range []struct {
		v    any
		want string
	}{
		{NewAnnounceBody(Announcement{"C", "csr", board, nil}), `{"code":"C","csr":"csr","board":{"vendor":"v","model":"m","serial":"s"}}`},
		{NewAnnounceBody(Announcement{"C", "csr", board, &TPMIdentity{[][]byte{{1}}, []byte{2}, []byte{3}}}),
			`{"code":"C","csr":"csr","board":{"vendor":"v","model":"m","serial":"s"},"attestation":{"ek_certificates":["AQ=="],"ek_public":"Ag==","ak_public":"Aw=="}}`},
		{NewSessionPayload(Session{Code: "C", DeviceCode: "d", Expires: noon.Add(300 * time.Second), Interval: 1500 * time.Millisecond,
			VerificationURI: "u", VerificationURIComplete: "uc"}, noon),
			`{"device_code":"d","expires_in":300,"interval":2,"verification_uri":"u","verification_uri_complete":"uc"}`},
		{NewManifestPayload(Manifest{"m", "/p", "2026", "t", nil}), `{"machine_id":"m","cert_sign_url":"/p","cert_valid_upto":"2026","token":"t"}`},
		{NewManifestPayload(Manifest{"m", "/p", "2026", "", nil}), `{"machine_id":"m","cert_sign_url":"/p","cert_valid_upto":"2026"}`},
		{NewManifestPayload(Manifest{"m", "/p", "2026", "t", &Challenge{[]byte{1}, []byte{2}, []byte{3}}}),
			`{"machine_id":"m","cert_sign_url":"/p","cert_valid_upto":"2026","token":"t","attestation":{"nonce":"AQ==","credential":"Ag==","secret":"Aw=="}}`},
		{NewSignBody(SignRequest{"/p", "csr", "m", ReIssue, "t", &Evidence{[]byte{1}, []byte{2}, []byte{3}, []byte{4}}}),
			`{"csr":"csr","machine_id":"m","request_type":"ReIssue","token":"t","attestation":{"key_public":"AQ==","attest":"Ag==","signature":"Aw==","activated":"BA=="}}`},
		{NewSignBody(SignRequest{"/p", "csr", "m", ReIssue, "t", nil}), `{"csr":"csr","machine_id":"m","request_type":"ReIssue","token":"t"}`},
		{NewIssuedPayload(Issued{"c", "r", []string{"i"}}), `{"cert":"c","root_cert":"r","ca_bundle":["i"]}`},
		{NewIssuedPayload(Issued{"c", "r", nil}), `{"cert":"c","root_cert":"r","ca_bundle":[]}`},
		{ClaimBody{ProvisionCode: "C"}, `{"provisionCode":"C"}`},
		{ClaimBody{"C", "fp"}, `{"provisionCode":"C","keyFingerprint":"fp"}`},
		{ClaimPayload{7, "m"}, `{"requestId":7,"machineId":"m"}`},
		{NewRequestStatusPayload(RequestPending), `{"statusCode":"PENDING","status":"Pending"}`},
		{NewRequestStatusPayload(RequestComplete), `{"statusCode":"COMPLETE","status":"Complete"}`},
		{NewFindPayload(PendingRequest{board, "fp", noon, "", TPM{}}), `{"board":{"vendor":"v","model":"m","serial":"s"},"keyFingerprint":"fp","expires":"2026-05-04T12:00:00Z"}`},
		{NewFindPayload(PendingRequest{Board{}, "fp", noon, TPMUnproven, TPM{"ek", "0a", "", "unknown"}}),
			`{"board":{},"keyFingerprint":"fp","expires":"2026-05-04T12:00:00Z","attestation":"tpm-unproven","tpm":{"ekFingerprint":"ek","ekSerial":"0a","reason":"unknown"}}`},
		{NewMachinesPayload(nil), `{"machines":[]}`},
		{NewMachinesPayload([]Machine{{ID: "m", KeyFingerprint: "fp", Created: noon}}),
			`{"machines":[{"machineId":"m","board":{},"keyFingerprint":"fp","created":"2026-05-04T12:00:00Z","certificateSerial":""}]}`},
		{MachinePayload{MachineID: "m"}, `{"machineId":"m","board":{},"keyFingerprint":"","certificateSerial":""}`},
		{MachinePayload{MachineID: "m", Attestation: TPMProven, TPM: TPM{"ek", "0a", "Maker", ""}},
			`{"machineId":"m","board":{},"keyFingerprint":"","certificateSerial":"","attestation":"tpm-proven","tpm":{"ekFingerprint":"ek","ekSerial":"0a","maker":"Maker"}}`},
		{RevokeBody{"m"}, `{"machineId":"m"}`},
		{RevokePayload{noon}, `{"revoked":"2026-05-04T12:00:00Z"}`},
		{APIKeyBody{"n"}, `{"name":"n"}`},
		{NewAPIKeyPayload("i", "s"), `{"id":"i","secret":"s"}`},
	} {
		if got, err := json.Marshal(c.v); err != nil || string(got) != c.want {
			t.Errorf("%T: %s, %v\nwant %s", c.v, got, err, c.want)
		}
	}
}

// through sends v over the wire and back.
func through[T any](t *testing.T, v T) T {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var back T
	if err := json.Unmarshal(b, &back); err != nil {
		t.Fatal(err)
	}
	return back
}

func TestWireRoundTrip(t *testing.T) {
	board := Board{"v", "m", "s", "soc", "r", "a"}
	same := func(name string, got, want any) {
		t.Helper()
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v\nwant %+v", name, got, want)
		}
	}
	a := Announcement{"C", "csr", board, &TPMIdentity{[][]byte{{1}, {2}}, []byte{3}, []byte{4}}}
	same("announcement", through(t, NewAnnounceBody(a)).Announcement(), a)
	s := Session{"C", "d", noon.Add(time.Minute), 5 * time.Second, "u", "uc"}
	got, err := through(t, NewSessionPayload(s, noon)).Session("C", noon)
	if err != nil {
		t.Fatal(err)
	}
	same("session", got, s)
	m := Manifest{"m", "/p", "2026", "t", &Challenge{[]byte{1}, []byte{2}, []byte{3}}}
	same("manifest", through(t, NewManifestPayload(m)).Manifest(), m)
	r := SignRequest{"", "csr", "m", Provision, "t", &Evidence{[]byte{1}, []byte{2}, []byte{3}, []byte{4}}}
	same("sign", through(t, NewSignBody(r)).SignRequest(), r)
	i := Issued{"c", "r", []string{"a", "b"}}
	same("issued", through(t, NewIssuedPayload(i)).Issued(), i)
	p := PendingRequest{board, "fp", noon, TPMProven, TPM{"ek", "0a", "Maker", "r"}}
	same("find", through(t, NewFindPayload(p)).PendingRequest(), p)
	list := []Machine{{"m", board, "fp", noon, "0a", noon.Add(time.Hour), noon.Add(time.Minute), TPMProven, TPM{"ek", "0a", "Maker", "r"}}, {ID: "n", Created: noon}}
	same("machines", through(t, NewMachinesPayload(list)).List(), list)
	id, secret := through(t, NewAPIKeyPayload("i", "s")).APIKey()
	same("api key", []any{id, secret}, []any{"i", Secret("s")})
	same("claim", through(t, ClaimPayload{7, "m"}).Claim(), Claim{7, "m"})
}

func TestSessionRefusesAndBounds(t *testing.T) {
	for _, p := range []SessionPayload{{ExpiresIn: 300}, {DeviceCode: "d"}, {DeviceCode: "d", ExpiresIn: -1}} {
		if s, err := p.Session("C", noon); err == nil {
			t.Errorf("%+v was taken: %+v", p, s)
		}
	}
	s, err := SessionPayload{DeviceCode: "d", ExpiresIn: 1 << 62, Interval: 1 << 62}.Session("C", noon)
	if err != nil || s.Expires != noon.Add(24*time.Hour) || s.Interval != 24*time.Hour {
		t.Errorf("huge numbers: %+v, %v", s, err)
	}
	for _, n := range []int64{0, -1} {
		s, err = SessionPayload{DeviceCode: "d", ExpiresIn: 1, Interval: n}.Session("C", noon)
		if err != nil || s.Interval != 5*time.Second {
			t.Errorf("interval %d is read as %v, %v; RFC 8628 says 5 s", n, s.Interval, err)
		}
	}
	if p := NewSessionPayload(Session{Expires: noon}, noon.Add(time.Hour)); p.ExpiresIn != 0 {
		t.Errorf("an expired session lives for %d s", p.ExpiresIn)
	}
}

func TestPayloadsHideSecretsFromLogs(t *testing.T) {
	const secret = "do-not-log-me"
	var out bytes.Buffer
	for _, h := range []slog.Handler{slog.NewJSONHandler(&out, nil), slog.NewTextHandler(&out, nil)} {
		for _, v := range []any{
			AnnounceBody{Code: secret}, SessionPayload{DeviceCode: secret, VerificationURIComplete: secret},
			ManifestPayload{Token: secret}, SignBody{Token: secret, Evidence: &Evidence{Activated: []byte(secret)}}, ClaimBody{ProvisionCode: secret}, APIKeyPayload{"id", secret},
		} {
			out.Reset()
			slog.New(h).Info("sent", "what", v)
			if strings.Contains(out.String(), secret) || !strings.Contains(out.String(), redacted) {
				t.Errorf("%T: %s", v, out.String())
			}
		}
	}
}
