package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/mecha-org/mecha-agent/board"
	"github.com/mecha-org/mecha-agent/board/host"
	"github.com/mecha-org/mecha-agent/cmd/internal/cli"
	"github.com/mecha-org/mecha-agent/gateway"
	"github.com/mecha-org/mecha-agent/hw"
	displays "github.com/mecha-org/mecha-agent/hw/screen"
	"github.com/mecha-org/mecha-agent/provision"
	"github.com/mecha-org/mecha-agent/settings"
)

// openPanel makes a panel of the parts that the board has and of the console.
// What fails later is tried again; an error is about the settings.
func openPanel(b *board.Board, c settings.Hardware, stdout io.Writer, log *slog.Logger) (*hw.Panel, error) {
	var screens []hw.Screen
	display := false // one shows the code, as far as can be told now
	if d := b.Display; d != nil {
		s, err := displays.Open(d.Bus, d.Address, d.Controller, d.Optional)
		if err != nil {
			return nil, cli.Usage(err, "")
		}
		screens = append(screens, s)
		display = !d.Optional || displays.Answers(d.Bus, d.Address, d.Controller)
	}
	switch person := cli.IsTerminal(stdout); {
	case c.Console == "on" || c.Console == "auto" && !display && person:
		screens = append(screens, hw.NewConsole(stdout, person))
	case c.Console != "auto" && c.Console != "off": // a path
		t := host.New().Terminal(c.Console)
		b.OnClose(t)
		columns, rows := t.Size()
		screens = append(screens, hw.NewTerminal(t, columns, rows, true))
	}
	return hw.NewPanel(hw.PanelConfig{Screens: screens, LEDs: openLEDs(b.LEDs, c, display), Sleep: c.Display.Sleep, Log: log}), nil
}

// openLEDs leaves the board's own status light alone when nobody asked for it and a
// display is there.
func openLEDs(l *board.LEDs, c settings.Hardware, display bool) *hw.LEDs {
	if l == nil {
		return nil
	}
	lights := hw.LEDConfig{Bits: l.Bits, Strobe: l.Strobe, Single: l.Single, RGB: l.RGB, Pace: c.LEDs.Pace, Dot: c.LEDs.Dot}
	if display && wiring(c, "").SpareLight() {
		lights.Single = nil
	}
	return hw.NewLEDs(lights)
}

// touch says what the gestures of the button do: the part of the agent that needs
// both the exchange and the panel.
type touch struct {
	exchange *provision.Provisioner
	panel    *hw.Panel
	button   *hw.Button
	log      *slog.Logger
	removals sync.WaitGroup
}

// newTouch watches the board's button, if it has one.
func newTouch(b board.Board, c settings.Button, x *provision.Provisioner, p *hw.Panel, log *slog.Logger) *touch {
	t := &touch{exchange: x, panel: p, log: log}
	t.button = hw.NewButton(hw.ButtonConfig{Pin: b.Button, Hold: c.Hold, Do: t.do, Log: log})
	return t
}

// run watches until ctx ends.
func (t *touch) run(ctx context.Context) error {
	defer t.removals.Wait()
	return t.button.Run(ctx)
}

// trouble is what does not work of panel and button, a line each.
func (t *touch) trouble() []string {
	list := t.panel.Trouble()
	if s := t.button.Trouble(); s != "" {
		list = append(list, s)
	}
	return list
}

// do does what a gesture asks for. It returns at once.
func (t *touch) do(e hw.Event) {
	switch e.Gesture {
	case hw.GesturePress:
		t.panel.Wake()
		t.exchange.Press()
	case hw.GestureHold:
		t.panel.Cover(hw.View{Mode: hw.ModeReset, Made: e.Down, Expires: e.Armed})
	case hw.GestureReset:
		t.log.Info("the button was held and let go: removing the identity")
		t.removals.Go(t.remove)
		t.panel.Uncover()
	case hw.GestureCancel:
		t.panel.Uncover()
	}
}

// How long a removal waits for requests of others to end, and how often it looks.
const (
	removalLimit = 2 * time.Minute
	removalRetry = 200 * time.Millisecond
)

// remove removes the identity, as soon as no other request is at work.
func (t *touch) remove() {
	ctx, cancel := context.WithTimeout(context.Background(), removalLimit)
	defer cancel()
	for {
		_, err := t.exchange.Deprovision(ctx)
		if err == nil {
			return
		}
		if gateway.KindOf(err) != gateway.AlreadyRunning {
			t.log.Error("removing the identity", "error", err, "hint", gateway.HintOf(err))
			return
		}
		select {
		case <-ctx.Done():
			t.log.Error("removing the identity", "error", errors.Join(err, ctx.Err()))
			return
		case <-time.After(removalRetry):
		}
	}
}

// panelView shows the exchange's status on the board's panel.
type panelView struct {
	panel  *hw.Panel
	button bool // the board has one
	keys   keystores
}

var modes = map[provision.State]hw.Mode{
	provision.Idle:        hw.ModeIdle,
	provision.CodeShown:   hw.ModeCode,
	provision.Claimed:     hw.ModeWorking,
	provision.Signing:     hw.ModeWorking,
	provision.Provisioned: hw.ModeDone,
	provision.Failed:      hw.ModeFailed,
}

// Show implements provision.Panel.
func (p panelView) Show(s provision.Status) {
	v := hw.View{Mode: modes[s.State], Code: s.Code, Key: s.KeyFingerprint, Made: s.CodeMade, Expires: s.CodeExpires, ClaimURL: s.ClaimURL,
		Step: s.Step, MachineID: s.MachineID, Error: s.Error, Hint: s.Hint, Keystore: p.keys.words()}
	switch {
	case s.State != provision.Idle && s.State != provision.Provisioned:
	case s.Step != "":
		v.Mode = hw.ModeWaiting // at work on getting a code
	case s.State == provision.Idle && !p.button:
		v.Step = "mecha-agent provision makes a code"
	}
	p.panel.Show(v)
}
