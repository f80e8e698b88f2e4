package gateway

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func TestSecretNeverPrints(t *testing.T) {
	const value = "do-not-print-me"
	s := Secret(value)
	in := struct {
		S Secret
		P *Secret
		L []Secret
		M map[string]Secret
	}{s, &s, []Secret{s}, map[string]Secret{"k": s}}

	var log bytes.Buffer
	for _, h := range []slog.Handler{slog.NewJSONHandler(&log, nil), slog.NewTextHandler(&log, nil)} {
		slog.New(h).Info("said", "secret", s, "pointer", &s, "struct", in, "list", []Secret{s})
	}
	out := map[string]string{"slog": log.String()}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d", "%10s", "%t"} {
		out[verb] = fmt.Sprintf(verb, s)
		out[verb+" in a struct"] = fmt.Sprintf(verb, in)
	}
	for name, v := range map[string]any{"json": s, "json of a struct": in} {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		out[name] = string(b)
	}
	for how, text := range out {
		if strings.Contains(text, value) {
			t.Errorf("%s gives it away: %s", how, text)
		}
	}
	for _, how := range []string{"%v", "%s", "%q", "%#v", "json", "slog"} {
		if !strings.Contains(out[how], redacted) {
			t.Errorf("%s does not say that there is a secret: %s", how, out[how])
		}
	}
	if s.Reveal() != value {
		t.Errorf("Reveal gives %q", s.Reveal())
	}
	if got := fmt.Sprint(Secret("")); got != "" {
		t.Errorf("an empty secret prints as %q", got)
	}
}

func TestNewSecretHas256Bits(t *testing.T) {
	a, b := NewSecret(), NewSecret()
	if a == b {
		t.Error("two secrets are the same")
	}
	if raw, err := base64.RawURLEncoding.DecodeString(a.Reveal()); err != nil || len(raw) != 32 {
		t.Errorf("%d bytes, %v", len(raw), err)
	}
}
