package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/mecha-org/mecha-agent/cmd/agent/internal/doctor"
	"github.com/mecha-org/mecha-agent/cmd/internal/cli"
)

func TestPrintFindings(t *testing.T) {
	list := []doctor.Finding{
		{Name: "one", Result: doctor.OK, Found: "well", Mend: "not said"},
		{Name: "second", Result: doctor.Fail, Found: "broken\nbad\x1b[2J", Mend: "mend it"},
	}
	for json, want := range map[bool]string{
		false: "one     ok    well\nsecond  fail  broken\n              bad?[2J\n              hint: mend it\n",
		true: `{
  "failed": 1,
  "checks": [
    {
      "name": "one",
      "result": "ok",
      "found": "well",
      "mend": "not said"
    },
    {
      "name": "second",
      "result": "fail",
      "found": "broken\nbad\u001b[2J",
      "mend": "mend it"
    }
  ]
}
`,
	} {
		var out bytes.Buffer
		a := &app{Program: cli.Program{System: cli.System{Stdout: &out}, JSON: json}}
		if err := a.printFindings(list); err != nil || out.String() != want {
			t.Errorf("json %t: error %v\n%s", json, err, out.String())
		}
	}
}

func TestDrawWaiting(t *testing.T) {
	var out bytes.Buffer
	drawWaiting(&out, []string{"dns", "gateway"})
	drawWaiting(&out, nil)
	if want := "\r\x1b[Kwaiting for dns, gateway\r\x1b[K"; out.String() != want {
		t.Errorf("got %q", out.String())
	}
	out.Reset()
	drawWaiting(&out, strings.Split(strings.Repeat("check ", 30), " "))
	if n := len(strings.TrimPrefix(out.String(), eraseLine)); n != 79 {
		t.Errorf("%d columns, which do not fit the narrowest terminal", n)
	}
}
