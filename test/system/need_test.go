//go:build system

package system_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// root of the project, seen from this package.
const root = "../.."

// oldestQEMU is the first release with the I2C of these boards.
const oldestQEMU = 10

// built is what is made once for all boards: programs and kernels.
type built struct {
	dir     string // programs, by name and architecture
	kernels string // what scripts/kernels.sh printed
}

var scratch string // of TestMain

func TestMain(m *testing.M) {
	code := func() int {
		dir, err := os.MkdirTemp("", "mecha-system-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		scratch = dir
		// Where Debian has mke2fs, which is for others than root as well.
		if err := os.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin:/sbin"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return m.Run()
	}()
	os.Exit(code)
}

var prepare = sync.OnceValues(func() (built, error) {
	b := built{dir: scratch}
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Minute)
	defer cancel()
	if err := checkQEMU(ctx); err != nil {
		return b, err
	}
	out, err := command(ctx, nil, filepath.Join(root, "scripts/kernels.sh"))
	if err != nil {
		return b, missing{err}
	}
	b.kernels = strings.TrimSpace(out)
	for _, p := range []struct{ name, path, arch string }{
		{"agent", "./cmd/agent", "arm64"}, {"init", "./test/system/init", "arm64"},
		{"agent", "./cmd/agent", "arm/6"}, {"init", "./test/system/init", "arm/6"},
		{"gateway", "./cmd/gateway", ""},
	} {
		env := []string{"CGO_ENABLED=0", "GOOS=linux"}
		if p.arch != "" {
			arch, arm, _ := strings.Cut(p.arch, "/")
			env = append(env, "GOARCH="+arch, "GOARM="+arm)
		}
		// As the Makefile builds them.
		if _, err := command(ctx, env, "go", "build", "-C", root, "-trimpath", "-tags", "grpcnotrace",
			"-ldflags", "-s -w -X main.version=system-test", "-o", b.program(p.name, p.arch), p.path); err != nil {
			return b, err
		}
	}
	return b, nil
})

// program is the path of a program that was built.
func (b built) program(name, arch string) string {
	return filepath.Join(b.dir, strings.ReplaceAll("mecha-"+name+"-"+arch, "/", "v"))
}

// missing is what a laptop may lack.
type missing struct{ error }

func checkQEMU(ctx context.Context) error {
	for _, tool := range []string{"qemu-system-aarch64", "qemu-system-arm", "dtc", "fdtput", "xz", "mke2fs"} {
		if _, err := exec.LookPath(tool); err != nil {
			return missing{fmt.Errorf("%w (scripts/deps.sh installs it)", err)}
		}
	}
	out, err := command(ctx, nil, "qemu-system-aarch64", "--version")
	if err != nil {
		return missing{err}
	}
	var version int
	if _, err := fmt.Sscanf(out, "QEMU emulator version %d.", &version); err != nil || version < oldestQEMU {
		return missing{fmt.Errorf("QEMU %d or newer is needed (scripts/deps.sh installs it), not %s", oldestQEMU, strings.TrimSpace(out))}
	}
	return nil
}

// need returns what the boards are booted with. A laptop that lacks it skips the
// test; where CI is set that is a failure.
func need(t *testing.T) built {
	t.Helper()
	b, err := prepare()
	var lacks missing
	switch {
	case err == nil:
		return b
	case errors.As(err, &lacks) && os.Getenv("CI") == "":
		t.Skip("no emulated boards here: ", err)
	default:
		t.Fatal(err)
	}
	panic("not reached")
}

// command runs a program with more environment and returns its standard output.
func command(ctx context.Context, env []string, name string, args ...string) (string, error) {
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return string(out), fmt.Errorf("%s: %w\n%s", filepath.Base(name), err, stderr.String())
	}
	return string(out), nil
}
