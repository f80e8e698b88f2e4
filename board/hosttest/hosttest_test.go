package hosttest_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"periph.io/x/conn/v3/gpio"

	"github.com/mecha-org/mecha-agent/board"
	"github.com/mecha-org/mecha-agent/board/hosttest"
)

// TestCheck: the fake finds what a careless user of it does.
func TestCheck(t *testing.T) {
	chip := board.Chip{Label: "c"}
	for want, careless := range map[string]func(h *hosttest.Host){
		"c:1 was left open":      func(h *hosttest.Host) { h.Output(chip, 1, false) },
		"c:1 was opened twice":   func(h *hosttest.Host) { h.Output(chip, 1, false); h.Input(chip, 1, false).Close() },
		"i2c-1 was closed twice": func(h *hosttest.Host) { b := h.I2C(1); b.Close(); b.Close() },
		"used after its end":     func(h *hosttest.Host) { o := h.LED("ACT", ""); o.Close(); _ = o.Out(gpio.High) },
		"key 116 of /dev/input/event0 was used after": func(h *hosttest.Host) {
			k := h.Key("/dev/input/event0", 116)
			k.Close()
			_ = k.In(gpio.PullUp, gpio.BothEdges)
		},
	} {
		h := &hosttest.Host{}
		careless(h)
		if err := h.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	h := &hosttest.Host{}
	if err := h.Input(chip, 0, false).Close(); err != nil || h.Check() != nil {
		t.Errorf("nothing wrong: %v, %v", err, h.Check())
	}
}

func TestParts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hosttest.Host{}
		button := h.Input(board.Chip{Label: "c"}, 3, false)
		if button.Read() != gpio.High {
			t.Error("a new button is held")
		}
		start := time.Now()
		if button.WaitForEdge(time.Minute) || time.Since(start) != time.Minute {
			t.Error("an edge from nothing")
		}
		go h.Part("c:3").Set(gpio.Low)
		if !button.WaitForEdge(-1) || button.Read() != gpio.Low {
			t.Error("no edge")
		}
		led := h.Output(board.Chip{Label: "c"}, 4, true)
		if led.(*hosttest.Part).Read() != gpio.Low {
			t.Error("a new light is lit")
		}
		broken := errors.New("broken")
		h.Part("c:4").Fail = broken
		if err := led.Out(gpio.High); !errors.Is(err, broken) {
			t.Errorf("got %v", err)
		}
		bus := h.I2C(1)
		if err := bus.Tx(0x3c, []byte{0}, nil); err == nil {
			t.Error("nobody answered")
		}
		h.Transfer = func(addr uint16, w, _ []byte) error {
			if addr != 0x3c || len(w) != 1 {
				t.Errorf("%x to %x", w, addr)
			}
			return nil
		}
		if err := bus.Tx(0x3c, []byte{0}, nil); err != nil {
			t.Error(err)
		}
	})
}
