package gateway

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
)

func TestParseEnvelope(t *testing.T) {
	for _, c := range []struct {
		name, in string
		want     Envelope
	}{
		{"all there", `{"success":true,"status":"OK","statusCode":200,"message":"m","errorCode":"e","subErrors":["a","b"],"payload":{"x":1}}`,
			Envelope{true, "OK", 200, "m", "e", []string{"a", "b"}, json.RawMessage(`{"x":1}`)}},
		{"the least", `{"success":true}`, Envelope{Success: true}},
		{"nulls", `{"success":false,"status":null,"statusCode":null,"message":null,"errorCode":null,"subErrors":null,"payload":null}`, Envelope{}},
		{"strings", `{"success":false,"statusCode":"404","subErrors":"one"}`, Envelope{StatusCode: 404, SubErrors: []string{"one"}}},
		{"numbers", `{"success":false,"status":404,"message":1.5,"errorCode":40401,"subErrors":7}`,
			Envelope{Status: "404", Message: "1.5", ErrorCode: "40401", SubErrors: []string{"7"}}},
		{"arrays", `{"success":false,"message":["a","b"],"errorCode":["e"],"subErrors":[],"payload":[]}`,
			Envelope{Message: "a; b", ErrorCode: "e", Payload: json.RawMessage("[]")}},
		{"objects", `{"success":false,"message":{"message":"m"},"subErrors":[null,"",{"field":"f","message":"m"},{"message":"only"},{"x": 1},["n"],{"message":{}}]}`,
			Envelope{Message: "m", SubErrors: []string{"f: m", "only", `{"x":1}`, `["n"]`, `{"message":{}}`}}},
		{"one object", `{"success":false,"subErrors":{"field":"f","message":"m"}}`, Envelope{SubErrors: []string{"f: m"}}},
		{"no number", `{"success":true,"statusCode":"OK","payload":"text"}`, Envelope{Success: true, Payload: json.RawMessage(`"text"`)}},
		{"more than we know", `{"success":true,"timestamp":"now","payload":{}}`, Envelope{Success: true, Payload: json.RawMessage("{}")}},
	} {
		got, err := ParseEnvelope([]byte(c.in))
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v, %v\nwant %+v", c.name, got, err, c.want)
		}
	}
}

func TestParseEnvelopeRefuses(t *testing.T) {
	const secret = "s3cr3t-of-a-device"
	for _, in := range []string{
		"", "null", "[]", "7", `"` + secret + `"`, "<!doctype html>", "{}", `{"payload":{}}`,
		`{"success":null}`, `{"success":"` + secret + `"}`, `{"success":true,"payload":{"token":"` + secret,
		`{"success":true} trailing`, `{"success":true,}`,
		`{"success":true,"message":"` + strings.Repeat("x", MaxEnvelope) + `"}`,
	} {
		got, err := ParseEnvelope([]byte(in))
		if !errors.Is(err, ErrBadEnvelope) || !reflect.DeepEqual(got, Envelope{}) {
			t.Errorf("%.40q: %+v, %v", in, got, err)
		} else if strings.Contains(err.Error(), secret) {
			t.Errorf("%.40q: the error quotes the body: %v", in, err)
		}
	}
}

func TestDecode(t *testing.T) {
	for _, c := range []struct{ payload, want string }{
		{"", "no payload"}, {"null", "no payload"}, {" null", "no payload"}, {"[]", "array"}, {`"x"`, "no object"}, {"7", "no object"},
		{`{"requestId":"s3cret"}`, "requestId has the wrong JSON type"},
		{`{"requestId":7,"machineId":"m"}`, ""},
	} {
		var p ClaimPayload
		err := Envelope{Payload: json.RawMessage(c.payload)}.Decode(&p)
		switch {
		case c.want == "" && (err != nil || p != ClaimPayload{7, "m"}):
			t.Errorf("%q: %+v, %v", c.payload, p, err)
		case c.want != "" && (!errors.Is(err, ErrBadEnvelope) || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "s3cret")):
			t.Errorf("%q: %v, want it to say %q", c.payload, err, c.want)
		}
	}
}

func TestEnvelopeIsWrittenInFull(t *testing.T) {
	ok, err := NewSuccess(ClaimPayload{7, "m"})
	if err != nil {
		t.Fatal(err)
	}
	empty, err := NewSuccess(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		env  Envelope
		want string
	}{
		{ok, `{"success":true,"status":"OK","statusCode":200,"message":null,"errorCode":null,"subErrors":null,"payload":{"requestId":7,"machineId":"m"}}`},
		{empty, `{"success":true,"status":"OK","statusCode":200,"message":null,"errorCode":null,"subErrors":null,"payload":null}`},
		{NewFailure(TooMany, "wait", []string{"a"}), `{"success":false,"status":"Too Many Requests","statusCode":429,"message":"wait","errorCode":"too_many_requests","subErrors":["a"],"payload":null}`},
		{NewFailure(Kind(99), "", nil), `{"success":false,"status":"Internal Server Error","statusCode":500,"message":null,"errorCode":"internal","subErrors":null,"payload":null}`},
	} {
		if got, err := json.Marshal(c.env); err != nil || string(got) != c.want {
			t.Errorf("%s, %v\nwant %s", got, err, c.want)
		}
	}
	if _, err := NewSuccess(func() {}); err == nil {
		t.Error("a payload that JSON cannot express was taken")
	}
}

func FuzzParseEnvelope(f *testing.F) {
	for _, s := range []string{
		`{"success":true,"status":"OK","statusCode":200,"message":null,"errorCode":null,"subErrors":null,"payload":{"a":[1,"<>&"]}}`,
		`{"success":false,"message":["a",{"message":"b","field":"c"},[[]]],"errorCode":404,"subErrors":{"x":{}}}`,
		`{"success":false,"subErrors":["\ud800",""," "]}`,
		`{"Success":true,"success":false,"payload":null}`,
		`{"success":true,"statusCode":1e999,"payload":[`, `[]`, `<html>`, "",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		env, err := ParseEnvelope(body)
		if err != nil {
			if !errors.Is(err, ErrBadEnvelope) {
				t.Fatalf("%v", err)
			}
			return
		}
		if env.Decode(&struct{}{}) == nil && !bytes.HasPrefix(bytes.TrimSpace(env.Payload), []byte("{")) {
			t.Fatalf("payload %q decodes as an object", env.Payload)
		}
		first, err := json.Marshal(env)
		if err != nil {
			t.Fatalf("printing what parsed: %v", err)
		}
		again, err := ParseEnvelope(first)
		if err != nil && len(first) <= MaxEnvelope {
			t.Fatalf("parsing what was printed: %v\n%s", err, first)
		}
		if second, err := json.Marshal(again); len(first) <= MaxEnvelope && (err != nil || !bytes.Equal(first, second)) {
			t.Fatalf("%s\nprints back as\n%s, %v", first, second, err)
		}
	})
}
