package host

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"periph.io/x/conn/v3/gpio"

	"github.com/mecha-org/mecha-agent/board"
)

// LED returns a light of /sys/class/leds. The first Out takes it away from its
// trigger, what lights it otherwise ("mmc0", "heartbeat"), and Close gives it back,
// or its brightness if it had no trigger. Before the trigger is changed it is
// written to state/leds/name, so that RestoreLEDs, or Close of the next run, can
// give it back after a crash. With an empty state nothing outlives this process.
//
// What a trigger was told besides, such as the delays of "timer", is lost, as it is
// with every change of a trigger.
//
// https://docs.kernel.org/leds/leds-class.html
func (h *Host) LED(name, state string) board.Output {
	l := &led{light: light{named{name, -1}}, folder: filepath.Join(h.leds, name)}
	if state != "" {
		l.saved = filepath.Join(state, savedLEDs, name)
	}
	return l
}

// savedLEDs is the folder, in that for state, with a file for each light in use.
const savedLEDs = "leds"

const noTrigger = "none"

// ledState is what drives a light. On disk it is a line: "mmc0 255".
type ledState struct {
	trigger    string
	brightness int
}

func (s ledState) String() string { return s.trigger + " " + strconv.Itoa(s.brightness) + "\n" }

func parseLEDState(line string) (s ledState, err error) {
	f := strings.Fields(line)
	if len(f) != 2 {
		return s, fmt.Errorf("%q is not a trigger and a brightness", line)
	}
	s.trigger = f[0]
	s.brightness, err = strconv.Atoi(f[1])
	return s, err
}

type led struct {
	light
	folder string // of /sys/class/leds
	saved  string // file for what to give it back to; empty: memory alone

	mu     sync.Mutex
	before *ledState // nil: not taken
	ready  bool      // has no trigger and is known to work
	max    int
	closed bool
}

// Out lights the LED as bright as it gets, or makes it dark.
func (l *led) Out(level gpio.Level) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	err := error(os.ErrClosed)
	if !l.closed {
		err = l.set(level)
	}
	if err != nil {
		return fmt.Errorf("setting LED %s: %w", l.name, err)
	}
	return nil
}

func (l *led) set(level gpio.Level) error {
	if !l.ready {
		if err := l.take(); err != nil {
			return err
		}
	}
	brightness := 0
	if level {
		brightness = l.max
	}
	err := l.write("brightness", strconv.Itoa(brightness))
	// One that failed may be another light when it is back, with a trigger.
	l.ready = err == nil
	return err
}

// take saves what drives the light and takes it over.
func (l *led) take() error {
	// A name of a folder elsewhere would have its files written to.
	if l.name == "" || strings.HasPrefix(l.name, ".") || strings.ContainsRune(l.name, '/') {
		return fmt.Errorf("%q is no name of a light", l.name)
	}
	now, err := l.state()
	if err != nil {
		return err
	}
	if l.max, err = l.number("max_brightness"); err != nil {
		return err
	}
	if l.before == nil {
		before, err := l.save(now)
		if err != nil {
			return err
		}
		l.before = &before
	}
	if now.trigger != noTrigger {
		if err := l.write("trigger", noTrigger); err != nil {
			return err
		}
	}
	return nil
}

// state reads what drives the light now.
func (l *led) state() (s ledState, err error) {
	if s.brightness, err = l.number("brightness"); err != nil {
		return s, err
	}
	b, err := os.ReadFile(filepath.Join(l.folder, "trigger"))
	if errors.Is(err, os.ErrNotExist) { // a kernel without triggers
		s.trigger = noTrigger
		return s, nil
	}
	s.trigger = chosen(string(b))
	return s, err
}

// chosen finds the trigger in brackets: "none [mmc0] timer".
func chosen(triggers string) string {
	for _, t := range strings.Fields(triggers) {
		if name, ok := strings.CutPrefix(t, "["); ok {
			return strings.TrimSuffix(name, "]")
		}
	}
	return noTrigger
}

// save writes down what drives the light, unless a run that crashed has done so: what
// it left on is not what is to be given back.
func (l *led) save(now ledState) (ledState, error) {
	if l.saved == "" {
		return now, nil
	}
	b, err := os.ReadFile(l.saved)
	if err == nil {
		if s, err := parseLEDState(string(b)); err == nil {
			return s, nil
		} // damaged: what drives the light now is the best guess
	} else if !errors.Is(err, os.ErrNotExist) {
		return now, err
	}
	if err := os.MkdirAll(filepath.Dir(l.saved), 0o755); err != nil {
		return now, err
	}
	return now, replace(l.saved, now.String())
}

// Close gives the light back to what drove it before, and forgets that.
func (l *led) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed, l.ready = true, false
	if l.before == nil {
		return nil
	}
	if err := l.restore(*l.before); err != nil {
		return fmt.Errorf("giving LED %s back: %w", l.name, err)
	}
	l.before = nil
	return nil
}

// restore gives the light back. One that has gone needs nothing: its driver sets
// it up when it is back.
func (l *led) restore(s ledState) error {
	err := l.write("brightness", strconv.Itoa(s.brightness))
	if err == nil && s.trigger != noTrigger {
		err = l.write("trigger", s.trigger)
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if l.saved == "" {
		return nil
	}
	if err := os.Remove(l.saved); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return syncFolder(filepath.Dir(l.saved))
}

func (l *led) number(file string) (int, error) {
	b, err := os.ReadFile(filepath.Join(l.folder, file))
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(b)))
}

// write writes to a file of sysfs, which takes a value with one write.
func (l *led) write(file, value string) error {
	path := filepath.Join(l.folder, file)
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return explain(path, err)
	}
	_, err = f.WriteString(value)
	return errors.Join(err, f.Close())
}

// RestoreLEDs gives the lights back that a run took which did not end well, from
// the folder that LED was told. To be called before the first LED, whether the
// settings still name one or not. No folder means that there is nothing to do.
func (h *Host) RestoreLEDs(state string) error {
	if state == "" {
		return nil
	}
	folder := filepath.Join(state, savedLEDs)
	entries, err := os.ReadDir(folder)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	errs := []error{err}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") { // half written, and so nothing was changed
			errs = append(errs, os.Remove(filepath.Join(folder, e.Name())))
			continue
		}
		if err := h.restoreLED(filepath.Join(folder, e.Name())); err != nil {
			errs = append(errs, fmt.Errorf("giving LED %s back: %w", e.Name(), err))
		}
	}
	return errors.Join(errs...)
}

func (h *Host) restoreLED(saved string) error {
	b, err := os.ReadFile(saved)
	if err != nil {
		return err
	}
	s, err := parseLEDState(string(b))
	if err != nil {
		return &hinted{err, "remove " + saved}
	}
	l := &led{folder: filepath.Join(h.leds, filepath.Base(saved)), saved: saved}
	return l.restore(s)
}

// replace writes a file so that a power cut leaves all of it or nothing.
func replace(path, content string) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".*")
	if err != nil {
		return err
	}
	_, err = f.WriteString(content)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
		return err
	}
	return syncFolder(filepath.Dir(path))
}

func syncFolder(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
