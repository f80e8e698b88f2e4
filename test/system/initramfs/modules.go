package initramfs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
)

// Modules returns the paths of the named modules and of all that they need, as
// modules.dep of the tree has them (kernel/drivers/i2c/i2c-dev.ko.xz), each behind
// what it needs. A module that is built into the kernel is left out; one that is
// neither is an error. The tree is /lib/modules/VERSION; - and _ are the same in
// names (modprobe(8)).
func Modules(tree fs.FS, names ...string) ([]string, error) {
	builtin, err := fs.ReadFile(tree, "modules.builtin")
	if err != nil {
		return nil, fmt.Errorf("reading the kernel's own modules: %w", err)
	}
	known := map[string]string{} // path, empty for one that is built in
	for line := range strings.Lines(string(builtin)) {
		known[moduleName(strings.TrimSpace(line))] = ""
	}
	text, err := fs.ReadFile(tree, "modules.dep")
	if err != nil {
		return nil, fmt.Errorf("reading what modules need: %w", err)
	}
	needs := map[string][]string{}
	for line := range strings.Lines(string(text)) {
		file, deps, ok := strings.Cut(line, ":")
		if !ok {
			return nil, fmt.Errorf("modules.dep: no colon in %q", line)
		}
		known[moduleName(file)] = file
		needs[file] = strings.Fields(deps)
	}
	var order []string
	added := map[string]bool{}
	add := func(file string) {
		if !added[file] {
			added[file] = true
			order = append(order, file)
		}
	}
	for _, name := range names {
		file, ok := known[moduleName(name)]
		if !ok {
			return nil, fmt.Errorf("the kernel has no module %s", name)
		}
		if file == "" {
			continue
		}
		// depmod lists all that a module needs, also at second hand, with what
		// must go in first at the end.
		for i := len(needs[file]) - 1; i >= 0; i-- {
			add(needs[file][i])
		}
		add(file)
	}
	return order, nil
}

// moduleName is what the kernel calls the module in the file.
func moduleName(file string) string {
	name, _, _ := strings.Cut(path.Base(file), ".ko")
	return strings.ReplaceAll(name, "-", "_")
}

// Unpack returns the content of a module, which the kernel's package compressed
// with xz: not every kernel can do that itself.
func Unpack(ctx context.Context, file string) ([]byte, error) {
	if filepath.Ext(file) != ".xz" {
		return os.ReadFile(file)
	}
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, "xz", "--decompress", "--stdout", file)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("unpacking %s: %w", file, errors.Join(err, errors.New(stderr.String())))
	}
	return out, nil
}
