package sim

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// How long the button is held when a request does not say, and at most.
const (
	defaultHold = 200 * time.Millisecond
	maxHold     = time.Minute
)

// server is the control of a board over HTTP:
//
//	GET  /screen.png         the display as a person sees it, four times enlarged
//	GET  /screen.txt         the same for a terminal; ?columns=80 for a narrow one
//	GET  /leds               the LEDs now
//	GET  /leds/events        now and at every change, one JSON object a line
//	POST /button?hold=200ms  presses, holds and releases, then answers
//	GET  /faults             what the driver sent against the data sheet
type server struct {
	parts *parts
	http  *http.Server
	stop  func() // ends requests that are under way
	ended chan struct{}
	once  sync.Once
}

// serve listens at path until ctx ends or Close.
func serve(ctx context.Context, path string, p *parts) (*server, error) {
	l, err := listen(path)
	if err != nil {
		return nil, err
	}
	base, stop := context.WithCancel(ctx)
	s := &server{parts: p, stop: stop, ended: make(chan struct{})}
	s.http = &http.Server{
		Handler:           s.routes(),
		ReadHeaderTimeout: 5 * time.Second,
		BaseContext:       func(net.Listener) context.Context { return base },
	}
	go func() {
		defer close(s.ended)
		s.http.Serve(l) // always an error, ErrServerClosed after Close
	}()
	context.AfterFunc(base, func() { s.Close() })
	return s, nil
}

// Close ends what is under way and removes the socket. A button that is held is
// released.
func (s *server) Close() error {
	s.once.Do(func() {
		s.stop()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if s.http.Shutdown(ctx) != nil {
			s.http.Close()
		}
	})
	<-s.ended
	return nil
}

func (s *server) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /screen.png", s.screenPNG)
	mux.HandleFunc("GET /screen.txt", s.screenText)
	mux.HandleFunc("GET /leds", s.leds)
	mux.HandleFunc("GET /leds/events", s.ledEvents)
	mux.HandleFunc("POST /button", s.press)
	mux.HandleFunc("GET /faults", func(w http.ResponseWriter, _ *http.Request) { reply(w, s.parts.display.Faults()) })
	return mux
}

func reply(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(v) // fails only when the other side is gone
}

func (s *server) screenPNG(w http.ResponseWriter, _ *http.Request) {
	data, err := renderPNG(s.parts.display.Image())
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "image/png")
	w.Write(data)
}

func (s *server) screenText(w http.ResponseWriter, r *http.Request) {
	columns := 0
	if v := r.FormValue("columns"); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil || n < 0 {
			http.Error(w, "columns: not a number of columns", http.StatusBadRequest)
			return
		}
		columns = n
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Write([]byte(renderText(s.parts.display.Image(), columns)))
}

func (s *server) leds(w http.ResponseWriter, _ *http.Request) {
	now, _ := s.parts.lights.now()
	reply(w, now)
}

func (s *server) ledEvents(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/x-ndjson")
	out, flush := json.NewEncoder(w), http.NewResponseController(w)
	_, next := s.parts.lights.now()
	next-- // the present state first
	for {
		states, n, changed, err := s.parts.lights.since(next)
		if err != nil {
			panic(http.ErrAbortHandler) // cut off: a whole answer would hide the gap
		}
		next = n
		for _, state := range states {
			if out.Encode(state) != nil {
				return
			}
		}
		if flush.Flush() != nil {
			return
		}
		select {
		case <-changed:
		case <-r.Context().Done():
			return
		}
	}
}

func (s *server) press(w http.ResponseWriter, r *http.Request) {
	hold := defaultHold
	if v := r.FormValue("hold"); v != "" {
		d, err := time.ParseDuration(v)
		if err != nil || d <= 0 || d > maxHold {
			http.Error(w, "hold: not a duration between 0 and "+maxHold.String()+", like 200ms", http.StatusBadRequest)
			return
		}
		hold = d
	}
	if s.parts.button.press(r.Context(), hold) != nil {
		http.Error(w, "released early", http.StatusServiceUnavailable)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}
