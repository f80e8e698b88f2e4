//go:build system

package system_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/mecha-org/mecha-agent/keystore/tpm/tpmtest"
	provisioningpb "github.com/mecha-org/mecha-agent/proto/provisioning"
	"github.com/mecha-org/mecha-agent/test/system/guest"
	"github.com/mecha-org/mecha-agent/test/system/initramfs"
	"github.com/mecha-org/mecha-agent/test/system/qemu"
)

// Limits of waiting, for machines of two processors with other things to do.
const (
	bootLimit   = 2 * time.Minute
	answerLimit = time.Minute
	pictureTick = 200 * time.Millisecond

	connectLimit = 2 * time.Second
)

// consoleLog is the file, among the logs, of what a terminal that is a display has
// been sent.
const consoleLog = "console.log"

// lab is a board that runs, with the agent on it and a gateway beside it.
type lab struct {
	*qemu.Machine
	with     built
	board    board
	gateway  *gateway
	tpm      *tpmtest.TPM // on the host; nil without one
	relay    string       // TCP port of the host that leads to it
	image    string       // of the board's disk; empty without one
	settings string       // more of settings.yml
	calls    credentials.TransportCredentials
	logs     string // folder of all boots
	boots    int
	commands string // address of /init
	agent    provisioningpb.ProvisioningServiceClient
	conn     *grpc.ClientConn
	booted   time.Time // when /init began
	running  time.Time // when it had started the agent
}

// boot boots the board, with a gateway beside it, and returns when the agent answers.
func boot(t *testing.T, b board) *lab {
	t.Helper()
	with := need(t)
	l := newLab(t, b, with, startGateway(t, with, ""))
	l.powerOn(t)
	l.waitState(t, answerLimit, provisioningpb.State_STATE_IDLE)
	return l
}

// newLab is a board without power. The end of the test ends it.
func newLab(t *testing.T, b board, with built, g *gateway) *lab {
	t.Helper()
	l := &lab{with: with, board: b, gateway: g, calls: insecure.NewCredentials(), logs: logFolder(t)}
	t.Cleanup(func() { l.powerOff(t) })
	return l
}

