// Package qemu runs a virtual machine and looks at it from outside: its pictures,
// its memory, its lines.
package qemu

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/png"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// answerLimit bounds one question to QEMU. It answers in milliseconds, but for a
// moment not at all while it translates much code.
const answerLimit = 20 * time.Second

// QMP is a connection to a machine's monitor
// (https://www.qemu.org/docs/master/interop/qmp-spec.html).
type QMP struct {
	mu   sync.Mutex
	conn net.Conn
	in   *json.Decoder
	log  io.Writer
}

// DialQMP connects to the monitor on the Unix socket path, which may appear a
// little later: it tries until ctx ends. What is said goes to log, which may be nil.
func DialQMP(ctx context.Context, path string, log io.Writer) (*QMP, error) {
	conn, err := dial(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("connecting to QMP: %w", err)
	}
	if log == nil {
		log = io.Discard
	}
	q := &QMP{conn: conn, in: json.NewDecoder(io.TeeReader(conn, log)), log: log}
	var greeting struct {
		QMP json.RawMessage `json:"QMP"`
	}
	err = conn.SetDeadline(time.Now().Add(answerLimit))
	if err == nil {
		err = q.in.Decode(&greeting)
	}
	if err == nil && greeting.QMP == nil {
		err = errors.New("no greeting")
	}
	if err == nil {
		err = q.Execute("qmp_capabilities", nil, nil)
	}
	if err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("greeting QMP: %w", err)
	}
	return q, nil
}

// dial connects to a Unix socket as soon as there is one.
func dial(ctx context.Context, path string) (net.Conn, error) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		var d net.Dialer
		conn, err := d.DialContext(ctx, "unix", path)
		if err == nil {
			return conn, nil
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), err)
		case <-tick.C:
		}
	}
}

// Close closes the connection. The machine goes on.
func (q *QMP) Close() error { return q.conn.Close() }

// Execute runs a command with its arguments and stores its result, both of which
// may be nil.
func (q *QMP) Execute(command string, arguments, result any) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if err := q.conn.SetDeadline(time.Now().Add(answerLimit)); err != nil {
		return err
	}
	question, err := json.Marshal(struct {
		Execute   string `json:"execute"`
		Arguments any    `json:"arguments,omitempty"`
	}{command, arguments})
	if err != nil {
		return err
	}
	question = append(question, '\n')
	_, _ = q.log.Write(question)
	if _, err := q.conn.Write(question); err != nil {
		return fmt.Errorf("QMP %s: %w", command, err)
	}
	for {
		var answer struct {
			Return json.RawMessage `json:"return"`
			Error  *struct {
				Desc string `json:"desc"`
			} `json:"error"`
			Event string `json:"event"`
		}
		if err := q.in.Decode(&answer); err != nil {
			return fmt.Errorf("QMP %s: %w", command, err)
		}
		switch {
		case answer.Event != "": // told to everybody at any time
		case answer.Error != nil:
			return fmt.Errorf("QMP %s: %s", command, answer.Error.Desc)
		case answer.Return == nil:
			return fmt.Errorf("QMP %s: no answer to the question", command)
		case result == nil:
			return nil
		default:
			return json.Unmarshal(answer.Return, result)
		}
	}
}

// Monitor runs a command of the monitor for people and returns what it prints.
func (q *QMP) Monitor(line string) (text string, err error) {
	err = q.Execute("human-monitor-command", map[string]string{"command-line": line}, &text)
	return text, err
}

// Words reads n words of 32 bits from the physical address on, as the processor
// would: from a register, that is what the device says now.
func (q *QMP) Words(address uint64, n int) ([]uint32, error) {
	text, err := q.Monitor(fmt.Sprintf("xp /%dwx %#x", n, address))
	if err != nil {
		return nil, err
	}
	var words []uint32
	for line := range strings.Lines(text) {
		_, values, ok := strings.Cut(line, ":")
		if !ok {
			return nil, fmt.Errorf("reading %#x: %s", address, strings.TrimSpace(text))
		}
		for v := range strings.FieldsSeq(values) {
			w, err := strconv.ParseUint(v, 0, 32)
			if err != nil {
				return nil, fmt.Errorf("reading %#x: %w", address, err)
			}
			words = append(words, uint32(w))
		}
	}
	if len(words) != n {
		return nil, fmt.Errorf("reading %#x: %d words of %d: %s", address, len(words), n, text)
	}
	return words, nil
}

// Screenshot returns what the display with that id shows. It goes through the
// file, which is left there.
func (q *QMP) Screenshot(device, file string) (image.Image, error) {
	if err := q.Execute("screendump", map[string]string{"filename": file, "device": device, "format": "png"}, nil); err != nil {
		return nil, err
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	picture, err := png.Decode(f)
	if err != nil {
		return nil, fmt.Errorf("reading the screenshot: %w", err)
	}
	return picture, nil
}

// Find returns the QOM paths below parent of the devices of a type ("pl061").
func (q *QMP) Find(parent, kind string) ([]string, error) {
	var list []struct {
		Name, Type string
	}
	if err := q.Execute("qom-list", map[string]string{"path": parent}, &list); err != nil {
		return nil, err
	}
	var paths []string
	for _, p := range list {
		if p.Type == "child<"+kind+">" {
			paths = append(paths, parent+"/"+p.Name)
		}
	}
	return paths, nil
}
