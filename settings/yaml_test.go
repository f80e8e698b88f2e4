package settings

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestNotYAML(t *testing.T) {
	refused{
		{"syntax", "a: b\nserver: {port: 1\n", "s.yml:2: not YAML: did not find expected ',' or '}'", ""},
		{"syntax in the first line", "server: {port: 1]\n", "s.yml:1: not YAML: did not find expected ',' or '}'", ""},
		{"indentation", "server:\n  port: 1\n tls: true\n", "s.yml:3: not YAML: did not find expected key", ""},
		{"tab", "server:\n\tport: 1\n", "s.yml:2: not YAML: found character that cannot start any token", ""},
		{"unknown anchor", "server: *x\n", "s.yml: not YAML: unknown anchor 'x' referenced", ""},
		{"two documents", "server: {}\n---\nserver: {}\n", "s.yml:2: a second document begins", "without ---"},
		{"second is broken", "server: {}\n---\n}\n", "s.yml:3: not YAML: did not find expected node content", ""},
		{"binary", "\x00\x01", "s.yml: not YAML: control characters are not allowed", ""},
	}.run(t, func(text string) error { _, _, err := agentFrom(text); return err })
}

func TestAliasesAndMerges(t *testing.T) {
	a, report, err := agentFrom(`settings:
  life: &life 2m
  server: &server {port: 5, socket: /five}
  other: &other
    <<: *server
    port: 6
  both: &both {<<: [*other, *server], url: localhost}
provisioning: {code: {life: *life}}
server:
  <<: *both
  tls: false
`)
	if err != nil {
		t.Fatal(err)
	}
	if a.Provisioning.Code.Life != 2*time.Minute || a.Server.Port != 6 || a.Server.Socket != "/five" || a.Server.URL != "localhost" {
		t.Errorf("got %+v", a)
	}
	if report.Origins["server.port"] != "file:6" {
		t.Errorf("origin %q", report.Origins["server.port"])
	}
	a, _, err = agentFrom("settings: [&a {port: 5}, &b {port: 6}]\nserver: {<<: [*a, *b]}\n")
	if err != nil || a.Server.Port != 5 { // the first of a list wins
		t.Errorf("got port %d, %v", a.Server.Port, err)
	}

	refused{
		{"key in a merge", "settings: &a {prot: 1}\nserver: {<<: *a}\n",
			`s.yml:1: server.prot: unknown key; did you mean "server.port"?`, ""},
		{"merge of text", "server: {<<: a}\n", `s.yml:1: server: << wants a mapping to merge, got the text "a"`, ""},
		{"mapping in itself", "server: &a\n  port: *a\n", "s.yml:2: server.port: wants a whole number, got a mapping", ""},
		{"merge of itself", "server: &a\n  <<: *a\n  port: x\n", `s.yml:3: server.port: wants a whole number, got the text "x"`, ""},
	}.run(t, func(text string) error { _, _, err := agentFrom(text); return err })
}

// Inputs that grow when they are written out, and deep or broken ones of the
// largest size, are answered in a moment.
func TestHostileFiles(t *testing.T) {
	var laughs, merges strings.Builder
	laughs.WriteString("settings:\n  a0: &a0 [lol]\n")
	merges.WriteString("settings:\n  a0: &a0 {port: 7}\n")
	for i := 1; i < 200; i++ {
		fmt.Fprintf(&laughs, "  a%d: &a%d [%s*a%d]\n", i, i, strings.Repeat(fmt.Sprintf("*a%d, ", i-1), 9), i-1)
		fmt.Fprintf(&merges, "  a%d: &a%d {<<: [%s*a%d]}\n", i, i, strings.Repeat(fmt.Sprintf("*a%d, ", i-1), 9), i-1)
	}
	laughs.WriteString("hardware: {options: {a: *a199}}\n")
	merges.WriteString("server: {<<: *a199}\n")
	for name, text := range map[string]string{
		"aliases":      laughs.String(),
		"merges":       merges.String(),
		"open lists":   strings.Repeat("[", largest),
		"open maps":    strings.Repeat("{a: ", largest/4),
		"dashes":       strings.Repeat("- ", largest/2),
		"questions":    strings.Repeat("? ", largest/2),
		"comments":     "server:\n" + strings.Repeat("  #\n", largest/5),
		"long key":     strings.Repeat("k", largest-2) + ": 1",
		"many options": "hardware: {options: {" + strings.Repeat("? a, ", largest/8) + "}}",
	} {
		t.Run(name, func(t *testing.T) {
			begin := time.Now()
			a, _, err := agentFrom(text)
			// 0.2 s at most on an idle machine; the race detector on a busy one takes 30 times as long.
			if took := time.Since(begin); took > 15*time.Second {
				t.Errorf("took %v", took)
			} else {
				t.Logf("took %v", took)
			}
			if err != nil && len(err.Error()) > 20000 {
				t.Errorf("a message of %d bytes", len(err.Error()))
			}
			if name == "merges" && (err != nil || a.Server.Port != 7) {
				t.Errorf("got port %d, %v", a.Server.Port, err)
			}
		})
	}
}
