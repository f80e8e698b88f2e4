package hw

import (
	"fmt"
	"time"

	"periph.io/x/conn/v3/display"
)

// drawerScreen shows views on a display of pixels.
type drawerScreen struct {
	d      display.Drawer
	closer func() error
}

// NewDrawerScreen returns a screen that draws on d. Its Close calls closer, or
// d.Halt when that is nil.
func NewDrawerScreen(d display.Drawer, closer func() error) Screen {
	if closer == nil {
		closer = d.Halt
	}
	return &drawerScreen{d, closer}
}

// Show draws v on all of the display.
func (s *drawerScreen) Show(v View, now time.Time) error {
	b := s.d.Bounds()
	if err := s.d.Draw(b, Render(v, b, now), b.Min); err != nil {
		return fmt.Errorf("drawing on %s: %w", s.d, err)
	}
	return nil
}

// Sleep switches the display off; the next Show switches it on.
func (s *drawerScreen) Sleep() error {
	if err := s.d.Halt(); err != nil {
		return fmt.Errorf("switching off %s: %w", s.d, err)
	}
	return nil
}

// Close blanks the display.
func (s *drawerScreen) Close() error {
	if err := s.closer(); err != nil {
		return fmt.Errorf("closing %s: %w", s.d, err)
	}
	return nil
}

// String names the display.
func (s *drawerScreen) String() string { return s.d.String() }
