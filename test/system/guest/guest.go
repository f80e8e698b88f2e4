// Package guest is the line between a test on the host and the /init of an
// emulated board: one question and one answer, both JSON, to a TCP connection.
// What the agent says of itself goes over its own gRPC service, not over this.
package guest

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"time"
)

// Where the guest is on QEMU's user network, and what it serves there
// (https://www.qemu.org/docs/master/system/devices/net.html).
const (
	Address     = "10.0.2.15" // of the guest, /24
	Host        = "10.0.2.2"  // the host's loopback, seen from the guest
	AgentPort   = 4001        // leads to the agent's gRPC service on the guest's loopback
	CommandPort = 4002        // answers a Request with a Response
)

// Files of the initramfs that /init reads.
const (
	ModuleList = "/lab/modules"            // paths of kernel modules, a line each, in order of insertion
	Agent      = "/usr/bin/mecha-agent"    // as a package installs it
	Settings   = "/etc/mecha/settings.yml" // likewise
)

// Now is the parameter of the kernel's command line that holds the time, in
// seconds since 1970: a board without a clock gets it from NTP, this one from
// the host.
const Now = "lab.now="

// Parameters of boards that have these parts.
const (
	Disk = "lab.disk=" // the disk of root's home, ext4: "/dev/vda"
	TPM  = "lab.tpm="  // address that takes a TPM's commands and answers them
)

// The words that /init begins a line of the console with.
const (
	Milestone = "LAB"   // LAB NAME SECONDS: since the kernel's start
	AgentSays = "AGENT" // AGENT LINE: of the agent's log
)

// Limit bounds a command in the guest.
const Limit = time.Minute

// Request asks /init to do one thing: the first field that is set.
type Request struct {
	Exec    []string `json:"exec,omitempty"`    // run a program
	Read    string   `json:"read,omitempty"`    // a file's content
	Find    string   `json:"find,omitempty"`    // all files below a folder
	Write   string   `json:"write,omitempty"`   // a file, with Data as its content
	Data    []byte   `json:"data,omitempty"`    // with Write
	Restart bool     `json:"restart,omitempty"` // end the agent with SIGTERM and start it again
	Crash   bool     `json:"crash,omitempty"`   // likewise, with SIGKILL
	Wakeups bool     `json:"wakeups,omitempty"` // of the agent, all threads
}

// Response is what came of it.
type Response struct {
	Error   string  `json:"error,omitempty"` // it could not be done
	Uptime  float64 `json:"uptime"`          // seconds since the kernel's start
	Code    int     `json:"code"`            // of Exec and Restart: exit code, -1 for a signal
	Stdout  string  `json:"stdout,omitempty"`
	Stderr  string  `json:"stderr,omitempty"`
	Data    []byte  `json:"data,omitempty"`    // of Read
	Files   []File  `json:"files,omitempty"`   // of Find
	Wakeups uint64  `json:"wakeups,omitempty"` // voluntary context switches so far
}

// File is a file below a folder.
type File struct {
	Path string `json:"path"`
	Mode string `json:"mode"` // as ls writes it: "-rw-------"
	Size int64  `json:"size"`
}

// Ask sends r to the guest at address and returns its answer. An error means that
// there was none, or that the guest could not do it; a program that ended with
// another exit code than 0 is none.
func Ask(ctx context.Context, address string, r Request) (Response, error) {
	ctx, cancel := context.WithTimeout(ctx, Limit+10*time.Second)
	defer cancel()
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return Response{}, fmt.Errorf("asking the guest: %w", err)
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return Response{}, err
	}
	var answer Response
	if err := json.NewEncoder(conn).Encode(r); err != nil {
		return Response{}, fmt.Errorf("asking the guest: %w", err)
	}
	if err := json.NewDecoder(conn).Decode(&answer); err != nil {
		return Response{}, fmt.Errorf("reading the guest's answer: %w", err)
	}
	if answer.Error != "" {
		return answer, fmt.Errorf("the guest says: %s", answer.Error)
	}
	return answer, nil
}

// Serve answers one request on conn with do, and closes it.
func Serve(conn net.Conn, do func(Request) Response) error {
	defer conn.Close()
	// The deadline is for a host that goes away in the middle of a word.
	if err := conn.SetDeadline(time.Now().Add(Limit + 5*time.Second)); err != nil {
		return err
	}
	var r Request
	if err := json.NewDecoder(conn).Decode(&r); err != nil {
		return fmt.Errorf("reading a request: %w", err)
	}
	return json.NewEncoder(conn).Encode(do(r))
}
