package tpm

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/google/go-tpm/tpm2"

	"github.com/mecha-org/mecha-agent/keystore/internal/keyfile"
)

// exchanger is a way to a TPM. exchange may block for longer than ctx lives:
// conn does not wait for it.
type exchanger interface {
	exchange(ctx context.Context, command []byte) ([]byte, error)
	close() error
}

// conn bounds an exchanger in time. A command runs in a goroutine of its own; when
// it does not end in time it is left behind, and the turn with it, so that no
// other command gets the late response. Should the TPM wake up, the connection
// works again.
type conn struct {
	ctx    context.Context
	path   string
	to     exchanger
	turn   chan struct{} // holds an element while no command runs
	closed chan struct{}
	once   sync.Once
}

func newConn(ctx context.Context, path string, to exchanger) *conn {
	c := &conn{ctx: ctx, path: path, to: to, turn: make(chan struct{}, 1), closed: make(chan struct{})}
	c.turn <- struct{}{}
	return c
}

// Send implements transport.TPM.
func (c *conn) Send(command []byte) ([]byte, error) { return c.send(c.ctx, command) }

// send is Send for as long as ctx lives, which ends with the connection's at the
// latest.
func (c *conn) send(ctx context.Context, command []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, CommandTimeout)
	defer cancel()
	select {
	case <-c.closed:
		return nil, fmt.Errorf("asking the TPM: %w", os.ErrClosed)
	default:
	}
	select {
	case <-c.turn:
	case <-c.closed:
		return nil, fmt.Errorf("asking the TPM: %w", os.ErrClosed)
	case <-ctx.Done():
		return nil, late(ctx)
	}

	type answer struct {
		response []byte
		err      error
	}
	done := make(chan answer, 1)
	command = bytes.Clone(command) // it may outlive this call
	go func() {
		response, err := patient(ctx, c.to, command)
		done <- answer{response, err}
		c.turn <- struct{}{}
	}()
	select {
	case a := <-done:
		switch {
		case a.err != nil && ctx.Err() != nil:
			return nil, late(ctx)
		case a.err != nil:
			return nil, fmt.Errorf("asking the TPM: %w", explain(c.path, a.err))
		}
		return a.response, nil
	case <-ctx.Done():
		return nil, late(ctx)
	}
}

// idle waits until no command runs, also none that was left behind.
func (c *conn) idle(ctx context.Context) error {
	select {
	case <-c.turn:
		c.turn <- struct{}{}
		return nil
	case <-ctx.Done():
		return late(ctx)
	}
}

// The pauses of patient, as the kernel's driver makes them (tpm_transmit in
// drivers/char/tpm/tpm-interface.c): 20 ms, then twice as long each, until one
// would be longer than 2 s.
const (
	firstPause   = 20 * time.Millisecond
	longestPause = 2 * time.Second
)

// patient sends a command until the TPM has time for it: while it tests itself or
// writes its memory it answers that the command did not begin, or was put aside,
// and shall be sent again. An emulator has no driver that does so.
func patient(ctx context.Context, to exchanger, command []byte) ([]byte, error) {
	for pause := firstPause; ; pause *= 2 {
		response, err := to.exchange(ctx, command)
		if err != nil {
			return nil, err
		}
		if err := check(response); err != nil {
			return nil, err
		}
		switch tpm2.TPMRC(binary.BigEndian.Uint32(response[6:])) {
		case tpm2.TPMRCRetry, tpm2.TPMRCTesting, tpm2.TPMRCYielded:
		default:
			return response, nil
		}
		if pause > longestPause {
			return response, nil
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, ctx.Err()
		}
	}
}

// late is the error of a command that did not end in time, or that was called
// off, which says nothing about the TPM.
func late(ctx context.Context) error {
	if err := ctx.Err(); errors.Is(err, context.Canceled) {
		return fmt.Errorf("asking the TPM: %w", err)
	}
	return fmt.Errorf("asking the TPM: %w",
		keyfile.WithHint(ErrHung, "try again; when it stays like that, look for tpm in dmesg, then cut the power of the board"))
}

// Close frees the connection. With a command that was left behind, and with a
// kernel that takes longer than two seconds, that happens later: closing a TPM
// device waits for its command (tpm_common_release in the kernel's
// drivers/char/tpm/tpm-dev-common.c).
func (c *conn) Close() error {
	err := fmt.Errorf("closing the TPM: %w", os.ErrClosed)
	c.once.Do(func() {
		close(c.closed)
		done := make(chan error, 1)
		go func() {
			<-c.turn
			done <- c.to.close()
		}()
		timer := time.NewTimer(closeTimeout)
		defer timer.Stop()
		select {
		case err = <-done:
		case <-timer.C:
			err = nil
		}
	})
	return err
}

// Of the header of a response: TCG TPM 2.0 Library, part 1, section 18.7, and
// part 2, section 6.9.
const (
	headerSize    = 10     // tag, size of the whole, response code
	tagNoSessions = 0x8001 // TPM_ST_NO_SESSIONS
	tagSessions   = 0x8002 // TPM_ST_SESSIONS
	tagTPM12      = 0x00C4 // TPM_ST_RSP_COMMAND: what TPM 1.2 answers
)

// check says whether the bytes are one whole response of a TPM 2.0.
func check(response []byte) error {
	if len(response) < headerSize {
		return fmt.Errorf("%w: %d bytes, want at least %d", ErrGarbage, len(response), headerSize)
	}
	if size := binary.BigEndian.Uint32(response[2:]); uint64(size) != uint64(len(response)) {
		return fmt.Errorf("%w: %d bytes that claim to be %d", ErrGarbage, len(response), size)
	}
	switch tag := binary.BigEndian.Uint16(response); tag {
	case tagNoSessions, tagSessions:
		return nil
	case tagTPM12:
		return keyfile.WithHint(ErrVersion, "a TPM 1.2 cannot hold this machine's key: replace it, or set keystore.backend to disk")
	default:
		return fmt.Errorf("%w: a response of tag 0x%04x", ErrGarbage, tag)
	}
}
