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

// step is how many device trees there are to one that is looked at: all are on the
// developer's machine, and few under an emulator, where they would take two minutes.
func step() int {
	if os.Getenv("MECHA_EMULATOR") != "" {
		return 16
	}
	return 1
}

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

// deviceTrees calls f with every .dtb, or one of step, of the kernels that have ARM
// boards, and with the board that it is of.
func deviceTrees(t *testing.T, f func(name string, root fs.FS, b board.Board)) {
	dir, seen := lab(t), 0
	for _, flavour := range []string{"arm64", "armmp", "rpi"} {
		trees, err := filepath.EvalSymlinks(filepath.Join(dir, flavour, "boot", "dtbs"))
		if err != nil {
			t.Fatalf("the cache is incomplete: %v (scripts/kernels.sh fetches what is missing)", err)
		}
		err = filepath.WalkDir(trees, func(path string, _ fs.DirEntry, err error) error {
			if err != nil || filepath.Ext(path) != ".dtb" {
				return err
			}
			if seen++; seen%step() != 0 {
				return nil
			}
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			name := flavour + strings.TrimPrefix(path, trees)
			root, err := boardtest.FromDTB(data)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				return nil
			}
			b, err := board.Detect(root)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				return nil
			}
			f(name, root, b)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestEveryDeviceTree holds Detect, the tables and the recorder against all boards
// that Debian's kernels know.
func TestEveryDeviceTree(t *testing.T) {
	count := 0
	families, socs := map[string]int{}, map[string]int{}
	headers := headerCheck{boards: map[string]bool{}, named: map[string]int{}}
	deviceTrees(t, func(name string, root fs.FS, b board.Board) {
		count++
		families[b.Name]++
		socs[b.SoC]++
		checkBoard(t, name, b)
		if b.Header != nil {
			headers.board(t, name, b)
		}
		checkRecord(t, name, root, b)
	})
	if count < minimum/step() {
		t.Errorf("%d device trees, want at least %d", count, minimum/step())
	}
	if step() == 1 {
		headers.end(t)
	}
	t.Logf("%d device trees, %d families, %d SoCs, %d headers", count, len(families), len(socs), len(headers.boards))
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