// powerOn boots the board with the settings of now. It returns when /init has
// started the agent and the agent has begun to speak.
func (l *lab) powerOn(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), bootLimit)
	defer cancel()
	l.boots++
	b, files, logs := l.board, t.TempDir(), l.logs
	if l.boots > 1 {
		logs = filepath.Join(l.logs, fmt.Sprintf("boot-%d", l.boots))
		if err := os.Mkdir(logs, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	initrd, tree := filepath.Join(files, "initrd"), filepath.Join(files, "board.dtb")
	if err := writeInitrd(ctx, initrd, l.with, b, l.agentSettings(b.hardware)); err != nil {
		t.Fatal(err)
	}
	machine, cmdline := l.wiring()
	if b.terminal {
		machine = append(machine, "-serial", "file:"+filepath.Join(logs, consoleLog))
	}
	kernel := filepath.Join(l.with.kernels, b.kernel, "boot")
	if err := l.writeTree(ctx, tree, filepath.Join(kernel, "dtbs"), machine); err != nil {
		t.Fatal(err)
	}
	l.restartTPM()
	m, err := qemu.Start(ctx, qemu.Config{
		Program: b.program,
		Args: append(machine,
			"-kernel", filepath.Join(kernel, "vmlinuz"), "-initrd", initrd, "-dtb", tree, "-append",
			fmt.Sprintf("console=%s rdinit=/init panic=-1 quiet %s%d %s %s", b.console, guest.Now, time.Now().Unix(), cmdline, b.command)),
		Forward: []int{guest.AgentPort, guest.CommandPort}, Network: "n0",
		Logs: logs,
	})
	if err != nil {
		t.Fatal(err)
	}
	l.Machine = m
	if err := l.connect(); err != nil {
		t.Fatal(err)
	}
	l.release(t)
	if err := m.Run(); err != nil {
		t.Fatal(err)
	}
	for _, milestone := range []struct {
		name string
		at   *time.Time
	}{{"init", &l.booted}, {"agent", &l.running}} {
		line, err := m.WaitLine(ctx, guest.Milestone+" "+milestone.name)
		if err != nil {
			t.Fatal(err)
		}
		*milestone.at = line.At
	}
	said, err := m.WaitLine(ctx, guest.AgentSays)
	if err == nil && !strings.HasPrefix(said.Text, guest.AgentSays+` {"time"`) { // that of the log
		err = errors.New(said.Text)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// powerOff cuts the power, as a thief or a fuse would.
func (l *lab) powerOff(t *testing.T) {
	t.Helper()
	if l.conn != nil {
		_ = l.conn.Close()
	}
	if l.Machine == nil {
		return
	}
	if err := l.Machine.Close(); err != nil {
		t.Error(err)
	}
	l.Machine, l.conn = nil, nil
}

// reboot resets the board while it runs, and returns when /init has started the agent
// again. The guest's clock is set to the time of the last power-on.
func (l *lab) reboot(t *testing.T) {
	t.Helper()
	_ = l.conn.Close() // the guest will know nothing of it
	if l.board.tpm == tpmProxy {
		l.restartTPM() // one of QEMU's own is reset by QEMU
	}
	seen := len(l.Lines())
	if err := l.QMP.Execute("set-action", map[string]string{"reboot": "reset"}, nil); err != nil {
		t.Fatal(err)
	}
	if err := l.QMP.Execute("system_reset", nil, nil); err != nil {
		t.Fatal(err)
	}
	l.until(t, bootLimit, "the agent after a reboot", func(context.Context) (bool, error) {
		return slices.ContainsFunc(l.Lines()[seen:], func(line qemu.Line) bool {
			return strings.HasPrefix(line.Text, guest.Milestone+" agent")
		}), nil
	})
	if err := l.connect(); err != nil {
		t.Fatal(err)
	}
}

// wiring is the board as it is connected here: QEMU's arguments, and what the kernel's
// command line has to say of it to /init.
func (l *lab) wiring() (machine []string, cmdline string) {
	machine = slices.Clone(l.board.machine)
	if d := l.board.disk; d != nil {
		machine = append(machine, "-drive", d.drive+",format=raw,file="+l.image)
		machine = append(machine, d.device...)
		cmdline += " " + guest.Disk + d.guest
	}
	switch l.board.tpm {
	case tpmTIS:
		machine = append(machine, "-chardev", "socket,id=tpm,path="+l.tpm.Socket,
			"-tpmdev", "emulator,id=tpm0,chardev=tpm", "-device", "tpm-tis-device,tpmdev=tpm0")
	case tpmProxy:
		cmdline += " " + guest.TPM + net.JoinHostPort(guest.Host, l.relay)
	}
	return machine, cmdline
}

// agentSettings is the settings.yml of the board, with some hardware.
func (l *lab) agentSettings(hardware string) string {
	return l.gateway.agentSettings(hardware) + l.settings
}

// connect finds the guest's services on the host.
func (l *lab) connect() error {
	address, err := l.Forwarded(guest.AgentPort)
	if err != nil {
		return err
	}
	if l.commands, err = l.Forwarded(guest.CommandPort); err != nil {
		return err
	}
	// The guest is asked before the agent listens, and QEMU takes the connection before
	// the guest can. The usual pauses would be measured as the agent's.
	retry := backoff.Config{BaseDelay: pictureTick, Multiplier: 1, MaxDelay: pictureTick}
	l.conn, err = grpc.NewClient(address, grpc.WithTransportCredentials(l.calls),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: retry, MinConnectTimeout: connectLimit}))
	if err != nil {
		return err
	}
	l.agent = provisioningpb.NewProvisioningServiceClient(l.conn)
	return nil
}

// logFolder is where the logs of a board go; they stay when the test fails.
func logFolder(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs(filepath.Join("out", filepath.FromSlash(t.Name())))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the logs of the board are in %s", dir)
		} else if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// writeInitrd writes the file system that the board starts from.
func writeInitrd(ctx context.Context, file string, with built, b board, settings string) error {
	var a initramfs.Archive
	a.Console()
	for _, dir := range []string{"/proc", "/sys", "/run", "/tmp"} {
		a.Folder(dir, 0o755)
	}
	a.Folder("/root", 0o700)
	for to, from := range map[string]string{"/init": with.program("init", b.arch), guest.Agent: with.program("agent", b.arch)} {
		program, err := os.ReadFile(from)
		if err != nil {
			return err
		}
		a.File(to, 0o755, program)
	}
	a.File(guest.Settings, 0o644, []byte(settings))
	version := filepath.Join(with.kernels, b.kernel, "lib/modules/current")
	modules, err := initramfs.Modules(os.DirFS(version), b.modules...)
	if err != nil {
		return err
	}
	var list strings.Builder
	for _, m := range modules {
		module, err := initramfs.Unpack(ctx, filepath.Join(version, m))
		if err != nil {
			return err
		}
		name := "/lib/modules/" + strings.TrimSuffix(filepath.Base(m), ".xz")
		a.File(name, 0o644, module)
		list.WriteString(name + "\n")
	}
	a.File(guest.ModuleList, 0o644, []byte(list.String()))
	out, err := os.Create(file)
	if err != nil {
		return err
	}
	_, err = a.WriteTo(out)
	if e := out.Close(); err == nil {
		err = e
	}
	return err
}

// writeTree writes the board's device tree, with its edits. What the tree has to say
// of the machine's parts comes from the machine, where it is QEMU's own.
func (l *lab) writeTree(ctx context.Context, file, trees string, machine []string) error {
	b := l.board
	if b.tree == "" {
		// QEMU writes the tree that it would give to the kernel, and ends.
		l.restartTPM()
		machine = slices.Clone(machine)
		for i := range machine {
			if i > 0 && machine[i-1] == "-M" {
				machine[i] += ",dumpdtb=" + file
			}
		}
		if _, err := command(ctx, nil, b.program, append(machine, "-display", "none", "-monitor", "none")...); err != nil {
			return err
		}
		// It is a megabyte of mostly nothing, and QEMU doubles it when it loads it: more
		// than the two that the kernel takes (Documentation/arch/arm64/booting.rst).
		if _, err := command(ctx, nil, "dtc", "-q", "-I", "dtb", "-O", "dtb", "-o", file, file); err != nil {
			return err
		}
	} else {
		from, err := os.Open(filepath.Join(trees, b.tree))
		if err != nil {
			return err
		}
		defer from.Close()
		to, err := os.Create(file)
		if err != nil {
			return err
		}
		defer to.Close()
		if _, err := io.Copy(to, from); err != nil {
			return err
		}
	}
	for _, edit := range b.edits {
		// fdtput wants its options before the file, and the node behind it.
		options, rest := edit[:1], edit[1:]
		for len(rest) > 0 && strings.HasPrefix(rest[0], "-") {
			options, rest = edit[:len(options)+1], rest[1:]
		}
		if _, err := command(ctx, nil, "fdtput", append(append(append([]string(nil), options...), file), rest...)...); err != nil {
			return err
		}
	}
	return nil
}

// status asks the agent over gRPC.
func (l *lab) status(ctx context.Context) (*provisioningpb.StatusResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	return l.agent.Status(ctx, &provisioningpb.StatusRequest{})
}

// statusIs asks the agent whether it is as it shall be; the answer goes to last.
func (l *lab) statusIs(last **provisioningpb.StatusResponse, is func(*provisioningpb.StatusResponse) bool) func(context.Context) (bool, error) {
	return func(ctx context.Context) (bool, error) {
		s, err := l.status(ctx)
		if err != nil {
			return false, err
		}
		*last = s
		if !is(s) {
			return false, fmt.Errorf("it says %v", s)
		}
		return true, nil
	}
}

// waitState waits until the agent is in the state.
func (l *lab) waitState(t *testing.T, limit time.Duration, want provisioningpb.State) (last *provisioningpb.StatusResponse) {
	t.Helper()
	l.until(t, limit, "the agent in "+want.String(), l.statusIs(&last, func(s *provisioningpb.StatusResponse) bool { return s.State == want }))
	return last
}

// until asks ready again and again until it says yes. The error that it returned
// last is what the test fails with.
func (l *lab) until(t *testing.T, limit time.Duration, what string, ready func(context.Context) (bool, error)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	tick := time.NewTicker(pictureTick)
	defer tick.Stop()
	for {
		ok, err := ready(ctx)
		if ok {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("waiting %s for %s: %v", limit, what, err)
		case <-tick.C:
		}
	}
}

// ask asks /init; the test fails when it cannot.
func (l *lab) ask(t *testing.T, r guest.Request) guest.Response {
	t.Helper()
	answer, err := guest.Ask(t.Context(), l.commands, r)
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

// run runs the agent's program in the guest and returns what it printed on
// standard output. Another exit code than want fails the test.
func (l *lab) run(t *testing.T, want int, args ...string) string {
	t.Helper()
	a := l.ask(t, guest.Request{Exec: append([]string{guest.Agent}, args...)})
	if a.Code != want {
		t.Errorf("mecha-agent %s: exit code %d, want %d\n%s%s", strings.Join(args, " "), a.Code, want, a.Stdout, a.Stderr)
	}
	return a.Stdout
}

// release sets the board's button free: a line of QEMU's is low until it is set.
func (l *lab) release(t *testing.T) {
	t.Helper()
	if l.board.button != nil {
		l.press(t, false)
	}
}

// press sets the button's line.
func (l *lab) press(t *testing.T, held bool) {
	t.Helper()
	b := l.board.button
	device := b.device
	if kind, ok := strings.CutPrefix(device, "["); ok {
		kind = strings.TrimSuffix(kind, "]")
		paths, err := l.QMP.Find("/machine/unattached", kind)
		if err != nil || len(paths) != 1 {
			t.Fatalf("QEMU has the devices %q of type %s, %v", paths, kind, err)
		}
		device = paths[0]
	}
	if err := l.QTest.Set(device, "unnamed-gpio-in", b.line, held == b.held); err != nil {
		t.Fatal(err)
	}
}
