package hw_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mecha-org/mecha-agent/hw"
	"github.com/mecha-org/mecha-agent/hw/hwtest"
)

var terminalSizes = [][2]int{{80, 24}, {40, 12}, {20, 4}}

// TestTerminal shows every view on terminals that had something else on them, and
// compares what stands there with the golden text, and what a person sees who
// comes after a change with what one sees who was there.
func TestTerminal(t *testing.T) {
	for _, size := range terminalSizes {
		var all strings.Builder
		kept := hwtest.NewTerminal(size[0], size[1])
		one := hw.NewTerminal(kept, size[0], size[1], true)
		for _, p := range pictures {
			fresh := hwtest.NewTerminal(size[0], size[1])
			if err := hw.NewTerminal(fresh, size[0], size[1], false).Show(p.view, noon); err != nil {
				t.Fatal(err)
			}
			for _, at := range []time.Time{noon.Add(-90 * time.Second), noon.Add(-time.Second), noon} {
				if err := one.Show(p.view, at); err != nil {
					t.Fatal(err)
				}
			}
			if kept.String() != fresh.String() {
				t.Errorf("%v %s: after other views it is\n%swant\n%s", size, p.name, kept, fresh)
			}
			if !fresh.Hidden || !fresh.UTF8 || fresh.Writes != 1 {
				t.Errorf("%v %s: cursor hidden %v, UTF-8 %v, %d writes", size, p.name, fresh.Hidden, fresh.UTF8, fresh.Writes)
			}
			if faults := append(fresh.Faults, kept.Faults...); len(faults) > 0 {
				t.Fatalf("%v %s: %q", size, p.name, faults)
			}
			fmt.Fprintf(&all, "%s\n%s\n", p.name, fresh)
		}
		if err := one.Close(); err != nil || kept.Hidden || strings.Trim(kept.String(), "| \n") != "" {
			t.Errorf("closed: %v, cursor hidden %v\n%s", err, kept.Hidden, kept)
		}
		file := filepath.Join("testdata", fmt.Sprintf("terminal-%dx%d.txt", size[0], size[1]))
		if *update {
			if err := os.WriteFile(file, []byte(all.String()), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if all.String() != string(want) {
			t.Errorf("the text differs from %s (go test -update writes it anew):\n%s", file, all.String())
		}
	}
}

// TestTerminalAnySize draws everything on terminals of any size, and nothing is
// outside of them.
func TestTerminalAnySize(t *testing.T) {
	for columns := 1; columns <= 132; columns += 13 {
		for rows := 1; rows <= 50; rows += 9 {
			for _, p := range pictures {
				v := hwtest.NewTerminal(columns, rows)
				s := hw.NewTerminal(v, columns, rows, true)
				for _, at := range []time.Time{noon, noon.Add(time.Second)} {
					if err := s.Show(p.view, at); err != nil {
						t.Fatal(err)
					}
				}
				if len(v.Faults) > 0 {
					t.Fatalf("%dx%d %s: %q", columns, rows, p.name, v.Faults)
				}
			}
		}
	}
}

// TestTerminalTick: a second costs a few bytes, and none when nothing changed.
func TestTerminalTick(t *testing.T) {
	v := hwtest.NewTerminal(80, 24)
	s := hw.NewTerminal(v, 80, 24, true)
	code := withURL(codeView, claimURL)
	for i, most := range []int{10000, 0, 20, 20} {
		v.Bytes = 0
		if err := s.Show(code, noon.Add(time.Duration(max(0, i-1))*time.Second)); err != nil {
			t.Fatal(err)
		}
		if v.Bytes > most {
			t.Errorf("show %d: %d bytes, at most %d", i, v.Bytes, most)
		}
	}
}

// TestTerminalBroken: what could not be written is written whole the next time.
func TestTerminalBroken(t *testing.T) {
	w := &brokenWriter{err: errors.New("hung up")}
	s := hw.NewTerminal(w, 40, 12, false)
	if err := s.Show(codeView, noon); !errors.Is(err, w.err) {
		t.Fatalf("Show: %v", err)
	}
	w.err = nil
	if err := s.Show(codeView, noon); err != nil || !strings.Contains(w.text.String(), "\x1b[2J") {
		t.Errorf("%v: %q", err, w.text.String())
	}
	w.err = errors.New("hung up")
	if err := s.Sleep(); !errors.Is(err, w.err) {
		t.Errorf("Sleep: %v", err)
	}
	if err := s.Close(); !errors.Is(err, w.err) {
		t.Errorf("Close: %v", err)
	}
}

// TestTerminalHostile: text of the other side does not steer the terminal.
func TestTerminalHostile(t *testing.T) {
	const evil = "\x1b]0;x\a\r\u009b2J"
	for _, size := range terminalSizes {
		v := hwtest.NewTerminal(size[0], size[1])
		s := hw.NewTerminal(v, size[0], size[1], true)
		for m := hw.ModeIdle; m <= hw.ModeReset; m++ {
			err := s.Show(hw.View{Mode: m, Code: evil, ClaimURL: evil, Step: evil, MachineID: evil, Error: evil, Hint: evil, Key: evil}, noon)
			if err != nil || len(v.Faults) > 0 {
				t.Errorf("%v: %v, %q", m, err, v.Faults)
			}
		}
	}
}
