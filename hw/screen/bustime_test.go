package screen_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"periph.io/x/conn/v3/physic"

	"github.com/mecha-org/mecha-agent/hw/screen"
	"github.com/mecha-org/mecha-agent/hw/screen/screentest"
)

const docsFile = "../../docs/hardware.md"

func docs(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(docsFile)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func contains(text, part string) bool { return strings.Contains(text, part) }

// TestBusTime measures what goes over the bus and compares it with the table in
// docs/hardware.md.
func TestBusTime(t *testing.T) {
	var b strings.Builder
	b.WriteString("| display | first | tick | change |\n|---|---|---|---|\n")
	for _, c := range screen.Controllers() {
		synctest.Test(t, func(t *testing.T) {
			meter := &screentest.Meter{Bus: emulate(t, c)}
			s := open(t, meter, 0, c.Name, false)
			fmt.Fprintf(&b, "| `%s` ", c.Name)
			note := func(n int) {
				fmt.Fprintf(&b, "| %d B, %s / %s ms ", meter.Bytes/n,
					millis(meter.Time(100*physic.KiloHertz)/time.Duration(n)), millis(meter.Time(400*physic.KiloHertz)/time.Duration(n)))
				meter.Reset()
			}
			show := func(at int) {
				if err := s.Show(codeView, noon.Add(time.Duration(at)*time.Second)); err != nil {
					t.Fatal(err)
				}
			}
			show(0)
			note(1)
			const minute = 60
			for i := range minute {
				show(1 + i)
			}
			note(minute)
			show(minute)
			if meter.Transfers > 0 {
				t.Errorf("%s: the same again costs %d transfers", c.Name, meter.Transfers)
			}
			if err := s.Show(workingView, noon.Add(minute*time.Second)); err != nil {
				t.Fatal(err)
			}
			note(1)
			b.WriteString("|\n")
		})
	}
	section(t, "<!-- bus time -->\n", b.String())
}

func millis(d time.Duration) string {
	return fmt.Sprintf("%.1f", d.Seconds()*1000)
}

// section compares the table behind a marker of docs/hardware.md with what it
// should be, or writes it.
func section(t *testing.T, marker, want string) {
	t.Helper()
	text := docs(t)
	head, rest, found := strings.Cut(text, marker)
	if !found {
		t.Fatalf("docs/hardware.md has no %s", marker)
	}
	got := rest
	if i := strings.Index(rest, "\n\n"); i >= 0 {
		got = rest[:i+1]
	}
	if got == want {
		return
	}
	if !*update {
		t.Errorf("the table behind %s of docs/hardware.md is not what was measured (go test -update writes it):\n%s", marker, want)
		return
	}
	if err := os.WriteFile(docsFile, []byte(head+marker+want+strings.TrimPrefix(rest, got)), 0o644); err != nil {
		t.Fatal(err)
	}
}
