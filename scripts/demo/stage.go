package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/mecha-org/mecha-agent/board/sim"
	provisioningpb "github.com/mecha-org/mecha-agent/proto/provisioning"
)

// stage is the scratch folder with what runs in it.
type stage struct {
	bin, dir string
	running  []*process

	gatewayURL  string
	fingerprint string // of the gateway's root
	agent       provisioningpb.ProvisioningServiceClient
	board       *sim.Control
	code        string
	machineID   string
}

// process is a program that the demo started, with its log.
type process struct {
	*exec.Cmd
	log  string
	done chan error
}

func newStage(bin, dir string) (*stage, error) {
	bin, err := filepath.Abs(bin)
	if err != nil {
		return nil, err
	}
	if err := os.RemoveAll(dir); err != nil {
		return nil, fmt.Errorf("clearing the scratch folder: %w", err)
	}
	return &stage{bin: bin, dir: dir}, os.MkdirAll(filepath.Join(dir, "identity"), 0o700)
}

// path is a file in the scratch folder. Sockets are named relative to it,
// because a socket's path has room for 107 bytes only (unix(7)).
func (s *stage) path(name string) string { return filepath.Join(s.dir, name) }

// start runs a program in the scratch folder; its output goes to NAME.log.
func (s *stage) start(name string, args ...string) (*process, error) {
	log, err := os.Create(s.path(name + ".log"))
	if err != nil {
		return nil, err
	}
	defer log.Close() // the child has its own
	p := &process{Cmd: exec.Command(filepath.Join(s.bin, "mecha-"+name), args...), log: log.Name(), done: make(chan error, 1)}
	p.Dir, p.Stdout, p.Stderr = s.dir, log, log
	p.Env = append(os.Environ(), "HOME="+s.dir)
	// Its own group: Ctrl-C reaches the demo, which ends its children in order.
	p.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.Start(); err != nil {
		return nil, err
	}
	go func() { p.done <- p.Wait() }()
	s.running = append(s.running, p)
	return p, nil
}

// stop ends what runs, the agent before the gateway, and waits for it.
func (s *stage) stop() (err error) {
	for i := len(s.running) - 1; i >= 0; i-- {
		p := s.running[i]
		_ = p.Process.Signal(syscall.SIGTERM) // fails when it has ended; done tells how
		select {
		case e := <-p.done:
			if e != nil {
				err = errors.Join(err, fmt.Errorf("%s ended badly: %w", filepath.Base(p.Path), e))
			}
		case <-time.After(10 * time.Second):
			_ = p.Process.Kill()
			<-p.done
			err = errors.Join(err, fmt.Errorf("%s did not end when asked", filepath.Base(p.Path)))
		}
	}
	s.running = nil
	return err
}

// logLine waits until the program has logged a line with that message and
// returns the line's attributes.
func (s *stage) logLine(ctx context.Context, p *process, message string) (map[string]any, error) {
	var found map[string]any
	err := wait(ctx, func() (bool, error) {
		text, err := os.ReadFile(p.log)
		if err != nil {
			return false, err
		}
		for line := range strings.Lines(string(text)) {
			var attrs map[string]any
			if json.Unmarshal([]byte(line), &attrs) == nil && attrs["msg"] == message {
				found = attrs
				return true, nil
			}
		}
		select {
		case e := <-p.done:
			p.done <- e
			return false, fmt.Errorf("%s ended: %v", filepath.Base(p.Path), e)
		default:
			return false, nil
		}
	})
	return found, err
}

// wait asks ready every 20 ms until it says yes.
func wait(ctx context.Context, ready func() (bool, error)) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if ok, err := ready(); ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// showLogs prints the last lines of each log.
func (s *stage) showLogs(w io.Writer) {
	const lines = 15
	for _, p := range s.running {
		text, err := os.ReadFile(p.log)
		if err != nil {
			continue
		}
		all := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
		fmt.Fprintf(w, "\n-- the end of %s\n%s\n", p.log, strings.Join(all[max(0, len(all)-lines):], "\n"))
	}
}

func (s *stage) dialAgent() error {
	conn, err := grpc.NewClient("unix:"+s.path("agent.sock"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	s.agent = provisioningpb.NewProvisioningServiceClient(conn)
	return nil
}
