package main

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestDocumentedAPI runs every sh block of docs/api.md, in order, against a
// gateway: curl and openssl are all that a device or an operator needs.
func TestDocumentedAPI(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/doc",
		Setup: func(env *testscript.Env) error {
			env.Setenv("HOME", env.WorkDir)
			env.Values[gatewayKey{}] = &process{}
			script, err := shellBlocks("../../docs/api.md")
			if err != nil {
				return err
			}
			return os.WriteFile(filepath.Join(env.WorkDir, "api.sh"), []byte(script), 0o600)
		},
		Cmds:                map[string]func(*testscript.TestScript, bool, []string){"gateway": gatewayCmd},
		RequireExplicitExec: true,
	})
}

var shellBlock = regexp.MustCompile("(?ms)^```sh\n(.*?)^```$")

// shellBlocks returns the sh blocks of a Markdown file as one script.
func shellBlocks(path string) (string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	blocks := shellBlock.FindAllSubmatch(text, -1)
	if len(blocks) < 5 {
		return "", errors.New("docs/api.md has lost its sh blocks")
	}
	var script strings.Builder
	script.WriteString("set -euo pipefail\n")
	for _, b := range blocks {
		script.Write(b[1])
	}
	script.WriteString("\necho every block ran\n")
	return script.String(), nil
}
