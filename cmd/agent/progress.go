package main

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	provisioningpb "github.com/mecha-org/mecha-agent/proto/provisioning"
)

// progress tells a waiting person what happens: on a terminal a line that is
// drawn over with the time left as a bar, else a line for each change.
type progress struct {
	w        io.Writer
	terminal bool
	stop     chan struct{}
	once     sync.Once
	done     sync.WaitGroup

	mu      sync.Mutex
	state   string
	made    time.Time
	expires time.Time
}

const barWidth = 30 // characters

func newProgress(w io.Writer, terminal bool) *progress {
	p := &progress{w: w, terminal: terminal, stop: make(chan struct{}), made: time.Now()}
	if terminal {
		p.done.Go(func() {
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
		})
	}
	return p
}

func (p *progress) show(s *provisioningpb.StatusResponse) {
	p.mu.Lock()
	defer p.mu.Unlock()
	text := stateText(s.State)
	if s.State == provisioningpb.State_STATE_CODE_SHOWN {
		text = "waiting for the claim"
	}
	if s.Error != "" {
		text += " (" + s.Error + ")"
	}
	if expires := asTime(s.CodeExpires); !expires.Equal(p.expires) {
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
	if p.terminal {
		fmt.Fprint(p.w, "\r\033[K")
	}
	fmt.Fprintln(p.w, line)
}

func (p *progress) draw() {
	bar := ""
	if left, whole := time.Until(p.expires), p.expires.Sub(p.made); left > 0 && whole > 0 {
		full := int(barWidth * left / whole)
		bar = fmt.Sprintf(" [%s%s] %s", strings.Repeat("#", full), strings.Repeat(".", barWidth-full), left.Round(time.Second))
	}
	fmt.Fprintf(p.w, "\r\033[K%s%s", p.state, bar)
}

// end stops drawing and leaves the cursor on a fresh line.
func (p *progress) end() {
	p.once.Do(func() {
		close(p.stop)
		p.done.Wait()
		if p.terminal {
			fmt.Fprint(p.w, "\r\033[K")
		}
	})
}
