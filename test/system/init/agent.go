//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/mecha-org/mecha-agent/test/system/guest"
)

// environment is what a service manager gives a service of root's.
var environment = []string{"HOME=/root", "PATH=/usr/bin:/bin"}

// agent is the running agent. It is not started again when it ends.
type agent struct {
	mu   sync.Mutex
	cmd  *exec.Cmd
	done chan error
}

// start starts the agent. Its output goes to the console, a line each, with a
// word before it that tells it from the kernel's.
func (a *agent) start() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	cmd := exec.Command(guest.Agent, "run")
	cmd.Env, cmd.Dir = environment, "/"
	out, in := io.Pipe()
	cmd.Stdout, cmd.Stderr = in, in
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting the agent: %w", err)
	}
	done := make(chan error, 1)
	a.cmd, a.done = cmd, done
	go say(out)
	go func() {
		err := cmd.Wait()
		_ = in.Close()
		fmt.Println(guest.Milestone, "ended", cmd.ProcessState)
		done <- err
	}()
	return nil
}

func say(out io.Reader) {
	for lines := bufio.NewScanner(out); lines.Scan(); {
		fmt.Println(guest.AgentSays, lines.Text())
	}
}

// restart ends the agent with a signal and starts it again. The exit code is that of
// the agent that ended.
func (a *agent) restart(by syscall.Signal) (code int, err error) {
	a.mu.Lock()
	cmd, done := a.cmd, a.done
	a.mu.Unlock()
	_ = cmd.Process.Signal(by) // fails when it has ended; done tells how
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		_ = cmd.Process.Kill()
		<-done
		err = errors.New("the agent did not end when asked")
	}
	return cmd.ProcessState.ExitCode(), errors.Join(err, a.start())
}

// answer does what r asks.
func (a *agent) answer(r guest.Request) guest.Response {
	var w guest.Response
	var err error
	switch {
	case len(r.Exec) > 0:
		w.Code, w.Stdout, w.Stderr, err = run(r.Exec)
	case r.Read != "":
		w.Data, err = os.ReadFile(r.Read)
	case r.Find != "":
		w.Files, err = find(r.Find)
	case r.Write != "":
		err = os.WriteFile(r.Write, r.Data, 0o644)
	case r.Restart:
		w.Code, err = a.restart(syscall.SIGTERM)
	case r.Crash:
		w.Code, err = a.restart(syscall.SIGKILL)
	case r.Wakeups:
		a.mu.Lock()
		pid := a.cmd.Process.Pid
		a.mu.Unlock()
		w.Wakeups, err = wakeups(fmt.Sprintf("/proc/%d/task", pid))
	default:
		err = errors.New("nothing was asked for")
	}
	if err != nil {
		w.Error = err.Error()
	}
	w.Uptime = uptime().Seconds()
	return w
}

func run(args []string) (code int, stdout, stderr string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), guest.Limit)
	defer cancel()
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr = environment, "/", &out, &errs
	err = cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		err = nil
	}
	if err == nil {
		code = cmd.ProcessState.ExitCode()
	}
	return code, out.String(), errs.String(), err
}

func find(folder string) (files []guest.File, err error) {
	err = filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // gone while we looked, or never there
		}
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil {
			files = append(files, guest.File{Path: path, Mode: info.Mode().String(), Size: info.Size()})
		}
		return err
	})
	return files, err
}

// wakeups adds up how often the threads in folder went to sleep of their own
// accord, which is how often they had been woken (proc_pid_status(5)).
func wakeups(folder string) (sum uint64, err error) {
	threads, err := os.ReadDir(folder)
	if err != nil {
		return 0, err
	}
	for _, t := range threads {
		text, err := os.ReadFile(filepath.Join(folder, t.Name(), "status"))
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
			continue
		}
		if err != nil {
			return 0, err
		}
		_, after, ok := strings.Cut(string(text), "\nvoluntary_ctxt_switches:")
		if !ok {
			return 0, fmt.Errorf("%s has no voluntary_ctxt_switches", t.Name())
		}
		first, _, _ := strings.Cut(after, "\n")
		n, err := strconv.ParseUint(strings.TrimSpace(first), 10, 64)
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, nil
}
