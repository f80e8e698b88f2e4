package hwtest

import (
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/mecha-org/mecha-agent/hw"
)

// Shown is a view as a screen got it.
type Shown struct {
	View hw.View
	Now  time.Time
	Err  error // what the screen answered
}

// Screen is a screen that remembers what it was given. Check says whether it was
// used as a screen may be.
type Screen struct {
	mu     sync.Mutex
	shown  []Shown
	err    error
	closed int
	slept  int
	dark   bool // since the last Sleep
	nap    error
	late   int // Show after Close
	busy   bool
	twice  bool // two calls at a time
	hold   <-chan struct{}
}

// Fail makes Show and Close fail with err, as a display does that is unplugged;
// nil plugs it in again.
func (s *Screen) Fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

// Hold makes every Show wait until c is closed, as a slow bus does.
func (s *Screen) Hold(c <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hold = c
}

// Show remembers v.
func (s *Screen) Show(v hw.View, now time.Time) error {
	s.mu.Lock()
	if s.busy {
		s.twice = true
	}
	s.busy = true
	hold := s.hold
	s.mu.Unlock()
	if hold != nil {
		<-hold
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.busy = false
	if s.closed > 0 {
		s.late++
	}
	s.shown = append(s.shown, Shown{v, now, s.err})
	s.dark = s.dark && s.err != nil
	return s.err
}

// Sleep remembers that the screen was made dark.
func (s *Screen) Sleep() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.slept++
	err := s.nap
	if err == nil {
		err = s.err
	}
	s.dark = err == nil
	return err
}

// FailSleep makes Sleep fail with err, or not any more with nil.
func (s *Screen) FailSleep(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.nap = err
}

// Dark says whether the screen sleeps.
func (s *Screen) Dark() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dark
}

// Sleeps returns how often the screen was made dark.
func (s *Screen) Sleeps() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.slept
}

// Close remembers that the screen was closed.
func (s *Screen) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed++
	return s.err
}

// String names the screen.
func (s *Screen) String() string { return "test screen" }

// Shown returns what was shown, oldest first, failures included.
func (s *Screen) Shown() []Shown {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.shown)
}

// Forget forgets what was shown.
func (s *Screen) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shown = nil
}

// Last returns the view that stands on the screen: the last that did not fail.
func (s *Screen) Last() hw.View {
	for _, shown := range slices.Backward(s.Shown()) {
		if shown.Err == nil {
			return shown.View
		}
	}
	return hw.View{}
}

// Check fails when the screen was not closed just once, was drawn on after that,
// or from two sides at a time.
func (s *Screen) Check() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed == 0:
		return errors.New("the screen was not closed")
	case s.closed > 1:
		return errors.New("the screen was closed more than once")
	case s.late > 0:
		return errors.New("the screen was drawn on after it was closed")
	case s.twice:
		return errors.New("the screen was drawn on from two sides at a time")
	}
	return nil
}

var _ hw.Screen = (*Screen)(nil)
