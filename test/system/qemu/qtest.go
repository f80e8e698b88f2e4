package qemu

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"
)

// QTest is a connection to QEMU's test protocol, which can set the input lines of
// a device (https://www.qemu.org/docs/master/devel/testing/qtest.html). The
// machine runs on as usual.
type QTest struct {
	mu   sync.Mutex
	conn net.Conn
	in   *bufio.Reader
	log  io.Writer
}

// DialQTest connects to the Unix socket path, which may appear a little later: it
// tries until ctx ends. What is said goes to log, which may be nil.
func DialQTest(ctx context.Context, path string, log io.Writer) (*QTest, error) {
	conn, err := dial(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("connecting to qtest: %w", err)
	}
	if log == nil {
		log = io.Discard
	}
	return &QTest{conn: conn, in: bufio.NewReader(io.TeeReader(conn, log)), log: log}, nil
}

// Close closes the connection. The machine goes on.
func (q *QTest) Close() error { return q.conn.Close() }

// Set sets an input line: of the device at a QOM path ("/machine/soc/gpio1"), in
// its group ("unnamed-gpio-in"), by number.
func (q *QTest) Set(device, group string, line int, high bool) error {
	level := 0
	if high {
		level = 1
	}
	return q.command(fmt.Sprintf("set_irq_in %s %s %d %d", device, group, line, level))
}

func (q *QTest) command(line string) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if err := q.conn.SetDeadline(time.Now().Add(answerLimit)); err != nil {
		return err
	}
	_, _ = fmt.Fprintln(q.log, line)
	if _, err := fmt.Fprintln(q.conn, line); err != nil {
		return fmt.Errorf("qtest: %w", err)
	}
	for {
		answer, err := q.in.ReadString('\n')
		if err != nil {
			return fmt.Errorf("qtest: %w", err)
		}
		word, _, _ := strings.Cut(strings.TrimSpace(answer), " ")
		switch word {
		case "OK":
			return nil
		case "IRQ": // told at any time
		default:
			return fmt.Errorf("qtest: %s: %s", line, strings.TrimSpace(answer))
		}
	}
}
