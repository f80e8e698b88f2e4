package hw

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// TestDocsTables compares the tables of docs/hardware.md, which a person reads
// LEDs and plans serial lines by, with what the code does. With -update it writes
// them.
func TestDocsTables(t *testing.T) {
	section(t, "<!-- morse -->\n", morseTable())
	section(t, "<!-- binary -->\n", binaryTable())
	section(t, "<!-- terminal bytes -->\n", terminalTable(t))
}

func section(t *testing.T, marker, want string) {
	t.Helper()
	const file = "../docs/hardware.md"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, found := strings.Cut(string(text), marker)
	if !found {
		t.Fatalf("%s has no %s", file, marker)
	}
	got := rest
	if strings.HasPrefix(rest, "\n") {
		got = "" // nothing there yet
	} else if i := strings.Index(rest, "\n\n"); i >= 0 {
		got = rest[:i+1]
	}
	if got == want {
		return
	}
	if flag.Lookup("update").Value.String() != "true" {
		t.Errorf("the table behind %s of %s is out of date (go test -update writes it):\n%s", marker, file, want)
		return
	}
	if err := os.WriteFile(file, []byte(head+marker+want+strings.TrimPrefix(rest, got)), 0o644); err != nil {
		t.Fatal(err)
	}
}

// rowsOf lays cells out in a table, perRow pairs a row, top to bottom.
func rowsOf(title [2]string, cells [][2]string, perRow int) string {
	var b strings.Builder
	b.WriteString(strings.Repeat("| "+title[0]+" | "+title[1]+" ", perRow) + "|\n" + strings.Repeat("|---|---", perRow) + "|\n")
	per := (len(cells) + perRow - 1) / perRow
	for y := range per {
		for x := range perRow {
			c := [2]string{}
			if i := x*per + y; i < len(cells) {
				c = cells[i]
			}
			fmt.Fprintf(&b, "| %s | %s ", c[0], c[1])
		}
		b.WriteString("|\n")
	}
	return b.String()
}

func morseTable() string {
	var cells [][2]string
	for _, c := range LEDAlphabet {
		cells = append(cells, [2]string{string(c), strings.Join(strings.Split(strings.NewReplacer(".", "·", "-", "–").Replace(morse[c]), ""), " ")})
	}
	return rowsOf([2]string{"", "Morse"}, cells, 4)
}

func binaryTable() string {
	var cells [][2]string
	for i, c := range LEDAlphabet {
		lights := strings.NewReplacer("0", "○", "1", "●").Replace(fmt.Sprintf("%05b", i))
		cells = append(cells, [2]string{lights, string(c)})
	}
	return rowsOf([2]string{"LEDs", ""}, cells, 4)
}

// counter counts bytes.
type counter int

func (c *counter) Write(p []byte) (int, error) { *c += counter(len(p)); return len(p), nil }

func terminalTable(t *testing.T) string {
	var b strings.Builder
	b.WriteString("| terminal | first | tick | change |\n|---|---|---|---|\n")
	made := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	code := View{Mode: ModeCode, Code: "7K2M9X", Step: "Code shown, claim it", Made: made, Expires: made.Add(5 * time.Minute),
		ClaimURL: "http://192.168.178.20:3000/claim?code=7K2M9X"}
	for _, size := range [][2]int{{80, 24}, {40, 12}, {20, 4}} {
		var n counter
		s := NewTerminal(&n, size[0], size[1], true)
		fmt.Fprintf(&b, "| %dx%d ", size[0], size[1])
		show := func(v View, after time.Duration) {
			if err := s.Show(v, made.Add(after)); err != nil {
				t.Fatal(err)
			}
		}
		note := func(times counter) {
			fmt.Fprintf(&b, "| %d B, %.1f ms ", n/times, float64(n)/float64(times)*10/115.2)
			n = 0
		}
		show(code, 0)
		note(1)
		for i := range 60 {
			show(code, time.Duration(1+i)*time.Second)
		}
		note(60)
		show(View{Mode: ModeWorking, Step: "Claimed: signing the request"}, time.Minute)
		note(1)
		b.WriteString("|\n")
	}
	return b.String()
}
