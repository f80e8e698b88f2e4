package board_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/mecha-org/mecha-agent/board"
	"github.com/mecha-org/mecha-agent/board/boardtest"
)

// minimum is how many device trees of Debian's kernels must be there: less means
// that part of the cache is gone.
const minimum = 2000

// lab returns the folder that scripts/kernels.sh keeps kernels in.
func lab(t testing.TB) string {
	dir := os.Getenv("MECHA_LAB")
	if dir == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			t.Fatal(err)
		}
		dir = filepath.Join(cache, "mecha-agent", "lab")
	}
	if _, err := os.Stat(dir); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("no device trees: %v (scripts/kernels.sh fetches them)", err)
		}
		t.Skipf("no device trees in %s; scripts/kernels.sh fetches them", dir)
	}
	return dir
}

// deviceTrees calls f with every .dtb of the kernels that have ARM boards.
func deviceTrees(t *testing.T, f func(name string, data []byte)) {
	dir := lab(t)
	for _, flavour := range []string{"arm64", "armmp", "rpi"} {
		root, err := filepath.EvalSymlinks(filepath.Join(dir, flavour, "boot", "dtbs"))
		if err != nil {
			t.Fatalf("the cache is incomplete: %v (scripts/kernels.sh fetches what is missing)", err)
		}
		err = filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
			if err != nil || filepath.Ext(path) != ".dtb" {
				return err
			}
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			name, err := filepath.Rel(root, path)
			f(flavour+"/"+name, data)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestEveryDeviceTree holds Detect against all boards that Debian's kernels know.
func TestEveryDeviceTree(t *testing.T) {
	if testing.Short() {
		t.Skip("2,000 device trees")
	}
	count := 0
	families, socs := map[string]int{}, map[string]int{}
	deviceTrees(t, func(name string, data []byte) {
		count++
		root, err := boardtest.FromDTB(data)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			return
		}
		b, err := board.Detect(root)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			return
		}
		families[b.Name]++
		socs[b.SoC]++
		checkBoard(t, name, b)
		if os.Getenv("DUMP") != "" {
			t.Logf("DUMP|%s|%s|%s|%s|%s|%s", name, b.Name, b.Vendor, b.Model, b.SoC, strings.Join(b.Compatible, " "))
			for _, c := range b.Chips {
				t.Logf("CHIP|%s|%s|%d", name, c.Label, len(c.Lines))
			}
			for _, c := range b.I2C {
				t.Logf("I2C|%s|%v", name, c)
			}
			for _, c := range b.SPI {
				t.Logf("SPI|%s|%v", name, c)
			}
			for _, c := range b.Keys {
				t.Logf("KEY|%s|%v", name, c)
			}
			t.Logf("MISS|%s|%q|%s", name, b.Missing, b.MAC)
		}
	})
	if count < minimum {
		t.Errorf("%d device trees, want at least %d", count, minimum)
	}
	t.Logf("%d device trees, %d families, %d SoCs", count, len(families), len(socs))
}

// checkBoard wants a vendor, a model and an SoC that a person can read.
func checkBoard(t *testing.T, name string, b board.Board) {
	t.Helper()
	for field, value := range map[string]string{"vendor": b.Vendor, "model": b.Model, "SoC": b.SoC} {
		if value == "" {
			t.Errorf("%s: no %s", name, field)
		}
	}
	if len(b.Compatible) == 0 {
		t.Errorf("%s: no compatible strings", name)
		return
	}
	prefix, _, _ := strings.Cut(b.Compatible[0], ",")
	if b.Vendor == prefix && strings.IndexFunc(b.Vendor, unicode.IsUpper) < 0 {
		t.Errorf("%s: vendor %q is a prefix that no table names", name, b.Vendor)
	}
	if strings.ContainsAny(b.SoC, ", ") {
		t.Errorf("%s: SoC %q", name, b.SoC)
	}
	// The SoC is one of the compatible strings, or a row of the table says why not.
	named := slices.ContainsFunc(b.Compatible, func(c string) bool { return strings.HasSuffix(c, ","+b.SoC) })
	if !named && b.Sheet == "" && b.Name != board.Generic {
		t.Errorf("%s: SoC %q is not in %q", name, b.SoC, b.Compatible)
	}
	if b.Name == "" {
		t.Errorf("%s: no name", name)
	}
	for i, c := range b.I2C {
		if c.Node == "" || c.Device != "" {
			t.Errorf("%s: I2C bus %d is %+v, want one of the device tree only", name, i, c)
		}
	}
}
