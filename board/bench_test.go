package board_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/mecha-org/mecha-agent/board"
	"github.com/mecha-org/mecha-agent/board/boardtest"
)

// BenchmarkDetect detects a Raspberry Pi 4 by the whole device tree of Debian's
// kernel: from memory, which is the work of Detect alone, and from files, as on the
// machine.
func BenchmarkDetect(b *testing.B) {
	data, err := os.ReadFile(filepath.Join(lab(b), "arm64/boot/dtbs/broadcom/bcm2711-rpi-4-b.dtb"))
	if err != nil {
		b.Fatal(err)
	}
	tree, err := boardtest.FromDTB(data)
	if err != nil {
		b.Fatal(err)
	}
	dir := b.TempDir()
	if err := os.CopyFS(dir, tree); err != nil {
		b.Fatal(err)
	}
	for name, root := range map[string]fs.FS{"memory": tree, "files": os.DirFS(dir)} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if found, err := board.Detect(root); err != nil || found.SoC != "bcm2711" {
					b.Fatalf("%v, %v", found, err)
				}
			}
		})
	}
}
