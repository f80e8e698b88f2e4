package main

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/mecha-org/mecha-agent/cmd/internal/cli"
	provisioningpb "github.com/mecha-org/mecha-agent/proto/provisioning"
)

// progress tells a waiting person what happens: on a terminal a line that is
// drawn over with the code's time left as a bar, else a line for each change.
type progress struct {
	w        io.Writer
	terminal bool
	width    func() int // of the terminal in columns, 0 for unknown
	stop     chan struct{}
	once     sync.Once
	done     sync.WaitGroup

	mu      sync.Mutex
	state   string
	made    time.Time // when expires was first seen
	expires time.Time // the end of the code that is shown, or zero
}

const (
	barWidth  = 30         // characters
	eraseLine = "\r\033[K" // to the left edge, erase to the right one: ECMA-48, CR and EL
)

func newProgress(w io.Writer, terminal bool, width func() int) *progress {
	p := &progress{w: w, terminal: terminal, width: width, stop: make(chan struct{})}
	if terminal {
		p.done.Go(p.redraw)
	}
	return p
}

// redraw moves the bar until end.
func (p *progress) redraw() {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-p.stop:
			return
		case <-tick.C:
			p.mu.Lock()
			p.draw()
			p.mu.Unlock()
		}
	}
}

// show says what the agent is doing now.
func (p *progress) show(s *provisioningpb.StatusResponse) {
	p.mu.Lock()
	defer p.mu.Unlock()
	text, expires := stateText(s.State), time.Time{}
	switch {
	case s.Step != "":
		text = cli.Clean(s.Step)
	case s.State == provisioningpb.State_STATE_CODE_SHOWN:
		text, expires = "waiting for the claim", asTime(s.CodeExpires)
	}
	if s.Error != "" {
		text += " (" + cli.Clean(s.Error) + ")"
	}
	if !expires.Equal(p.expires) {
		p.expires, p.made = expires, time.Now()
	}
	changed := text != p.state
	p.state = text
	if p.terminal {
		p.draw()
	} else if changed {
		fmt.Fprintln(p.w, text)
	}
}

// note prints a line that stays.
func (p *progress) note(line string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.terminal {
		fmt.Fprintln(p.w, line)
		return
	}
	fmt.Fprint(p.w, eraseLine, line, "\n")
	p.draw()
}

// draw draws the line over. A line longer than the terminal is wide could not be
// drawn over: the state is cut. mu is held.
func (p *progress) draw() {
	state, bar := []rune(p.state), p.bar()
	if columns := p.width(); columns > 0 {
		// one column stays free: many terminals go on to the next line after the last one
		state = state[:min(len(state), max(0, columns-1-len(bar)))]
	}
	fmt.Fprint(p.w, eraseLine, string(state), bar)
}

// bar is the time left of the code, or "" without one. The clock may be set
// while a machine starts, so that more seems to be left than there was.
func (p *progress) bar() string {
	left, whole := time.Until(p.expires), p.expires.Sub(p.made)
	if left <= 0 || whole <= 0 {
		return ""
	}
	full := int(barWidth * min(left, whole) / whole)
	return fmt.Sprintf(" [%s%s] %s", strings.Repeat("#", full), strings.Repeat(".", barWidth-full), left.Round(time.Second))
}

// end stops drawing and leaves the cursor on an empty line.
func (p *progress) end() {
	p.once.Do(func() {
		close(p.stop)
		p.done.Wait()
		if p.terminal {
			fmt.Fprint(p.w, eraseLine)
		}
	})
}
