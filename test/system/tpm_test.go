//go:build system

package system_test

import (
	"crypto/x509"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/mecha-org/mecha-agent/keystore/tpm/tpmtest"
)

// tpmBoards are two of the boards with a TPM, and a disk that keeps their identity:
// one where the TPM is where PCs have it, and one where it would be on SPI or I2C.
func tpmBoards(t *testing.T) []board {
	t.Helper()
	named := func(name string) board {
		i := slices.IndexFunc(boards, func(b board) bool { return b.name == name })
		if i < 0 {
			t.Fatalf("there is no board %s", name)
		}
		return boards[i]
	}
	virt := named("virt")
	virt.modules = append(slices.Clip(virt.modules), "virtio_blk", "tpm_tis")
	virt.tpm = tpmTIS
	virt.disk = &disk{drive: "if=none,id=home", device: []string{"-device", "virtio-blk-device,drive=home"}, guest: "/dev/vda"}

	evk := named("imx8mp-evk")
	// ext4 asks for the checksum by its algorithm's name, which depmod knows nothing of.
	evk.modules = append(slices.Clip(evk.modules), "crc32c_generic", "ext4", "sdhci-esdhc-imx", "tpm_vtpm_proxy")
	evk.tpm = tpmProxy
	evk.disk = &disk{drive: "if=sd,bus=2", guest: "/dev/mmcblk2"}
	return []board{virt, evk}
}

// diskSize is that of a board's disk: a power of two, as SD cards have it.
const diskSize = 64 << 20

// insertDisk gives the board a new disk.
func (l *lab) insertDisk(t *testing.T) {
	t.Helper()
	l.image = filepath.Join(t.TempDir(), "home.img")
	if err := os.WriteFile(l.image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(l.image, diskSize); err != nil {
		t.Fatal(err)
	}
	if _, err := command(t.Context(), nil, "mke2fs", "-q", "-t", "ext4", "-E", "root_owner=0:0", l.image); err != nil {
		t.Fatal(err)
	}
}

// insertTPM gives the board a TPM as its maker ships it, and returns the maker's
// certificates. What the TPM remembers outlives a power cut.
func (l *lab) insertTPM(t *testing.T) (maker []*x509.Certificate) {
	t.Helper()
	if l.board.tpm == tpmTIS {
		l.tpm, maker = tpmtest.ForMachine(t)
		return maker
	}
	l.tpm, maker = tpmtest.Prepared(t)
	listens, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listens.Close() })
	go relay(listens, l.tpm.Socket)
	if _, l.relay, err = net.SplitHostPort(listens.Addr().String()); err != nil {
		t.Fatal(err)
	}
	return maker
}

// relay leads connections on to a Unix socket.
func relay(listens net.Listener, socket string) {
	for {
		from, err := listens.Accept()
		if err != nil {
			return
		}
		go func() {
			defer from.Close()
			to, err := net.Dial("unix", socket)
			if err != nil {
				return // the guest sees its connection closed
			}
			defer to.Close()
			go func() {
				_, _ = io.Copy(to, from)
				_ = to.Close()
			}()
			_, _ = io.Copy(from, to)
		}()
	}
}

// restartTPM resets the board's TPM, as its power does.
func (l *lab) restartTPM() {
	if l.tpm != nil {
		l.tpm.Kill()
		l.tpm.On()
	}
}
