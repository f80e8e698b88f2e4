package tpm_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mecha-org/mecha-agent/gateway"
	"github.com/mecha-org/mecha-agent/keystore/tpm"
	"github.com/mecha-org/mecha-agent/keystore/tpm/tpmtest"
)

// emulator serves a Unix socket: each connection is given to serve.
func emulator(t *testing.T, serve func(net.Conn)) (path string) {
	t.Helper()
	path = filepath.Join(tpmtest.Folder(t), "tpm.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			serve(c)
			c.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-ended })
	return path
}

// answering sends the same to every command.
func answering(response string) func(net.Conn) {
	return func(c net.Conn) {
		c.Read(make([]byte, 4096))
		io.WriteString(c, response)
	}
}

func refused(t *testing.T) (path string) {
	t.Helper()
	path = filepath.Join(tpmtest.Folder(t), "tpm.sock")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	return path
}

func TestInspectErrors(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, path string
		want       error
		cause      error // of the operating system, or nil
		hint       string
	}{
		{"nothing there", filepath.Join(t.TempDir(), "tpmrm0"), tpm.ErrNone, fs.ErrNotExist, "plugged in"},
		{"below a file", file + "/tpm", tpm.ErrNone, unix.ENOTDIR, ""},
		{"a file", file, tpm.ErrNotTPM, nil, "/dev/tpmrm0"},
		{"a folder", t.TempDir(), tpm.ErrNotTPM, nil, "/dev/tpmrm0"},
		{"a device that is no TPM", "/dev/null", tpm.ErrGarbage, nil, ""},
		{"nobody listens", refused(t), tpm.ErrGone, unix.ECONNREFUSED, "emulator"},
		{"hangs up", emulator(t, func(c net.Conn) { c.Read(make([]byte, 4096)) }), tpm.ErrGone, nil, "emulator"},
		{"hangs up within the header", emulator(t, answering("\x80\x01\x00")), tpm.ErrGarbage, nil, ""},
		{"hangs up within the answer", emulator(t, answering("\x80\x01\x00\x00\x00\x20\x00\x00\x00\x00\x01")), tpm.ErrGarbage, nil, ""},
		{"speaks HTTP", emulator(t, answering("HTTP/1.1 400 Bad Request\r\n\r\n")), tpm.ErrGarbage, nil, ""},
		{"claims 4 GB", emulator(t, answering("\x80\x01\xff\xff\xff\xff\x00\x00\x00\x00")), tpm.ErrGarbage, nil, ""},
		{"success without content", emulator(t, answering("\x80\x01\x00\x00\x00\x0a\x00\x00\x00\x00")), tpm.ErrGarbage, nil, ""},
		{"other capabilities than asked for", emulator(t, answering("\x80\x01\x00\x00\x00\x13\x00\x00\x00\x00"+
			"\x00\x00\x00\x00\x01\x00\x00\x00\x00")), tpm.ErrGarbage, nil, ""},
		{"TPM 1.2", emulator(t, answering("\x00\xc4\x00\x00\x00\x0a\x00\x00\x00\x1e")), tpm.ErrVersion, nil, "disk"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := tpm.Inspect(bounded(t), c.path)
			if !errors.Is(err, c.want) || c.cause != nil && !errors.Is(err, c.cause) {
				t.Fatalf("got %v, want %v, %v", err, c.want, c.cause)
			}
			if hint := gateway.HintOf(err); !strings.Contains(hint, c.hint) || (hint == "") != (c.hint == "") {
				t.Errorf("hint %q, want %q in it", hint, c.hint)
			}
			if !strings.Contains(err.Error(), c.path) {
				t.Errorf("%q does not name %s", err, c.path)
			}
		})
	}
}

// A TPM that does not answer is given up when the context ends, be it a socket
// or a device.
func TestInspectSilent(t *testing.T) {
	hungUp := make(chan error, 1)
	socket := emulator(t, func(c net.Conn) {
		c.SetReadDeadline(time.Now().Add(20 * time.Second))
		_, err := io.Copy(io.Discard, c)
		hungUp <- err
	})
	device, _ := pty(t)
	for _, path := range []string{socket, device} {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		begin := time.Now()
		_, err := tpm.Inspect(ctx, path)
		if !errors.Is(err, tpm.ErrHung) || gateway.HintOf(err) == "" {
			t.Errorf("%s: got %v, hint %q", path, err, gateway.HintOf(err))
		}
		if took := time.Since(begin); took > 10*time.Second {
			t.Errorf("%s: took %v", path, took)
		}
	}
	if err := <-hungUp; err != nil {
		t.Errorf("the connection stands: %v", err)
	}
}

func TestOpenEnded(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := tpm.Open(ctx, "/dev/null"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// pty returns a character device that behaves as the other end wants.
func pty(t *testing.T) (device string, other *os.File) {
	t.Helper()
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	other = os.NewFile(uintptr(fd), "/dev/ptmx")
	t.Cleanup(func() { other.Close() })
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	raw.Iflag, raw.Oflag, raw.Lflag = 0, 0, 0 // bytes as they are, no echo
	if err := unix.IoctlSetTermios(fd, unix.TCSETS, raw); err != nil {
		t.Fatal(err)
	}
	return "/dev/pts/" + strconv.Itoa(n), other
}

// A character device is asked with one write and answers with one read.
func TestDevice(t *testing.T) {
	for _, c := range []struct {
		name, response string
		want           error
	}{
		{"an answer", "\x80\x01\x00\x00\x00\x0e\x00\x00\x00\x00text", nil},
		{"nonsense", "login: ", tpm.ErrGarbage},
		{"TPM 1.2", "\x00\xc4\x00\x00\x00\x0a\x00\x00\x00\x1e", tpm.ErrVersion},
	} {
		t.Run(c.name, func(t *testing.T) {
			device, other := pty(t)
			conn, err := tpm.Open(bounded(t), device)
			if err != nil {
				t.Fatal(err)
			}
			asked := make(chan string, 1)
			go func() {
				command := make([]byte, 4096)
				n, _ := other.Read(command)
				asked <- string(command[:n])
				io.WriteString(other, c.response)
			}()
			got, err := conn.Send([]byte("command"))
			if !errors.Is(err, c.want) || err == nil && string(got) != c.response {
				t.Errorf("got %q, %v, want %q, %v", got, err, c.response, c.want)
			}
			if command := <-asked; command != "command" {
				t.Errorf("asked %q", command)
			}
			if err := conn.Close(); err != nil {
				t.Error(err)
			}
			if _, err := conn.Send([]byte("command")); !errors.Is(err, os.ErrClosed) {
				t.Errorf("after Close: %v", err)
			}
		})
	}
}
