//go:build linux

package qemu

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Config is a machine that Start can start.
type Config struct {
	Program string   // qemu-system-aarch64
	Args    []string // board, kernel, devices; -serial stdio where its console is
	Forward []int    // TCP ports of the guest that the host can reach
	Network string   // the id of the user network that Forward is for
	Logs    string   // folder for serial.log, qmp.log and pictures; it stays
}

// Machine is a running virtual machine.
type Machine struct {
	QMP     *QMP
	QTest   *QTest
	Logs    string
	Started time.Time // when its processor began to run

	cmd     *exec.Cmd
	sockets string
	files   []*os.File
	done    chan struct{} // closed when QEMU has ended
	stderr  bytes.Buffer  // read after done only

	mu    sync.Mutex
	lines []Line
	more  chan struct{} // closed and made anew with every line
}

// Line is a line of the serial console.
type Line struct {
	At   time.Time
	Text string
}

// ErrEnded is what a wait wraps when the machine has ended.
var ErrEnded = errors.New("the machine has ended")

// Start starts a machine that stands still: its lines can be set before Run. It
// ends with this process, whatever becomes of that.
func Start(ctx context.Context, c Config) (m *Machine, err error) {
	// Sockets have names of 107 bytes at most (unix(7)), which a test's own folder
	// may use up.
	sockets, err := os.MkdirTemp("", "mecha-qemu-")
	if err != nil {
		return nil, err
	}
	m = &Machine{Logs: c.Logs, sockets: sockets, done: make(chan struct{}), more: make(chan struct{})}
	defer func() {
		if err != nil {
			err = errors.Join(err, m.Close())
		}
	}()
	qmpLog, serial, err := m.openLogs()
	if err != nil {
		close(m.done)
		return m, err
	}
	m.cmd = exec.Command(c.Program, append([]string{"-S", "-display", "none", "-monitor", "none", "-no-reboot",
		"-qmp", "unix:q.sock,server=on,wait=off", "-qtest", "unix:t.sock,server=on,wait=off", "-qtest-log", "none"}, c.Args...)...)
	m.cmd.Dir, m.cmd.Stderr = sockets, &m.stderr
	m.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := m.cmd.StdoutPipe()
	if err == nil {
		err = m.cmd.Start()
	}
	if err != nil {
		close(m.done)
		return m, fmt.Errorf("starting QEMU: %w", err)
	}
	go m.read(out, serial)
	ctx, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	go func() { // one that refuses its arguments will never have a socket
		select {
		case <-m.done:
			cancel()
		case <-ctx.Done():
		}
	}()
	if m.QMP, err = DialQMP(ctx, filepath.Join(sockets, "q.sock"), qmpLog); err == nil {
		m.QTest, err = DialQTest(ctx, filepath.Join(sockets, "t.sock"), qmpLog)
	}
	if err != nil {
		return m, err
	}
	for _, port := range c.Forward {
		// Port 0 lets the kernel choose: a free port that was looked for before may be
		// taken by now.
		if text, err := m.QMP.Monitor(fmt.Sprintf("hostfwd_add %s tcp:127.0.0.1:0-:%d", c.Network, port)); err != nil || text != "" {
			return m, errors.Join(err, fmt.Errorf("forwarding port %d: %s", port, text))
		}
	}
	return m, nil
}

func (m *Machine) openLogs() (qmp, serial *os.File, err error) {
	qmp, err = os.Create(filepath.Join(m.Logs, "qmp.log"))
	if err != nil {
		return nil, nil, err
	}
	serial, err = os.Create(filepath.Join(m.Logs, "serial.log"))
	m.files = append(m.files, qmp, serial)
	return qmp, serial, err
}

// read keeps the lines of the console until QEMU ends.
func (m *Machine) read(out io.Reader, log io.Writer) {
	lines := bufio.NewReader(io.TeeReader(out, log))
	for {
		text, err := lines.ReadString('\n')
		if text != "" {
			m.mu.Lock()
			m.lines = append(m.lines, Line{time.Now(), printable(text)})
			close(m.more)
			m.more = make(chan struct{})
			m.mu.Unlock()
		}
		if err != nil {
			break
		}
	}
	_ = m.cmd.Wait() // how it ended is in stderr, and in what the test misses
	close(m.done)
}

// printable returns the line without what is not text at its ends: its end of
// line, and the bytes that a serial port sends while it is set up.
func printable(line string) string {
	return strings.TrimFunc(line, func(r rune) bool { return r < ' ' || r > '~' })
}

// Run lets the processor run.
func (m *Machine) Run() error {
	m.Started = time.Now()
	return m.QMP.Execute("cont", nil, nil)
}

// Forwarded returns the address on the host that leads to the guest's port.
func (m *Machine) Forwarded(port int) (string, error) {
	text, err := m.QMP.Monitor("info usernet")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(text) {
		// Protocol[State] FD SourceAddress Port DestAddress Port RecvQ SendQ
		f := strings.Fields(line)
		if len(f) >= 6 && f[0] == "TCP[HOST_FORWARD]" && f[5] == strconv.Itoa(port) {
			return net.JoinHostPort(f[2], f[3]), nil
		}
	}
	return "", fmt.Errorf("port %d is not forwarded: %s", port, text)
}

// WaitLine waits for a line of the console that begins with prefix, also among
// those that were printed before, and returns it.
func (m *Machine) WaitLine(ctx context.Context, prefix string) (Line, error) {
	for seen := 0; ; {
		m.mu.Lock()
		lines, more := m.lines[seen:], m.more
		seen = len(m.lines)
		m.mu.Unlock()
		for _, l := range lines {
			if strings.HasPrefix(l.Text, prefix) {
				return l, nil
			}
		}
		select {
		case <-more:
		case <-m.done:
			m.mu.Lock()
			all := seen == len(m.lines)
			m.mu.Unlock()
			if all {
				return Line{}, fmt.Errorf("waiting for %q: %w: %s", prefix, ErrEnded, m.stderr.String())
			}
		case <-ctx.Done():
			return Line{}, fmt.Errorf("waiting for %q: %w", prefix, ctx.Err())
		}
	}
}

// Lines returns what the console has printed so far.
func (m *Machine) Lines() []Line {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]Line(nil), m.lines...)
}

// Close ends the machine, at once, and waits for it.
func (m *Machine) Close() error {
	var errs []error
	if m.cmd != nil && m.cmd.Process != nil {
		if err := m.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
			errs = append(errs, err)
		}
	}
	<-m.done
	if m.QMP != nil {
		errs = append(errs, m.QMP.Close())
	}
	if m.QTest != nil {
		errs = append(errs, m.QTest.Close())
	}
	for _, f := range m.files {
		errs = append(errs, f.Close())
	}
	return errors.Join(append(errs, os.RemoveAll(m.sockets))...)
}
