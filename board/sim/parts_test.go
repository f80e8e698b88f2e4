package sim

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"periph.io/x/conn/v3/gpio"
)

func TestLEDs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		l := newLights()
		bits, strobe := newLEDs(l)
		if len(bits) != 5 {
			t.Fatalf("%d code LEDs", len(bits))
		}
		<-time.After(time.Second) // of the bubble
		bits[0].Out(gpio.High)
		bits[0].Out(gpio.High) // no change
		bits[4].Out(gpio.High)
		<-time.After(time.Second) // of the bubble
		strobe.Out(gpio.High)
		bits[0].Out(gpio.Low)

		got, next, changed, err := l.since(0)
		if err != nil {
			t.Fatal(err)
		}
		want := []LEDState{
			{began, 0, false},
			{began.Add(time.Second), 0b10000, false},
			{began.Add(time.Second), 0b10001, false},
			{began.Add(2 * time.Second), 0b10001, true},
			{began.Add(2 * time.Second), 0b00001, true},
		}
		if len(got) != len(want) {
			t.Fatalf("%d states, want %d: %v", len(got), len(want), got)
		}
		for i := range want {
			if !got[i].At.Equal(want[i].At) || got[i].Bits != want[i].Bits || got[i].Strobe != want[i].Strobe {
				t.Errorf("state %d is %v, want %v", i, got[i], want[i])
			}
		}

		select {
		case <-changed:
			t.Error("a change is told before there is one")
		default:
		}
		strobe.Out(gpio.Low)
		<-changed
		if more, _, _, err := l.since(next); err != nil || len(more) != 1 || more[0].Strobe {
			t.Errorf("after the change: %v, %v", more, err)
		}
		if err := strobe.PWM(gpio.DutyHalf, 0); err == nil {
			t.Error("PWM is accepted")
		}
	})
}

func TestWatcherThatFallsBehind(t *testing.T) {
	l := newLights()
	_, strobe := newLEDs(l)
	_, slow := l.now()
	for i := range 3 * maxHistory {
		strobe.Out(i%2 == 0)
		if _, next := l.now(); next != slow+1+i {
			t.Fatalf("cursor %d after %d changes", next, i+1)
		}
	}
	if _, _, _, err := l.since(slow); !errors.Is(err, errBehind) {
		t.Errorf("a slow watcher gets %v", err)
	}
	_, next := l.now()
	if list, _, _, err := l.since(next - 100); err != nil || len(list) != 100 {
		t.Errorf("a quick one gets %d states, %v", len(list), err)
	}
	if len(l.history) > maxHistory {
		t.Errorf("%d states are kept", len(l.history))
	}
}

func TestButtonEdges(t *testing.T) {
	tests := []struct {
		edge gpio.Edge
		want int // of a press with its release
	}{{gpio.NoEdge, 0}, {gpio.FallingEdge, 1}, {gpio.RisingEdge, 1}, {gpio.BothEdges, 2}}
	for _, tt := range tests {
		b := newButton()
		if b.Read() != gpio.High {
			t.Fatal("the button is not high when idle")
		}
		if b.In(gpio.PullUp, tt.edge) != nil || b.Pull() != gpio.PullUp || b.Read() != gpio.High {
			t.Fatal("In(PullUp) went wrong")
		}
		if err := b.press(t.Context(), time.Nanosecond); err != nil {
			t.Fatal(err)
		}
		got := 0
		for b.WaitForEdge(0) {
			got++
		}
		if got != tt.want || b.Read() != gpio.High {
			t.Errorf("%s: %d edges, level %s", tt.edge, got, b.Read())
		}
	}
}

func TestButtonHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newButton()
		b.In(gpio.PullUp, gpio.BothEdges)
		began := time.Now()
		go b.press(t.Context(), 200*time.Millisecond)
		if !b.WaitForEdge(-1) || b.Read() != gpio.Low || time.Since(began) != 0 {
			t.Errorf("pressed: %s after %s", b.Read(), time.Since(began))
		}
		if b.In(gpio.PullUp, gpio.BothEdges); b.Read() != gpio.Low {
			t.Error("In releases the button")
		}
		if b.WaitForEdge(199*time.Millisecond) || time.Since(began) != 199*time.Millisecond {
			t.Errorf("an edge after %s", time.Since(began))
		}
		if !b.WaitForEdge(time.Second) || b.Read() != gpio.High || time.Since(began) != 200*time.Millisecond {
			t.Errorf("released: %s after %s", b.Read(), time.Since(began))
		}
	})
}

func TestButtonHasOneFinger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newButton()
		b.In(gpio.PullUp, gpio.FallingEdge)
		began := time.Now()
		for range 3 {
			go b.press(t.Context(), time.Second)
		}
		for i := range 3 {
			if !b.WaitForEdge(-1) || time.Since(began) != time.Duration(i)*time.Second {
				t.Errorf("press %d after %s", i, time.Since(began))
			}
		}
	})
}

func TestButtonIsReleasedWhenTheContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newButton()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		waiting := make(chan error)
		go func() { waiting <- b.press(ctx, time.Hour) }()
		synctest.Wait()
		if b.Read() != gpio.Low {
			t.Error("not pressed")
		}
		if err := b.press(ctx, time.Hour); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("waiting for the finger: %v", err)
		}
		if err := <-waiting; !errors.Is(err, context.DeadlineExceeded) || b.Read() != gpio.High {
			t.Errorf("holding: %v, level %s", err, b.Read())
		}
	})
}

func TestButtonWaitEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newButton()
		for name, end := range map[string]func(){
			"Halt": func() { b.Halt() },
			"In":   func() { b.In(gpio.PullUp, gpio.BothEdges) },
		} {
			b.In(gpio.PullUp, gpio.BothEdges)
			done := make(chan bool)
			go func() { done <- b.WaitForEdge(-1) }()
			synctest.Wait()
			end()
			if <-done {
				t.Errorf("%s makes an edge", name)
			}
		}
		b.In(gpio.PullUp, gpio.NoEdge)
		if b.WaitForEdge(-1) {
			t.Error("an edge that nobody asked for")
		}
	})
}

func TestButtonKeepsSoManyEdges(t *testing.T) {
	b := newButton()
	b.In(gpio.PullUp, gpio.BothEdges)
	for range maxEdges {
		b.press(t.Context(), time.Nanosecond)
	}
	n := 0
	for b.WaitForEdge(0) {
		n++
	}
	if n != maxEdges {
		t.Errorf("%d edges kept, want %d", n, maxEdges)
	}
}
