package tpm

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// socket is the Unix socket of an emulator. swtpm serves one connection at a time,
// and everybody else waits: each command has a connection of its own, so that
// programs can share it as they share a device with a resource manager.
type socket struct{ path string }

func (s socket) exchange(ctx context.Context, command []byte) ([]byte, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", s.path)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if _, err := c.Write(command); err != nil {
		return nil, err
	}
	response, err := readResponse(c)
	if errors.Is(err, io.EOF) {
		return nil, unix.ECONNRESET // it hung up instead of answering
	}
	return response, err
}

func (socket) close() error { return nil }

// readResponse reads what the header announces and nothing more.
func readResponse(r io.Reader) ([]byte, error) {
	header := make([]byte, headerSize)
	if n, err := io.ReadFull(r, header); errors.Is(err, io.ErrUnexpectedEOF) {
		return header[:n], nil // check will say so
	} else if err != nil {
		return nil, err
	}
	size := binary.BigEndian.Uint32(header[2:])
	if size < headerSize || size > maxMessage {
		return nil, fmt.Errorf("%w: a response that claims to be %d bytes", ErrGarbage, size)
	}
	response := append(header, make([]byte, size-headerSize)...)
	n, err := io.ReadFull(r, response[headerSize:])
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, err
	}
	return response[:headerSize+n], nil
}
