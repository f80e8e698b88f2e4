package sim

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// maxReply is the most that is read of an answer, in bytes. A screen has 30 kB.
const maxReply = 1 << 20

// answerTime is how long the board may take for an answer, apart from the time
// that the button is held.
const answerTime = 10 * time.Second

// Control drives and watches a simulated board through its control socket. It
// is safe for concurrent use.
type Control struct {
	path string
	http http.Client
}

// Dial returns the control of the board whose socket is at path. It connects
// anew for every call, so the board may start later.
func Dial(path string) *Control {
	return &Control{path: path, http: http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		},
		DisableKeepAlives: true, // nothing stays open when a Control is forgotten
	}}}
}

// absentError is a board that is not there to be asked.
type absentError struct {
	path string
	err  error
}

func (e *absentError) Error() string { return "asking the simulated board: " + e.err.Error() }
func (e *absentError) Unwrap() error { return e.err }

// Hint says what has to run.
func (e *absentError) Hint() string {
	return "is an agent running whose hardware settings are board: sim, options: {control: " + e.path + "}?"
}

// explain says what was in progress.
func (c *Control) explain(err error) error {
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
		return &absentError{c.path, err}
	}
	return fmt.Errorf("asking the simulated board: %w", err)
}

// Press presses the button, holds it that long (0: 200 ms, at most a minute)
// and returns after it was released.
func (c *Control) Press(ctx context.Context, hold time.Duration) error {
	if hold == 0 {
		hold = defaultHold
	}
	_, err := c.ask(ctx, hold, http.MethodPost, "/button", url.Values{"hold": {hold.String()}})
	return err
}

// ScreenPNG returns a picture of the display as a person sees it.
func (c *Control) ScreenPNG(ctx context.Context) ([]byte, error) {
	return c.ask(ctx, 0, http.MethodGet, "/screen.png", nil)
}

// ScreenText returns the display in half-block characters with a frame: 34 lines
// of 130 columns.
func (c *Control) ScreenText(ctx context.Context) (string, error) {
	return c.ScreenTextFit(ctx, 0)
}

// ScreenTextFit is ScreenText for a terminal of so many columns: below 130 it
// draws with braille dots, 18 lines of 66 columns.
func (c *Control) ScreenTextFit(ctx context.Context, columns int) (string, error) {
	data, err := c.ask(ctx, 0, http.MethodGet, "/screen.txt", url.Values{"columns": {strconv.Itoa(columns)}})
	return string(data), err
}

// LEDs returns what the LEDs show now.
func (c *Control) LEDs(ctx context.Context) (LEDState, error) {
	var s LEDState
	err := c.askJSON(ctx, "/leds", &s)
	return s, err
}

// Faults returns what the display was sent against its data sheet; empty for a
// good driver.
func (c *Control) Faults(ctx context.Context) ([]string, error) {
	var list []string
	err := c.askJSON(ctx, "/faults", &list)
	return list, err
}

// WatchLEDs calls f with the present state of the LEDs and then with every
// change, none left out, until f returns false. Another end is an error: that of
// ctx, io.ErrUnexpectedEOF when the board ended or f was too slow to follow.
func (c *Control) WatchLEDs(ctx context.Context, f func(LEDState) bool) error {
	body, err := c.open(ctx, http.MethodGet, "/leds/events", nil)
	if err != nil {
		return err
	}
	defer body.Close()
	in := json.NewDecoder(body)
	for {
		var s LEDState
		switch err := in.Decode(&s); {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, io.EOF):
			return c.explain(io.ErrUnexpectedEOF)
		case err != nil:
			return c.explain(err)
		}
		if !f(s) {
			return nil
		}
	}
}

func (c *Control) askJSON(ctx context.Context, route string, v any) error {
	data, err := c.ask(ctx, 0, http.MethodGet, route, nil)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, v); err != nil {
		return c.explain(err)
	}
	return nil
}

// ask returns the body of an answer.
func (c *Control) ask(ctx context.Context, extra time.Duration, method, route string, q url.Values) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime+extra)
	defer cancel()
	body, err := c.open(ctx, method, route, q)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	data, err := io.ReadAll(io.LimitReader(body, maxReply))
	if err != nil {
		return nil, c.explain(err)
	}
	return data, nil
}

// open sends a request and returns the body of a good answer, to be closed.
func (c *Control) open(ctx context.Context, method, route string, q url.Values) (io.ReadCloser, error) {
	u := url.URL{Scheme: "http", Host: "sim", Path: route, RawQuery: q.Encode()}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), nil)
	if err != nil {
		return nil, c.explain(err)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.explain(err)
	}
	if resp.StatusCode >= 300 {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 512))
		resp.Body.Close()
		return nil, c.explain(fmt.Errorf("%s: %s", resp.Status, strings.TrimSpace(string(text))))
	}
	return resp.Body, nil
}
