package main

import (
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"time"
)

// meter tells a waiting person at a terminal how far a long read is; nobody else.
// What is written to it is counted.
type meter struct {
	read    atomic.Int64
	size    int64 // 0: not known
	stop    chan struct{}
	stopped chan struct{}
}

func newMeter(w io.Writer, terminal bool, size int64) *meter {
	m := &meter{size: size, stop: make(chan struct{}), stopped: make(chan struct{})}
	if !terminal {
		close(m.stopped)
		return m
	}
	go m.draw(w)
	return m
}

// Write implements io.Writer.
func (m *meter) Write(b []byte) (int, error) {
	m.read.Add(int64(len(b)))
	return len(b), nil
}

// draw draws the line over every second. What takes less shows nothing.
func (m *meter) draw(w io.Writer) {
	defer close(m.stopped)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for drawn := false; ; drawn = true {
		select {
		case <-m.stop:
			if drawn {
				fmt.Fprint(w, eraseLine)
			}
			return
		case <-tick.C:
			fmt.Fprint(w, eraseLine, m.line())
		}
	}
}

func (m *meter) line() string {
	read := m.read.Load()
	text := fmt.Sprintf("read %d MiB", read>>20)
	if m.size <= 0 {
		return text
	}
	full := int(barWidth * min(read, m.size) / m.size)
	return fmt.Sprintf("%s [%s%s]", text, strings.Repeat("#", full), strings.Repeat(".", barWidth-full))
}

// end leaves the cursor on an empty line.
func (m *meter) end() {
	close(m.stop)
	<-m.stopped
}
