package hw

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"
)

// How long a part that failed is left alone: doubling from the first to the last. An
// error that says that it passes soon leaves it at the first, for as long as the last.
const (
	firstRetry = time.Second
	lastRetry  = time.Minute
)

// outage follows a part through failure and recovery. One goroutine notes; any
// may ask for the trouble.
type outage struct {
	log    *slog.Logger
	part   string
	retry  time.Duration // until the next try; 0 while the part works
	since  time.Time     // the first of the failures
	absent bool          // it failed with ErrAbsent, which is no fault
	loud   bool          // the failure was logged for all

	mu   sync.Mutex
	line string // what trouble returns
}

// newOutage returns the outage of a part that works. A nil log is none.
func newOutage(log *slog.Logger, part string) *outage {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &outage{log: log, part: part}
}

// note takes the result of a try, logs it when it is news, and says whether it
// was a failure.
func (o *outage) note(err error) (failed bool) {
	was, wasAbsent := o.broken(), o.absent
	o.absent = errors.Is(err, ErrAbsent)
	switch {
	case err == nil && !was:
		return false
	case err == nil:
		o.retry = 0
		o.say(o.loud, slog.LevelInfo, "panel works again", nil)
		o.loud = false
	case was && o.absent == wasAbsent:
		if !soon(err) || time.Since(o.since) >= lastRetry {
			o.retry = min(2*o.retry, lastRetry)
		}
	default:
		o.retry, o.since = firstRetry, time.Now()
		o.say(!o.absent, slog.LevelWarn, "panel failed, trying again", err)
		o.loud = o.loud || !o.absent
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.line = ""
	if err != nil && !o.absent {
		o.line = o.part + ": " + withHint(err)
	}
	return err != nil
}

// soon says whether a failure is one that most likely passes by itself in moments.
func soon(err error) bool {
	var s interface{ Soon() bool }
	return errors.As(err, &s) && s.Soon()
}

// say logs, for those who debug alone unless loud.
func (o *outage) say(loud bool, level slog.Level, text string, err error) {
	if !loud {
		level = slog.LevelDebug
	}
	args := []any{"part", o.part}
	if err != nil {
		args = append(args, "error", withHint(err))
	}
	o.log.Log(context.Background(), level, text, args...)
}

func (o *outage) broken() bool { return o.retry > 0 }

// trouble returns what is wrong in a line, "" when nothing is.
func (o *outage) trouble() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.line
}

// withHint returns what err says, and in brackets what a person can do about it.
func withHint(err error) string {
	var h interface{ Hint() string }
	if errors.As(err, &h) && h.Hint() != "" {
		return err.Error() + " (" + h.Hint() + ")"
	}
	return err.Error()
}
