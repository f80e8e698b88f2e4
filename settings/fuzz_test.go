package settings

import (
	"os"
	"reflect"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// seeds are files of all shapes; the good ones must stay good.
func seeds(f *testing.F, more ...string) {
	f.Helper()
	example, err := os.ReadFile("testdata/settings.example.yml")
	if err != nil {
		f.Fatal(err)
	}
	for _, s := range append(more, string(example), "", "{}", "~", "a: b", "- a", "a: &a [*a]", "? [a]\n: b", "---\n---\n",
		"server: &s {<<: *s, port: 1}\n", "x: !!int a\n", "x: !foo\n", "#\n", "\xef\xbb\xbfserver:\n", "\xff\xfes\x00", "\x00",
		"sentry: &x {port: 1}\nserver: {<<: [*x, *x]}\n") {
		f.Add([]byte(s))
	}
}

func FuzzLoadAgent(f *testing.F) {
	seeds(f,
		"hardware: {console: on, options: {\"<<\": a, y: 1, '0x1': \" b\", '': '', \"~\": '~'}}\n",
		"provisioning: {server_url: 'grpcs://[fe80::1%25eth0]:1', code: {life: 90s, window: 1.5h}}\n",
		"server: {url: '::1', port: 0, tls: true, cert: 'a: b', key: '~/k', socket: ''}\nlogging: {path: '- x # y'}\n",
		"provisioning: {root_fingerprint: '"+strings.Repeat("0A", 32)+"', allow_plaintext: true, server_url: 'http://x'}\n",
	)
	f.Fuzz(func(t *testing.T, data []byte) { again(t, agentProgram("/nowhere"), data) })
}

func FuzzLoadGateway(f *testing.F) {
	seeds(f,
		"{listen: ':3000', tls: {mode: own, names: ['2001:db8::1', gw]}, limits: {per_address: 1e-9, overall: 1e5}}\n",
		"{listen: '[::1%eth0]:3000', tls: {mode: files, cert: /c, key: /k}, ca: {name: 'Ö: #'}}\n",
	)
	f.Fuzz(func(t *testing.T, data []byte) { again(t, gatewayProgram("/nowhere"), data) })
}

// again checks that settings that load, written out and loaded again, are the
// same, and that a refusal says something on few lines.
func again[T any](t *testing.T, p program[T], data []byte) {
	first, report, err := from(p, string(data), Source{Home: home})
	if err != nil {
		if text := err.Error(); text == "" || strings.Count(text, "\n") > mostProblems {
			t.Fatalf("message %q", text)
		}
		return
	}
	if printed(t, report, first, false) == "" {
		t.Fatal("nothing printed")
	}
	text, err := yaml.Marshal(mapping(reflect.ValueOf(first)))
	if err != nil {
		t.Fatal(err)
	}
	second, _, err := from(p, string(text), Source{Home: home})
	if err != nil {
		t.Fatalf("what was read is refused when written:\n%s\n%v", text, err)
	}
	if !reflect.DeepEqual(first, second) {
		t.Fatalf("got %+v\nthen %+v\nby\n%s", first, second, text)
	}
}

// mapping returns v as a YAML tree, with keys as the package itself names them.
func mapping(v reflect.Value) *yaml.Node {
	n := &yaml.Node{Kind: yaml.MappingNode}
	for i := range v.NumField() {
		key := keyOf(v.Type().Field(i))
		if key == "" {
			continue
		}
		value := &yaml.Node{}
		if v.Field(i).Kind() == reflect.Struct {
			value = mapping(v.Field(i))
		} else if err := value.Encode(v.Field(i).Interface()); err != nil {
			panic(err)
		}
		n.Content = append(n.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: key}, value)
	}
	return n
}
